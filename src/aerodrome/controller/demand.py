"""Remembers what was seen of an environment's tasks and workers: from one look to the next. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from aerodrome.model.demand import Demand, Drain, Peak
from aerodrome.model.observed import Cell, QueueSeen, TasksSeen, Unit
from aerodrome.model.orders import CellOrder

LONGEST_STEP = 2.0
"""Seconds that one look adds at most, however long ago the one before was. Of the rest of the time nobody knows."""

NO_PROCESS = frozenset({"waiting", "backing_off", "stopped"})
"""States of a unit that has no process, and so no task."""


def seen(
    before: Demand | None,
    revision: int,
    cell: Cell,
    queue: QueueSeen | None,
    tasks: TasksSeen | None,
    *,
    window: float,
    now: datetime,
) -> Demand:
    """What is remembered after this look; of the moments within the `window` (seconds) the highest peaks."""
    if before is None or before.revision != revision:
        before = Demand(at=now, revision=revision, is_known=False)
    step = min(max((now - before.at).total_seconds(), 0.0), LONGEST_STEP)
    busy = _busy(revision, queue, tasks)
    known = Demand(
        at=now,
        revision=revision,
        is_known=tasks is not None,
        queued=before.queued if tasks is None else tasks.queued,
        running=before.running if tasks is None else _running(tasks, revision),
        looked_for=before.looked_for,
        peaks=before.peaks,
        busy=busy,
        drains=_drains(before.drains, cell, busy, step),
        astray_for=_astray_for(before, queue, tasks, step),
        counted_at=before.counted_at if tasks is None else tasks.counted_at,
    )
    return known if tasks is None else _with_peak(known, step, window)


def is_astray(queue: QueueSeen | None, tasks: TasksSeen | None) -> bool:
    """Whether tasks have been queued for long although the queue is empty and no worker holds a message of them.

    A worker that holds more messages than tasks of its run has begun with none of the others yet: they may be these.
    """
    if queue is None or tasks is None or not tasks.overdue or queue.waiting:
        return False
    return all(count <= tasks.running.get(worker, 0) for worker, count in queue.held.items())


def _astray_for(before: Demand, queue: QueueSeen | None, tasks: TasksSeen | None, step: float) -> float:
    """The queue is read at each look, and the tasks are not: an old count beside a new queue is no second sight."""
    if not is_astray(queue, tasks):
        return 0.0
    is_new = tasks is not None and (tasks.counted_at is None or tasks.counted_at != before.counted_at)
    return before.astray_for + step if is_new else before.astray_for


def _with_peak(demand: Demand, step: float, window: float) -> Demand:
    """With this moment's tasks among the peaks, and without those that are older than the window."""
    older = (Peak(ago=peak.ago + step, tasks=peak.tasks) for peak in demand.peaks)
    peaks = [peak for peak in older if peak.ago <= window and peak.tasks > demand.tasks]
    looked_for = min(demand.looked_for + step, window)
    return replace(demand, looked_for=looked_for, peaks=(*peaks, Peak(ago=0.0, tasks=demand.tasks)))


def _running(tasks: TasksSeen, revision: int) -> int:
    return sum(count for (of, _), count in tasks.running.items() if of == revision)


def _busy(revision: int, queue: QueueSeen | None, tasks: TasksSeen | None) -> Mapping[int, int]:
    """Number of a worker → how many tasks it has, by whoever knows of more."""
    found: dict[int, int] = {}
    for counts in (queue.held if queue else {}, tasks.running if tasks else {}):
        for (of, worker), count in counts.items():
            number = Unit(name=worker, state="", restarts=0).number
            if of == revision and number is not None:
                found[number] = max(found.get(number, 0), count)
    return found


def _drains(before: Mapping[int, Drain], cell: Cell, busy: Mapping[int, int], step: float) -> Mapping[int, Drain]:
    draining = cell.order.draining if isinstance(cell.order, CellOrder) else ()
    units = {unit.number: unit for unit in cell.workers}
    return {number: _drain(before.get(number), units.get(number), busy.get(number, 0), step) for number in draining}


def _drain(before: Drain | None, unit: Unit | None, tasks: int, step: float) -> Drain:
    if before is None:
        return Drain()
    is_gone = unit is None or unit.state in NO_PROCESS
    is_empty = tasks == 0 and (is_gone or (unit is not None and unit.holds == 0))
    if not is_empty:
        return Drain(lasts=before.lasts + step)
    return Drain(lasts=before.lasts + step, empty_for=0.0 if before.empty_for is None else before.empty_for + step)
