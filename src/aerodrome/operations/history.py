"""The past of an environment: lists its revisions and snapshots, and removes a snapshot."""

from __future__ import annotations

from aerodrome.errors import CallerError
from aerodrome.model import history
from aerodrome.model.history import Revision, Snapshot
from aerodrome.operations import find
from aerodrome.operations.dependencies import Dependencies


def revisions(deps: Dependencies, name: str) -> tuple[list[Revision], int]:
    """Every revision of an environment, the oldest first, and the number of its present one."""
    current = find.for_operator(deps, name).revision
    return deps.environments.revisions(name), current


def snapshots(deps: Dependencies, name: str | None) -> list[tuple[str, Snapshot]]:
    """The snapshots of one environment, or of all, the oldest first, each with its environment's name."""
    names = [find.for_operator(deps, name).name] if name is not None else deps.environments.names()
    return [(each, taken) for each in names for taken in deps.snapshots.of(each)]


def remove_snapshot(deps: Dependencies, name: str, number: int) -> None:
    """Remove a snapshot, its database and its archive.

    Raises:
        NotFoundError: there is no such environment, or no such snapshot.
        CallerError: a change that is under way needs the snapshot.
    """
    environment = find.for_operator(deps, name)
    found = find.snapshot(deps, name, number)
    identifier = environment.identifier
    is_removed = deps.snapshots.remove(
        identifier,
        found.number,
        lambda: deps.archives.remove_snapshot(identifier, number),
        is_needed=lambda environments: history.is_needed(identifier, number, environments),
    )
    if not is_removed:
        raise CallerError(f"Snapshot {number} of {name} is being used: wait until the change is done.")
