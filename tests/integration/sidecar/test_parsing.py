"""Rows for Airflow's priority table in a real PostgreSQL: they arrive, and a failure stops nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import psycopg
import pytest

from aerodrome.services import clusters, databases
from aerodrome.sidecar.config import DatabaseConfig, PriorityParse
from aerodrome.sidecar.parsing import IDLE, PriorityParsing
from waiting import wait_for

TABLE = """
CREATE TABLE dag_priority_parsing_request
(id varchar(32) PRIMARY KEY, bundle_name varchar(250) NOT NULL, relative_fileloc varchar(2000) NOT NULL)
"""

SQL = (
    "INSERT INTO dag_priority_parsing_request (id, bundle_name, relative_fileloc) "
    "VALUES (md5(random()::text), 'dags-folder', %s)"
)


@dataclass
class Ticks:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def metadata(cluster: clusters.Cluster) -> Iterator[DatabaseConfig]:
    name = "env_sidecar"
    databases.ensure_role(cluster, name, "test")
    databases.ensure_database(cluster, name, name)
    database = DatabaseConfig(cluster.host, name, name, "test", cluster.port, cluster.options)
    run(database, TABLE)
    yield database
    databases.drop_database(cluster, name)
    databases.drop_role(cluster, name)


def run(database: DatabaseConfig, statement: str) -> list[str]:
    with psycopg.connect(
        host=database.host, port=database.port, dbname=database.dbname, user=database.user, password=database.password
    ) as connection:
        cursor = connection.execute(statement)  # type: ignore[call-overload]
        return [row[0] for row in cursor.fetchall()] if cursor.description else []


@pytest.fixture
def rows(metadata) -> Callable[[], list[str]]:
    return partial(run, metadata, "SELECT relative_fileloc FROM dag_priority_parsing_request ORDER BY 1")


@pytest.fixture
def clock() -> Ticks:
    return Ticks()


@pytest.fixture
def table(metadata, clock) -> Iterator[PriorityParsing]:
    made = PriorityParsing(metadata, PriorityParse(SQL, "relative"), monotonic=clock)
    yield made
    made.close()


def connections(database: DatabaseConfig) -> int:
    counted = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'aerodrome-sidecar'"
    return int(run(database, counted)[0])


def test_each_file_has_its_row(table, rows):
    assert table.ask(["a.py", "it's; DROP TABLE x; %s.py"])
    assert table.ask(["b.py"])
    assert rows() == ["a.py", "b.py", "it's; DROP TABLE x; %s.py"]


def test_an_idle_connection_is_given_back_and_made_again(table, rows, metadata, clock):
    table.ask(["a.py"])
    clock.now = IDLE
    table.close_when_idle()
    assert connections(metadata) == 1
    clock.now = IDLE + 1
    table.close_when_idle()
    assert table.ask(["b.py"])
    assert rows() == ["a.py", "b.py"]


def test_a_connection_that_the_server_has_ended_is_replaced(table, rows, metadata):
    table.ask(["a.py"])
    killed = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'aerodrome-sidecar'"
    run(metadata, killed)
    assert table.ask(["b.py"])
    assert rows() == ["a.py", "b.py"]


def test_a_missing_table_is_no_more_than_a_warning(table, rows, metadata):
    run(metadata, "ALTER TABLE dag_priority_parsing_request RENAME TO away")
    assert not table.ask(["a.py"])
    run(metadata, "ALTER TABLE away RENAME TO dag_priority_parsing_request")
    assert table.ask(["b.py"])
    assert rows() == ["b.py"]


def test_a_missing_server_is_no_more_than_a_warning(tmp_path):
    nowhere = DatabaseConfig(str(tmp_path), "none", "none", "the-password")
    table = PriorityParsing(nowhere, PriorityParse(SQL, "relative"), monotonic=Ticks())
    assert not table.ask(["a.py"])


def test_a_whole_sidecar_tells_airflow(s3, bucket, sidecar, metadata, rows):
    sidecar.config["database"] = {
        "host": metadata.host,
        "port": metadata.port,
        "dbname": metadata.dbname,
        "user": metadata.user,
        "password": metadata.password,
    }
    sidecar.config["priority_parse"] = {"sql": SQL, "style": "relative"}
    s3.put_object(Bucket=bucket, Key="dags/one.py", Body=b"1")
    s3.put_object(Bucket=bucket, Key="dags/data.csv", Body=b"1")
    sidecar.start()
    assert rows() == ["one.py"]
    s3.put_object(Bucket=bucket, Key="dags/pkg/two.py", Body=b"2")
    wait_for("the new file has its row", lambda: rows() == ["one.py", "pkg/two.py"])
