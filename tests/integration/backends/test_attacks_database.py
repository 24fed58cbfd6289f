"""An environment owns its metadata database, so everything that we do in there must have no more rights than it has."""

from __future__ import annotations

import secrets
from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace

import psycopg
import pytest

from aerodrome.airflow import metadata as airflow_metadata
from aerodrome.airflow import versions
from aerodrome.backends.databases import metadata
from aerodrome.backends.databases.postgres import PostgresDatabases
from aerodrome.model.release import Deployed
from aerodrome.model.tenant import Tenant
from aerodrome.services import clusters, databases
from aerodrome.settings import Settings

PASSWORD = "of the environment"

AIRFLOW = """
    CREATE TABLE job (id int, job_type text, state text, latest_heartbeat timestamptz);
    INSERT INTO job VALUES (2, 'SchedulerJob', 'running', '2026-01-01T00:00:00Z');
    CREATE TABLE task_instance (
        hostname text, state text, last_heartbeat_at timestamptz, queued_by_job_id int, start_date timestamptz
    );
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


VERSION = versions.lookup("3.3.1")


@pytest.fixture
def name(cluster):
    """Of an environment's database and role, with as much of it as matters here."""
    made = f"env_{secrets.token_hex(4)}"
    databases.ensure_role(cluster, made, PASSWORD)
    databases.ensure_database(cluster, made, made)
    yield made
    databases.drop_database(cluster, made)
    databases.drop_role(cluster, made)


def test_a_trigger_of_the_environments_is_no_way_to_the_whole_server(cluster: clusters.Cluster, name):
    """Its code can make one, and can kill a worker; an UPDATE of ours then tells Airflow of the death."""
    with psycopg.connect(cluster.dsn(name, name, PASSWORD)) as theirs:
        theirs.execute(AIRFLOW)
        theirs.execute(TRAP)

    deaths = {"worker-1": datetime(2026, 1, 2, tzinfo=UTC)}
    metadata.age_heartbeats(cluster, name, PASSWORD, VERSION, deaths)

    with psycopg.connect(cluster.dsn(name, name, PASSWORD)) as theirs:
        assert set(theirs.execute("SELECT * FROM loot").fetchall()) == {(name, "off")}
        assert theirs.execute("SELECT last_heartbeat_at, queued_by_job_id FROM task_instance").fetchall() == [
            (datetime(2025, 12, 31, tzinfo=UTC), 2)
        ]


SOUND = """
    CREATE TABLE alembic_version (version_num text);
    INSERT INTO alembic_version VALUES ('head');
"""


ENDLESS = """
    DROP TABLE alembic_version;
    CREATE VIEW alembic_version AS SELECT repeat('x', 1000000) AS version_num FROM pg_class a, pg_class b, pg_class c
"""

SHOUTING = """
    DROP TABLE alembic_version;
    CREATE FUNCTION shout() RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION '%', repeat('x', 10000); END $$;
    CREATE VIEW alembic_version AS SELECT shout() AS version_num
"""


SILENT = SHOUTING.replace("RAISE EXCEPTION '%', repeat('x', 10000)", "RAISE EXCEPTION USING MESSAGE = ''")

ENCODED = """
    DO $$ BEGIN EXECUTE format('ALTER ROLE %I SET client_encoding = SQL_ASCII', current_user); END $$;
    UPDATE alembic_version SET version_num = 'x'
"""


@pytest.fixture
def installation(tmp_path):
    """An Airflow that works with the revision `head`."""
    (tmp_path / "airflow" / "utils").mkdir(parents=True)
    heads = '_REVISION_HEADS_MAP: dict[str, str] = {\n    "3.0.0": "before",\n    "3.3.0": "head",\n}\n'
    (tmp_path / "airflow" / "utils" / "db.py").write_text(heads)
    return SimpleNamespace(packages=tmp_path, version="3.3.1")


