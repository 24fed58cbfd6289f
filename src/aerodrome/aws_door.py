"""The AWS door as a process: puts `api.aws` together with IAM, and serves it on the AWS endpoint's port.

The keeper starts it detached, beside the emulator and after the ledger. It is no part of the control plane: while that
is away, tasks and sidecars go on reading and writing, and STS gives them credentials; while the ledger is away, IAM is
as it was read last, and no environment can assume its role.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

if __name__ == "__main__":
    # structlog loads rich for pretty terminals where it is installed; nobody colours these lines.
    sys.modules.setdefault("rich", None)  # type: ignore[arg-type]

import structlog

from aerodrome import clock, log
from aerodrome.api.aws.app import DoorDependencies, create_app
from aerodrome.api.aws.service_keys import KeptServiceKeys
from aerodrome.api.query.dependencies import QueryDependencies
from aerodrome.api.sts.issuers import Issuers
from aerodrome.emulator import launch
from aerodrome.emulator.own_address import OwnAddress
from aerodrome.errors import AerodromeError
from aerodrome.identity import key_files
from aerodrome.identity.authenticator import Authenticator
from aerodrome.identity.authorizer import Authorizer
from aerodrome.identity.managed_policies import catalogue
from aerodrome.identity.session_tokens import SessionTokens
from aerodrome.identity.vault import Vault
from aerodrome.ledger import repetitions
from aerodrome.ledger.audit import Audit
from aerodrome.ledger.connection import opened
from aerodrome.ledger.environments import Environments
from aerodrome.ledger.iam_watch import IamWatch
from aerodrome.ledger.migrate import DATABASE
from aerodrome.ledger.notices import Notices
from aerodrome.ledger.principals import CHANNEL, Principals
from aerodrome.listening.crowd import ConnectionLimits
from aerodrome.listening.server import HttpServer
from aerodrome.model import arns
from aerodrome.services import clusters, heartbeat, postgres
from aerodrome.settings import EMBEDDED, Settings
from aerodrome.threads import ThreadSupervisor

LIMITS = ConnectionLimits(total=1024, each_peer=512, bodies_each_peer=384)
"""Of the listener; sidecars and what the API passes on are one peer."""

GRACEFUL = 5
"""Seconds that open requests get at a stop."""

LEDGER_SECONDS = 10
"""For a connection to the ledger, and for a statement: requests wait for it."""

logger = structlog.get_logger("aerodrome.door")


def serve(settings: Settings, *, port: int, identity: str, beat: Path, emulator_socket: str, logs_socket: str) -> None:
    """Answer until told to end.

    Raises:
        AerodromeError: the ledger cannot be reached, or the port is taken.
    """
    log.configure()
    sockets = emulator_socket, logs_socket
    heartbeat.begin(beat)
    with OwnAddress(port=port).listener() as listener, _dependencies(settings, identity, *sockets) as deps:
        listener.listen(128)
        asyncio.run(_serve(HttpServer(create_app(deps), LIMITS, timeout_graceful_shutdown=GRACEFUL), listener, beat))


async def _serve(server: HttpServer, listener: socket.socket, beat: Path) -> None:
    loop = asyncio.get_running_loop()
    beating = loop.create_task(_beat(beat))
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, server.leave)
    logger.info("serving", port=listener.getsockname()[1])
    await server.serve(sockets=[listener])
    beating.cancel()


async def _beat(file: Path) -> None:
    """Show that requests go on being served; for ever."""
    while True:
        heartbeat.beat(file)
        await asyncio.sleep(heartbeat.EVERY)


@contextlib.contextmanager
def _dependencies(
    settings: Settings, identity: str, emulator_socket: str, logs_socket: str
) -> Iterator[DoorDependencies]:
    folder = settings.paths.keys
    embedded = settings.database_url == EMBEDDED
    cluster = postgres.up(settings.paths) if embedded else clusters.external(settings.database_url)
    password = key_files.ledger_password(folder)
    vault = Vault(key_files.vault_key(folder))
    with opened(
        cluster.dsn(DATABASE, DATABASE, password, scheme="postgresql+psycopg"), seconds=LEDGER_SECONDS
    ) as engine:
        principals = Principals(
            engine,
            account=settings.account_id,
            region=settings.region,
            seal=vault.seal_secret,
            service_key=key_files.service_key(folder),
            aws_policies=catalogue.policies(arns.partition(settings.region)),
        )
        watch = IamWatch(principals, Notices(cluster.dsn(DATABASE, DATABASE, password), CHANNEL))
        with contextlib.closing(Audit(engine)) as audit, contextlib.closing(principals), contextlib.closing(watch):
            crew = ThreadSupervisor(
                [watch.thread, audit.writer], lambda told: logger.error("thread", told=told.sentence)
            )
            watch.thread.start()
            crew.start()
            known = KeptServiceKeys(principals)
            tokens, authorizer = SessionTokens(key_files.session_key(folder)), Authorizer(known)
            environments = Environments(engine, region=settings.region, account=settings.account_id)
            yield DoorDependencies(
                authenticator=Authenticator(known, vault, tokens, settings.region),
                authorizer=authorizer,
                query=QueryDependencies(
                    principals=principals,
                    authorizer=authorizer,
                    session_tokens=tokens,
                    region=settings.region,
                    seal=vault.seal_secret,
                    execution_roles_of=environments.execution_roles,
                    issuers=Issuers(),
                    clock=clock.now,
                ),
                refresh=watch.refresh,
                record=repetitions.once_a_minute(audit.record),
                clock=clock.now,
                region=settings.region,
                account=settings.account_id,
                domain=settings.domain,
                identity=identity,
                emulator_socket=emulator_socket,
                logs_socket=logs_socket,
                spool=launch.spool_folder(settings.paths.aws),
                announced=settings.paths.announced,
            )
            crew.stop()


def main() -> int:
    """The detached door's entry point; an error with a sentence goes to the log's last line."""
    parser = argparse.ArgumentParser(description="The door of the AWS services.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--identity", required=True, help="what the health check answers")
    parser.add_argument("--emulator", type=Path, required=True, help="the emulator's unix socket")
    parser.add_argument("--logs", type=Path, required=True, help="the log store's unix socket")
    parser.add_argument("--beat", type=Path, required=True, help="the file that shows that it does not hang")
    options = parser.parse_args()
    try:
        serve(
            Settings(),
            port=options.port,
            identity=options.identity,
            beat=options.beat,
            emulator_socket=str(options.emulator),
            logs_socket=str(options.logs),
        )
    except (AerodromeError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
