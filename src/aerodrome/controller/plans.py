"""What a plan is: one of seven moves. `plan` makes one at each look, `loop` carries it out. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from aerodrome.model.change import Change
from aerodrome.model.environment import Failure
from aerodrome.model.hibernation import HibernationStep
from aerodrome.model.history import Snapshot
from aerodrome.model.lifecycle import Event
from aerodrome.model.orders import Order
from aerodrome.model.phases import Phase

QUICK = 0.1
"""Seconds between two looks while something is under way."""

CALM = 2.0
"""Seconds between two looks at an environment that is as it should be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EventNote:
    """An entry for the event log."""

    kind: str
    sentence: str
    revision: int | None = None
    figures: Mapping[str, int] = field(default_factory=dict)
    """What the sentence says in numbers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """Do nothing now."""

    phase: Phase
    detail: str
    fraction: float | None = None
    """How much of the phase is done, 0..1; None = nobody can tell."""

    trouble: Failure | None = None
    """What is wrong until a person acts. It is told once, as long as it stays the same."""

    again_after: float = QUICK


@dataclass(frozen=True, slots=True, kw_only=True)
class Take:
    """Give these orders, one after the other."""

    phase: Phase
    detail: str
    orders: tuple[Order, ...]
    fraction: float | None = None
    note: EventNote | None = None
    """Written when the orders have been given."""

    reached: Change | None = None
    """How far the change is when they have been given; None = as far as before."""

    again_after: float = QUICK


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """Write down how far the change is."""

    phase: Phase
    detail: str
    change: Change
    snapshot: Snapshot | None = None
    """One that has been taken."""

    again_after: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Happen:
    """Let an event happen, which changes the status."""

    phase: Phase
    detail: str
    event: Event
    forget: int | None = None
    """The number of a snapshot that is removed first, because its change came to nothing."""

    again_after: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Begin:
    """Begin a change by ourselves; its revision is not known yet."""

    phase: Phase
    detail: str
    change: Change
    again_after: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sleep:
    """Write down how far the environment is on its way to sleep or back, unless somebody was faster."""

    phase: Phase
    detail: str
    step: HibernationStep
    again_after: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Fail:
    """The change under way has failed, and will be undone."""

    failure: Failure
    failing: tuple[str, int | None] | None = None
    """The unit whose last lines belong to the failure, and the revision of its cell (None: a service's)."""

    again_after: float = 0.0


Plan = Wait | Take | Reach | Happen | Begin | Sleep | Fail


def failed(code: str, message: str, failing: tuple[str, int | None] | None = None) -> Fail:
    """The plan that writes a failure down."""
    return Fail(failure=Failure(code=code, message=message), failing=failing)
