"""A real emulator behind a real door, with IAM in memory: a principal that a test makes is known at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from aerodrome import clock
from aerodrome.api.aws.app import DoorDependencies, create_app
from aerodrome.api.query.dependencies import QueryDependencies
from aerodrome.api.sts.issuers import Issuers
from aerodrome.emulator import launch
from aerodrome.identity.authenticator import Authenticator
from aerodrome.identity.authorizer import Authorizer
from aerodrome.identity.session_tokens import SessionTokens, TemporaryCredentials
from aerodrome.model.audit import Entry
from aerodrome.model.principals import Principal, PrincipalKind
from aerodrome.services import daemon
from aerodrome.services.daemon import Daemon
from aerodrome.telemetry import launch as log_store
from protocol.api.behind import VAULT
from protocol.api.memory import ACCOUNT, EVERYTHING, Key, MemoryIdentity, MemoryPrincipals
from protocol.api.serving import served
from tools import own_emulator

REGION = "us-east-1"
SESSION: Any = boto3.Session()
"""One for all clients, so that each service's model is read once."""

DOMAIN = "us-east-1.airflow.localhost"


@dataclass
class World:
    """Clients of a door, and those who use them."""

    port: int
    folder: Path
    identity: MemoryIdentity
    principals: MemoryPrincipals
    tokens: SessionTokens
    entries: list[Entry]
    logs: Daemon
    start_logs: Callable[[], None]
    late_by: timedelta = timedelta()
    refreshed: int = 0
    on_refresh: Callable[[], None] = lambda: None
    execution_roles: Callable[[str], set[str]] = lambda _: set()
    _made: int = 0
    _closing: ExitStack = field(default_factory=ExitStack)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def user(self, *statements: Mapping[str, Any]) -> Key:
        """Somebody new, whom these statements allow what they do."""
        self._made += 1
        return self.identity.add_user(f"user{self._made}", *statements)

    def session(self, *statements: Mapping[str, Any], now: datetime | None = None) -> TemporaryCredentials:
        """A session of a new role."""
        self._made += 1
        name = f"role{self._made}"
        self.identity.add_user(name, *statements)
        unique_id = f"AROA{name.upper():0>17}"
        self.identity.grants[unique_id] = self.identity.grants[f"AIDA{name.upper():0>17}"]
        principal = Principal(
            kind=PrincipalKind.ASSUMED_ROLE,
            account=ACCOUNT,
            arn=f"arn:aws:sts::{ACCOUNT}:assumed-role/{name}/s",
            unique_id=f"{unique_id}:s",
            name=name,
            session_name="s",
            role_arn=f"arn:aws:iam::{ACCOUNT}:role/{name}",
        )
        return self.tokens.issue(principal, now=now or clock.now(), duration=timedelta(hours=1))

    def client(self, service: str, key: Key | TemporaryCredentials, **more: Any) -> Any:
        found = SESSION.client(
            service,
            aws_access_key_id=key.access_key_id,
            aws_secret_access_key=key.secret if isinstance(key, Key) else key.secret_access_key,
            aws_session_token=getattr(key, "session_token", None),
            region_name=more.pop("region", REGION),
            endpoint_url=self.url,
            config=Config(retries={"total_max_attempts": 1}, **more),
        )
        self._closing.callback(found.close)
        return found


@contextmanager
def opened() -> Iterator[World]:
    with own_emulator.running(on_socket=True, domain=DOMAIN) as emulator, ExitStack() as ending:
        folder = emulator.folder
        store = log_store.describe(
            folder / "telemetry",
            socket=folder / "logs.sock",
            region=REGION,
            account_id=ACCOUNT,
            most_bytes=2**30,
            longest_days=90,
            most_metrics_bytes=2**28,
            sns=emulator.described.address.socket,
        )
        store.cwd.mkdir(mode=0o700)
        logs = Daemon(
            name="log store",
            argv=store.argv,
            env=store.env,
            cwd=store.cwd,
            log=folder / "log-store.log",
            pid_file=folder / "logs-pid",
        )

        def start_logs() -> None:
            daemon.start(logs)
            daemon.wait_until(logs, lambda: log_store.answers(store))

        ending.callback(daemon.stop, logs)
        start_logs()
        identity, principals = MemoryIdentity(VAULT), MemoryPrincipals()
        tokens, entries = SessionTokens(b"s" * 32), []
        world = World(0, folder, identity, principals, tokens, entries, logs, start_logs)

        def refresh() -> None:
            world.refreshed += 1
            world.on_refresh()

        def execution_roles_of(name: str) -> set[str]:
            return world.execution_roles(name)

        deps = DoorDependencies(
            authenticator=Authenticator(identity, VAULT, tokens, REGION),
            authorizer=Authorizer(identity),
            query=QueryDependencies(
                principals=principals,
                authorizer=Authorizer(identity),
                session_tokens=tokens,
                region=REGION,
                seal=VAULT.seal_secret,
                execution_roles_of=execution_roles_of,
                issuers=Issuers(),
                clock=lambda: clock.now() + world.late_by,
            ),
            refresh=refresh,
            record=entries.append,
            clock=lambda: clock.now() + world.late_by,
            region=REGION,
            account=ACCOUNT,
            domain=DOMAIN,
            identity="door",
            emulator_socket=str(emulator.described.address.socket),
            logs_socket=str(store.socket),
            spool=launch.spool_folder(folder),
            announced=folder / "announced",
        )
        with served(create_app(deps)) as world.port, world._closing:
            yield world


def allow(action: str | list[str], *resources: str) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": action, "Resource": list(resources) or "*"}


ADMINISTRATOR = EVERYTHING
