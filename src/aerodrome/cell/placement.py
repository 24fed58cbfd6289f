"""Where the processes of a cell are: each unit in a control group of its own, or under rlimits where there are none.

The agent moves a new process before it lets it become its unit, for the process may have no rights by then. What a
unit starts later is in its group too, whatever session or user it takes.

Where memory is short, the kernel ends the process with the highest score. DAG code gets a higher one than what it was
forked from: the agent counts the forks between a process and its unit.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from . import cgroups, kernel, logs

if TYPE_CHECKING:
    from typing import Any

    from .specs import UnitLimits, UnitSpec

LOOK_EVERY = 1.0  # seconds between two looks
ONE_EVENT = 60.0  # seconds; what the kernel refuses again within them belongs to the same event
OWN = "cell"  # the group of the agent and of the processes that it forks from
COMMANDS = "commands"  # the group that all commands share which run once
SCORES = (0, 100, 400, 700)  # oom_score_adj by the number of forks from the unit; the last for orphans too


class UnitLimitMet(NamedTuple):
    """A limit that a unit has met. Times are seconds of the monotonic clock."""

    limit: str
    """`memory` or `processes`."""
    times: int
    """Processes that were ended, or refused."""
    at: float
    """When it began."""
    last: float


@dataclass
class Placed:
    """A unit's group, and what is known of it."""

    group: cgroups.ControlGroup
    counts: cgroups.Counts
    scored: set[int] = field(default_factory=set)
    """The processes that have their score."""
    met: dict[str, UnitLimitMet] = field(default_factory=dict)
    """The last time that each limit was met."""


class Placement:
    """The groups of a cell's processes, below `group`; None = there are none.

    `writable`: the folders in which units may make files; None = wherever modes let them.
    """

    def __init__(self, group: cgroups.ControlGroup | None, writable: list[str] | None = None) -> None:
        self._group = group
        self._writable = writable
        self._placed: dict[str, Placed] = {}
        self._looked_at = 0.0

    def enter(self, *pids: int) -> None:
        """Puts the cell's own processes where they belong; where that is refused, nothing has a group."""
        if self._group is None:
            return
        own = self._group.below(OWN)
        try:
            cgroups.make(own)
            for pid in pids:
                cgroups.enter(own, pid)
        except OSError as error:
            logs.say("no control groups", error=error.strerror, places=own.places)
            self._group = None

    def place(self, spec: UnitSpec, pid: int) -> dict[str, Any]:
        """Puts a new process of the unit into its group; returns the document that it becomes the unit by."""
        placed = self._made(spec.name, spec.limits, pid)
        if placed is None:
            self._placed.pop(spec.name, None)
        else:
            before = self._placed.get(spec.name)
            placed.met = {} if before is None else before.met
            self._placed[spec.name] = placed
        _score(pid, 0)
        return self._document(spec, None if placed is None else placed.group)

    def place_command(self, spec: UnitSpec, pid: int) -> dict[str, Any]:
        """The same for a command that runs once."""
        placed = self._made(COMMANDS, spec.limits, pid)
        _score(pid, 1)
        return self._document(spec, None if placed is None else placed.group)

    def adopt(self, name: str, pid: int) -> None:
        """Finds the group of a unit that a former cell has started; one of an earlier Aerodrome has none."""
        if self._group is not None and cgroups.holds(self._group.below(name), pid):
            group = self._group.below(name)
            self._placed[name] = Placed(group, cgroups.counts(group))

    def renew(self, spec: UnitSpec) -> None:
        """Sets the limits of a unit that runs, whatever they were."""
        placed = self._placed.get(spec.name)
        if placed is not None:
            _tell(spec.name, cgroups.limit(placed.group, _limits(spec.limits)))

    def look(self, mains: dict[str, int], now: float) -> None:
        """Counts what the kernel has refused, and scores new processes. `mains` are the units' own processes."""
        if now - self._looked_at < LOOK_EVERY:
            return
        self._looked_at = now
        for name, placed in self._placed.items():
            _count(placed, now)
            if name in mains:
                _score_new(placed, mains[name])

    def met(self, name: str) -> dict[str, UnitLimitMet]:
        """The limits that the unit has met, each with the last time."""
        placed = self._placed.get(name)
        return {} if placed is None else placed.met

    def kill(self, name: str, now: float) -> int | None:
        """SIGKILLs all that is left of the unit; returns how many there were, and None where it has no group."""
        placed = self._placed.get(name)
        if placed is None:
            return None
        _count(placed, now)  # its death may be what tells of a limit
        return cgroups.kill(placed.group)

    def forget(self, name: str) -> None:
        """Removes the group of a unit that is gone for good."""
        placed = self._placed.pop(name, None)
        if placed is not None:
            cgroups.remove(placed.group)

    def end(self) -> int:
        """Kills all that is left in groups of units; returns how many processes there were."""
        if self._group is None:
            return 0
        groups = [placed.group for placed in self._placed.values()] + [self._group.below(COMMANDS)]
        left = sum(cgroups.kill(group) for group in groups if cgroups.exists(group))
        for group in groups:
            cgroups.remove(group)
        return left

    def _made(self, name: str, limits: UnitLimits, pid: int) -> Placed | None:
        """The group of that name with these limits and the process in it; None where there is none."""
        if self._group is None:
            return None
        group = self._group.below(name)
        try:
            _tell(name, cgroups.make(group, _limits(limits)))
            cgroups.enter(group, pid)
        except OSError as error:
            logs.say("not in a control group", unit=name, error=error.strerror)
            return None
        return Placed(group, cgroups.counts(group))

    def _document(self, spec: UnitSpec, group: cgroups.ControlGroup | None) -> dict[str, Any]:
        """The specification, without the limits that the group sees to: what is left becomes rlimits (`child`)."""
        document = spec.document()
        held = set() if group is None else set(group.folders)
        left = dict(document["limits"])
        if cgroups.PROCESSES in held:
            left.update(processes=None, user_processes=None)
        if cgroups.MEMORY in held:
            left.update(memory=None)
        return dict(document, limits=left, writable=self._writable)


