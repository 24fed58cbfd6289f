"""How a schema comes to be."""

from __future__ import annotations

from configparser import ConfigParser
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
    web = {Path(migration.environment["AIRFLOW_HOME"], "webserver_config.py")} if version.line == 1 else set()
    assert set(migration.configuration) == {Path(migration.environment["AIRFLOW_CONFIG"])} | web


def test_the_roles_of_lines_1_and_2_are_made_with_the_template(version):
    commands = [command[3:] for command in plan(version).commands]
    assert (
        commands
        == {
            1: [("initdb",), ("sync_perm",)],
            2: [("db", "migrate"), ("sync-perm",)],
            3: [("db", "migrate")],
        }[version.line]
    )


def test_the_file_names_the_database_as_the_version_knows_it(version):
    [text, *_] = plan(version).configuration.values()
    parser = ConfigParser(interpolation=None)
    parser.read_string(text)
    assert "database-secret" in parser["core" if version.line == 1 else "database"]["sql_alchemy_conn"]
