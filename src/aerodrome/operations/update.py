"""UpdateEnvironment: judge the wish, look at version, role and bucket, write the change into the ledger.

Nothing is changed here: the controller builds and tries what is wished beside what runs, and only then replaces it.
"""

from __future__ import annotations

from typing import Any

from aerodrome.errors import CallerError
from aerodrome.model import lifecycle, updates
from aerodrome.model.change import Change, Kind, Strategy
from aerodrome.model.lifecycle import Event
from aerodrome.model.spec import Document
from aerodrome.operations import find, validation, warning
from aerodrome.operations.dependencies import Dependencies
from aerodrome.operations.grant import Grant


def update_environment(deps: Dependencies, given: Document, grant: Grant) -> dict[str, Any]:
    """Answers with the ARN as soon as the wish is written; status UPDATING."""
    environment = find.by_name(deps, given["Name"])
    lifecycle.transition(environment.status, Event.UPDATE_REQUESTED)
    wanted = updates.updated(environment.spec, given)
    found = validation.update_refusals(given, environment.spec, wanted, offered=deps.offered_versions)
    if found:
        raise CallerError(". ".join(found) + ".")
    if wanted.airflow_version != environment.spec.airflow_version:
        deps.check_version(wanted.airflow_version)
    warnings = deps.warnings(wanted) if given.keys() & {"AirflowVersion", "AirflowConfigurationOptions"} else []
    if "ExecutionRoleArn" in given:
        deps.check_execution_role(environment.name, wanted)
    change = Change(
        kind=Kind.UPDATE,
        spec=deps.checked_bucket(wanted),
        revision=0,
        strategy=Strategy(given.get("WorkerReplacementStrategy", Strategy.GRACEFUL)),
        requested_at=deps.clock(),
        requested_by=grant.principal.arn,
    )
    arn = deps.environments.begin(environment, change).arn
    warning.record(deps, environment.name, "UPDATE_WARNED", warnings)
    return {"Arn": arn}