def _limits(limits: UnitLimits) -> cgroups.Limits:
    return cgroups.Limits(processes=limits.processes, memory=limits.memory, processors=limits.processors)


def _tell(name: str, refused: list[str]) -> None:
    if refused:
        logs.say("limits not set", unit=name, files=refused)


def _count(placed: Placed, now: float) -> None:
    found = cgroups.counts(placed.group)
    news = {"processes": found.refused - placed.counts.refused, "memory": found.killed - placed.counts.killed}
    placed.counts = found
    for limit, times in news.items():
        if times > 0:
            placed.met[limit] = met(placed.met.get(limit), limit, times, now)


def met(before: UnitLimitMet | None, limit: str, times: int, now: float) -> UnitLimitMet:
    """The limit, met again so many times; what follows within a minute is the same event. Pure."""
    if before is not None and now - before.last < ONE_EVENT:
        return before._replace(times=before.times + times, last=now)
    return UnitLimitMet(limit, times, now, now)


def _score_new(placed: Placed, main: int) -> None:
    """Scores the processes that have come since the last look."""
    present = cgroups.members(placed.group)
    for pid in present - placed.scored - {main}:
        _score(pid, _forks(pid, main, present))
    placed.scored = present


def _forks(pid: int, main: int, present: set[int]) -> int:
    """How many forks lie between the unit's own process and this one; the most that count for an orphan."""
    for depth in range(1, len(SCORES)):
        found = kernel.process(pid)
        if found is None or found.parent not in present:
            break
        if found.parent == main:
            return depth
        pid = found.parent
    return len(SCORES) - 1


def _score(pid: int, forks: int) -> None:
    # Where that is refused, the largest process is ended first.
    with contextlib.suppress(OSError), open(f"/proc/{pid}/oom_score_adj", "w", encoding="ascii") as file:
        file.write(str(SCORES[forks]))
