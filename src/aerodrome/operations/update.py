"""UpdateEnvironment, roll back and restore: judge what is wanted, look at version, role and bucket, write the change.

A roll back and a restore are updates whose request is the whole of an earlier configuration, so they are refused where
such an update is. Nothing is changed here: the controller builds and tries what is wanted beside what runs, and only
then replaces it.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from aerodrome.errors import CallerError
from aerodrome.model import lifecycle, updates
from aerodrome.model.change import Change, ChangeKind, Seed, Strategy
from aerodrome.model.environment import Environment
from aerodrome.model.history import Outcome
from aerodrome.model.lifecycle import Event
from aerodrome.model.spec import Document, Spec
from aerodrome.operations import find, validation, warning
from aerodrome.operations.dependencies import Dependencies
from aerodrome.operations.grant import Grant


def update_environment(deps: Dependencies, given: Document, grant: Grant) -> dict[str, Any]:
    """Answers with the ARN as soon as the change is in the ledger; status UPDATING."""
    environment = find.by_name(deps, given["Name"])
    lifecycle.transition(environment.status, Event.UPDATE_REQUESTED)
    wanted = updates.updated(environment.spec, given)
    found = validation.update_refusals(given, environment.spec, wanted, offered=deps.offered_versions)
    move = validation.move_refusal(environment.spec, wanted, offered=deps.offered_versions)
    validation.refuse([*found, f"AirflowVersion: {move}"] if move else found)
    strategy = Strategy(given.get("WorkerReplacementStrategy", Strategy.GRACEFUL))
    by = grant.principal.arn
    begun = _begun(deps, environment, wanted, given.keys(), kind=ChangeKind.UPDATE, strategy=strategy, requested_by=by)
    return {"Arn": begun.arn}


def roll_back(deps: Dependencies, name: str, number: int, *, strategy: Strategy, requested_by: str) -> Environment:
    """Begin the change to the configuration of an earlier revision; status UPDATING.

    Raises:
        NotFoundError: there is no such environment, or no such revision.
        CallerError: that revision never ran, runs already, cannot be reached from here, or UpdateEnvironment would
            refuse its configuration.
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
    return _begun_whole(
        deps,
        environment,
        wanted,
        what=f"Revision {number} of {name} cannot be applied again",
        instead="Choose another revision, or update the environment to what you need of this one.",
        kind=ChangeKind.ROLLBACK,
        strategy=strategy,
        requested_by=requested_by,
    )


def restore_snapshot(
    deps: Dependencies, name: str, number: int, *, strategy: Strategy, requested_by: str
) -> Environment:
    """Begin the change to a snapshot, its database and its configuration; status UPDATING.

    What is there now becomes a snapshot itself. The database comes with its Airflow version, so that no migration
    must lead there.

    Raises:
        NotFoundError: there is no such environment, or no such snapshot.
        CallerError: UpdateEnvironment would refuse the snapshot's configuration.
    """
    environment = find.for_operator(deps, name)
    snapshot = find.snapshot(deps, name, number)
    return _begun_whole(
        deps,
        environment,
        snapshot.spec,
        what=f"Snapshot {number} of {name} cannot be restored",
        instead="Choose another snapshot.",
        kind=ChangeKind.RESTORE,
        strategy=strategy,
        requested_by=requested_by,
        seed=Seed(identifier=snapshot.identifier, number=snapshot.number),
    )


def _begun_whole(
    deps: Dependencies,
    environment: Environment,
    wanted: Spec,
    *,
    what: str,
    instead: str,
    kind: ChangeKind,
    strategy: Strategy,
    requested_by: str,
    seed: Seed | None = None,
) -> Environment:
    """The environment with a change begun to an earlier configuration, judged as an update that names all of it.

    Raises:
        CallerError: such an update is refused: `what` cannot be done, why, and what to do `instead`.
    """
    lifecycle.transition(environment.status, Event.UPDATE_REQUESTED)
    request = wanted.document()
    found = validation.update_refusals(request, environment.spec, wanted, offered=deps.offered_versions)
    validation.refuse(found, what=what, instead=instead)
    asked = request.keys()
    return _begun(deps, environment, wanted, asked, kind=kind, strategy=strategy, requested_by=requested_by, seed=seed)


def _begun(
    deps: Dependencies,
    environment: Environment,
    wanted: Spec,
    asked: Collection[str],
    *,
    kind: ChangeKind,
    strategy: Strategy,
    requested_by: str,
    seed: Seed | None = None,
) -> Environment:
    """The environment with a change to `wanted` begun; what is not among the members `asked` for is not looked at."""
    if wanted.airflow_version != environment.spec.airflow_version:
        deps.preflight.check_version(wanted.airflow_version)
    warns = not {"AirflowVersion", "AirflowConfigurationOptions"}.isdisjoint(asked)
    warnings = deps.preflight.warnings(wanted) if warns else []
    if "ExecutionRoleArn" in asked:
        deps.preflight.check_execution_role(environment.name, wanted)
    change = Change(
        kind=kind,
        spec=deps.preflight.with_file_versions(wanted),
        revision=0,
        strategy=strategy,
        requested_at=deps.clock(),
        requested_by=requested_by,
        seed=seed,
    )
    begun = deps.environments.begin(environment, change)
    warning.record(deps, environment.name, "UPDATE_WARNED", warnings)
    return begun
