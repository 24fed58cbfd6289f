"""The real gateway behind TLS on both its listeners, before small servers in Airflow's place, over a real ledger."""

from __future__ import annotations

import asyncio
import base64
import http.client
import json
import secrets
import shutil
import socket
import ssl
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import jwt
import pytest
import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric import rsa

from aerodrome import clock
from aerodrome.backends.local import paths as local_paths
from aerodrome.backends.local import unit_sockets
from aerodrome.gateway import certificates, serving
from aerodrome.gateway.app import Gateway
from aerodrome.gateway.dependencies import GatewayDependencies
from aerodrome.identity.tokens import Minter
from aerodrome.ledger.environments import Environments
from aerodrome.ledger.logins import Logins
from aerodrome.ledger.migrate import migrate
from aerodrome.listening import handshakes
from aerodrome.listening.crowd import ConnectionLimits
from aerodrome.listening.handshakes import HandshakeListener
from aerodrome.model import defaults
from aerodrome.model.audit import Entry
from aerodrome.model.environment import Environment
from aerodrome.model.principals import Principal, PrincipalKind
from aerodrome.model.web_address import Ports
from aerodrome.operations.hibernation import Waking
from aerodrome.services import clusters, databases
from aerodrome.settings import Settings
from waiting import wait_for

from .airflow import Airflow, running

LIMITS = ConnectionLimits(total=50, each_peer=50, bodies_each_peer=50)
"""Of each listener here; the product's numbers would take a test minutes to reach."""

KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)

ADA = Principal(
    kind=PrincipalKind.USER,
    account="000000000000",
    arn="arn:aws:iam::000000000000:user/ada",
    unique_id="AIDAADA",
    name="ada",
)


@dataclass
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def document(self) -> Any:
        return json.loads(self.body)


@dataclass
class World:
    """The running gateway and everything around it."""

    settings: Settings
    ledger: Environments
    logins: Logins
    ports: Ports
    tls: ssl.SSLContext
    airflow: Airflow
    entries: list[Entry]
    granted: set[str] = field(default_factory=lambda: {"Admin", "Op", "User", "Viewer", "Public"})
    commands: list[tuple[str, str]] = field(default_factory=list)
    command: Callable[[str], Any] = lambda _text: SimpleNamespace(stdout=b"out", stderr=b"err", exit_code=0)
    later: timedelta = timedelta()

    @property
    def reached(self) -> list[str]:
        """What reached Airflow; a slow upload of a test before may have come to its end only now."""
        return [each for each in self.airflow.seen if each != "POST /slow"]

    def now(self) -> datetime:
        return clock.now() + self.later

    def environment(self, name: str) -> Environment:
        found = self.ledger.get(name)
        assert found is not None
        return found

    def host(self, name: str, *, private: bool = False) -> str:
        port = self.ports.private if private else self.ports.public
        return f"{self.environment(name).identifier}.{self.settings.domain}:{port}"

    def connect(self, name: str = "three", *, private: bool = False) -> http.client.HTTPSConnection:
        """A connection to an environment; names below localhost need not resolve on this machine."""
        host = self.host(name, private=private)
        connection = http.client.HTTPSConnection(host, timeout=30, context=self.tls)
        port = int(host.rpartition(":")[2])
        raw = socket.create_connection(("127.0.0.1", port), timeout=30)
        connection.sock = self.tls.wrap_socket(raw, server_hostname=host.partition(":")[0])
        return connection

    def ask(
        self,
        method: str,
        path: str,
        *,
        name: str = "three",
        private: bool = False,
        body: Any = None,
        **headers: str,
    ) -> Answer:
        connection = self.connect(name, private=private)
        try:
            named = {key.replace("_", "-"): value for key, value in headers.items()}
            connection.request(method, path, body=body, headers=named)
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())
        finally:
            connection.close()

    def raw(self, *pieces: bytes, name: str = "three", seconds: float = 30.0) -> bytes:
        """What comes back for bytes as they are, until the gateway closes."""
        connection = self.connect(name)
        connection.sock.settimeout(seconds)
        found = bytearray()
        try:
            for piece in pieces:
                connection.sock.sendall(piece.replace(b"HOST", self.host(name).encode()))
            while chunk := connection.sock.recv(65536):
                found += chunk
        except (ConnectionError, ssl.SSLError):
            pass
        finally:
            connection.close()
        return bytes(found)

    def token(self, name: str = "three", role: str | None = "Admin", kind: Any = "web", who: Principal = ADA) -> str:
        return self.logins.issue(kind, name, role, who, now=self.now())

    def log_in(self, name: str = "three", role: str = "Admin", *, private: bool = False, who: Principal = ADA) -> str:
        """The Cookie header of a new session."""
        form = f"token={self.token(name, role, who=who)}"
        kind = "application/x-www-form-urlencoded"
        answer = self.ask("POST", "/aws_mwaa/login", name=name, private=private, body=form, content_type=kind)
        assert answer.status == 200, answer.body
        return answer.headers["set-cookie"].partition(";")[0]

    def claims(self, answer: Answer, name: str = "three") -> dict[str, Any]:
        """What the token says that Airflow got, verified as Airflow verifies it."""
        sent = [value for key, value in answer.document["headers"] if key == "authorization"]
        assert len(sent) == 1
        token = sent[0].removeprefix("Bearer ")
        return jwt.decode(token, KEY.public_key(), algorithms=["RS256"], audience=f"env:{name}", issuer="aerodrome")


