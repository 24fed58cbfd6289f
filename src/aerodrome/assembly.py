"""Puts the rooms together: from settings and running services to the applications that `runtime` serves.

The one place where every room is seen at once. It decides nothing and serves nothing.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import sqlalchemy as sa
import structlog
from anyio import CapacityLimiter, to_thread
from starlette.applications import Starlette

from aerodrome import clock
from aerodrome.airflow import commands, versions
from aerodrome.api import airflow_rest, app
from aerodrome.api.dependencies import ApiDependencies
from aerodrome.api.query.dependencies import QueryDependencies
from aerodrome.api.sts.issuers import Issuers
from aerodrome.backends.contract import CommandResult
from aerodrome.backends.local.backend import LocalBackend, Surroundings
from aerodrome.controller.loop import Controller
from aerodrome.gateway.app import Gateway
from aerodrome.gateway.dependencies import GatewayDependencies
from aerodrome.identity import credentials_file, execution_role, key_files
from aerodrome.identity.authenticator import Authenticator
from aerodrome.identity.authorizer import Authorizer, Request, principal_context
from aerodrome.identity.managed_policies import catalogue
from aerodrome.identity.session_tokens import SessionTokens
from aerodrome.identity.tokens import Minter
from aerodrome.identity.vault import EnvironmentSecrets, Vault
from aerodrome.keeper import Keeper
from aerodrome.ledger.audit import Audit
from aerodrome.ledger.environments import Environments
from aerodrome.ledger.logins import Logins
from aerodrome.ledger.migrate import DATABASE, migrate
from aerodrome.ledger.notices import Notices
from aerodrome.ledger.principals import Principals
from aerodrome.ledger.snapshots import Snapshots
from aerodrome.model import arns
from aerodrome.model.environment import Environment
from aerodrome.model.principals import Principal
from aerodrome.model.spec import Spec
from aerodrome.model.web_address import Ports
from aerodrome.operations.dependencies import Dependencies
from aerodrome.operations.history import History
from aerodrome.operator.app import Desk
from aerodrome.operator.app import create_app as create_desk
from aerodrome.release import installation, interpreters, locks
from aerodrome.services import databases, disks
from aerodrome.services.clusters import Cluster
from aerodrome.settings import EMBEDDED, Settings
from aerodrome.threads import ThreadEvent, ThreadSupervisor

LOGIN_ACTION = "airflow:CreateWebLoginToken"
"""What a web session needs for as long as it lasts."""

MOST_COMMANDS = 64
"""Airflow commands that run at once. Each holds a thread for up to a minute; they have threads of their own, for else
four in each of ten environments would leave none to the API."""

logger = structlog.get_logger("runtime")


@dataclass(frozen=True, slots=True, kw_only=True)
class Applications:
    """What the control plane serves."""

    front: Starlette
    desk: Starlette
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
            endpoint = keeper.aws_endpoint_url()
            backend = LocalBackend(
                Surroundings(
                    settings=settings,
                    cluster=keeper.cluster,
                    vault=identity.vault,
                    key_set=identity.minter.key_set(),
                    aws_endpoint_url=endpoint,
                    mwaa_endpoint_url=settings.url(port),
                    gateway_ports=gateway_ports,
                    service_key=identity.principals.service_access_key,
                )
            )
            logins = Logins(engine)
            snapshots = Snapshots(engine)
            controller = Controller(
                environments, snapshots, notices, backend, clock.now, snapshots_kept=settings.snapshots_kept
            )
            crew = _crew(environments, controller, keeper, audit)
            rooms = _Rooms(
                settings, keeper, environments, snapshots, audit, identity, backend, logins, crew, gateway_ports, port
            )
            with _controlling(controller, backend, crew):
                yield Applications(front=rooms.front(), desk=rooms.desk(), gateway=rooms.gateway())


@dataclass(frozen=True, slots=True)
class _Rooms:
    """Makes each application from what they share."""

    settings: Settings
    keeper: Keeper
    environments: Environments
    snapshots: Snapshots
    audit: Audit
    identity: _Identity
    backend: LocalBackend
    logins: Logins
    crew: ThreadSupervisor
    gateway_ports: Ports
    port: int
    commanding: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(MOST_COMMANDS))

    def front(self) -> Starlette:
        """The API."""
        identity = self.identity
        query = QueryDependencies(
            principals=identity.principals,
            authorizer=identity.authorizer,
            session_tokens=identity.session_tokens,
            region=self.settings.region,
            seal=identity.vault.seal_secret,
            execution_roles_of=self._execution_roles_of,
            issuers=Issuers(),
            clock=clock.now,
        )
        rest = airflow_rest.Caller(minter=identity.minter, paths=self.settings.paths, clock=clock.now)
        return app.create_app(
            ApiDependencies(
                operations=Dependencies(
                    environments=self.environments,
                    authorizer=identity.authorizer,
                    logins=self.logins,
                    gateway_ports=self.gateway_ports,
                    check_execution_role=self._check_execution_role,
                    check_version=self._check_version,
                    warnings=_warnings,
                    checked_bucket=self.keeper.checked_bucket,
                    new_secrets=lambda: identity.vault.seal(EnvironmentSecrets.generate()),
                    offered_versions=tuple(versions.OFFERED),
                    latest_version=versions.DEFAULT,
                    clock=clock.now,
                    settings=self.settings,
                    rest=rest.call,
                ),
                query=query,
                authenticator=identity.authenticator,
                record=self.audit.record,
                aws_endpoint_url=self.keeper.aws_endpoint_url(),
            )
        )

    def desk(self) -> Starlette:
        """The operator's socket."""
        return create_desk(
            Desk(
                environments=self.environments,
                audit=self.audit,
                authorizer=self.identity.authorizer,
                directory=lambda: self.identity.principals.directory,
                clock=clock.now,
                backend=self.backend,
                cluster=self.keeper.cluster,
                history=self._history(),
                services=self.keeper.report,
                troubles=self._troubles,
                user_databases=self.settings.paths.user_databases,
                api=self.settings.url(self.port),
                port=self.port,
                started_at=clock.now(),
            )
        )

    def gateway(self) -> Gateway:
        """The way to Airflow's web servers."""
        return Gateway(
            GatewayDependencies(
                environments=self.environments.all,
                logins=self.logins,
                minter=self.identity.minter,
                still_granted=self._still_granted,
                run_command=self._run_command,
                record=self.audit.record,
                clock=clock.now,
                settings=self.settings,
            )
        )

    def _troubles(self) -> list[str]:
        hung = [f"Aerodrome's thread {name} does not move: see aerodrome events." for name in self.crew.hung()]
        return [*disks.troubles(disks.look(self.settings.paths)), *hung]

    def _history(self) -> History:
        return History(
            environments=self.environments,
            snapshots=self.snapshots,
            archives=self.backend,
            vault=self.identity.vault,
            checked_bucket=self.keeper.checked_bucket,
            quota=self.settings.quota_environments,
            clock=clock.now,
        )

    def _execution_roles_of(self, name: str) -> frozenset[str]:
        found = self.environments.get(name)
        return found.execution_roles if found else frozenset()

    def _check_execution_role(self, name: str, spec: Spec) -> None:
        """Where IAM is another's, it says so itself when the role is assumed."""
        if self.settings.aws_endpoint_url != EMBEDDED:
            return
        account = self.settings.account_id
        environment = arns.environment(region=self.settings.region, account=account, name=name)
        about = execution_role.on_behalf_of(environment, account)
        execution_role.check(self.identity.authorizer, spec.execution_role_arn, account=account, context=about)

    def _check_version(self, number: str) -> None:
        """What is installed already needs nothing more."""
        folder = self.settings.paths.versions
        if installation.find(number, folder) is not None:
            return
        places = interpreters.places(folder, os.environ, interpreters.named_folders(self.settings.python_folders))
        refusal = interpreters.refusal(number, locks.of(number).python, places)
        if refusal is not None:
            raise refusal

    def _still_granted(self, principal: Principal, environment: Environment, role: str, address: str) -> bool:
        region, account = self.settings.region, self.settings.account_id
        resource = arns.airflow_role(region=region, account=account, environment=environment.name, role=role)
        context = principal_context(principal, now=clock.now(), source_ip=address, secure=True)
        asked = Request(action=LOGIN_ACTION, resource=resource, context=context)
        return self.identity.authorizer.decide(principal, asked).allowed

    async def _run_command(self, environment: Environment, text: str) -> CommandResult:
        argv = commands.parse(versions.lookup(environment.spec.airflow_version), text)
        return await to_thread.run_sync(self.backend.run_command, environment, argv, limiter=self.commanding)


