"""The metadata databases: one migrated template for each installed version, and a clone of it for each environment."""

from __future__ import annotations

import itertools
import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg
from cryptography.fernet import Fernet

from aerodrome import private_files
from aerodrome.airflow import metadata, migrate, versions
from aerodrome.airflow.context import Database
from aerodrome.airflow.versions import Version
from aerodrome.errors import BrokenError
from aerodrome.model.environment import Environment
from aerodrome.release import airflow_home
from aerodrome.release.installation import Installation
from aerodrome.services import clusters, databases
from aerodrome.services.clusters import Cluster

TEMPLATE = "tmpl_"
"""Before the names of templates, and of the roles that they were built as."""

DEFAULT_POOL_SLOTS = 128
"""Airflow's and MWAA's size of the default pool."""

TAIL_LINES = 12

LONGEST = 200
"""Characters of an error that DAG code may have written."""

RESTORE = "Put back what was changed, or restore a snapshot."

PATIENCE = 5
"""Seconds for a statement in an environment's database; what its code has put there may take for ever."""


def name_of(environment: Environment) -> str:
    """The environment's database, and the role that owns it."""
    return name_of_identifier(environment.identifier)


def name_of_identifier(identifier: str) -> str:
    """The same by the environment's short id."""
    return f"env_{identifier}"


def templates(cluster: Cluster) -> tuple[str, ...]:
    """The templates of all versions."""
    return databases.databases(cluster, TEMPLATE)


def of(cluster: Cluster, name: str, password: str, *, owner: str | None = None) -> Database:
    """How Airflow reaches a database of the cluster, as the role that owns it (None: the one of its name)."""
    return Database(host=cluster.host, port=cluster.port, name=name, user=owner or name, password=password)


def ensure_template(cluster: Cluster, installation: Installation) -> str:
    """The name of the version's template, migrated and frozen; built when there is none (several seconds, once)."""
    name = _template_of(installation.folder.name)
    if databases.is_template(cluster, name):
        return name
    with databases.advisory_lock(cluster, name):
        if not databases.is_template(cluster, name):
            databases.drop_database(cluster, name)  # what a broken-off build left
            password = secrets.token_urlsafe(24)
            databases.ensure_role(cluster, name, password)
            databases.ensure_database(cluster, name, name)
            _migrate(installation, versions.lookup(installation.version), of(cluster, name, password))
            databases.make_template(cluster, name)
    return name


def drop_template(cluster: Cluster, identifier: str) -> None:
    """Remove the template of the installation of that name, with its role. Nothing happens when there is none."""
    databases.drop_database(cluster, _template_of(identifier))
    databases.drop_role(cluster, _template_of(identifier))


def _template_of(identifier: str) -> str:
    return TEMPLATE + identifier.replace(".", "_").replace("-", "_")


def ensure_database(cluster: Cluster, environment: Environment, installation: Installation, password: str) -> None:
    """Clone the template for an environment and give the default pool its size."""
    template = ensure_template(cluster, installation)
    name = name_of(environment)
    databases.ensure_role(cluster, name, password)
    is_new = not databases.database_exists(cluster, name)
    databases.ensure_database(cluster, name, name, template)
    if is_new:
        slots = environment.spec.airflow_configuration_options.get("core.default_pool_task_slot_count", "")
        statement = metadata.set_default_pool(int(slots) if slots.isdigit() else DEFAULT_POOL_SLOTS)
        with clusters.connect(cluster, name) as connection:
            connection.execute(statement.text, statement.parameters)


def age_heartbeats(cluster: Cluster, environment: Environment, deaths: Mapping[str, datetime], password: str) -> None:
    """Let Airflow find the tasks of workers that are known to be dead; each with the moment of its death.

    With the environment's own rights, never ours: its code may have put a trigger on the table, which runs with those
    of whoever changes a row.
    """
    version = versions.lookup(environment.spec.airflow_version)
    told = [metadata.age_heartbeats(version, hostname, died_at) for hostname, died_at in deaths.items()]
    statements = itertools.chain.from_iterable(told)
    execute(cluster, name_of(environment), password, *statements)


def age_all_heartbeats(cluster: Cluster, environment: Environment, hostnames: str, password: str) -> None:
    """As `age_heartbeats`, for workers whose host names are LIKE that and which are all gone."""
    version = versions.lookup(environment.spec.airflow_version)
    execute(cluster, name_of(environment), password, *metadata.age_heartbeats(version, hostnames))