MODES = {
    "three": "PUBLIC_ONLY",
    "two": "PUBLIC_ONLY",
    "private": "PRIVATE_ONLY",
    "both": "PUBLIC_AND_PRIVATE",
    "down": "PUBLIC_ONLY",
}


def spec(name: str) -> Any:
    given = {
        "ExecutionRoleArn": "arn:aws:iam::000000000000:role/execution",
        "SourceBucketArn": "arn:aws:s3:::bucket",
        "DagS3Path": "dags",
        "NetworkConfiguration": {"SubnetIds": ["subnet-a", "subnet-b"], "SecurityGroupIds": ["sg-a"]},
        "WebserverAccessMode": MODES[name],
        "AirflowVersion": "2.11.2" if name == "two" else "3.3.1",
    }
    return defaults.complete(name, given, latest_version="3.3.1")


@pytest.fixture(scope="module")
def engine(cluster: clusters.Cluster) -> Iterator[sa.Engine]:
    name = f"gateway_{secrets.token_hex(4)}"
    databases.ensure_role(cluster, name, "test")
    databases.ensure_database(cluster, name, name)
    engine = sa.create_engine(cluster.superuser_dsn(name, scheme="postgresql+psycopg"))
    migrate(engine)
    yield engine
    engine.dispose()
    databases.drop_database(cluster, name)
    databases.drop_role(cluster, name)


@pytest.fixture(scope="module")
def shared(engine: sa.Engine) -> Iterator[World]:
    folder = Path(tempfile.mkdtemp(prefix="aero-"))
    settings = Settings(data=folder, gateway_public="127.0.0.1:0", gateway_private="127.0.0.1:0")
    settings.paths.run.mkdir(parents=True)
    ledger = Environments(engine, region="us-east-1", account="000000000000")
    for name in MODES:
        ledger.create(name, spec(name), {}, sealed_secrets=b"", quota=10, now=clock.now() - timedelta(hours=1))
    app = Airflow()
    with (
        mock.patch.object(handshakes, "LIMITS", LIMITS),
        mock.patch.object(serving, "HANDSHAKE_SECONDS", 300.0),  # so that nothing but the bound ends a handshake here
        serving.bound(settings) as sockets,
    ):
        world = World(
            settings=settings,
            ledger=ledger,
            logins=Logins(engine),
            ports=serving.ports(sockets),
            tls=ssl.create_default_context(),
            airflow=app,
            entries=[],
        )
        with _running_gateway(world, sockets), _running_airflows(world):
            world.tls.load_verify_locations(certificates.files(settings.paths).authority)
            yield world
    shutil.rmtree(folder)


@pytest.fixture
def world(shared: World) -> World:
    """The world as it was at first."""
    shared.entries.clear()
    shared.commands.clear()
    shared.airflow.seen.clear()
    shared.airflow.left.clear()
    shared.airflow.step.clear()
    shared.granted = {"Admin", "Op", "User", "Viewer", "Public"}
    shared.command = lambda _text: SimpleNamespace(stdout=b"out", stderr=b"err", exit_code=0)
    shared.later = timedelta()
    return shared


@contextmanager
def _running_airflows(world: World) -> Iterator[None]:
    """One server for all environments but `down`."""
    up = [each for each in world.ledger.all() if each.name != "down"]
    first, *_ = all_paths = [local_paths.of(world.settings.paths, each.name, each.identifier) for each in up]
    with running(world.airflow, first.web_socket(1)):
        for paths in all_paths:
            paths.run.mkdir(parents=True, exist_ok=True)
            paths.web.symlink_to(first.web_socket(1))
        yield


@contextmanager
def _running_gateway(world: World, sockets: tuple[HandshakeListener, HandshakeListener]) -> Iterator[None]:
    async def run_command(environment: Environment, text: str) -> Any:
        world.commands.append((environment.name, text))
        return await asyncio.to_thread(world.command, text)

    gateway = Gateway(
        GatewayDependencies(
            environments=world.ledger.all,
            logins=world.logins,
            minter=Minter(KEY),
            still_granted=lambda _principal, _environment, role, address: (
                role in world.granted and address == "127.0.0.1"
            ),
            run_command=run_command,
            web_server=lambda tenant: unit_sockets.WebServers().behind(
                local_paths.of(world.settings.paths, tenant.name, tenant.identifier).web
            ),
            record=world.entries.append,
            awake=Waking(world.ledger, world.now).awake,
            clock=world.now,
            settings=world.settings,
        )
    )
    kept = certificates.Certificates(world.settings, now=clock.now())
    with mock.patch.object(serving, "LIMITS", LIMITS):
        both = serving.servers(gateway, sockets, kept, clock.now)

    async def serve() -> None:
        await asyncio.gather(*(server.serve(sockets=[bound]) for server, bound in both))

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    wait_for("both have started", lambda: all(server.started for server, _ in both))
    yield
    for server, _ in both:
        server.should_exit = True
    thread.join(30)
    assert not thread.is_alive()


def decoded(text: str) -> bytes:
    return base64.b64decode(text)


def renamed(who: Principal, name: str) -> Principal:
    return replace(who, name=name, arn=f"arn:aws:iam::000000000000:user/{name}", unique_id=f"AIDA{name.upper()}")
