"""The names of what environments run: a release by what it is made of, and where its parts lie. Pure.

`release` builds one, the ledger keeps which one an environment runs, the controller compares two.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass

from aerodrome.model.spec import Spec

PATH_VARIABLE = "AERODROME_PATH"
"""The environment variable by which an interpreter of an Airflow version finds our modules and a release's packages."""


@dataclass(frozen=True, slots=True, kw_only=True)
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


def of(spec: Spec, *, version: str, lock: str) -> Release:
    """The release that a spec asks for, with the Airflow version that answers to its AirflowVersion."""
    return Release(
        version=version,
        lock=lock,
        options=tuple(sorted(spec.airflow_configuration_options.items())),
        requirements=spec.requirements_s3_object_version,
        plugins=spec.plugins_s3_object_version,
        startup=spec.startup_script_s3_object_version,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployed:
    """A release that was built and tried, as an environment runs it."""

    identifier: str
    """Of the release."""

    version: str
    """The Airflow version that runs."""

    lock: str
    """The SHA-256 of the lock that this version is installed from."""

    content: str | None = None
    """The folder of its packages, plugins and startup variables; None = the bare version."""

    cell: int = 1
    """The revision that its cell was started for: a later one may differ in nothing that units see."""

    spread: bool = False
    """Whether the cell is spread over the zones that the spec names; cells of an earlier Aerodrome are not."""

    takes_over: bool = False
    """Its cell was started beside another that served, so its units did not have to hurry."""

    database: int = 1
    """The revision that made its metadata database."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patch:
    """What Aerodrome installs today for the minor version that an environment runs."""

    version: str
    lock: str