@pytest.mark.parametrize(
    ("attack", "told"),
    [
        ("SELECT 1", ""),
        ("DROP TABLE dag, job", "Tables are gone or no longer belong to the environment: dag, job."),
        ("REVOKE ALL ON dag FROM current_user", "Tables are gone or no longer belong to the environment: dag."),
        (
            "UPDATE alembic_version SET version_num = 'x'",
            "The schema's revision is x, and Airflow 3.3.1 works with head.",
        ),
        ("DELETE FROM alembic_version", "The schema's revision is none, and Airflow 3.3.1 works with head."),
        ("INSERT INTO alembic_version VALUES ('y')", "The schema's revision is head, y,"),
        ("DROP TABLE alembic_version", 'Airflow\'s schema cannot be read: relation "alembic_version" does not exist.'),
        ("REVOKE ALL ON alembic_version FROM current_user", "Airflow's schema cannot be read: permission denied"),
        (SHOUTING, "Airflow's schema cannot be read: xxx"),
        (SILENT, "Airflow's schema cannot be read: "),
        (ENCODED, "The schema's revision is x, and Airflow 3.3.1 works with head."),
        (
            ENDLESS,
            "The schema's revision is x",
        ),
    ],
)
def test_what_is_damaged_is_told(cluster: clusters.Cluster, name, installation, attack, told):
    with psycopg.connect(cluster.dsn(name, name, PASSWORD)) as theirs:
        theirs.execute(SOUND)
        for table in airflow_metadata.NEEDED:
            theirs.execute(f"CREATE TABLE {table} (id int)")
        theirs.execute(attack)
    found = metadata.damage(cluster, name, PASSWORD, installation)
    assert found.startswith(told)
    assert bool(found) == bool(told)
    assert len(found) < 500


def test_what_the_former_version_missed_after_a_change_of_version_is_no_damage(
    cluster: clusters.Cluster, name, installation, tmp_path
):
    with psycopg.connect(cluster.dsn(name, name, PASSWORD)) as theirs:
        theirs.execute(SOUND)
        for table in airflow_metadata.NEEDED:
            theirs.execute(f"CREATE TABLE {table} (id int)")
    elsewhere = installation.packages / "former" / "airflow" / "utils"
    elsewhere.mkdir(parents=True)
    (elsewhere / "db.py").write_text('_REVISION_HEADS_MAP: dict[str, str] = {\n    "2.11.0": "former",\n}\n')
    former = SimpleNamespace(packages=installation.packages / "former", version="2.11.2")
    found = PostgresDatabases(
        SimpleNamespace(
            cluster=lambda: cluster,
            secrets=lambda _: SimpleNamespace(database_password=PASSWORD),
            settings=Settings(data=tmp_path),
        ),
        SimpleNamespace(installed=lambda version, _: {"3.3.1": installation, "2.11.2": former}[version]),
        SimpleNamespace(seen=lambda *_: None),
        None,
    )
    tenant = Tenant(name="one", identifier=name.removeprefix("env_"), arn="", number=1, sealed_secrets=b"sealed")

    def damage(version: str) -> str:
        running = Deployed(identifier="f00d", version=version, lock="10ck")
        return found.look(tenant, revision=2, running=running, is_used=True, is_unsettled=False).damage

    assert "Airflow 2.11.2 works with former" in damage("2.11.2")  # it is replaced, and the change goes on
    assert damage("3.3.1") == ""


def test_a_database_that_is_away_is_not_damaged(cluster: clusters.Cluster, name, installation):
    assert metadata.damage(replace(cluster, host="/nonexistent"), name, PASSWORD, installation) == ""


def test_a_trigger_that_never_ends_is_not_waited_for(cluster: clusters.Cluster, name, monkeypatch):
    monkeypatch.setattr(metadata, "PATIENCE", 1)
    with psycopg.connect(cluster.dsn(name, name, PASSWORD)) as theirs:
        theirs.execute(AIRFLOW)
        theirs.execute(TRAP.replace("RESET ROLE;", "SET statement_timeout = 0; PERFORM pg_sleep(3600);"))
        theirs.execute(f"ALTER ROLE {name} SET statement_timeout = 0")

    with pytest.raises(psycopg.errors.QueryCanceled):
        metadata.age_heartbeats(cluster, name, PASSWORD, VERSION, {"worker-1": datetime(2026, 1, 2, tzinfo=UTC)})
