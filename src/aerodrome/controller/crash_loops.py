"""Notices units that end again and again, so that a person is told once and not at every end. Pure.

The cell starts such a unit again, more and more slowly; the others go on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from aerodrome.model.observed import Observed, Unit

Key = tuple[int | None, str]
"""The revision of the cell (None: the services') and the unit."""

MANY = 5
"""So many ends, one soon after the other, are no accident."""

CALM_AFTER = timedelta(minutes=5)
"""A unit that has run for so long is well again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endings:
    """How often a unit has been started again."""

    before: int
    """Until the present series began."""

    now: int
    at: datetime
    """When the last of them was seen."""

    is_told: bool = False


def noted(
    before: Mapping[Key, Endings], observed: Observed, now: datetime
) -> tuple[dict[Key, Endings], list[tuple[Key, str]]]:
    """What is remembered after this look, and a sentence for each unit that is to be told of now."""
    remembered, told = {}, []
    for whose, cell in ((None, observed.services), *observed.cells.items()):
        for unit in cell.units:
            key = (whose, unit.name)
            found = _after(before.get(key), unit, now)
            if found.now - found.before >= MANY and not found.is_told:
                found = replace(found, is_told=True)
                told.append((key, _sentence(unit, found.now - found.before)))
            remembered[key] = found
    return remembered, told


def _after(before: Endings | None, unit: Unit, now: datetime) -> Endings:
    if before is None or unit.restarts < before.now or (unit.is_ready and now - before.at > CALM_AFTER):
        return Endings(before=unit.restarts, now=unit.restarts, at=now)
    return replace(before, now=unit.restarts, at=now if unit.restarts > before.now else before.at)


def _sentence(unit: Unit, count: int) -> str:
    why = f" (last time: {unit.last_exit})" if unit.last_exit else ""
    return f"{unit.name} has ended {count} times in a row{why}; it is started again more slowly, and the others go on."
