"""`aerodrome purge` with a PostgreSQL and a Redis of others: everything of ours goes, everything of theirs stays."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import redis as client_library
import sqlalchemy as sa
from psycopg import sql

from aerodrome import errors, private_files
from aerodrome.backends import purging
from aerodrome.cli import stopping
from aerodrome.emulator import launch
from aerodrome.emulator.redshift.warehouses import Access, Warehouse
from aerodrome.ledger.environments import Environments
from aerodrome.ledger.migrate import DATABASE, migrate
from aerodrome.model import defaults
from aerodrome.services import clusters, databases, folders, postgres, redis
from aerodrome.services.clusters import Cluster
from aerodrome.settings import Paths, Settings
from product import wait_for

ROLE = "customer"
THEIRS = ("env_somebody", "tmpl_somebody")
OURS = ("env_{0}", "snap_{0}_3")
REQUEST = {
    "ExecutionRoleArn": "arn:aws:iam::000000000000:role/r",
    "SourceBucketArn": "arn:aws:s3:::bucket",
    "DagS3Path": "dags",
    "NetworkConfiguration": {"SubnetIds": ["subnet-1", "subnet-2"], "SecurityGroupIds": ["sg-1"]},
}


@pytest.fixture(scope="module")
def server() -> Iterator[Cluster]:
    """A PostgreSQL, and the role that a hosted one gives its customer."""
    folder = Path(tempfile.mkdtemp(prefix="aero-"))
    found = postgres.up(Paths(folder))
    with clusters.connect(found) as connection:
        connection.execute(sql.SQL("CREATE ROLE customer LOGIN CREATEDB CREATEROLE PASSWORD 'pw'"))
        connection.execute(sql.SQL("GRANT CONNECT ON DATABASE postgres TO customer"))
    yield found
    postgres.down(Paths(folder))
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def broker() -> Iterator[str]:
    """A Redis on loopback."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    words = [redis.find_program(), "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
    with subprocess.Popen(words, cwd="/", stdout=subprocess.DEVNULL) as running:
        url = f"redis://127.0.0.1:{port}/0"
        try:
            wait_for("Redis", lambda: _answers(url))
            yield url
        finally:
            running.terminate()


def _answers(url: str) -> bool:
    try:
        return bool(client_library.Redis.from_url(url).ping())
    except client_library.RedisError:
        return False


@pytest.fixture
def settings(server: Cluster, broker: str) -> Iterator[Settings]:
    folder = Path(tempfile.mkdtemp(prefix="aero-"))
    url = f"postgresql://{ROLE}:pw@/postgres?host={server.host}&port={server.port}"
    yield Settings(data=folder, database_url=url, redis_url=broker, aws_endpoint_url="aws")
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def identifier(settings: Settings, server: Cluster, broker: str) -> Iterator[str]:
    """An installation's traces on both servers, beside somebody else's under names like ours."""
    cluster = clusters.external(settings.database_url)
    make(cluster, DATABASE)
    engine = sa.create_engine(cluster.dsn(DATABASE, DATABASE, "pw", scheme="postgresql+psycopg"))
    migrate(engine)
    made = Environments(engine, region="us-east-1", account="000000000000").create(
        "mine",
        defaults.complete("mine", REQUEST, latest_version="3.3.1"),
        {},
        sealed_secrets=b"s",
        quota=10,
        now=datetime.now(UTC),
    )
    engine.dispose()
    for name in OURS:
        make(cluster, name.format(made.identifier), f"env_{made.identifier}")
    make(cluster, "tmpl_3_3_1_abc")
    databases.make_template(cluster, "tmpl_3_3_1_abc")
    folders.make(settings.paths.user_databases, folders.PRIVATE)
    private_files.write(settings.paths.user_databases / "user_warehouse", "pw")
    make(cluster, "user_warehouse")
    ways = folders.make(launch.redshift_folder(settings.paths.aws), folders.PRIVATE)
    warehouse = Warehouse(endpoint="cluster/c", database="d")
    access = Access(warehouse=warehouse, host="h", port=1, name="redshift_00ff", password="pw")
    private_files.write(ways / f"{warehouse.key}.json", access.text())
    make(cluster, "redshift_00ff")
    for name in THEIRS:
        databases.ensure_database(server, name, server.user)
    with client_library.Redis.from_url(broker) as client:
        client.set(f"aerodrome:{made.identifier}:default", "1")
        client.set("somebody", "1")
    yield made.identifier
    for name in THEIRS:
        databases.drop_database(server, name)
    purging.remove(server, purging.look(settings, cluster))


def make(cluster: Cluster, name: str, owner: str | None = None) -> None:
    databases.ensure_role(cluster, owner or name, "pw")
    databases.ensure_database(cluster, name, owner or name)


def left(server: Cluster) -> tuple[set[str], set[str]]:
    """Databases and roles beside those of an empty server."""
    with clusters.connect(server) as connection:
        roles = connection.execute("SELECT rolname FROM pg_roles WHERE rolname !~ '^pg_'").fetchall()
    found = {name for (name,) in roles} - {server.user, ROLE}
    return set(databases.databases(server)) - {"postgres", "template0", "template1"}, found


def test_everything_of_ours_is_told_and_goes_and_nothing_of_anybody_else(settings, server, broker, identifier):
    found, roles = left(server)
    told = purging.look(settings, clusters.external(settings.database_url)).sentences()
    expected = {f'DROP DATABASE "{name}" WITH (FORCE);' for name in found - set(THEIRS)}
    expected |= {f'DROP ROLE "{name}";' for name in roles}
    expected |= {f"Redis keys aerodrome:{identifier}:*", f"Redis keys aerodrome-aside:{identifier}:*"}
    assert set(told) == expected
    assert len(told) == len(expected)

    assert stopping.purge(settings).databases[-1] == DATABASE
    assert left(server) == (set(THEIRS), set())
    with client_library.Redis.from_url(broker, decode_responses=True) as client:
        assert client.keys() == ["somebody"]
    assert not settings.paths.data.exists()


def test_a_server_that_does_not_answer_keeps_the_data_folder(settings):
    folders.make(settings.paths.keys, folders.PRIVATE)
    away = settings.model_copy(update={"database_url": "postgresql://u:p@127.0.0.1:1/postgres"})
    with pytest.raises(errors.RetryError, match="--keep-external"):
        stopping.purge(away)
    assert settings.paths.keys.exists()
    [sentence] = stopping.purge(away, keep_external=True).sentences()
    assert "does not answer" in sentence
    assert not settings.paths.data.exists()


def test_where_all_is_embedded_nothing_is_looked_for(settings, monkeypatch):
    folders.make(settings.paths.keys, folders.PRIVATE)
    own = settings.model_copy(update={"database_url": "embedded", "redis_url": "embedded"})
    monkeypatch.setattr(purging, "look", lambda *_: pytest.fail("looked"))
    assert stopping.purge(own).sentences() == []
    assert stopping.what_else(own) == ""
    assert "your PostgreSQL and your Redis" in stopping.what_else(settings)
