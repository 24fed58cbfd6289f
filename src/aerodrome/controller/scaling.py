"""Decides how many workers an environment has, which of them take no more tasks, and which of them end. Pure.

MWAA's rule: as many as the queued and the running tasks need, from MinWorkers to MaxWorkers. More come at once. Fewer
are enough when fewer would have been all through the last while, so that a load that goes up and down moves nothing.
Workers that are too many take no more tasks; each ends when it has been seen twice to hold none. If the load returns
before, they take tasks again.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import count as counting

from aerodrome.controller.plans import CALM
from aerodrome.model import zones
from aerodrome.model.demand import Demand
from aerodrome.model.observed import Cell, Unit
from aerodrome.model.orders import CellOrder
from aerodrome.model.spec import Spec

SAMPLE_EVERY = 1.0
"""Seconds between two looks, where the number of workers or of web servers may change."""

EMPTY_FOR = 1.0
"""Seconds for which a worker has held no task before it ends; one look is never enough for that."""

HOUR = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How soon workers go. In seconds."""

    scale_in_after: float
    """For how long fewer workers must have been enough."""

    drain_limit: float
    """After which the tasks of a worker that takes no more are ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Crew:
    """The workers of a cell by their numbers."""

    workers: tuple[int, ...]
    draining: tuple[int, ...] = ()
    zones: int = 1
    """How many zones they are in; their numbers tell in which (`model.zones`)."""

    without: tuple[int, ...] = ()
    """The places of zones where none can come now."""

    @property
    def active(self) -> tuple[int, ...]:
        """Those that take tasks."""
        return tuple(number for number in self.workers if number not in self.draining)

    def in_zones(self, numbers: Iterable[int]) -> dict[int, list[int]]:
        """These numbers by the places of their zones, of all zones where workers can come."""
        found: dict[int, list[int]] = {place: [] for place in range(self.zones) if place not in self.without}
        for number in numbers:
            found.get(zones.of_number(number, self.zones), []).append(number)
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One change of a crew, and the sentence that tells it."""

    crew: Crew
    sentence: str
    is_forced: bool = False
    """Whether it ends tasks."""


def standing(spec: Spec, found: Cell) -> Crew:
    """The crew that a cell has, within the bounds of the spec. A new cell begins with MinWorkers."""
    known = _known(found)
    count = _within(spec, len(known.active))
    left = [number for number in known.workers if zones.of_number(number, known.zones) not in known.without]
    staying = replace(known, workers=tuple(left), draining=tuple(number for number in known.draining if number in left))
    return sized(staying, count, {})


def _known(found: Cell) -> Crew:
    """As it was ordered. When nobody knows the order, every worker goes on that is there or should be."""
    if isinstance(found.order, CellOrder):
        order = found.order
        known = Crew(
            workers=order.workers,
            draining=order.draining,
            zones=len(zones.places(order)),
            without=order.without,
        )
        return known if found.runs else Crew(workers=known.active, zones=known.zones)
    units = (*found.workers, *(Unit(name=name, state="", restarts=0) for name in found.wanted))
    return Crew(workers=tuple(sorted({unit.number for unit in units if unit.number is not None})))


def step(spec: Spec, slots: int, crew: Crew, demand: Demand, pace: Pace) -> Step | None:
    """The next change of the crew; None = it is as it should be. `slots` are the tasks that a worker runs at once."""
    count = wanted(spec, slots, len(crew.active), demand, pace)
    if count != len(crew.active):
        return Step(crew=sized(crew, count, demand.busy), sentence=_sentence(spec, slots, demand, count))
    return _balanced(crew, demand.busy) or _ended(crew, demand, pace)


def pause(spec: Spec) -> float:
    """Seconds until the next look at an environment that is as it should be."""
    may_change = spec.min_workers < spec.max_workers or spec.running_webservers < spec.most_running_webservers
    return SAMPLE_EVERY if may_change else CALM


def wanted(spec: Spec, slots: int, active: int, demand: Demand, pace: Pace) -> int:
    """How many workers shall take tasks, when `active` do."""
    if not demand.is_known:
        return _within(spec, active)
    needed, lately = math.ceil(demand.tasks / slots), math.ceil(_peak(demand) / slots)
    if needed > active:
        return _within(spec, needed)
    # Before we have looked for so long, nobody knows what was needed.
    is_over = demand.looked_for >= pace.scale_in_after
    return _within(spec, min(active, lately) if is_over else active)


