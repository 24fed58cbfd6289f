"""Puts the coming database in the live one's place, and back; removes copies. Every step is safe to repeat."""

from __future__ import annotations

from pathlib import Path

from aerodrome import trees
from aerodrome.backends.databases import archives, names
from aerodrome.services import databases
from aerodrome.services.clusters import Cluster


def swap(cluster: Cluster, identifier: str, number: int) -> None:
    """Put the coming database in the live one's place; the live one becomes the snapshot with this number."""
    live, coming, snapshot = names.live(identifier), names.coming(identifier), names.snapshot(identifier, number)
    if databases.database_exists(cluster, coming):
        if not databases.database_exists(cluster, snapshot):
            databases.rename_database(cluster, live, snapshot)
        databases.rename_database(cluster, coming, live)
    databases.close_database(cluster, snapshot)
    databases.open_database(cluster, live)


def swap_back(cluster: Cluster, identifier: str, number: int) -> None:
    """Undo `swap`, and remove every copy."""
    live, was = names.live(identifier), names.snapshot(identifier, number)
    if databases.database_exists(cluster, was):
        databases.drop_database(cluster, live)
        databases.rename_database(cluster, was, live)
    databases.open_database(cluster, live)
    for name in (names.coming(identifier), names.rehearsal(identifier)):
        databases.drop_database(cluster, name)
    databases.drop_role(cluster, names.rehearsal(identifier))


def remove_snapshot(cluster: Cluster, snapshots: Path, identifier: str, number: int) -> None:
    """Remove a snapshot's database and archive."""
    databases.drop_database(cluster, names.snapshot(identifier, number))
    archives.remove(names.archive(snapshots, identifier, number))


def remove_all(cluster: Cluster, snapshots: Path, identifier: str) -> None:
    """Remove every database of an environment, every archive, and its roles."""
    for name in (*names.others(cluster, identifier), names.live(identifier)):
        databases.drop_database(cluster, name)
    trees.remove(snapshots / identifier)
    for role in (names.rehearsal(identifier), names.live(identifier)):
        databases.drop_role(cluster, role)
