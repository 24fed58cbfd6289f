"""How a metadata database gets its schema: the commands, their environment and their configuration file.

Used once for each version, to build the template that environments are cloned from, and for each move of an environment
from one version to another. Pure: the caller writes the file, runs the commands in order and stops at the first that
fails. No user option is used: one that names plugin code would break the migration.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from aerodrome.airflow import cfg, line1, metadata, options, sections, versions
from aerodrome.airflow.context import Database
from aerodrome.airflow.metadata import DatabaseQuery
from aerodrome.airflow.versions import Version

LINE_1 = 1
LINE_2 = 2

TIMEOUT = 300
"""Seconds that one command on an empty database may take (MWAA's own limit); a fresh schema takes under ten."""

_PROGRAM_WORDS = 3
"""How many words of a command say which Airflow it is."""

MOVE_TIMEOUT = 2 * 3600.0
"""Seconds that the move of a database with a history may take: MWAA's documented patience with an upgrade."""


@dataclass(frozen=True, slots=True)
class Migration:
    """What to write, and what to run."""

    home: Path
    """The scratch folder of the whole migration."""

    configuration: Mapping[Path, str]
    """To be written with mode 0600 and removed afterwards: it holds the database's password."""
    environment: Mapping[str, str]
    commands: tuple[tuple[str, ...], ...]
    statements: tuple[DatabaseQuery, ...] = ()
    """To be executed before the commands, with the rights of the database's owner."""


def plan(version: Version, *, interpreter: Path, folder: Path, database: Database, fernet_key: str) -> Migration:
    """The migration of the new `database` to the schema of `version`; `folder` is a scratch AIRFLOW_HOME."""
    return _migration(version, interpreter, folder, database, fernet_key, _steps(version))


def moves(
    source: tuple[Version, Path],
    target: tuple[Version, Path],
    *,
    folder: Path,
    database: Database,
    fernet_key: str,
) -> tuple[Migration, ...]:
    """The migrations, in order, that bring a `database` with a history from one version (and interpreter) to another.

    The later of the two versions knows both directions, so it also does the downgrade; the target then adds what is its
    own.
    """
    (old, old_python), (new, new_python) = source, target
    last = _migration(new, new_python, folder / "to", database, fernet_key, _steps(new))
    if versions.is_later(new, old):
        return (last,)
    back = ("db", "downgrade", "--to-version", new.number, "--yes")
    first = _migration(old, old_python, folder / "from", database, fernet_key, (back,))
    mended = old.line != new.line
    return first, replace(last, statements=(metadata.complete_roles(),) if mended else ())


def _migration(
    version: Version,
    interpreter: Path,
    folder: Path,
    database: Database,
    fernet_key: str,
    steps: tuple[tuple[str, ...], ...],
) -> Migration:
    file = folder / "migrate.cfg"
    web = {folder / line1.WEBSERVER_CONFIG: line1.MIGRATION_WEBSERVER_CONFIG_TEXT} if version.line == LINE_1 else {}
    return Migration(
        home=folder,
        configuration={file: _configuration(version, folder, database, fernet_key), **web},
        environment={
            "HOME": str(folder),
            "TMPDIR": str(folder),
            "USER": "airflow",
            "PATH": f"{interpreter.parent}:/usr/local/bin:/usr/bin:/bin",
            "LANG": "C.UTF-8",
            "AIRFLOW_HOME": str(folder),
            "AIRFLOW_CONFIG": str(file),
        },
        commands=tuple((*_airflow(version, interpreter), *arguments) for arguments in steps),
    )


def title(command: tuple[str, ...]) -> str:
    """How a sentence names a command of a migration: `airflow db migrate`."""
    return " ".join(("airflow", *command[_PROGRAM_WORDS:]))


def _airflow(version: Version, interpreter: Path) -> tuple[str, str, str]:
    """The beginning of a command line; Airflow 1.10 is no module that `python -m` could run."""
    if version.line == LINE_1:
        return str(interpreter), "-s", str(interpreter.with_name("airflow"))
    return str(interpreter), "-m", "airflow"


def _steps(version: Version) -> tuple[tuple[str, ...], ...]:
    migrate = ("db", "migrate")
    if version.line == LINE_1:
        return ("initdb",), ("sync_perm",)
    if version.line == LINE_2:
        # The roles of the web server are rows too; in the template they need not be made at each start.
        return migrate, ("sync-perm",)
    return (migrate,)


def _configuration(version: Version, folder: Path, database: Database, fernet_key: str) -> str:
    settings = {
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
    if version.line == LINE_1:
        settings["webserver"] = {"rbac": "True"}
    return cfg.render(cfg.rename(settings, options.renames(version.number)))