def sized(crew: Crew, count: int, busy: Mapping[int, int]) -> Crew:
    """The crew with so many workers that take tasks: the emptiest stop to, and those that have stopped come first."""
    active, draining = list(crew.active), list(crew.draining)
    while len(active) > count:
        leaving = _emptiest(crew, active, busy)
        active.remove(leaving)
        draining.append(leaving)
    while len(active) < count:
        coming = _next(crew, active, draining, busy)
        if coming in draining:
            draining.remove(coming)
        active.append(coming)
    return replace(crew, workers=tuple(sorted({*active, *draining})), draining=tuple(sorted(draining)))


def _emptiest(crew: Crew, active: Collection[int], busy: Mapping[int, int]) -> int:
    """Which of these is to leave first: the emptiest, of the zone that has most of them."""
    fullest = max(map(len, crew.in_zones(active).values()))
    candidates = [number for each in crew.in_zones(active).values() if len(each) == fullest for number in each]
    return min(candidates or active, key=lambda number: (busy.get(number, 0), -number))


def _next(crew: Crew, active: Collection[int], draining: Collection[int], busy: Mapping[int, int]) -> int:
    """The worker that is to take tasks next: the busiest that has stopped to, or else a new one; where fewest are."""
    by_zone = crew.in_zones(active)
    fewest = min(map(len, by_zone.values()))
    lacking = [place for place, each in by_zone.items() if len(each) == fewest]
    here = [number for number in draining if zones.of_number(number, crew.zones) in lacking]
    if draining:
        return min(here or draining, key=lambda number: (-busy.get(number, 0), number))
    return next(number for number in counting(lacking[0] + 1, crew.zones) if number not in active)


def _balanced(crew: Crew, busy: Mapping[int, int]) -> Step | None:
    """One worker that comes where there are few, for one that leaves where there are many; None = they are balanced."""
    by_zone = crew.in_zones(crew.active)
    fullest, fewest = max(map(len, by_zone.values())), min(map(len, by_zone.values()))
    if fullest - fewest < 2 or crew.draining:  # noqa: PLR2004 - one more is as even as can be
        return None
    coming, leaving = _next(crew, crew.active, (), busy), _emptiest(crew, crew.active, busy)
    sentence = (
        f"{fullest} workers in one zone, {fewest} in the other → worker-{coming} comes, worker-{leaving} takes no more "
        "tasks"
    )
    workers = tuple(sorted({*crew.workers, coming}))
    return Step(crew=replace(crew, workers=workers, draining=(leaving,)), sentence=sentence)


def _ended(crew: Crew, demand: Demand, pace: Pace) -> Step | None:
    """Without the workers that hold no task any more, or else without those that are over their limit."""
    known = {number: demand.drains[number] for number in crew.draining if number in demand.drains}
    empty = [number for number, drain in known.items() if drain.empty_for is not None and drain.empty_for >= EMPTY_FOR]
    if empty:
        sentence = f"{_names(empty)} {'hold' if len(empty) > 1 else 'holds'} no task any more and {_end(empty)}."
        return Step(crew=_without(crew, empty), sentence=sentence)
    late = [number for number, drain in known.items() if drain.empty_for is None and drain.lasts > pace.drain_limit]
    if not late:
        return None
    hours = f"{pace.drain_limit / HOUR:g} h"
    sentence = (
        f"{_names(late)} still {'run' if len(late) > 1 else 'runs'} tasks {hours} after taking the last one, "
        f"and {_end(late)}; Airflow retries those tasks."
    )
    return Step(crew=_without(crew, late), sentence=sentence, is_forced=True)


def _without(crew: Crew, gone: list[int]) -> Crew:
    return replace(
        crew,
        workers=tuple(number for number in crew.workers if number not in gone),
        draining=tuple(number for number in crew.draining if number not in gone),
    )


def _within(spec: Spec, count: int) -> int:
    return min(max(count, spec.min_workers), spec.max_workers)


def _peak(demand: Demand) -> int:
    return max((peak.tasks for peak in demand.peaks), default=demand.tasks)


def _sentence(spec: Spec, slots: int, demand: Demand, count: int) -> str:
    workers = f"{count} worker{'s' if count > 1 else ''}"
    if not demand.is_known:
        return f"MinWorkers is {spec.min_workers}, MaxWorkers {spec.max_workers} → {workers}"
    peak, load = _peak(demand), f"{demand.queued} queued + {demand.running} running"
    lately = f" (lately up to {peak})" if peak > demand.tasks and math.ceil(peak / slots) == count else ""
    bound = ""
    if math.ceil(demand.tasks / slots) > count:
        bound = " (MaxWorkers)"
    elif math.ceil(peak / slots) < count:
        bound = " (MinWorkers)"
    return f"{load}{lately}, {slots} a worker → {workers}{bound}"


def _names(numbers: Iterable[int]) -> str:
    return ", ".join(f"worker-{number}" for number in sorted(numbers))


def _end(numbers: list[int]) -> str:
    return "end" if len(numbers) > 1 else "ends"
