"""Which events of one PutLogEvents request are taken: AWS's limits of size, order, span and age. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from aerodrome.telemetry.refusals import invalid

EVENT_OVERHEAD = 26
"""Bytes that AWS counts for each event beside its message."""

BATCH_BYTES = 1_048_576
HOUR, DAY = 3_600_000, 86_400_000
"""Milliseconds."""

SPAN = DAY
NEWEST = 2 * HOUR
"""How far in the future an event may be."""

OLDEST = 14 * DAY


@dataclass(frozen=True, slots=True)
class LogEvent:
    """One event as it was sent."""

    moment: int
    """Milliseconds since 1970."""
    message: str

    @property
    def size(self) -> int:
        """Bytes, as AWS counts them."""
        return len(self.message.encode()) + EVENT_OVERHEAD


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptedEvents:
    """What is taken of a batch, and which parts of it are not; indices as AWS tells them, None = no such event."""

    events: tuple[LogEvent, ...]
    too_new_from: int | None = None
    too_old_until: int | None = None
    expired_until: int | None = None


def accept(batch: Sequence[LogEvent], *, now: int, retention_days: int | None) -> AcceptedEvents:
    """Sort out what is too old, too new, or beyond the group's retention (None = for ever).

    Raises:
        TelemetryRefusedError: the whole batch is wrong.
    """
    size = sum(event.size for event in batch)
    if size > BATCH_BYTES:
        raise invalid(f"Upload too large: {size} bytes exceeds limit of {BATCH_BYTES}")
    if any(later.moment < earlier.moment for earlier, later in pairwise(batch)):
        raise invalid("Log events in a single PutLogEvents request must be in chronological order.")
    old = _before(batch, now - OLDEST)
    expired = 0 if retention_days is None else _before(batch, now - retention_days * DAY)
    new = _before(batch, now + NEWEST + 1)
    events = tuple(batch[max(old, expired) : new])
    if events and events[-1].moment - events[0].moment > SPAN:
        raise invalid("The batch of log events in a single PutLogEvents request cannot span more than 24 hours.")
    return AcceptedEvents(
        events=events,
        too_new_from=new if new < len(batch) else None,
        too_old_until=old or None,
        expired_until=expired or None,
    )


def _before(batch: Sequence[LogEvent], moment: int) -> int:
    """How many events of the batch, which is in order, are earlier."""
    return next((number for number, event in enumerate(batch) if event.moment >= moment), len(batch))
