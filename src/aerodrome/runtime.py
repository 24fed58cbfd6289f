"""The control plane as a process: put the rooms together, serve, end in order.

`aerodrome up` starts this module detached. Nothing that it starts is its child, so its death ends no environment.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator

import sqlalchemy as sa
import structlog
import uvicorn
from starlette.applications import Starlette

from aerodrome import clock, log, operator
from aerodrome.airflow import versions
from aerodrome.api import airflow_rest, app, doors
from aerodrome.backends.local.backend import LocalBackend, Surroundings
from aerodrome.controller.loop import Controller
from aerodrome.errors import AerodromeError, CallerError
from aerodrome.identity import keys
from aerodrome.identity.tokens import Minter
from aerodrome.identity.vault import EnvironmentSecrets, Vault
from aerodrome.keeper import Keeper
from aerodrome.ledger.environments import Environments
from aerodrome.ledger.migrate import migrate
from aerodrome.ledger.notices import Notices
from aerodrome.model import arns
from aerodrome.services import databases, folders
from aerodrome.settings import Paths, Settings

LEDGER = "aerodrome"
"""The ledger's database."""

logger = structlog.get_logger("runtime")


def serve(settings: Settings) -> None:
    """Be the control plane until told to end (SIGTERM, SIGINT). Services and environments go on afterwards.

    Raises:
        CallerError: the address is not loopback, or its port is taken.
    """
    log.configure()
    folders.make(settings.paths.data)
    folders.make(settings.paths.run)
    with folders.locked(settings.paths.run / "control-plane.lock", timeout=1.0), _listener(settings) as listener:
        keeper = Keeper(settings)
        keeper.start()
        with _assembled(settings, keeper, listener.getsockname()[1]) as (front, desk):
            asyncio.run(_serve(front, desk, listener, settings.paths))
        keeper.close()


@contextlib.contextmanager
def _assembled(settings: Settings, keeper: Keeper, port: int) -> Iterator[tuple[Starlette, Starlette]]:
    """Both applications, with the controller running behind them."""
    paths = settings.paths
    cluster = keeper.cluster()
    password = keys.ledger_password(paths.keys)
    databases.ensure_role(cluster, LEDGER, password)
    databases.ensure_database(cluster, LEDGER, LEDGER)
    engine = sa.create_engine(cluster.dsn(LEDGER, LEDGER, password, scheme="postgresql+psycopg"), pool_pre_ping=True)
    migrate(engine)
    environments = Environments(engine, region=settings.region, account=settings.account_id)
    keeper.owns(lambda: _buckets(environments))
    vault = Vault(keys.vault_key(paths.keys))
    minter = Minter(keys.signing_key(paths.keys))
    endpoint = keeper.aws_endpoint_url()
    backend = LocalBackend(
        Surroundings(
            settings=settings,
            cluster=keeper.cluster,
            vault=vault,
            key_set=minter.key_set(),
            aws_endpoint_url=endpoint,
            mwaa_endpoint_url=settings.url(port),
        )
    )
    notices = Notices(cluster.dsn(LEDGER, LEDGER, password))
    controller = Controller(environments, notices, backend, clock.now)
    working = threading.Thread(target=controller.run, name="controller")
    warming = threading.Thread(target=backend.warm_up, args=(versions.DEFAULT,), name="warm-up", daemon=True)
    working.start()
    warming.start()
    front = app.create_app(
        doors.Doors(
            environments=environments,
            check_bucket=keeper.check_bucket,
            new_secrets=lambda: vault.seal(EnvironmentSecrets.generate()),
            offered_versions=tuple(versions.OFFERED),
            latest_version=versions.DEFAULT,
            clock=clock.now,
            settings=settings,
            rest=airflow_rest.Caller(minter=minter, paths=paths, clock=clock.now).call,
            aws_endpoint_url=endpoint,
        )
    )
    desk = operator.Desk(
        environments=environments,
        backend=backend,
        cluster=keeper.cluster,
        services=keeper.report,
        keys=paths.keys,
        api=settings.url(port),
        port=port,
        started_at=clock.now(),
    )
    try:
        yield front, operator.create_app(desk)
    finally:
        logger.info("stopping")
        backend.close()
        controller.stop()
        working.join()
        engine.dispose()


def _buckets(environments: Environments) -> list[str]:
    """The source buckets of all environments."""
    found = [environment for name in environments.names() if (environment := environments.get(name)) is not None]
    return [arns.bucket_name(environment.spec.source_bucket_arn) for environment in found]


async def _serve(front: Starlette, desk: Starlette, listener: socket.socket, paths: Paths) -> None:
    """Answer on both sockets until a signal comes."""
    with _operator_socket(paths) as own:
        servers = {_Server(front): listener, _Server(desk): own}
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, _leave, *servers)
        paths.port_file.write_text(str(listener.getsockname()[1]))
        logger.info("serving", port=listener.getsockname()[1])
        await asyncio.gather(*(server.serve(sockets=[socket]) for server, socket in servers.items()))


class _Server(uvicorn.Server):
    """One of two servers in one process: signals are handled once, for both."""

    def __init__(self, application: Starlette) -> None:
        config = uvicorn.Config(
            application, log_config=None, access_log=False, server_header=False, timeout_graceful_shutdown=5
        )
        super().__init__(config)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _leave(*servers: uvicorn.Server) -> None:
    for server in servers:
        server.should_exit = True


@contextlib.contextmanager
def _listener(settings: Settings) -> Iterator[socket.socket]:
    """The API's socket, bound before anything else is started."""
    if not ipaddress.ip_address(settings.host).is_loopback:
        raise CallerError(
            f"AERODROME_HOST is {settings.host}: only a loopback address such as 127.0.0.1 is allowed, "
            "because signatures are not checked yet"
        )
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((settings.host, settings.port or _last_port(settings.paths)))
        except OSError as error:
            raise CallerError(
                f"Port {settings.port} on {settings.host} cannot be used ({error.strerror}). "
                "Stop the program that listens there, or set AERODROME_PORT."
            ) from error
        listener.listen(128)
        yield listener


def _last_port(paths: Paths) -> int:
    """The port that the system chose last time, for units know it by now; 0 at the first start."""
    try:
        return int(paths.port_file.read_text())
    except (OSError, ValueError):
        return 0


@contextlib.contextmanager
def _operator_socket(paths: Paths) -> Iterator[socket.socket]:
    path = paths.operator_socket
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        before = os.umask(0o177)
        try:
            listener.bind(str(path))
        finally:
            os.umask(before)
        listener.listen(16)
        yield listener
    path.unlink(missing_ok=True)


def main() -> int:
    """The detached control plane's entry point; an error with a sentence goes to the log's last line."""
    try:
        serve(Settings())
    except AerodromeError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
