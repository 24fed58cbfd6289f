"""What a release is: the immutable sum of what an environment runs, named by its hash.

The API records it, the controller compares two of them to see whether anything must be installed anew. Pure.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection
from dataclasses import asdict, dataclass

from aerodrome import errors

_UNSUPPORTED = {
    "PluginsS3Path": "plugins",
    "PluginsS3ObjectVersion": "plugins",
    "RequirementsS3Path": "Python requirements",
    "RequirementsS3ObjectVersion": "Python requirements",
    "StartupScriptS3Path": "startup scripts",
    "StartupScriptS3ObjectVersion": "startup scripts",
}
"""Fields of CreateEnvironment and UpdateEnvironment that name what cannot be built into a release yet."""


@dataclass(frozen=True, kw_only=True)
class Release:
    """Two equal releases run the same bytes under the same options."""

    version: str
    """The Airflow version."""

    lock: str
    """The lock's SHA-256, so that a recompiled lock is another release."""

    options: tuple[tuple[str, str], ...] = ()
    """Airflow configuration options, `section.key` and value; their order means nothing."""

    requirements: str | None = None
    """The S3 version id of requirements.txt; None = none."""

    plugins: str | None = None
    """The S3 version id of plugins.zip; None = none."""

    startup: str | None = None
    """The S3 version id of the startup script; None = none."""

    @property
    def identifier(self) -> str:
        """64 hex characters that are equal exactly for equal releases."""
        fields = asdict(self) | {"options": sorted(self.options)}
        canonical = json.dumps(fields, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()


def unsupported(fields: Collection[str]) -> errors.CallerError | None:
    """The refusal for a request that sets fields (by their wire names) which no release can hold yet; None = none.

    An environment that silently ran without its requirements would be worse than none.
    """
    named = [field for field in _UNSUPPORTED if field in fields]
    if not named:
        return None
    what = " and ".join(dict.fromkeys(_UNSUPPORTED[field] for field in named))
    return errors.CallerError(
        f"{', '.join(named)}: this version of Aerodrome does not build {what} into an environment yet; "
        "leave the field out, or wait for the version that does"
    )
