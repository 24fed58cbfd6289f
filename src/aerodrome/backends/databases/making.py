"""New metadata databases: one migrated template for each installed version, and a clone of it for each environment."""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Mapping
from pathlib import Path

from cryptography.fernet import Fernet

from aerodrome.airflow import metadata, migrate, sections, versions
from aerodrome.airflow.context import Database
from aerodrome.airflow.versions import Version
from aerodrome.backends.databases import airflow_migration, names
from aerodrome.release.installation import Installation
from aerodrome.services import clusters, databases
from aerodrome.services.clusters import Cluster

DEFAULT_POOL_SLOTS = 128
"""Airflow's and MWAA's size of the default pool."""


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


def make_database(
    cluster: Cluster, identifier: str, password: str, installation: Installation, options: Mapping[str, str]
) -> None:
    """Clone the template for a new environment, and give the default pool the size that `options` name.

    The database gets its name when it is whole, so that whoever finds it may use it.
    """
    live, coming = names.live(identifier), names.coming(identifier)
    template = ensure_template(cluster, installation)
    databases.ensure_role(cluster, live, password)
    if databases.database_exists(cluster, live):
        return
    databases.drop_database(cluster, coming)  # what an interrupted call left
    databases.ensure_database(cluster, coming, live, template)
    slots = sections.default_pool_slots(options)
    statement = metadata.set_default_pool(DEFAULT_POOL_SLOTS if slots is None else slots)
    with clusters.connect(cluster, coming) as connection:
        connection.execute(statement.text, statement.parameters)
    databases.rename_database(cluster, coming, live)


def _migrate(installation: Installation, version: Version, database: Database) -> None:
    """Run Airflow's own migration, in a folder of its own that holds the password only as long as it takes."""
    with tempfile.TemporaryDirectory(prefix="aerodrome-migrate-") as folder:
        planned = migrate.plan(
            version,
            interpreter=installation.python,
            folder=Path(folder),
            database=database,
            fernet_key=Fernet.generate_key().decode(),
        )
        airflow_migration.run(planned, seconds=migrate.TIMEOUT, user=None, ours=True)