def import_errors(cluster: Cluster, environment: Environment, password: str, dags: Path) -> frozenset[str]:
    """The DAG files that the environment reports as failing, by their paths below the DAGs folder."""
    version = versions.lookup(environment.spec.airflow_version)
    rows = execute(cluster, name_of(environment), password, metadata.import_errors(version))
    # Absolute paths are those of the units, and an earlier revision's may have found the folder elsewhere.
    folders = (airflow_home.path_of(airflow_home.DAGS, dags), dags)
    paths = (str(name) for (name,) in rows if name)
    return frozenset(
        next((os.path.relpath(path, folder) for folder in folders if path.startswith(f"{folder}/")), path)
        for path in paths
    )


def altered(cluster: Cluster, environment: Environment, password: str) -> tuple[str, ...]:
    """What the environment has changed of its database and its role, in words; see `mend`."""
    return databases.altered(cluster, name_of(environment), password)


def mend(cluster: Cluster, environment: Environment, password: str) -> tuple[str, ...]:
    """Set anew what the environment needs of its database and its role; what it had changed, in words."""
    return databases.mend(cluster, name_of(environment), password)


def damage(cluster: Cluster, environment: Environment, installation: Installation, password: str) -> str:
    """What in the database keeps this Airflow from working with it, in a sentence; empty when nothing is known to."""
    head = metadata.schema_head(installation.packages / "airflow")
    try:
        [(found, missing)] = execute(cluster, name_of(environment), password, metadata.soundness())
    except psycopg.OperationalError:  # it is away, or slow: no word about what is in it
        return ""
    except psycopg.Error as error:
        return f"Airflow's schema cannot be read: {str(error).splitlines()[0][:LONGEST]}. {RESTORE}"
    if missing:
        return f"Tables are gone or not the environment's any more: {', '.join(missing)}. {RESTORE}"
    if head is not None and found != [head]:
        told = ", ".join(found) or "none"
        return f"The schema's revision is {told}, and Airflow {installation.version} works with {head}. {RESTORE}"
    return ""


def execute(
    cluster: Cluster, name: str, password: str, *statements: metadata.Query, owner: str | None = None
) -> list[tuple[Any, ...]]:
    """Execute statements with the rights of the database's owner; the rows of the last, if it has any."""
    rows: list[tuple[Any, ...]] = []
    with psycopg.connect(
        cluster.dsn(name, owner or name, password),
        autocommit=True,
        connect_timeout=clusters.CONNECT_TIMEOUT,
        options=f"-c statement_timeout={PATIENCE}s",
        client_encoding="utf8",  # whatever its code has set for the role
    ) as connection:
        for statement in statements:
            done = connection.execute(statement.text, statement.parameters)
            rows = done.fetchall() if done.description else []
    return rows


def drop(cluster: Cluster, environment: Environment) -> None:
    """Remove the database and its role."""
    databases.drop_database(cluster, name_of(environment))
    databases.drop_role(cluster, name_of(environment))


def exists(cluster: Cluster, environment: Environment) -> bool:
    try:
        return databases.database_exists(cluster, name_of(environment))
    except psycopg.OperationalError as error:
        raise BrokenError(
            f"PostgreSQL at {cluster.host} does not answer: {error}", code="DATABASE_UNREACHABLE"
        ) from error


def _migrate(installation: Installation, version: Version, database: Database) -> None:
    """Run Airflow's own migration, in a folder of its own that holds the password only as long as it takes."""
    folder = Path(tempfile.mkdtemp(prefix="aerodrome-migrate-"))
    try:
        planned = migrate.plan(
            version,
            interpreter=installation.python,
            folder=folder,
            database=database,
            fernet_key=Fernet.generate_key().decode(),
        )
        for path, text in planned.configuration.items():
            private_files.write(path, text)
        for command in planned.commands:
            _run(command, dict(planned.environment), folder)
    finally:
        shutil.rmtree(folder)


def _run(command: tuple[str, ...], environment: dict[str, str], folder: Path) -> None:
    try:
        result = subprocess.run(
            command,
            env=environment,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=migrate.TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        message = f"Airflow's `{' '.join(command[3:])}` took longer than {migrate.TIMEOUT} s"
        raise BrokenError(message, code="MIGRATION_FAILED") from error
    if result.returncode != 0:
        tail = tuple(result.stdout.splitlines()[-TAIL_LINES:])
        message = f"Airflow's `{' '.join(command[3:])}` ended with exit code {result.returncode}"
        raise BrokenError(message, code="MIGRATION_FAILED", tail=tail)
