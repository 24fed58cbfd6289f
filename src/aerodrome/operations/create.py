"""CreateEnvironment: judge the wish, look at version, role and bucket, write it into the ledger.

Nothing is started here: the controller does that when the ledger tells it. A refused request leaves nothing behind.
"""

from __future__ import annotations

from typing import Any

from aerodrome.errors import CallerError
from aerodrome.model import defaults, updates
from aerodrome.model.spec import Document
from aerodrome.operations import validation, warning
from aerodrome.operations.dependencies import Dependencies
from aerodrome.operations.grant import Grant

MAY_BE_EMPTY = frozenset({*updates.FILES, *updates.FILES.values()})
"""Members whose empty string means the same as leaving them out."""


def create_environment(deps: Dependencies, given: Document, grant: Grant) -> dict[str, Any]:
    """Answers with the ARN as soon as the wish is written; status CREATING."""
    request = {member: value for member, value in given.items() if value != "" or member not in MAY_BE_EMPTY}
    name = request["Name"]
    found = validation.refusals(name, request, offered=deps.offered_versions, latest=deps.latest_version)
    if found:
        raise CallerError(". ".join(found) + ".")
    spec = defaults.complete(name, request, latest_version=deps.latest_version)
    deps.check_version(spec.airflow_version)
    warnings = deps.warnings(spec)
    deps.check_execution_role(name, spec)
    spec = deps.checked_bucket(spec)
    environment = deps.environments.create(
        name,
        spec,
        request.get("Tags", {}),
        sealed_secrets=deps.new_secrets(),
        quota=deps.settings.quota_environments,
        now=deps.clock(),
        requested_by=grant.principal.arn,
    )
    warning.record(deps, name, "CREATE_WARNED", warnings)
    return {"Arn": environment.arn}
