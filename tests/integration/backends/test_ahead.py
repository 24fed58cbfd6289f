"""What is ahead of an environment, asked of a real PostgreSQL with the columns that Airflow's tables have."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from aerodrome.airflow import versions
from aerodrome.backends.databases import metadata
from aerodrome.model.observed import Ahead

NOW = datetime.now(UTC)
TABLES = """
    CREATE TABLE dag (
        dag_id text PRIMARY KEY, is_paused boolean, is_active boolean DEFAULT TRUE, is_stale boolean DEFAULT FALSE,
        is_subdag boolean, has_import_errors boolean, next_dagrun_create_after timestamptz, schedule_interval text,
        last_parsed_time timestamptz, last_scheduler_run timestamptz
    );
    CREATE TABLE dag_run (dag_id text, state text);
    CREATE TABLE task_instance (state text);
    CREATE TABLE trigger (id integer);
    CREATE TABLE asset_dag_run_queue (created_at timestamptz);
    CREATE TABLE dataset_dag_run_queue (created_at timestamptz);
"""
LINES = {"1.10.15": 1, "2.11.2": 2, "3.3.1": 3}


@pytest.fixture
def database(cluster, empty_database):
    """A connection with the rights of the database's owner."""
    with psycopg.connect(cluster.dsn(empty_database, empty_database, "test"), autocommit=True) as connection:
        connection.execute(TABLES)
        yield connection


@pytest.fixture(params=LINES)
def ask(request, cluster, empty_database, database):
    """What is ahead, for each line of Airflow."""
    del database

    def asked(since: datetime = NOW - timedelta(minutes=10)) -> Ahead:
        version = versions.lookup(request.param)
        return metadata.ahead(cluster, empty_database, "test", version, since)

    asked.line = LINES[request.param]
    return asked


def add_dag(database, name, *, paused=False, due=None, **more):
    columns = {"dag_id": name, "is_paused": paused, "next_dagrun_create_after": due, **more}
    names, places = ", ".join(columns), ", ".join(["%s"] * len(columns))
    database.execute(f"INSERT INTO dag ({names}) VALUES ({places})", list(columns.values()))  # noqa: S608 - ours


def test_nothing_is_ahead_of_an_empty_environment(ask):
    assert ask() == Ahead()
    assert not ask().busy


def test_tasks_and_runs_count_until_they_have_ended(ask, database):
    add_dag(database, "one")
    for state in ("queued", "running", "restarting", "success", "failed", "scheduled", "deferred", "skipped"):
        database.execute("INSERT INTO task_instance VALUES (%s)", (state,))
    for state in ("queued", "running", "success", "failed"):
        database.execute("INSERT INTO dag_run VALUES ('one', %s)", (state,))
    assert (ask().tasks, ask().runs) == (3, 2)
    assert ask().busy == "3 tasks, 2 runs not done"


def test_of_a_paused_dag_only_what_a_worker_has_counts(ask, database):
    add_dag(database, "one", paused=True, due=NOW + timedelta(hours=1), schedule_interval='"@hourly"')
    database.execute("INSERT INTO dag_run VALUES ('one', 'running')")
    assert ask() == Ahead()
    database.execute("INSERT INTO task_instance VALUES ('running')")
    assert ask() == Ahead(tasks=1)


def test_the_next_run_is_the_first_that_a_scheduler_will_begin(ask, database):
    first, second = NOW + timedelta(hours=1), NOW + timedelta(hours=2)
    add_dag(database, "later", due=second)
    add_dag(database, "first", due=first)
    add_dag(database, "paused", paused=True, due=NOW)
    add_dag(database, "gone", due=NOW, is_active=False, is_stale=True)
    add_dag(database, "broken", due=NOW, has_import_errors=True)
    add_dag(database, "stuck", due=NOW - timedelta(days=1))
    assert ask().due_at == (None if ask.line == 1 else first)
    if ask.line > 1:
        assert ask(since=NOW - timedelta(days=2)).due_at < NOW


def test_files_are_read_as_of_the_dag_that_was_parsed_longest_ago(ask, database):
    assert ask().read_at is None
    for name, age in (("old", 60), ("new", 1)):
        at = NOW - timedelta(seconds=age)
        add_dag(database, name, paused=True, last_parsed_time=at, last_scheduler_run=at)
    add_dag(database, "gone", is_active=False, is_stale=True, last_parsed_time=NOW - timedelta(days=1))
    assert ask().read_at == NOW - timedelta(seconds=60)


@pytest.mark.parametrize("kind", ["timestamp", "text"])
def test_moments_have_a_time_zone_whatever_code_has_made_of_their_columns(ask, database, kind):
    for column in ("next_dagrun_create_after", "last_parsed_time", "last_scheduler_run"):
        database.execute(f"ALTER TABLE dag ALTER {column} TYPE {kind} USING {column}::{kind}")
    due = NOW + timedelta(hours=1)
    add_dag(database, "one", due=str(due), last_parsed_time=str(due), last_scheduler_run=str(due))
    found = ask()
    assert found.unknown == ""
    assert [each for each in (found.due_at, found.read_at) if each is None or each.tzinfo is None] == (
        [None] if ask.line == 1 else []
    )
    if kind == "text":
        database.execute("UPDATE dag SET last_parsed_time = 'x', last_scheduler_run = 'x', is_paused = FALSE")
        assert "does not say what is due" in ask().unknown


def test_triggers_and_new_events_count_from_airflow_2_on(ask, database):
    database.execute("INSERT INTO trigger VALUES (1)")
    for queue in ("asset_dag_run_queue", "dataset_dag_run_queue"):
        database.execute(f"INSERT INTO {queue} VALUES (now()), (now() - interval '1 hour')")  # noqa: S608 - ours
    assert (ask().triggers, ask().events) == ((0, 0) if ask.line == 1 else (1, 1))


def test_the_first_line_tells_no_due_time_so_its_schedules_are_named(ask, database):
    for name, schedule in (("one", '"@daily"'), ("once", '"@once"'), ("none", "null"), ("never", None)):
        add_dag(database, name, schedule_interval=schedule)
    assert ask().unknown.startswith("Airflow 1.10.15 does not write down" if ask.line == 1 else "")
    assert bool(ask().unknown) is (ask.line == 1)


def test_a_database_that_code_has_damaged_tells_nothing(ask, database):
    database.execute("DROP TABLE dag_run")
    assert "does not say what is due" in ask().unknown


def test_a_database_that_code_makes_slow_is_not_waited_for(cluster, empty_database, database):
    database.execute("DROP TABLE task_instance")
    database.execute("CREATE VIEW task_instance AS SELECT 'running' AS state FROM pg_sleep(3600)")
    with pytest.raises(psycopg.OperationalError):
        metadata.ahead(cluster, empty_database, "test", versions.lookup("3.3.1"), NOW)
