"""What an environment is: its desired state (spec), what was observed of it, and how it came to be so."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from aerodrome.model import hibernation
from aerodrome.model.change import Change, Strategy
from aerodrome.model.hibernation import Hibernation
from aerodrome.model.lifecycle import Status
from aerodrome.model.phases import Phase
from aerodrome.model.release import Deployed
from aerodrome.model.spec import Spec
from aerodrome.model.tenant import Tenant

NAME = re.compile(r"[a-zA-Z][0-9a-zA-Z\-_]{0,79}")
"""MWAA's pattern for the names of environments."""


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
    strategy: Strategy | None = None
    """How the workers are replaced; None = there were none to replace."""

    maintained_at: datetime | None = None
    """When maintenance last began, whatever was asked for since; None = it never did."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishedPhase:
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
    phases: tuple[FinishedPhase, ...] = ()

    def moved(self, phase: str, detail: str, fraction: float | None, now: datetime) -> Progress:
        """This progress a moment later; a change of phase closes the one before with its duration.

        What follows `ready` or `hibernated` is work of its own, so it begins without the phases of the work before.
        """
        if phase == self.phase:
            return Progress(
                phase=phase,
                detail=detail,
                phase_started_at=self.phase_started_at,
                fraction=fraction,
                phases=self.phases,
            )
        if self.phase in {Phase.READY, Phase.HIBERNATED}:
            return Progress(phase=phase, detail=detail, phase_started_at=now, fraction=fraction)
        closed = FinishedPhase(name=self.phase, seconds=round((now - self.phase_started_at).total_seconds(), 3))
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
    revision: int = 1
    """The configuration that runs; of one that is being created, the one that will."""

    deployed: Deployed | None = None
    """The release that runs; None until the creation is done."""

    change: Change | None = None
    """What it is being changed into; None = nothing is under way."""

    failure: Failure | None = None
    """Set as soon as a change has failed; the status follows when everything that it had started is gone."""

    hibernation: Hibernation = hibernation.AWAKE
    sealed_secrets: bytes = field(default=b"", repr=False)
    """The environment's secrets, encrypted by identity.vault."""

    @property
    def serving(self) -> int:
        """The revision whose cell serves; of one that is being created, the one that will."""
        return self.deployed.cell if self.deployed is not None else self.revision

    @property
    def tenant(self) -> Tenant:
        """The environment as backends know it."""
        return Tenant(
            name=self.name,
            identifier=self.identifier,
            arn=self.arn,
            number=self.number,
            sealed_secrets=self.sealed_secrets,
        )

    @property
    def execution_roles(self) -> frozenset[str]:
        """Whom it may act as: its execution role, and the one that a change gives it, unless the change has failed."""
        coming = self.change if self.failure is None else None
        return frozenset({self.spec.execution_role_arn, (coming.spec if coming else self.spec).execution_role_arn})
