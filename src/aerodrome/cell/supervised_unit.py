"""One unit of the roster: its specification, what was decided about it, and the process it has.

Views of that for others: the status that clients see, the record that the state file keeps. No effects but reading.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from . import liveness, logs, readiness, specs, state_file, units

if TYPE_CHECKING:
    from typing import Any

CONNECT = "connect:"
STARTED = "started"
SILENT = "silent"  # what the status calls a unit that was ready and may not live any more


@dataclass
class Member:
    """One unit: what is wanted, what was decided, and the process there is."""

    spec: specs.Spec
    unit: units.Unit
    running: specs.Spec | None = None
    """What the process was started with; None without a process."""
    digest: str = ""
    pid: int | None = None
    start: int = 0
    adopted: bool = False
    notices: readiness.Notices | None = None
    last_exit: dict[str, Any] | None = None
    trouble: str = ""
    """Why it could not be started."""
    pulse: liveness.Pulse = field(default_factory=liveness.Pulse)
    hung: str = ""
    """Why it is being killed, when it is because it does nothing any more."""


def status(member: Member, now: float) -> dict[str, Any]:
    """What the control socket tells of a unit; times are seconds since 1970."""
    unit = member.unit
    offset = time.time() - now
    last_exit = member.last_exit and dict(member.last_exit, at=_wall(member.last_exit["at"], offset))
    return {
        "name": unit.name,
        "state": SILENT if unit.state == units.READY and liveness.is_doubtful(member.pulse) else unit.state,
        "pid": member.pid,
        "since": _wall(unit.since, offset),
        "ready_since": _wall(unit.ready_since, offset),
        "restarts": unit.restarts,
        "last_exit": last_exit,
        "next_start_at": _wall(unit.next_start_at, offset),
        "status_text": member.trouble or (member.notices.status if member.notices is not None else ""),
        "log": member.spec.log,
    }


def _wall(moment: float | None, offset: float) -> float | None:
    return None if moment is None else round(moment + offset, 3)


def fresh(spec: specs.Spec, now: float) -> Member:
    """A unit that has never been started."""
    return Member(spec, units.Unit(name=spec.name, after=spec.after, grace=spec.grace, since=now))


def record(member: Member) -> state_file.Record:
    """What the state file keeps of a unit that has a process."""
    spec = member.running or member.spec
    pipe = None if member.notices is None else member.notices.inode
    return state_file.Record(
        spec, member.digest, member.pid or 0, member.start, member.unit, member.last_exit, pipe, member.pulse.beats
    )


def adopted(record: state_file.Record) -> Member:
    """The unit of a former cell. Whether it still lives is found out by the next look, as for any adopted unit."""
    reader = None if record.pipe is None else readiness.reopen_pipe(record.pid, record.pipe)
    logs.say("unit adopted", unit=record.spec.name, pid=record.pid)
    return Member(
        spec=record.spec,
        unit=record.unit,
        running=record.spec,
        digest=record.digest,
        pid=record.pid,
        start=record.start,
        adopted=True,
        notices=None if reader is None else readiness.Notices(reader),
        last_exit=record.last_exit,
        pulse=liveness.Pulse(beats=record.beats and reader is not None),
    )


def serves(member: Member) -> bool:
    """Whether a starting unit has shown that it is ready."""
    ready = (member.running or member.spec).ready
    if ready == "notify":
        # An adopted unit that has closed its pipe said so while no cell listened: it has nothing else to say.
        return member.notices.ready if member.notices is not None else member.adopted
    if ready.startswith(CONNECT):
        return readiness.accepts(ready[len(CONNECT) :])
    return ready == STARTED


def must_restart(member: Member, spec: specs.Spec) -> bool:
    """Whether the unit must begin anew to be as `spec` says; one that is stopping anyway must only come back."""
    if member.unit.state == units.STOPPING:
        return not member.unit.wanted
    running = member.digest if member.pid is not None else member.spec.digest
    return running != spec.digest
