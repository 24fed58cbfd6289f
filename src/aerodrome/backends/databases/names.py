"""The names of an environment's databases, and which of them exist. No other module makes such a name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from aerodrome.airflow.context import Database
from aerodrome.services import databases
from aerodrome.services.clusters import Cluster

TEMPLATE = "tmpl_"
"""The prefix of the names of templates, and of the roles that built them."""


def live(identifier: str) -> str:
    """The environment's database, and the role that owns it and its copies."""
    return f"env_{identifier}"


def coming(identifier: str) -> str:
    """The coming database: it will become the live one."""
    return f"next_{identifier}"


def rehearsal(identifier: str) -> str:
    """The copy for the rehearsal of a migration, and the role that DAG code is tried with there."""
    return f"try_{identifier}"


def snapshot(identifier: str, number: int) -> str:
    """The snapshot: the live database becomes it when the revision's database takes its place."""
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
    """How Airflow reaches a database of the cluster, as `owner` (None = the role with the database's name)."""
    return Database(host=cluster.host, port=cluster.port, name=name, user=owner or name, password=password)


def owned(cluster: Cluster, identifier: str) -> dict[str, bool]:
    """The live database of an environment, its copies and its snapshots → whether each lets anybody in."""
    names = (live(identifier), coming(identifier), rehearsal(identifier), f"snap_{identifier}_")
    return databases.openness(cluster, names)


def others(cluster: Cluster, identifier: str) -> tuple[str, ...]:
    """The copies and snapshots of an environment's database."""
    return tuple(sorted(owned(cluster, identifier).keys() - {live(identifier)}))


def has_others(found: Mapping[str, bool], snapshots: Path, identifier: str) -> bool:
    """Whether copies, snapshots or archives of an environment exist; `found` is what it owns."""
    return (snapshots / identifier).exists() or bool(found.keys() - {live(identifier)})


def has_unfinished(found: Mapping[str, bool], identifier: str, number: int) -> bool:
    """Whether the unfinished change with this number has left databases, or has left the live one closed. Pure."""
    names = {coming(identifier), rehearsal(identifier), snapshot(identifier, number)}
    return not names.isdisjoint(found) or found.get(live(identifier)) is False
