"""What of a revision runs in which zone, where its cell is spread over several. Pure.

Of what is numbered (schedulers, web servers, workers) the first runs in the first zone, the second in the second, and
so on, in turns. What tasks and triggers need is in every zone. What there is one of runs in the zone that leads.
"""

from __future__ import annotations

from aerodrome.model.orders import CellOrder

IN_TURNS = frozenset({"scheduler", "web", "worker"})
"""Kinds of units of which each zone has its share."""

IN_EACH = frozenset({"execution", "triggerer"})
"""Kinds of units that every zone has one of; those of the second zone have its number."""


def places(order: CellOrder) -> range:
    """The places of the zones; where it is not spread, there is one."""
    return range(max(1, len(order.zones)))


def living(order: CellOrder) -> tuple[int, ...]:
    """The places of the zones that are not lost."""
    return tuple(place for place in places(order) if place not in order.without)


def of_number(number: int, zones: int) -> int:
    """The place of the zone in which a numbered unit runs."""
    return (number - 1) % max(1, zones)


def has(order: CellOrder, place: int, kind: str, number: int) -> bool:
    """Whether the zone at that place has the unit of that kind and number."""
    if not order.zones or kind in IN_EACH:
        return True
    if kind in IN_TURNS:
        return of_number(number, len(order.zones)) == place
    return place == order.lead


def of_unit(kind: str, number: int, zones: int) -> int | None:
    """The place of the zone in which a unit of that kind and number runs; None = in whichever leads."""
    return of_number(number, zones) if kind in IN_TURNS | IN_EACH else None


def parted(name: str) -> tuple[str, int]:
    """The kind and the number of a unit: `worker-3` → worker, 3; `dag-processor` → dag-processor, 1."""
    kind, _, digits = name.rpartition("-")
    return (kind, int(digits)) if kind and digits.isdecimal() else (name, 1)
