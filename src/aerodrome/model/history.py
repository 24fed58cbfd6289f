"""What the ledger remembers of an environment beside its present state: revisions and snapshots. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from aerodrome.errors import CallerError, NotFoundError
from aerodrome.model.change import ChangeKind, Seed
from aerodrome.model.environment import Environment, Failure
from aerodrome.model.lifecycle import Status
from aerodrome.model.release import Deployed
from aerodrome.model.spec import Spec


class Outcome(StrEnum):
    """What became of a revision."""

    PENDING = "PENDING"
    APPLIED = "APPLIED"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """One configuration that an environment was to have, and whether it came to have it."""

    number: int
    kind: ChangeKind
    spec: Spec
    outcome: Outcome
    requested_at: datetime
    requested_by: str | None
    """The ARN of who asked; None = Aerodrome itself."""

    settled_at: datetime | None = None
    failure: Failure | None = None
    report: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A metadata database as it was before a change, and the configuration that belonged to it."""

    identifier: str
    """Of the environment."""

    number: int
    """Of the revision that it was taken for."""

    taken_at: datetime
    spec: Spec
    deployed: Deployed
    size: int
    """Bytes of the archive."""


def contents_in_use(environments: Sequence[Environment]) -> frozenset[str]:
    """The contents of releases that environments run or that a change brings."""
    running = [each.deployed for each in environments]
    coming = [each.change.deployed for each in environments if each.change is not None]
    return frozenset(each.content for each in running + coming if each is not None and each.content is not None)


def versions_in_use(environments: Sequence[Environment], snapshots: Sequence[Snapshot]) -> frozenset[tuple[str, str]]:
    """The Airflow versions, each with its lock's SHA-256, that environments run, are to run, or would go back to.

    Of a version that is asked for and not installed yet the lock is empty: it will be the present one.
    """
    changes = [each.change for each in environments if each.change is not None]
    known = [each.deployed for each in environments] + [each.deployed for each in changes]
    known += [each.deployed for each in snapshots]
    asked = [each.spec.airflow_version for each in environments] + [each.spec.airflow_version for each in changes]
    return frozenset({(each.version, each.lock) for each in known if each is not None} | {(each, "") for each in asked})


def begun_from(identifier: str, number: int | None, environments: Iterable[Environment]) -> tuple[str, ...]:
    """The environments whose change under way begins from that snapshot of the environment (None = from any).

    An environment that is being deleted needs none any more.
    """
    under_way = [
        (each.name, each.change.seed)
        for each in environments
        if each.change is not None and each.status is not Status.DELETING
    ]
    return tuple(
        name
        for name, seed in under_way
        if seed is not None and seed.identifier == identifier and number in {None, seed.number}
    )


def is_needed(identifier: str, number: int, environments: Sequence[Environment]) -> bool:
    """Whether a change under way, of whichever environment, makes the snapshot or begins from it."""
    made = {(each.identifier, each.change.revision) for each in environments if each.change is not None}
    return (identifier, number) in made or bool(begun_from(identifier, number, environments))


def check_seed(seed: Seed, source: Environment | None, *, is_kept: bool) -> None:
    """Refuse a change that would begin from a snapshot which is gone, or is about to be.

    `source` is the snapshot's environment, `is_kept` whether the ledger has the snapshot.

    Raises:
        NotFoundError: it is gone.
        CallerError: its environment is being deleted.
    """
    if source is None or not is_kept:
        raise NotFoundError(f"Snapshot {seed.number} is gone: aerodrome snapshots list shows those that there are.")
    if source.status is Status.DELETING:
        raise CallerError(
            f"{source.name} is being deleted, and its snapshots with it: clone a snapshot of another environment."
        )


def surplus(snapshots: Sequence[Snapshot], environments: Sequence[Environment], *, kept: int) -> list[Snapshot]:
    """The snapshots of one environment that are more than are `kept`, the oldest first; those needed are spared."""
    by_age = sorted(snapshots, key=lambda each: each.number)
    return [
        each
        for each in by_age[: max(0, len(by_age) - kept)]
        if not is_needed(each.identifier, each.number, environments)
    ]
