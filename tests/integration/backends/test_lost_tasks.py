"""Which tasks Airflow is told of as lost, and which are counted: the statements on a real PostgreSQL."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from aerodrome.airflow import metadata, versions
from aerodrome.backends.databases import counting
from aerodrome.backends.databases import metadata as access
from aerodrome.model.observed import TasksSeen
from aerodrome.services import clusters, databases
from aerodrome.services.redis import key_prefix

PASSWORD = "p"
DIED = datetime(2026, 1, 1, 12, tzinfo=UTC)
TABLES = """
    CREATE TABLE job (id int, job_type text, state text, latest_heartbeat timestamptz);
    CREATE TABLE task_instance (
        task_id text, hostname text, state text, queue text DEFAULT 'default', job_id int, queued_by_job_id int,
        queued_dttm timestamptz, start_date timestamptz, last_heartbeat_at timestamptz
    );
    INSERT INTO job VALUES (1, 'SchedulerJob', 'running', now());
"""


@pytest.fixture
def database(cluster: clusters.Cluster) -> Iterator[psycopg.Connection[Any]]:
    """A metadata database with as much of Airflow's schema as matters here."""
    name = f"env_{secrets.token_hex(4)}"
    databases.ensure_role(cluster, name, PASSWORD)
    databases.ensure_database(cluster, name, name)
    with psycopg.connect(cluster.dsn(name, name, PASSWORD), autocommit=True) as connection:
        connection.execute(TABLES)
        yield connection
    databases.drop_database(cluster, name)
    databases.drop_role(cluster, name)


def begin(database: psycopg.Connection[Any], task: str, host: str, began: float, beat: float) -> None:
    """A task that runs; both in seconds after the death."""
    job = database.execute("SELECT count(*) + 1 FROM job").fetchone()
    beat_at = DIED + timedelta(seconds=beat)
    database.execute("INSERT INTO job VALUES (%s, 'LocalTaskJob', 'running', %s)", (*job, beat_at))
    database.execute(
        "INSERT INTO task_instance VALUES (%s, %s, 'running', 'default', %s, 9, now(), %s, %s)",
        (task, host, *job, DIED + timedelta(seconds=began), beat_at),
    )


def lost(database: psycopg.Connection[Any], line: int) -> set[str]:
    """The tasks whose heartbeats are old now."""
    table = "SELECT task_id FROM task_instance JOIN job ON job.id = job_id WHERE latest_heartbeat < %s"
    query = table if line < 3 else "SELECT task_id FROM task_instance WHERE last_heartbeat_at < %s"
    return {task for (task,) in database.execute(query, (DIED - timedelta(hours=12),)).fetchall()}


@pytest.mark.parametrize("number", ["3.3.1", "2.11.2"])
def test_what_ran_on_a_dead_worker_is_lost_and_its_successors_tasks_are_not(database, number):
    version = versions.lookup(number)
    begin(database, "silent", "worker-1.3", began=-60, beat=-4)
    begin(database, "beat_on_its_way", "worker-1.3", began=-60, beat=0.5)
    begin(database, "of_its_successor", "worker-1.3", began=1, beat=1)
    begin(database, "deferred_and_back", "worker-1.3", began=-600, beat=30)
    begin(database, "elsewhere", "worker-2.3", began=-60, beat=-4)
    for statement in metadata.age_heartbeats(version, "worker-1.3", DIED):
        database.execute(statement.text, statement.parameters)
    assert lost(database, version.line) == {"silent", "beat_on_its_way"}
    for statement in metadata.age_heartbeats(version, "worker-%.3"):
        database.execute(statement.text, statement.parameters)
    assert "of_its_successor" in lost(database, version.line)


@pytest.mark.parametrize("number", ["3.3.1", "2.11.2"])
def test_a_worker_that_was_started_has_no_task_that_was_silent_before(database, number):
    version = versions.lookup(number)
    begin(database, "of_its_predecessor", "worker-1.3", began=-60, beat=-4)
    begin(database, "deferred_and_back_at_once", "worker-1.3", began=-600, beat=1.5)
    for statement in metadata.age_heartbeats(version, "worker-1.3", DIED, timedelta()):
        database.execute(statement.text, statement.parameters)
    assert lost(database, version.line) == {"of_its_predecessor"}


@pytest.mark.parametrize(("number", "scheduler"), [("3.3.1", 1), ("2.11.2", 9)])
def test_a_task_that_was_cleared_while_it_ran_is_lost_where_airflow_looks_for_it(database, cluster, number, scheduler):
    version = versions.lookup(number)
    begin(database, "cleared", "worker-1.3", began=-60, beat=-4)
    database.execute("UPDATE task_instance SET state = 'restarting'")
    for statement in metadata.age_heartbeats(version, "worker-1.3", DIED):
        database.execute(statement.text, statement.parameters)
    assert lost(database, version.line) == ({"cleared"} if scheduler == 1 else set())
    assert database.execute("SELECT queued_by_job_id FROM task_instance").fetchone() == (scheduler,)
    seen = counting.TaskCounts().of("one", cluster, database.info.dbname, PASSWORD, version, messages=1)
    assert seen is not None
    assert seen.running == ({(3, "worker-1"): 1} if scheduler == 1 else {})


