"""Decides what happens to a unit: one table of states, the back-off, and who may start or must stop now.

Pure: state, event and time go in, the new state and one action come out. The supervisor performs the actions and feeds
back what happened. This module must not read a clock, a file or a process.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from collections.abc import Set as AbstractSet

WAITING = "waiting"
STARTING = "starting"
READY = "ready"
BACKING_OFF = "backing_off"
STOPPING = "stopping"
STOPPED = "stopped"

START = "start"  # its turn has come
SERVES = "serves"  # its readiness was seen
EXITED = "exited"  # its main process is dead
STOP = "stop"  # it is not wanted any more
RESTART = "restart"  # it is wanted, in a new process
OVERDUE = "overdue"  # it has not stopped in its grace
HUNG = "hung"  # its process lives and does nothing any more

LAUNCH = "launch"
TERMINATE = "terminate"
KILL = "kill"
NOTHING = "nothing"

TABLE = {
    (WAITING, START): (STARTING, LAUNCH),
    (WAITING, STOP): (STOPPED, NOTHING),
    (WAITING, RESTART): (WAITING, NOTHING),
    (STARTING, SERVES): (READY, NOTHING),
    (STARTING, EXITED): (BACKING_OFF, NOTHING),
    (STARTING, STOP): (STOPPING, TERMINATE),
    (STARTING, RESTART): (STOPPING, TERMINATE),
    (STARTING, HUNG): (STARTING, KILL),
    (READY, EXITED): (BACKING_OFF, NOTHING),
    (READY, STOP): (STOPPING, TERMINATE),
    (READY, RESTART): (STOPPING, TERMINATE),
    (READY, HUNG): (READY, KILL),
    (BACKING_OFF, START): (STARTING, LAUNCH),
    (BACKING_OFF, STOP): (STOPPED, NOTHING),
    (BACKING_OFF, RESTART): (WAITING, NOTHING),
    (STOPPING, EXITED): (STOPPED, NOTHING),
    (STOPPING, OVERDUE): (STOPPING, KILL),
    (STOPPING, HUNG): (STOPPING, KILL),
    (STOPPING, STOP): (STOPPING, NOTHING),
    (STOPPING, RESTART): (STOPPING, NOTHING),
    (STOPPED, STOP): (STOPPED, NOTHING),
    (STOPPED, RESTART): (WAITING, NOTHING),
}
"""(state, event) -> (state, action); a missing key is an illegal move."""

LIVE = frozenset({STARTING, READY, STOPPING})
"""The states in which a unit has a process."""

FIRST_DELAY = 0.2  # seconds before the first restart: well inside the 3 s in which a killed unit must run again
LONGEST_DELAY = 10.0  # seconds; a unit that cannot start costs little, and comes back soon after its cause is gone
HEALTHY_AFTER = 60.0  # seconds of being ready after which earlier failures are forgotten
KILL_AGAIN = 5.0  # seconds between SIGKILLs; a second one helps only against a race


class IllegalMoveError(Exception):
    """The table has no row for this state and event: a fault in the caller."""


@dataclass(frozen=True)
class UnitState:
    """What is decided about one unit. Times are seconds of the monotonic clock."""

    name: str
    after: tuple[str, ...] = ()
    grace: float = 30.0
    state: str = WAITING
    since: float = 0.0
    wanted: bool = True
    begun: bool = False
    ready_since: float | None = None
    failures: int = 0
    restarts: int = 0
    next_start_at: float | None = None
    stop_deadline: float | None = None


def decide(unit: UnitState, event: str, now: float) -> tuple[UnitState, str]:
    """The unit after `event` and the action that it asks for. Raises IllegalMoveError."""
    try:
        state, action = TABLE[unit.state, event]
    except KeyError:
        raise IllegalMoveError(f"unit {unit.name}: {event} while {unit.state}") from None
    since = unit.since if state == unit.state else now
    changed = replace(_FACTS[event](unit, now), state=state, since=since)
    if changed.state == STOPPED and changed.wanted:
        return decide(changed, RESTART, now)
    return changed, action


def delay(failures: int) -> float:
    """Seconds to wait before the start that follows `failures` failures in a row (at least 1)."""
    return float(min(LONGEST_DELAY, FIRST_DELAY * 2 ** min(failures - 1, 16)))


def plan(units: Mapping[str, UnitState], to_stop: AbstractSet[str], now: float) -> list[tuple[str, str]]:
    """The events that are due now, as (name, event). `to_stop` names the units that must stop for good."""
    moves = ((name, _due(unit, units, to_stop, now)) for name, unit in units.items())
    return [(name, event) for name, event in moves if event is not None]


def wake(units: Mapping[str, UnitState]) -> float | None:
    """The time of the next back-off or grace that ends; None when none is running."""
    times = [time for unit in units.values() for time in (unit.next_start_at, unit.stop_deadline) if time is not None]
    return min(times) if times else None


def _due(unit: UnitState, units: Mapping[str, UnitState], to_stop: AbstractSet[str], now: float) -> str | None:
    if unit.state == STOPPED:
        return None
    if unit.state == STOPPING:
        return OVERDUE if unit.stop_deadline is not None and now >= unit.stop_deadline else None
    if unit.name in to_stop and not _leaned_on(unit, units, to_stop):
        return STOP
    if unit.state == WAITING and unit.name not in to_stop:
        return START if unit.begun or _needs_met(unit, units) else None
    if unit.state == BACKING_OFF and unit.next_start_at is not None and now >= unit.next_start_at:
        return START
    return None


def _leaned_on(unit: UnitState, units: Mapping[str, UnitState], to_stop: AbstractSet[str]) -> bool:
    """Whether another unit that is going away still needs this one, as a worker that drains needs its broker."""
    others = (other for name, other in units.items() if name in to_stop)
    return any(unit.name in other.after and other.state != STOPPED for other in others)


def _needs_met(unit: UnitState, units: Mapping[str, UnitState]) -> bool:
    return all(name in units and units[name].state == READY for name in unit.after)


def _started(unit: UnitState, now: float) -> UnitState:
    del now
    return replace(unit, begun=True, restarts=unit.restarts + int(unit.begun), next_start_at=None, ready_since=None)


def _serves(unit: UnitState, now: float) -> UnitState:
    return replace(unit, ready_since=now)


def _exited(unit: UnitState, now: float) -> UnitState:
    gone = replace(unit, ready_since=None, stop_deadline=None)
    if unit.state == STOPPING:
        return replace(gone, failures=0)
    healthy = unit.ready_since is not None and now - unit.ready_since >= HEALTHY_AFTER
    failures = 1 if healthy else unit.failures + 1
    return replace(gone, failures=failures, next_start_at=now + delay(failures))


def _stopped(unit: UnitState, now: float) -> UnitState:
    return _with_deadline(replace(unit, wanted=False, next_start_at=None), now)


def _restarted(unit: UnitState, now: float) -> UnitState:
    return _with_deadline(replace(unit, wanted=True, failures=0, next_start_at=None), now)


def _with_deadline(unit: UnitState, now: float) -> UnitState:
    """The grace runs from the first request to stop; a second one does not prolong it."""
    if unit.state in (STARTING, READY):
        return replace(unit, stop_deadline=now + unit.grace)
    return unit


def _overdue(unit: UnitState, now: float) -> UnitState:
    return replace(unit, stop_deadline=now + KILL_AGAIN)


def _hung(unit: UnitState, now: float) -> UnitState:
    """Changes nothing: its death is reported like any other, and decides what follows."""
    del now
    return unit


_FACTS = {
    START: _started,
    SERVES: _serves,
    EXITED: _exited,
    STOP: _stopped,
    RESTART: _restarted,
    OVERDUE: _overdue,
    HUNG: _hung,
}
