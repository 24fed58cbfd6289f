"""CreateEnvironment and the clone of a snapshot: judge the request, check version, role and bucket, write it down.

Nothing starts here: the controller does that when it reads the ledger. A refused request leaves nothing behind.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from aerodrome.errors import CallerError
from aerodrome.identity.vault import EnvironmentSecrets
from aerodrome.model import defaults, updates
from aerodrome.model.change import Seed
from aerodrome.model.environment import NAME, Environment
from aerodrome.model.spec import Document
from aerodrome.operations import find, validation, warning
from aerodrome.operations.dependencies import Dependencies
from aerodrome.operations.grant import Grant

MAY_BE_EMPTY = frozenset({*updates.FILES, *updates.FILES.values()})
"""Members whose empty string means the same as leaving them out."""


def create_environment(deps: Dependencies, given: Document, grant: Grant) -> dict[str, Any]:
    """Answer with the ARN as soon as the environment is in the ledger; status CREATING."""
    request = {member: value for member, value in given.items() if value != "" or member not in MAY_BE_EMPTY}
    validation.refuse(_refusals(deps, request["Name"], request))
    secrets = EnvironmentSecrets.generate()
    tags = request.get("Tags", {})
    return {"Arn": _created(deps, request, tags=tags, secrets=secrets, requested_by=grant.principal.arn).arn}


def clone_snapshot(deps: Dependencies, name: str, number: int, *, clone: str, requested_by: str) -> Environment:
    """Create the environment `clone` from snapshot `number` of the environment `name`; status CREATING.

    Of the secrets, the clone keeps the Fernet key, so that it can read the snapshot's connections and variables.

    Raises:
        NotFoundError: there is no such environment, or no such snapshot.
        CallerError: the new name is taken or not valid, the quota is reached, or CreateEnvironment would refuse the
            snapshot's configuration.
    """
    if not NAME.fullmatch(clone):
        raise CallerError(f"{clone[:100]} is not a name: use at most 80 letters, digits, - and _, a letter first.")
    source = find.for_operator(deps, name)
    snapshot = find.snapshot(deps, name, number)
    request = {"Name": clone, **snapshot.spec.request()}
    validation.refuse(
        _refusals(deps, clone, snapshot.spec.document()),
        what=f"Snapshot {number} of {name} cannot be cloned",
        instead="Choose another snapshot.",
    )
    key = deps.vault.open(source.sealed_secrets).fernet_key
    secrets = replace(EnvironmentSecrets.generate(), fernet_key=key)
    seed = Seed(identifier=snapshot.identifier, number=snapshot.number)
    return _created(deps, request, tags={}, secrets=secrets, requested_by=requested_by, seed=seed)


def _refusals(deps: Dependencies, name: str, request: Document) -> list[str]:
    return validation.creation_refusals(name, request, offered=deps.offered_versions, latest=deps.latest_version)


def _created(
    deps: Dependencies,
    request: Document,
    *,
    tags: Mapping[str, str],
    secrets: EnvironmentSecrets,
    requested_by: str,
    seed: Seed | None = None,
) -> Environment:
    """Write the environment of a request without refusals into the ledger."""
    name = request["Name"]
    spec = defaults.complete(name, request, latest_version=deps.latest_version)
    cleared = deps.preflight.cleared(name, spec)
    environment = deps.environments.create(
        name,
        cleared.spec,
        tags,
        sealed_secrets=deps.vault.seal(secrets),
        quota=deps.settings.quota_environments,
        now=deps.clock(),
        requested_by=requested_by,
        seed=seed,
    )
    warning.record(deps, name, "CREATE_WARNED", cleared.warnings)
    return environment
