"""What an environment is: its desired state (spec), what was observed of it, and how it came to be so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any

from aerodrome.model.lifecycle import Status

READY = "ready"
"""The phase in which nothing is left to do."""

Document = Mapping[str, Any]
"""A JSON object."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """The desired state: CreateEnvironment's members, defaults filled in; None where MWAA has no value."""

    execution_role_arn: str
    source_bucket_arn: str
    dag_s3_path: str
    network_configuration: Document
    airflow_version: str
    environment_class: str
    min_workers: int
    max_workers: int
    schedulers: int
    min_webservers: int
    max_webservers: int
    logging_configuration: Document
    webserver_access_mode: str
    endpoint_management: str
    weekly_maintenance_window_start: str
    airflow_configuration_options: Mapping[str, str] = field(default_factory=dict, repr=False)
    plugins_s3_path: str | None = None
    plugins_s3_object_version: str | None = None
    requirements_s3_path: str | None = None
    requirements_s3_object_version: str | None = None
    startup_script_s3_path: str | None = None
    startup_script_s3_object_version: str | None = None
    kms_key: str | None = None

    def document(self) -> dict[str, Any]:
        """The spec under MWAA's member names; members without a value are left out."""
        members = {_member(each.name): getattr(self, each.name) for each in fields(self)}
        return {name: value for name, value in members.items() if value is not None}

    @classmethod
    def of(cls, document: Document) -> Spec:
        """The spec within a document of MWAA's member names; other members are passed over."""
        known = {_member(each.name): each.name for each in fields(cls)}
        return cls(**{known[name]: value for name, value in document.items() if name in known})


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why something failed: a specific code, a sentence, and the last useful lines of the log at fault."""

    code: str
    message: str
    tail: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class LastUpdate:
    """MWAA's `LastUpdate`: status is SUCCESS, PENDING or FAILED."""

    status: str
    created_at: datetime
    source: str
    failure: Failure | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """A phase of the work at hand that is over, and how long it took in seconds."""

    name: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """What is being done with an environment right now. `fraction` is 0..1, or None where nobody can tell."""

    phase: str
    detail: str
    phase_started_at: datetime
    fraction: float | None = None
    phases: tuple[Phase, ...] = ()

    def moved(self, phase: str, detail: str, fraction: float | None, now: datetime) -> Progress:
        """This progress a moment later; a change of phase closes the one before with its duration.

        What follows `ready` is work of its own, so it begins without the phases of the work before.
        """
        if phase == self.phase:
            return Progress(
                phase=phase,
                detail=detail,
                phase_started_at=self.phase_started_at,
                fraction=fraction,
                phases=self.phases,
            )
        if self.phase == READY:
            return Progress(phase=phase, detail=detail, phase_started_at=now, fraction=fraction)
        closed = Phase(name=self.phase, seconds=round((now - self.phase_started_at).total_seconds(), 3))
        return Progress(
            phase=phase, detail=detail, phase_started_at=now, fraction=fraction, phases=(*self.phases, closed)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """One environment as the ledger knows it."""

    name: str
    identifier: str
    """8 hex characters, unique; short enough for socket paths, database and role names."""

    arn: str
    number: int
    """Counts up from 1, never used twice; uids and ports are derived from it."""

    spec: Spec
    tags: Mapping[str, str]
    status: Status
    created_at: datetime
    last_update: LastUpdate
    progress: Progress
    failure: Failure | None = None
    """Set as soon as a creation has failed; the status follows when everything it had started is gone."""

    sealed_secrets: bytes = field(default=b"", repr=False)
    """The environment's secrets, encrypted by identity.vault."""

    def web_host(self, region: str) -> str:
        """The host name of its web server: MWAA's `WebserverUrl`."""
        return f"{self.identifier}.{region}.airflow.localhost"


def _member(name: str) -> str:
    """`dag_s3_path` → `DagS3Path`."""
    return "".join(part.capitalize() for part in name.split("_"))
