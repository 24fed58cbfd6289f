"""What a plan is. `plan` makes one at each look, `loop` carries it out. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from aerodrome.backends.contract import Step
from aerodrome.model.change import Change
from aerodrome.model.environment import Failure
from aerodrome.model.history import Snapshot
from aerodrome.model.lifecycle import Event

QUICK = 0.1
"""Seconds between two looks while something is under way."""

CALM = 2.0
"""Seconds between two looks at an environment that is as it should be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to do now, in this order: write down, take at most one step, let at most one event happen; look again."""

    phase: str
    detail: str
    fraction: float | None = None

    change: Change | None = None
    """How far the change under way is now; None = as far as before."""

    snapshot: Snapshot | None = None
    """A snapshot that has been taken."""

    forget: int | None = None
    """The number of a snapshot that is to go, for its change came to nothing."""

    failure: Failure | None = None
    """The change under way is found to have failed; what must be undone follows from that."""

    trouble: Failure | None = None
    """What is wrong with what runs, and stays so until a person acts: told once, as long as it stays the same."""

    failing: tuple[str, int | None] | None = None
    """The unit whose last lines belong to the failure, and the revision of its cell (None: a service's)."""

    step: Step | None = None
    revision: int | None = None
    """Whose cell the step is about."""

    event: Event | None = None
    note: tuple[str, str] | None = None
    """A word and a sentence for the event log, written when the step has been taken."""

    begin: Change | None = None
    """A change that Aerodrome begins by itself; its revision is not known yet."""

    again_after: float = QUICK


def failed(code: str, message: str, failing: tuple[str, int | None] | None = None) -> Plan:
    """The plan that writes a failure down."""
    failure = Failure(code=code, message=message)
    return Plan(phase="failed", detail=message, failure=failure, failing=failing, again_after=0)
