"""Puts the rooms together: from settings and running services to the applications that `runtime` serves.

It alone sees every room. It decides nothing and serves nothing.
"""

from __future__ import annotations

import contextlib
import functools
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass

import structlog
from starlette.applications import Starlette

from aerodrome import clock
from aerodrome.airflow import versions
from aerodrome.api import airflow_rest
from aerodrome.api import app as api_app
from aerodrome.api.dependencies import ApiDependencies
from aerodrome.api.prometheus import Exposition
from aerodrome.api.query.dependencies import QueryDependencies
from aerodrome.api.sts.issuers import Issuers
from aerodrome.backends.control_plane import ControlPlane
from aerodrome.backends.local import backend as local_backend
from aerodrome.backends.local import groups, warm
from aerodrome.backends.local.backend import LocalBackend
from aerodrome.backends.local.disk_reserve import DiskReserve
from aerodrome.backends.local.fair_weights import FairWeights
from aerodrome.controller.loop import Controller
from aerodrome.controller.scaling import Pace
from aerodrome.gateway.app import Gateway
from aerodrome.gateway.dependencies import GatewayDependencies
from aerodrome.identity import credentials_file, key_files
from aerodrome.identity.authenticator import Authenticator
from aerodrome.identity.authorizer import Authorizer
from aerodrome.identity.managed_policies import catalogue
from aerodrome.identity.session_tokens import SessionTokens
from aerodrome.identity.tokens import Minter
from aerodrome.identity.vault import Vault
from aerodrome.keeper import Keeper
from aerodrome.ledger import repetitions
from aerodrome.ledger.audit import Audit
from aerodrome.ledger.connection import Engine, opened
from aerodrome.ledger.environments import Environments
from aerodrome.ledger.logins import Logins
from aerodrome.ledger.migrate import DATABASE, migrate
from aerodrome.ledger.notices import Notices
from aerodrome.ledger.principals import Principals
from aerodrome.ledger.snapshots import Snapshots
from aerodrome.model import arns
from aerodrome.model.web_address import Ports
from aerodrome.operations import authorisation
from aerodrome.operations.commands import Commands
from aerodrome.operations.dependencies import Dependencies
from aerodrome.operations.hibernation import Waking
from aerodrome.operations.preflight import Preflight
from aerodrome.operator import app as operator_app
from aerodrome.operator.dependencies import OperatorDependencies
from aerodrome.otlp import addresses
from aerodrome.otlp.addresses import CollectorAddress
from aerodrome.otlp.collector import METRICS, Collector
from aerodrome.otlp.export import MetricsExport
from aerodrome.otlp.outbox import Outbox
from aerodrome.services import databases, disks, uid_register
from aerodrome.services.clusters import Cluster
from aerodrome.services.databases import Overcommitment
from aerodrome.settings import Settings
from aerodrome.telemetry import launch as log_store
from aerodrome.threads import SupervisedThread, ThreadEvent, ThreadSupervisor

logger = structlog.get_logger("runtime")


@dataclass(frozen=True, slots=True, kw_only=True)
class Applications:
    """What the control plane serves."""

    front: Starlette
    operator: Starlette
    gateway: Gateway


@dataclass(frozen=True, slots=True, kw_only=True)
class _Identity:
    """Who may do what."""

    principals: Principals
    authorizer: Authorizer
    authenticator: Authenticator
    session_tokens: SessionTokens
    vault: Vault
    minter: Minter


