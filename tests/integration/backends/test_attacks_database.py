"""An environment owns its metadata database, so whatever is done in there must be done with no more rights than its."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from types import SimpleNamespace

import psycopg
import pytest

from aerodrome.backends.local import metadata
from aerodrome.services import clusters, databases

PASSWORD = "of the environment"

AIRFLOW = """
    CREATE TABLE job (id int, job_type text, state text, latest_heartbeat timestamptz);
    INSERT INTO job VALUES (2, 'SchedulerJob', 'running', '2026-01-01T00:00:00Z');
    CREATE TABLE task_instance (hostname text, state text, last_heartbeat_at timestamptz, queued_by_job_id int);
    INSERT INTO task_instance VALUES ('worker-1', 'running', '2026-01-01T00:00:00Z', 1);
"""

TRAP = """
    CREATE TABLE loot (who text, is_superuser text);
    CREATE FUNCTION trap() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RESET SESSION AUTHORIZATION;
        RESET ROLE;
        INSERT INTO loot VALUES (current_user, current_setting('is_superuser'));
        RETURN NEW;
    END $$;
    CREATE TRIGGER trap BEFORE UPDATE ON task_instance FOR EACH ROW EXECUTE FUNCTION trap();
"""


@pytest.fixture
def environment(cluster):
    """One with as much of a database as matters here."""
    made = SimpleNamespace(identifier=secrets.token_hex(4), spec=SimpleNamespace(airflow_version="3.3.1"))
    name = metadata.name_of(made)
    databases.ensure_role(cluster, name, PASSWORD)
    databases.ensure_database(cluster, name, name)
    yield made
    metadata.drop(cluster, made)


def test_a_trigger_of_the_environments_is_no_way_to_the_whole_server(cluster: clusters.Cluster, environment):
    """Its code can make one, and can kill a worker, of which Airflow is told by an UPDATE of ours."""
    name = metadata.name_of(environment)
    with psycopg.connect(cluster.dsn(name, name, PASSWORD)) as theirs:
        theirs.execute(AIRFLOW)
        theirs.execute(TRAP)

    deaths = {"worker-1": datetime(2026, 1, 2, tzinfo=UTC)}
    metadata.age_heartbeats(cluster, environment, deaths, PASSWORD)

    with psycopg.connect(cluster.dsn(name, name, PASSWORD)) as theirs:
        assert set(theirs.execute("SELECT * FROM loot").fetchall()) == {(name, "off")}
        assert theirs.execute("SELECT last_heartbeat_at, queued_by_job_id FROM task_instance").fetchall() == [
            (datetime(2025, 12, 31, tzinfo=UTC), 2)
        ]


def test_a_trigger_that_never_ends_is_not_waited_for(cluster: clusters.Cluster, environment, monkeypatch):
    monkeypatch.setattr(metadata, "PATIENCE", 1)
    name = metadata.name_of(environment)
    with psycopg.connect(cluster.dsn(name, name, PASSWORD)) as theirs:
        theirs.execute(AIRFLOW)
        theirs.execute(TRAP.replace("RESET ROLE;", "SET statement_timeout = 0; PERFORM pg_sleep(3600);"))
        theirs.execute(f"ALTER ROLE {name} SET statement_timeout = 0")

    with pytest.raises(psycopg.errors.QueryCanceled):
        metadata.age_heartbeats(cluster, environment, {"worker-1": datetime(2026, 1, 2, tzinfo=UTC)}, PASSWORD)