@pytest.mark.parametrize(
    ("ages", "chosen"),
    [
        ({1: 1, 2: 4}, 2),  # while a change runs, both cells have a scheduler, and the older one is about to end
        ({1: 4, 2: 40}, 1),
        ({1: 50, 2: 40}, 2),
    ],
)
def test_lost_tasks_belong_to_the_youngest_scheduler_that_lives(database, ages, chosen):
    version = versions.lookup("3.3.1")
    begin(database, "lost", "worker-1.3", began=-60, beat=-4)
    database.execute(
        "INSERT INTO task_instance VALUES ('q', '', 'queued', 'default', NULL, 9, now() - interval '60 s')"
    )
    database.execute("DELETE FROM job")
    for number, age in ages.items():
        database.execute(
            "INSERT INTO job VALUES (%s, 'SchedulerJob', 'running', now() - %s * interval '1 s')", (number, age)
        )
    for kind, state in (("SchedulerJob", "success"), ("TriggererJob", "running")):
        database.execute("INSERT INTO job VALUES (3, %s, %s, now())", (kind, state))
    again = metadata.queue_again(version, 30.0)
    assert again is not None
    for statement in (*metadata.age_heartbeats(version, "worker-1.3", DIED), again):
        database.execute(statement.text, statement.parameters)
    found = database.execute("SELECT task_id, queued_by_job_id FROM task_instance").fetchall()
    assert sorted(found) == [("lost", chosen), ("q", chosen)]


def test_what_has_been_queued_for_long_is_made_old_once_and_belongs_to_the_scheduler_that_lives(database):
    for task, age, queue in (("young", 5, "default"), ("late", 60, "default"), ("other", 60, "else")):
        database.execute(
            "INSERT INTO task_instance VALUES (%s, '', 'queued', %s, NULL, 9, now() - %s * interval '1 s')",
            (task, queue, age),
        )
    query = metadata.queue_again(versions.lookup("3.3.1"), 30.0)
    assert query is not None
    for _ in range(2):
        database.execute(query.text, query.parameters)
    found = database.execute(
        "SELECT task_id, queued_by_job_id, round(extract(epoch FROM now() - queued_dttm) / 86400) FROM task_instance"
    ).fetchall()
    assert sorted(found) == [("late", 1, 1), ("other", 9, 0), ("young", 9, 0)]
    assert metadata.queue_again(versions.lookup("1.10.15"), 30.0) is None


def test_only_tasks_that_workers_have_or_shall_get_are_counted(database, cluster):
    begin(database, "one", "worker-1.3", began=0, beat=0)
    begin(database, "two", "worker-1.3", began=0, beat=0)
    begin(database, "by_hand", "somewhere", began=0, beat=0)
    for state, queue, age in (
        ("queued", "default", 1), ("queued", "default", 60), ("queued", "else", 60), ("deferred", "default", 1),
        ("queued", "default", 13 * 3600),  # who made it so old has been told
        ("scheduled", "default", 1), ("up_for_retry", "default", 1), ("success", "default", 1),
    ):  # fmt: skip
        database.execute(
            "INSERT INTO task_instance VALUES ('x', '', %s, %s, NULL, 9, now() - %s * interval '1 s')",
            (state, queue, age),
        )
    counts, name = counting.TaskCounts(), database.info.dbname
    version = versions.lookup("3.3.1")
    found = counts.of("one", cluster, name, PASSWORD, version, messages=1)
    assert found == TasksSeen(queued=3, overdue=1, running={(3, "worker-1"): 2})
    # Airflow 1.10 queues nothing again; where environments share a Redis, its queue has a longer name.
    database.execute("INSERT INTO task_instance VALUES ('y', '', 'queued', %s)", (f"{key_prefix('two')}default",))
    old = counts.of("two", cluster, name, PASSWORD, versions.lookup("1.10.15"), messages=1)
    assert old == TasksSeen(queued=4, overdue=0, running={(3, "worker-1"): 2})
    database.execute("ALTER TABLE task_instance RENAME TO hidden")
    assert counting.TaskCounts().of("one", cluster, name, PASSWORD, version, messages=1) is None


def test_code_that_catches_the_timeout_of_a_statement_keeps_nobody(database, cluster):
    database.execute("""
        CREATE FUNCTION stay() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            PERFORM pg_sleep(3600);
            RETURN NEW;
        EXCEPTION WHEN query_canceled THEN
            PERFORM pg_sleep(20);
            RETURN NEW;
        END $$;
        CREATE TRIGGER stay BEFORE UPDATE ON task_instance FOR EACH ROW EXECUTE FUNCTION stay();
    """)
    begin(database, "one", "worker-1.3", began=0, beat=0)
    change = metadata.DatabaseQuery("UPDATE task_instance SET state = state")
    began = time.monotonic()
    with pytest.raises(psycopg.errors.QueryCanceled):
        access.execute(cluster, database.info.dbname, PASSWORD, *[change] * 50, patience=1)
    assert time.monotonic() - began < 15
    database.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND usename = user"
    )
