"""A real PostgreSQL, a real Redis and a launcher that honours the unit specification, all below one scratch folder."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import jwt
import psycopg
import pytest
from cryptography.fernet import Fernet
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

import disk
import lines
from acceptance.airflow.launching import Launcher
from aerodrome.airflow import metadata, priming, versions
from aerodrome.airflow.context import Context, Database
from aerodrome.airflow.units import UnitDocument
from aerodrome.backends.databases import making
from aerodrome.release import install
from aerodrome.services import clusters, databases, postgres, redis
from aerodrome.settings import Paths
from product import VERSIONS
from waiting import wait_for

ISSUER = "aerodrome"
NAME = "probe"
KID = "test-key"
DATABASE_PASSWORD = "db-7f3a-%$\u00e9:@/"


@pytest.fixture(scope="session", name="wait_for")
def wait_for_fixture() -> Callable[..., Any]:
    return wait_for


@pytest.fixture(scope="session")
def make_keys() -> type[Keys]:
    return Keys


@pytest.fixture(scope="package")
def scratch() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="aero-airflow-", dir="/tmp"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="package")
def redis_server(scratch: Path) -> Iterator[Path]:
    """The unix socket of a Redis of our own."""
    path = scratch / "redis.sock"
    process = subprocess.Popen(
        [str(redis.find_program()), "--port", "0", "--unixsocket", str(path), "--save", "", "--dir", str(scratch)],
        stdout=subprocess.DEVNULL,
    )
    wait_for("a Redis socket", path.exists)
    yield path
    process.terminate()
    process.wait()


class Keys:
    """The gateway's key pair."""

    def __init__(self) -> None:
        self.private = rsa.generate_private_key(public_exponent=65537, key_size=2048)

    def jwks(self) -> str:
        key = json.loads(RSAAlgorithm.to_jwk(self.private.public_key()))
        return json.dumps({"keys": [{**key, "kid": KID, "use": "sig"}]})

    def token(self, role: str, /, *, key: Any = None, algorithm: str = "RS256", **claims: Any) -> str:
        now = int(time.time())
        payload = {
            "sub": f"{role.lower()}-user",
            "role": role,
            "aud": f"env:{NAME}",
            "iss": ISSUER,
            "iat": now,
            "nbf": now,
            "exp": now + 60,
        }
        payload.update(claims)
        payload = {name: value for name, value in payload.items() if value is not None}
        return jwt.encode(payload, key if key is not None else self.private, algorithm=algorithm, headers={"kid": KID})


class UnixConnection(HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=30)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Environment:
    """One running environment and the questions that tests ask it."""

    def __init__(
        self, context: Context, keys: Keys, launcher: Launcher, units: tuple[UnitDocument, ...], times: Any
    ) -> None:
        self.context = context
        self.version = versions.lookup(context.version)
        self.keys = keys
        self.launcher = launcher
        self.units = units
        self.ready_after: dict[str, float] = times

    def call(
        self, method: str, path: str, *, role: str = "Admin", token: str | None = None, body: Any = None
    ) -> tuple[int, Any]:
        """Status and document of a request to the web server; an empty `token` sends none."""
        token = self.keys.token(role) if token is None else token
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        data = None
        if body is not None:
            data, headers["Content-Type"] = json.dumps(body).encode(), "application/json"
        connection = UnixConnection(str(self.context.web_socket))
        try:
            connection.request(method, path, body=data, headers=headers)
            response = connection.getresponse()
            content = response.read()
        finally:
            connection.close()
        try:
            return response.status, json.loads(content) if content else {}
        except ValueError:
            return response.status, content

    def send(
        self,
        method: str,
        path: str,
        *,
        role: str = "Admin",
        token: str | None = None,
        headers: Any = None,
        form: Any = None,
    ) -> tuple[int, Any, bytes]:
        """Status, headers and body of a request; an empty `token` sends none."""
        token = self.keys.token(role) if token is None else token
        sent = {"Authorization": f"Bearer {token}"} if token else {}
        body = None
        if form is not None:
            body, sent["Content-Type"] = urlencode(form), "application/x-www-form-urlencoded"
        connection = UnixConnection(str(self.context.web_socket))
        try:
            connection.request(method, path, body=body, headers={**sent, **(headers or {})})
            response = connection.getresponse()
            return response.status, response.headers, response.read()
        finally:
            connection.close()

    def head(self, method: str, path: str, **options: Any) -> tuple[int, Any]:
        return self.send(method, path, **options)[:2]

    def page(self, path: str, **options: Any) -> tuple[int, str, str]:
        """Status and text of a page, and the cookie that it sets."""
        status, headers, body = self.send("GET", path, **options)
        return status, body.decode(), (headers["set-cookie"] or "").partition(";")[0]

    def rest(self, method: str, path: str, **options: Any) -> tuple[int, Any]:
        return self.call(method, self.version.adapter.REST_PREFIX + path, **options)

    def execute(self, statement: Any) -> list[Any]:
        with connect(self.context.database) as connection:
            cursor = connection.execute(statement.text, statement.parameters)
            return cursor.fetchall() if cursor.description else []


