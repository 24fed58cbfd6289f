"""New metadata databases: one migrated template for each installed version, and a clone of it for each environment."""

from __future__ import annotations

import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from cryptography.fernet import Fernet

from aerodrome.airflow import metadata, migrate, versions
from aerodrome.airflow.context import Database
from aerodrome.airflow.versions import Version
from aerodrome.backends.databases import names
from aerodrome.errors import BrokenError
from aerodrome.release.installation import Installation
from aerodrome.services import clusters, databases
from aerodrome.services.clusters import Cluster

DEFAULT_POOL_SLOTS = 128
"""Airflow's and MWAA's size of the default pool."""

TAIL_LINES = 12


def ensure_template(cluster: Cluster, installation: Installation) -> str:
    """The name of the version's template, migrated and frozen; it is built if it does not exist (several seconds)."""
    name = names.template(installation.folder.name)
    if databases.is_template(cluster, name):
        return name
    with databases.advisory_lock(cluster, name):
        if not databases.is_template(cluster, name):
            databases.drop_database(cluster, name)  # what an interrupted build left
            password = secrets.token_urlsafe(24)
            databases.ensure_role(cluster, name, password)
            databases.ensure_database(cluster, name, name)
            database = names.reached(cluster, name, password)
            _migrate(installation, versions.lookup(installation.version), database)
            databases.make_template(cluster, name)
    return name


def drop_template(cluster: Cluster, installation: str) -> None:
    """Remove the template of the installation of that name, with its role, if they exist."""
    databases.drop_database(cluster, names.template(installation))
    databases.drop_role(cluster, names.template(installation))


def ensure_database(
    cluster: Cluster, name: str, password: str, installation: Installation, options: Mapping[str, str]
) -> None:
    """Clone the template for an environment, and give the default pool the size that `options` name."""
    template = ensure_template(cluster, installation)
    databases.ensure_role(cluster, name, password)
    is_new = not databases.database_exists(cluster, name)
    databases.ensure_database(cluster, name, name, template)
    if is_new:
        slots = options.get("core.default_pool_task_slot_count", "")
        statement = metadata.set_default_pool(int(slots) if slots.isdigit() else DEFAULT_POOL_SLOTS)
        with clusters.connect(cluster, name) as connection:
            connection.execute(statement.text, statement.parameters)


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
            path.touch(mode=0o600)
            path.write_text(text)
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
