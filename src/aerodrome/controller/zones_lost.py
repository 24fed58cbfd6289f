"""The decisions about a cell in several zones, one of which is lost: the others carry on, and it comes back. Pure.

Schedulers and web servers go on in the other zone without anybody's doing. What there is one of moves there, and so do
the workers: those of the lost zone are replaced by workers with numbers of the other. A zone whose cell alone has died,
while its units run, is not lost: the next cell adopts them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from aerodrome.controller import ordering, scaling
from aerodrome.controller.plans import EventNote, Plan, Take
from aerodrome.model import zones
from aerodrome.model.environment import Environment
from aerodrome.model.observed import Cell, CellState, Observed
from aerodrome.model.orders import CellOrder, Keep, MendDatabase
from aerodrome.model.phases import Phase

LOST = "ZONE_LOST"
RETURNED = "ZONE_RETURNED"
"""The kinds of events."""

LONGEST_REST = timedelta(minutes=5)
"""Between two starts of a zone that is lost again and again."""

CALM_AFTER = timedelta(minutes=5)
"""A zone that has gone on for so long is well again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Losses:
    """How often a zone was lost, one time soon after the other."""

    count: int = 0
    at: datetime
    """When the last of them was seen."""

    is_lost: bool = False

    @property
    def rests_until(self) -> datetime:
        """When the zone may be started again: at once the first time, then after 10, 20, 40 … seconds."""
        pause = timedelta() if self.count < 2 else timedelta(seconds=10) * 2 ** min(self.count - 2, 10)  # noqa: PLR2004
        return self.at + min(pause, LONGEST_REST)


def noted(before: Losses | None, found: Cell, now: datetime) -> Losses:
    """What is remembered after this look at the cell that serves."""
    is_lost = _has_lost(found)
    if before is None or (not is_lost and now - before.at > CALM_AFTER):
        before = Losses(at=now)
    if is_lost and not before.is_lost:
        return Losses(count=before.count + 1, at=now, is_lost=True)
    return replace(before, is_lost=is_lost)


def moved(environment: Environment, observed: Observed, phase: Phase) -> Plan | None:
    """Lets the other zone do the work of a lost one; None = it does, or none is lost."""
    found = observed.cell(environment.serving)
    order = _followed(found)
    if order is None:
        return None
    if found.unattended:
        detail = "Looking after what a dead cell left."
        return Take(phase=phase, detail=detail, orders=(order,), again_after=0)
    lost = tuple(sorted(found.gone))
    if not lost or lost == order.without:
        return None
    left = replace(order, without=lost)
    left = replace(left, lead=order.lead if order.lead in zones.living(left) else zones.living(left)[0])
    spec = ordering.spec_of(environment, environment.serving)
    crew = scaling.standing(spec, replace(found, order=left))
    left = replace(left, workers=crew.workers, draining=crew.draining)
    coming = [f"worker-{number}" for number in crew.workers if number not in order.workers]
    coming += ["what there is one of"] if left.lead != order.lead else []
    sentence = (
        f"The cell in the zone of {_named(left, lost)} is gone; the one in that of "
        f"{_named(left, zones.living(left))} goes on" + (f", with {' and '.join(coming)} too." if coming else ".")
    )
    note = EventNote(kind=LOST, sentence=sentence, revision=environment.serving)
    return Take(phase=phase, detail=sentence, orders=(left,), note=note, again_after=0)


def returned(environment: Environment, observed: Observed, phase: Phase) -> Plan | None:
    """Starts the cell in a lost zone again; None = none is lost, or it is lost again and again and rests."""
    found, running = observed.cell(environment.serving), environment.deployed
    order = _followed(found)
    if order is None or running is None or not order.without or rests(observed, found):
        return None
    whole = ordering.cell(environment, environment.serving, running, found)
    sentence = f"The cell in the zone of {_named(order, order.without)} is started again."
    note = EventNote(kind=RETURNED, sentence=sentence, revision=environment.serving)
    mend = MendDatabase(connections=ordering.connections(environment, len(whole.workers)))
    return Take(phase=phase, detail=sentence, orders=(mend, whole), note=note)


def rests(observed: Observed, found: Cell) -> bool:
    """Whether a zone of the cell is lost and is not to be started yet."""
    return observed.zone_rests and _has_lost(found)


def _has_lost(found: Cell) -> bool:
    return isinstance(found.order, CellOrder) and bool(found.order.without)


def _followed(found: Cell) -> CellOrder | None:
    """The order of a cell that is spread and serves; None = it is something else."""
    order = found.order
    if found.state is not CellState.RUNNING or not isinstance(order, CellOrder) or order.keep is not Keep.ALL:
        return None
    return order if order.zones else None


def _named(order: CellOrder, places: tuple[int, ...]) -> str:
    return ", ".join(order.zones[place] for place in places)
