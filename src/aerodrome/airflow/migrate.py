"""How a metadata database gets its schema: the commands, their environment and their configuration file.

Used once for each version, to build the template that environments are cloned from. Pure: the release room writes the
file, runs the commands in order and stops at the first that fails. No user option enters: one that names plugin code
would break the migration.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from aerodrome.airflow import cfg, sections
from aerodrome.airflow.context import Database
from aerodrome.airflow.versions import Version

LINE_2 = 2

TIMEOUT = 300
"""Seconds that one command may take (MWAA's own limit); a fresh schema takes under ten."""


@dataclass(frozen=True, slots=True)
class Migration:
    """What to write, and what to run."""

    configuration: Mapping[Path, str]
    """To be written with mode 0600 and removed afterwards: it holds the database's password."""
    environment: Mapping[str, str]
    commands: tuple[tuple[str, ...], ...]


def plan(version: Version, *, interpreter: Path, folder: Path, database: Database, fernet_key: str) -> Migration:
    """The migration of `database` to the schema of `version`; `folder` is a scratch AIRFLOW_HOME."""
    file = folder / "migrate.cfg"
    return Migration(
        configuration={file: _configuration(folder, database, fernet_key)},
        environment={
            "HOME": str(folder),
            "USER": "airflow",
            "PATH": f"{interpreter.parent}:/usr/local/bin:/usr/bin:/bin",
            "LANG": "C.UTF-8",
            "AIRFLOW_HOME": str(folder),
            "AIRFLOW_CONFIG": str(file),
        },
        commands=tuple((str(interpreter), "-m", "airflow", *arguments) for arguments in _steps(version)),
    )


def _steps(version: Version) -> tuple[tuple[str, ...], ...]:
    migrate = ("db", "migrate")
    if version.line == LINE_2:
        # The roles of the web server are rows too; in the template they need not be made at each start.
        return migrate, ("sync-perm",)
    return (migrate,)


def _configuration(folder: Path, database: Database, fernet_key: str) -> str:
    return cfg.render(
        {
            "core": {
                "load_examples": "False",
                "dags_folder": str(folder / "dags"),
                "executor": "LocalExecutor",
                "fernet_key": fernet_key,
            },
            "database": {
                "sql_alchemy_conn": sections.database_url(database),
                "load_default_connections": "False",
            },
            "logging": {"base_log_folder": str(folder / "logs")},
            "usage_data_collection": {"enabled": "False"},
            "fab": {"update_fab_perms": "True"},
        }
    )