@pytest.fixture(scope="session")
def put() -> Callable[[Environment, str, str | bytes], None]:
    """Write a DAG file as the sidecar does, and ask for it to be parsed."""

    def place(environment: Environment, name: str, text: str | bytes) -> None:
        path = environment.context.dags / f"{name}.py"
        aside = path.with_suffix(".tmp")
        aside.write_bytes(text.encode() if isinstance(text, str) else text)
        aside.rename(path)
        request = metadata.parse_request(environment.version)
        named = path.name if request.style == "relative" else str(path)
        environment.execute(metadata.DatabaseQuery(request.text, (named,)))

    return place


def connect(database: Database) -> psycopg.Connection[Any]:
    return psycopg.connect(
        host=database.host, dbname=database.name, user=database.user, password=database.password, autocommit=True
    )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def interpreter_of_version() -> Callable[[str], Path]:
    return interpreter_of


def interpreter_of(version: str) -> Path:
    """The version's Python, installed unless an earlier test did."""
    return install.install(version, VERSIONS, environ=os.environ).python


@pytest.fixture(scope="package")
def cluster(scratch: Path, versions: Path) -> Iterator[clusters.Cluster]:
    """A PostgreSQL of the package's own, in which the main lines' migrations have been run."""
    paths = Paths(scratch / "pg")
    found = disk.start_server(paths, versions)
    yield found
    postgres.down(paths)


@pytest.fixture(scope="package")
def make_context(scratch: Path, cluster: clusters.Cluster, redis_server: Path) -> Callable[..., Context]:
    """Makes the context of a fresh environment, its folders, files and database."""
    count = iter(range(1000))

    def make(version: str, keys: Keys, **changes: Any) -> Context:
        installation = install.install(version, VERSIONS, environ=os.environ)
        number = next(count)
        name = f"env_{number}"
        home = scratch / name
        for folder in ("airflow", "dags", "plugins", "logs/units", "run", "tmp"):
            (home / folder).mkdir(parents=True)
        database = Database(host=cluster.host, name=name, user=name, password=DATABASE_PASSWORD)
        databases.ensure_role(cluster, name, database.password)
        databases.ensure_database(cluster, name, name, making.ensure_template(cluster, installation))
        context = Context(
            name=NAME,
            region="us-east-1",
            account_id="000000000000",
            version=version,
            interpreter=installation.python,
            home=home / "airflow",
            airflow_home=home / "airflow",
            configuration=home / "airflow",
            dags=home / "dags",
            plugins=home / "plugins",
            logs=home / "logs",
            unit_logs=home / "logs/units",
            run=home / "run",
            temporary=home / "tmp",
            web_socket=home / "run/web.sock",
            jwks=home / "airflow/jwks.json",
            database=database,
            broker_url=f"redis+socket://{redis_server}?virtual_host={2 * (number % 8)}",
            result_backend_url=f"redis+socket://{redis_server}?virtual_host={2 * (number % 8) + 1}",
            fernet_key=Fernet.generate_key().decode(),
            jwt_secret=secrets.token_hex(64),
            secret_key=secrets.token_hex(32),
            execution_port=free_port(),
            gateway_audience=f"env:{NAME}",
            base_url="http://localhost:4560",
            tasks_per_worker=2,
            workers=(1,),
        )
        context = replace(context, **changes)
        context.jwks.write_text(keys.jwks())
        for path, text in versions.lookup(version).adapter.configuration(context).items():
            path.write_text(text)
            path.chmod(0o600)
        return context

    return make


@contextmanager
def running(context: Context, keys: Keys, prime: Any = None, *, forked: bool) -> Iterator[Environment]:
    """Start all units of the environment, wait until they are ready, stop them afterwards."""
    units = versions.lookup(context.version).adapter.units(context)
    launcher = Launcher(context.interpreter)
    try:
        if forked:
            launcher.fork(context, units, prime=prime)
        else:
            for unit in units:
                launcher.start(unit)
        times = {unit["name"]: launcher.wait_ready(unit) for unit in units}
        yield Environment(context, keys, launcher, units, times)
    finally:
        codes = launcher.stop()
    assert all(code in {0, -signal.SIGTERM} for code in codes.values()), codes


@pytest.fixture(scope="package", params=lines.FIRST)
def first(request: Any, make_context: Callable[..., Context]) -> Iterator[Environment]:
    """A running environment of Airflow 1.10, which has no REST API to ask."""
    keys = Keys()
    context = make_context(request.param, keys, workers=(1, 2))
    with running(context, keys, forked=False) as result:
        yield result


@pytest.fixture(scope="package", params=lines.WITH_REST)
def environment(request: Any, make_context: Callable[..., Context]) -> Iterator[Environment]:
    """A running environment of each offered version, from one process that has imported Airflow."""
    keys = Keys()
    context = make_context(request.param, keys, workers=(1, 2))
    prime = primed(context) if priming.is_offered(context.version) else None
    with running(context, keys, prime, forked=True) as result:
        yield result


def primed(context: Context) -> Any:
    """What primes a process for this environment and others, and the options that it differs in from all of those."""
    folder = context.run / "prime"
    folder.mkdir()
    nobody = replace(
        context,
        configuration=folder,
        broker_url="redis://nobodys",
        result_backend_url="redis://nobodys",
        base_url="https://nobodys",
        # It sets core.parallelism, which Airflow 3.0 reads at its import: there it must not differ.
        max_workers=context.max_workers + (not context.version.startswith("3.0")),
        execution_port=1,
    )
    for path, text in priming.files(nobody, folder / "socket").items():
        path.write_text(text)
    return json.loads(priming.file(folder).read_text())
