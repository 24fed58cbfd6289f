"""The names of an environment's databases, and which of them there are. No other module makes one."""

from __future__ import annotations

from pathlib import Path

from aerodrome.airflow.context import Database
from aerodrome.services import databases
from aerodrome.services.clusters import Cluster

TEMPLATE = "tmpl_"
"""Before the names of templates, and of the roles that they were built as."""


def live(identifier: str) -> str:
    """The environment's database, and the role that owns it and its copies."""
    return f"env_{identifier}"


def coming(identifier: str) -> str:
    """The database that is to be the live one."""
    return f"next_{identifier}"


def rehearsal(identifier: str) -> str:
    """The copy that a migration is rehearsed on."""
    return f"try_{identifier}"


def snapshot(identifier: str, number: int) -> str:
    """What the live one becomes when that revision's takes its place."""
    return f"snap_{identifier}_{number}"


def archive(snapshots: Path, identifier: str, number: int) -> Path:
    """The archive of a snapshot; `snapshots` is the folder of all archives."""
    return snapshots / identifier / f"{number}.dump"


def template(installation: str) -> str:
    """The template of the installation of that name."""
    return TEMPLATE + installation.replace(".", "_").replace("-", "_")


def templates(cluster: Cluster) -> tuple[str, ...]:
    """The templates of all versions."""
    return databases.databases(cluster, TEMPLATE)


def reached(cluster: Cluster, name: str, password: str, *, owner: str | None = None) -> Database:
    """How Airflow reaches a database of the cluster, as the role that owns it (None: the one of its name)."""
    return Database(host=cluster.host, port=cluster.port, name=name, user=owner or name, password=password)


def others(cluster: Cluster, identifier: str) -> tuple[str, ...]:
    """The databases that are copies and snapshots of an environment's."""
    prefixes = (coming(identifier), rehearsal(identifier), f"snap_{identifier}_")
    return tuple(name for prefix in prefixes for name in databases.databases(cluster, prefix))


def has_others(cluster: Cluster, snapshots: Path, identifier: str) -> bool:
    """Whether an environment has left copies or snapshots, or archives of them."""
    return (snapshots / identifier).exists() or bool(others(cluster, identifier))


def has_unfinished(cluster: Cluster, identifier: str, number: int) -> bool:
    """Whether the unfinished change of that number has left databases, or the live one closed."""
    names = (coming(identifier), rehearsal(identifier), snapshot(identifier, number))
    return any(databases.database_exists(cluster, name) for name in names) or databases.is_closed(
        cluster, live(identifier)
    )
