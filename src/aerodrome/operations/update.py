"""UpdateEnvironment, roll back and restore: judge the request, check version, role and bucket, write the change down.

A roll back and a restore are updates that ask for a whole earlier configuration, so they are refused where such an
update is refused. Nothing in the environment changes here: the controller builds and tries the new configuration beside
what runs, and only then replaces it.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Any

from aerodrome.errors import CallerError
from aerodrome.model import lifecycle, updates
from aerodrome.model.change import Change, ChangeKind, Seed, Strategy
from aerodrome.model.environment import Environment
from aerodrome.model.history import Outcome
from aerodrome.model.lifecycle import Event
from aerodrome.model.spec import Document
from aerodrome.operations import find, validation, warning
from aerodrome.operations.dependencies import Dependencies
from aerodrome.operations.grant import Grant


def update_environment(deps: Dependencies, given: Document, grant: Grant) -> dict[str, Any]:
    """Answer with the ARN as soon as the change is in the ledger; status UPDATING."""
    environment = find.by_name(deps, given["Name"])
    lifecycle.transition(environment.status, Event.UPDATE_REQUESTED)
    wanted = updates.updated(environment.spec, given)
    found = validation.update_refusals(given, environment.spec, wanted, offered=deps.offered_versions)
    move = validation.move_refusal(environment.spec, wanted, offered=deps.offered_versions)
    validation.refuse([*found, f"AirflowVersion: {move}"] if move else found)
    change = Change(
        kind=ChangeKind.UPDATE,
        spec=wanted,
        revision=0,
        strategy=Strategy(given.get("WorkerReplacementStrategy", Strategy.GRACEFUL)),
        requested_at=deps.clock(),
        requested_by=grant.principal.arn,
    )
    return {"Arn": _begun(deps, environment, change, asked=given.keys()).arn}


def roll_back(deps: Dependencies, name: str, number: int, *, strategy: Strategy, requested_by: str) -> Environment:
    """Begin the change to the configuration of an earlier revision; status UPDATING.

    Raises:
        NotFoundError: there is no such environment, or no such revision.
        CallerError: that revision never ran, runs already, or cannot be reached by a migration; or UpdateEnvironment
            would refuse its configuration.
    """
    environment = find.for_operator(deps, name)
    revision = find.revision(deps, name, number)
    current, wanted = environment.spec, revision.spec
    if revision.outcome is not Outcome.APPLIED:
        raise CallerError(f"Revision {number} of {name} was never applied ({revision.outcome}): choose one that was.")
    if wanted == current:
        raise CallerError(f"{name} has the configuration of revision {number} already.")
    move = validation.move_refusal(current, wanted, offered=deps.offered_versions)
    if move is not None:
        raise CallerError(f"{move}. A snapshot leads back too: aerodrome snapshots list {name}")
    change = Change(
        kind=ChangeKind.ROLLBACK,
        spec=wanted,
        revision=0,
        strategy=strategy,
        requested_at=deps.clock(),
        requested_by=requested_by,
    )
    return _begun_whole(
        deps,
        environment,
        change,
        what=f"Revision {number} of {name} cannot be applied again",
        instead="Choose another revision, or update the environment to what you need of this one.",
    )


def restore_snapshot(
    deps: Dependencies, name: str, number: int, *, strategy: Strategy, requested_by: str
) -> Environment:
    """Begin the change to a snapshot, its database and its configuration; status UPDATING.

    The present database and configuration become a snapshot too. The snapshot's database has the snapshot's Airflow
    version, so no migration needs to lead to that version.

    Raises:
        NotFoundError: there is no such environment, or no such snapshot.
        CallerError: UpdateEnvironment would refuse the snapshot's configuration.
    """
    environment = find.for_operator(deps, name)
    snapshot = find.snapshot(deps, name, number)
    change = Change(
        kind=ChangeKind.RESTORE,
        spec=snapshot.spec,
        revision=0,
        strategy=strategy,
        requested_at=deps.clock(),
        requested_by=requested_by,
        seed=Seed(identifier=snapshot.identifier, number=snapshot.number),
    )
    return _begun_whole(
        deps,
        environment,
        change,
        what=f"Snapshot {number} of {name} cannot be restored",
        instead="Choose another snapshot.",
    )


def _begun_whole(
    deps: Dependencies, environment: Environment, change: Change, *, what: str, instead: str
) -> Environment:
    """Begin a change to an earlier configuration; it is judged as an update that names every member.

    Raises:
        CallerError: such an update is refused. The sentence says `what` cannot be done, why, and what to do `instead`.
    """
    lifecycle.transition(environment.status, Event.UPDATE_REQUESTED)
    current, wanted = environment.spec, change.spec
    found = validation.update_refusals(wanted.document(), current, wanted, offered=deps.offered_versions)
    validation.refuse(found, what=what, instead=instead)
    return _begun(deps, environment, change)


def _begun(
    deps: Dependencies, environment: Environment, change: Change, *, asked: Collection[str] | None = None
) -> Environment:
    """Begin the change and return the environment; `asked` are the members that were asked for (None = all)."""
    running = environment.spec
    cleared = deps.preflight.cleared(environment.name, change.spec, running=running, asked=asked)
    begun = deps.environments.begin(environment, replace(change, spec=cleared.spec))
    warning.record(deps, environment.name, "UPDATE_WARNED", cleared.warnings)
    return begun