@contextlib.contextmanager
def _ledger(settings: Settings, cluster: Cluster) -> Iterator[tuple[sa.Engine, Notices]]:
    """The ledger's database, at the newest schema."""
    password = key_files.ledger_password(settings.paths.keys)
    databases.ensure_role(cluster, DATABASE, password)
    databases.ensure_database(cluster, DATABASE, DATABASE)
    engine = sa.create_engine(
        cluster.dsn(DATABASE, DATABASE, password, scheme="postgresql+psycopg"), pool_pre_ping=True
    )
    try:
        migrate(engine)
        yield engine, Notices(cluster.dsn(DATABASE, DATABASE, password))
    finally:
        engine.dispose()


@contextlib.contextmanager
def _identity(settings: Settings, engine: sa.Engine) -> Iterator[_Identity]:
    """IAM and the keys behind it; the first administrator is made when there is no user."""
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


def _crew(environments: Environments, controller: Controller, keeper: Keeper, audit: Audit) -> ThreadSupervisor:
    """The control plane's own threads; what happens to one is an event."""

    def tell(told: ThreadEvent) -> None:
        environments.record(None, told.kind, told.sentence, {"thread": told.thread}, clock.now())

    return ThreadSupervisor([*controller.threads, keeper.thread, audit.writer], tell)


@contextlib.contextmanager
def _controlling(controller: Controller, backend: LocalBackend, crew: ThreadSupervisor) -> Iterator[None]:
    """The controller at work, and the default version's warm process on its way."""
    warming = threading.Thread(target=backend.warm_up, args=(versions.DEFAULT,), name="warm-up", daemon=True)
    controller.start()
    warming.start()
    crew.start()
    try:
        yield
    finally:
        logger.info("stopping")
        crew.stop()
        backend.close()
        controller.stop()


def _warnings(spec: Spec) -> list[str]:
    return versions.warnings(spec.airflow_version, spec.airflow_configuration_options)


def _buckets(environments: Environments) -> list[str]:
    """The source buckets of all environments."""
    return [arns.bucket_name(environment.spec.source_bucket_arn) for environment in environments.all()]