@contextlib.contextmanager
def assembled(settings: Settings, keeper: Keeper, *, port: int, gateway_ports: Ports) -> Iterator[Applications]:
    """The applications, with the controller running behind them; `port` is the API's."""
    with _ledger(settings, keeper.cluster()) as (engine, notices):
        environments = Environments(engine, region=settings.region, account=settings.account_id)
        keeper.owns(lambda: _buckets(environments))
        with contextlib.closing(Audit(engine)) as audit, _identity(settings, engine) as identity:
            backend = local_backend.made(
                ControlPlane(
                    settings=settings,
                    cluster=keeper.cluster,
                    vault=identity.vault,
                    key_set=identity.minter.key_set(),
                    aws_endpoint_url=keeper.aws_endpoint_url(),
                    mwaa_endpoint_url=settings.url(port),
                    gateway_ports=gateway_ports,
                    service_key=identity.principals.service_access_key,
                )
            )
            snapshots = Snapshots(engine)
            operations = Dependencies(
                environments=environments,
                snapshots=snapshots,
                archives=backend.databases,
                logins=Logins(engine),
                authorizer=identity.authorizer,
                preflight=Preflight(settings=settings, authorizer=identity.authorizer, s3=keeper.s3),
                vault=identity.vault,
                rest=airflow_rest.Caller(
                    minter=identity.minter, web_server=backend.runtime.web_server, clock=clock.now
                ).call,
                awake=Waking(environments, clock.now).awake,
                offered_versions=tuple(versions.OFFERED),
                latest_version=versions.DEFAULT,
                gateway_ports=gateway_ports,
                settings=settings,
                clock=clock.now,
            )
            controller = Controller(
                environments,
                snapshots,
                notices,
                backend,
                clock.now,
                snapshots_kept=settings.snapshots_kept,
                pace=Pace(scale_in_after=settings.scale_in_after, drain_limit=settings.drain_limit),
            )
            reserve = DiskReserve(settings.paths)
            weights = backend.runtime.fair_weights(lambda: [each.tenant for each in environments.all()])
            exposition, export = _exposed(settings, environments, port)
            own = [keeper.thread, audit.writer, reserve.thread, weights.thread, *([export.thread] if export else [])]
            crew = _crew(environments, [*controller.threads, *own])
            rooms = _Rooms(
                settings, keeper, environments, operations, audit, identity, backend, crew, exposition, export, port
            )
            with _controlling(controller, backend, crew, [reserve, weights]), _exporting(export):
                yield Applications(front=rooms.front(), operator=rooms.operator(), gateway=rooms.gateway())


@dataclass(frozen=True, slots=True)
class _Rooms:
    """Makes the applications from what they share."""

    settings: Settings
    keeper: Keeper
    environments: Environments
    operations: Dependencies
    audit: Audit
    identity: _Identity
    backend: LocalBackend
    crew: ThreadSupervisor
    exposition: Exposition
    export: MetricsExport | None
    port: int

    def front(self) -> Starlette:
        """The API."""
        identity = self.identity
        return api_app.create_app(
            ApiDependencies(
                operations=self.operations,
                query=QueryDependencies(
                    principals=identity.principals,
                    authorizer=identity.authorizer,
                    session_tokens=identity.session_tokens,
                    region=self.settings.region,
                    seal=identity.vault.seal_secret,
                    execution_roles_of=self.environments.execution_roles,
                    issuers=Issuers(),
                    clock=clock.now,
                ),
                authenticator=identity.authenticator,
                record=repetitions.once_a_minute(self.audit.record),
                aws_endpoint_url=self.keeper.aws_endpoint_url(),
                exposition=self.exposition,
            )
        )

    def operator(self) -> Starlette:
        """The operator's socket."""
        return operator_app.create_app(
            OperatorDependencies(
                operations=self.operations,
                audit=self.audit,
                directory=lambda: self.identity.principals.directory,
                runtime=self.backend.runtime,
                cluster=self.keeper.cluster,
                services=self.keeper.report,
                troubles=functools.partial(self._troubles, Overcommitment(self.keeper.cluster)),
                uids=lambda: own.shown if (own := uid_register.recorded(self.settings.paths)) else "",
                primed=functools.partial(warm.primed, self.settings.paths),
                limits=functools.partial(groups.enforcement, self.settings.paths),
                user_databases=self.settings.paths.user_databases,
                api=self.settings.url(self.port),
                port=self.port,
                started_at=clock.now(),
            )
        )

    def _troubles(self, overcommitment: Overcommitment) -> list[str]:
        found = [*disks.troubles(disks.look(self.settings.paths)), *self.crew.troubles(), overcommitment.sentence()]
        found += [*warm.troubles(self.settings.paths), *(self.export.troubles() if self.export else [])]
        return [each for each in found if each]

    def gateway(self) -> Gateway:
        """The way to Airflow's web servers."""
        return Gateway(
            GatewayDependencies(
                environments=self.operations.environments.all,
                logins=self.operations.logins,
                minter=self.identity.minter,
                still_granted=functools.partial(authorisation.still_granted, self.operations),
                run_command=Commands(self.backend.runtime).run,
                web_server=self.backend.runtime.web_server,
                record=repetitions.once_a_minute(self.audit.record),
                awake=Waking(self.operations.environments, clock.now).awake,
                clock=clock.now,
                settings=self.settings,
            )
        )


