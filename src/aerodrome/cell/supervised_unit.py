"""One unit of the cell: its specification, what was decided about it, and the process it has.

Also the views of it for others: the status that clients see, and the record that the state file keeps. It only reads.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from . import liveness, logs, placement, readiness, specs, state_file, units

if TYPE_CHECKING:
    from typing import Any

CONNECT = "connect:"
STARTED = "started"
SILENT = "silent"  # what the status calls a unit that was ready and may not live any more


@dataclass
class SupervisedUnit:
    """One unit: what is wanted, what was decided, and the process there is."""

    spec: specs.UnitSpec
    decided: units.UnitState
    running: specs.UnitSpec | None = None
    """What the process was started with; None without a process."""
    digest: str = ""
    pid: int | None = None
    start: int = 0
    started_at: float | None = None
    """Seconds since 1970; None = a former cell started it, or nobody has."""
    adopted: bool = False
    notices: readiness.NotifyReader | None = None
    last_exit: dict[str, Any] | None = None
    """Its `at` is in seconds since 1970, as the clock was then: who was told of an exit knows it by that."""
    trouble: str = ""
    """Why it could not be started."""
    pulse: liveness.Pulse = field(default_factory=liveness.Pulse)
    met: dict[str, placement.UnitLimitMet] = field(default_factory=dict)
    """The limits that it has met, each with the last time."""
    hung: str = ""
    """Why it is killed, if that is because it hangs; empty otherwise."""


def status(unit: SupervisedUnit, now: float) -> dict[str, Any]:
    """What the control socket tells of a unit; times are seconds since 1970."""
    decided = unit.decided
    offset = time.time() - now
    return {
        "name": decided.name,
        "state": SILENT if decided.state == units.READY and liveness.is_doubtful(unit.pulse) else decided.state,
        "pid": unit.pid,
        "since": _wall(decided.since, offset),
        "started_at": unit.started_at,
        "ready_since": _wall(decided.ready_since, offset),
        "restarts": decided.restarts,
        "last_exit": unit.last_exit,
        "next_start_at": _wall(decided.next_start_at, offset),
        "status_text": unit.trouble or (unit.notices.status if unit.notices is not None else ""),
        "holds": None if unit.notices is None else unit.notices.holds,
        "log": unit.spec.log,
        "limits_met": [
            {
                "limit": met.limit,
                "allowed": getattr(unit.spec.limits, met.limit),
                "times": met.times,
                "at": _wall(met.at, offset),
            }
            for met in unit.met.values()
        ],
    }


def _wall(moment: float | None, offset: float) -> float | None:
    return None if moment is None else round(moment + offset, 3)


def fresh(spec: specs.UnitSpec, now: float) -> SupervisedUnit:
    """A unit that has never been started."""
    return SupervisedUnit(spec, units.UnitState(name=spec.name, after=spec.after, grace=spec.grace, since=now))


def record(unit: SupervisedUnit) -> state_file.Record:
    """What the state file keeps of a unit that has a process."""
    spec = unit.running or unit.spec
    pipe = None if unit.notices is None else unit.notices.inode
    return state_file.Record(
        spec, unit.digest, unit.pid or 0, unit.start, unit.decided, unit.last_exit, pipe, unit.pulse.beats
    )


def adopted(record: state_file.Record) -> SupervisedUnit:
    """The unit of a former cell. The next look finds out whether it still lives, as for any adopted unit."""
    reader = None if record.pipe is None else readiness.reopen_pipe(record.pid, record.pipe)
    logs.say("unit adopted", unit=record.spec.name, pid=record.pid)
    return SupervisedUnit(
        spec=record.spec,
        decided=record.unit,
        running=record.spec,
        digest=record.digest,
        pid=record.pid,
        start=record.start,
        adopted=True,
        notices=None if reader is None else readiness.NotifyReader(reader),
        last_exit=record.last_exit,
        pulse=liveness.Pulse(beats=record.beats and reader is not None),
    )


def serves(unit: SupervisedUnit) -> bool:
    """Whether a starting unit has shown that it is ready."""
    ready = (unit.running or unit.spec).ready
    if ready == "notify":
        # An adopted unit that has closed its pipe said so while no cell listened: it has nothing else to say.
        return unit.notices.ready if unit.notices is not None else unit.adopted
    if ready.startswith(CONNECT):
        return readiness.accepts(ready[len(CONNECT) :])
    return ready == STARTED


def must_restart(unit: SupervisedUnit, spec: specs.UnitSpec) -> bool:
    """Whether the unit must begin anew to be as `spec` says. A unit that is stopping anyway only has to come back."""
    if unit.decided.state == units.STOPPING:
        return not unit.decided.wanted
    running = unit.digest if unit.pid is not None else unit.spec.digest
    return running != spec.digest
