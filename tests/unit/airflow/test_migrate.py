"""How a schema comes to be."""

from __future__ import annotations

from pathlib import Path

from aerodrome.airflow import migrate
from aerodrome.airflow.context import Database


def plan(version):
    return migrate.plan(
        version,
        interpreter=Path("/venv/bin/python"),
        folder=Path("/scratch"),
        database=Database(host="/run/pg", name="t", user="t", password="database-secret"),
        fernet_key="fernet-secret",
    )


def test_secrets_are_in_the_file_alone(version):
    migration = plan(version)
    outside = repr(migration.environment) + repr(migration.commands)
    assert "secret" not in outside
    assert "database-secret" in "".join(migration.configuration.values())
    assert set(migration.configuration) == {Path(migration.environment["AIRFLOW_CONFIG"])}


def test_the_roles_of_line_2_are_made_with_the_template(version):
    commands = [command[3:] for command in plan(version).commands]
    assert commands[0] == ("db", "migrate")
    assert (("sync-perm",) in commands) == (version.line == 2)