@contextlib.contextmanager
def _ledger(settings: Settings, cluster: Cluster) -> Iterator[tuple[Engine, Notices]]:
    """The ledger's database, at the newest schema."""
    password = key_files.ledger_password(settings.paths.keys)
    databases.ensure_role(cluster, DATABASE, password)
    databases.ensure_database(cluster, DATABASE, DATABASE)
    databases.let_reserved(cluster, DATABASE)
    with opened(cluster.dsn(DATABASE, DATABASE, password, scheme="postgresql+psycopg")) as engine:
        migrate(engine)
        yield engine, Notices(cluster.dsn(DATABASE, DATABASE, password))


@contextlib.contextmanager
def _identity(settings: Settings, engine: Engine) -> Iterator[_Identity]:
    """IAM and its keys. Makes the first administrator if there is no user."""
    folder = settings.paths.keys
    vault = Vault(key_files.vault_key(folder))
    session_tokens = SessionTokens(key_files.session_key(folder))
    principals = Principals(
        engine,
        account=settings.account_id,
        region=settings.region,
        seal=vault.seal_secret,
        service_key=key_files.service_key(folder),
        aws_policies=catalogue.policies(arns.partition(settings.region)),
    )
    with contextlib.closing(principals):
        file = settings.paths.credentials
        made = principals.ensure_administrator(
            clock.now(), keep=lambda key: credentials_file.write(file, key.access_key_id, key.secret_access_key)
        )
        if made is not None:
            logger.info("administrator created", user=made.user_arn, credentials=str(file))
        yield _Identity(
            principals=principals,
            authorizer=Authorizer(principals),
            authenticator=Authenticator(principals, vault, session_tokens, settings.region),
            session_tokens=session_tokens,
            vault=vault,
            minter=Minter(key_files.signing_key(folder)),
        )


def _exposed(settings: Settings, environments: Environments, port: int) -> tuple[Exposition, MetricsExport | None]:
    """What shows metrics to scrapers, and what sends the same to a collector, where one is set."""
    address = CollectorAddress(settings.otlp_endpoint, settings.otlp_headers) if settings.otlp_endpoint else None
    addresses.write(settings.paths.collector, address)
    outbox = Outbox(Collector(address, METRICS)) if address else None
    exposition = Exposition(
        token=key_files.scrape_token(settings.paths.keys),
        environments=environments.all,
        totals=functools.partial(log_store.totals, settings.paths.logs_socket),
        exported=(lambda: outbox.status) if outbox else None,
    )
    if outbox is None:
        return exposition, None
    instance = f"{socket.gethostname()}:{port}"
    return exposition, MetricsExport(exposition.collected, outbox, every=settings.otlp_interval, instance=instance)


@contextlib.contextmanager
def _exporting(export: MetricsExport | None) -> Iterator[None]:
    """Exports within the block, if anything is exported."""
    if export is None:
        yield
        return
    export.start()
    try:
        yield
    finally:
        export.close()


def _crew(environments: Environments, threads: list[SupervisedThread]) -> ThreadSupervisor:
    """Supervises the control plane's own threads; an event tells when one ends or hangs."""

    def tell(told: ThreadEvent) -> None:
        environments.record(None, told.kind, told.sentence, {"thread": told.thread}, clock.now())

    return ThreadSupervisor(threads, tell)


@contextlib.contextmanager
def _controlling(
    controller: Controller, backend: LocalBackend, crew: ThreadSupervisor, chores: list[DiskReserve | FairWeights]
) -> Iterator[None]:
    """Runs the controller and the machine's chores within the block, and starts the default version's warm process."""
    warming = threading.Thread(target=backend.runtime.warm_up, args=(versions.DEFAULT,), name="warm-up", daemon=True)
    controller.start()
    for chore in chores:
        chore.start()
    warming.start()
    crew.start()
    try:
        yield
    finally:
        logger.info("stopping")
        crew.stop()
        backend.close()
        for chore in chores:
            chore.close()
        controller.stop()


def _buckets(environments: Environments) -> list[str]:
    """The source buckets of all environments."""
    return [arns.bucket_name(environment.spec.source_bucket_arn) for environment in environments.all()]
