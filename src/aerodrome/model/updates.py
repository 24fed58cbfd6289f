"""What an UpdateEnvironment request makes of a spec, member by member as MWAA documents it. Pure.

The request is validated before; whether the outcome is allowed is said by `operations.validation`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aerodrome.model.spec import Document, Spec, counts_given

FILES = {
    "PluginsS3Path": "PluginsS3ObjectVersion",
    "RequirementsS3Path": "RequirementsS3ObjectVersion",
    "StartupScriptS3Path": "StartupScriptS3ObjectVersion",
}
"""Members that name a file of the bucket, and the member that names its version."""

NOT_OF_THE_SPEC = frozenset({"Name", "WorkerReplacementStrategy"})


def updated(spec: Spec, request: Document) -> Spec:
    """The spec after the update.

    Members that are left out stay as they are. Options are replaced as a whole, so that `{}` clears them. An empty path
    removes the file. A file whose version is not given has none here: whoever looks at the bucket fills in the present
    one.
    """
    given = {member: value for member, value in request.items() if member not in NOT_OF_THE_SPEC}
    network = {**spec.network_configuration, **given.pop("NetworkConfiguration", {})}
    logging = {**spec.logging_configuration, **given.pop("LoggingConfiguration", {})}
    files = _files(spec, given)
    document = {
        **spec.document(),
        **{member: value for member, value in given.items() if member not in files},
        **files,
        **counts_given(given),
        "NetworkConfiguration": network,
        "LoggingConfiguration": logging,
    }
    return Spec.of({member: value for member, value in document.items() if value is not None})


def _files(spec: Spec, given: Mapping[str, Any]) -> dict[str, str | None]:
    """The members of files; None = there is none."""
    known = spec.document()
    found: dict[str, str | None] = {}
    for path, version in FILES.items():
        named = given.get(path, known.get(path)) or None
        is_new = given.get(path) not in {None, known.get(path)}
        wanted = given.get(version) or (None if is_new else known.get(version))
        found |= {path: named, version: wanted if named else None}
    return found
