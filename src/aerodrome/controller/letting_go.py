"""The decisions that let replaced cells go: their tasks end on the release that they began with. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from aerodrome.controller import ordering
from aerodrome.controller.plans import CALM, Plan, Take, Wait
from aerodrome.model.change import Strategy
from aerodrome.model.environment import Environment
from aerodrome.model.observed import Cell, CellState, Observed
from aerodrome.model.orders import Keep, Order, Remove, ReportDeaths
from aerodrome.model.phases import Phase

FORCED_LIMIT = timedelta(seconds=15)
"""How long tasks of earlier revisions may delay a FORCED change; those of its own workers have five seconds."""

LET_GO = frozenset({Keep.TASKS, Keep.NOTHING})
"""What a cell that was told to end may keep."""


@dataclass(frozen=True, slots=True)
class _Retirement:
    """What is next for one cell that ends. No orders = wait for its tasks."""

    revision: int
    detail: str
    orders: tuple[Order, ...] = ()


def retire(environment: Environment, others: Mapping[int, Cell]) -> Plan:
    """Ends cells that do not serve any more; there is at least one."""
    ending = _next([_retirement(environment, revision, found) for revision, found in sorted(others.items())])
    if not ending.orders:
        return Wait(phase=Phase.READY, detail=ending.detail, again_after=CALM)
    return Take(phase=Phase.READY, detail=ending.detail, orders=ending.orders, again_after=0.2)


def emptied(environment: Environment, observed: Observed, strategy: Strategy, now: datetime) -> Plan | None:
    """Ends everything that uses the database, before the database is replaced; None = nothing uses it."""
    running = {revision: found for revision, found in sorted(observed.cells.items()) if found.runs}
    if running:
        ending = _next([_retirement(environment, revision, found) for revision, found in running.items()])
        is_late = strategy is Strategy.FORCED and is_over(environment, Phase.DRAIN, FORCED_LIMIT, now)
        if not ending.orders and is_late:
            order = ordering.stopping(environment, ending.revision, running[ending.revision], late=True)
            return Take(
                phase=Phase.DRAIN, detail="Ending the tasks of a former revision.", orders=(order,), again_after=0.2
            )
        if not ending.orders:
            return Wait(phase=Phase.DRAIN, detail=ending.detail, again_after=1.0)
        return Take(phase=Phase.DRAIN, detail=ending.detail, orders=ending.orders, again_after=0.2)
    return services(environment, observed, Phase.DRAIN)


def services(environment: Environment, observed: Observed, phase: Phase) -> Plan | None:
    """Ends Redis and the sidecar; None = they do not run."""
    if observed.services.alive:
        order = ordering.stopping_services(environment)
        return Take(phase=phase, detail="Stopping Redis and the sidecar.", orders=(order,))
    if observed.services.runs:
        order = ordering.stopping_services(environment, late=True)
        return Take(phase=phase, detail="Ending what does not stop by itself.", orders=(order,))
    return None


def removal(environment: Environment, revision: int) -> tuple[Order, ...]:
    """The orders to remove what an ended cell has left; the first one tells Airflow that its workers are gone."""
    change = environment.change
    if change is not None and change.swapped:  # the database of these workers goes too
        return (Remove(revision=revision),)
    running = environment.deployed
    version = running.version if running is not None else environment.spec.airflow_version
    return (ReportDeaths(version=version, gone=revision), Remove(revision=revision))


def is_over(environment: Environment, phase: Phase, limit: timedelta, now: datetime) -> bool:
    """Whether the environment has been in this phase for longer than that."""
    progress = environment.progress
    return progress.phase == phase and now - progress.phase_started_at > limit


def _next(retirements: list[_Retirement]) -> _Retirement:
    """That of the first cell for which something can be done; a cell that waits for its tasks delays no other."""
    return next((each for each in retirements if each.orders), retirements[0])


def _retirement(environment: Environment, revision: int, found: Cell) -> _Retirement:
    if found.state is CellState.LOST:
        detail = "Looking after what a dead cell left."
        order = (
            ordering.draining(environment, revision, found)
            if found.draining
            else ordering.stopping(environment, revision, found, late=True)
        )
        return _Retirement(revision, detail, (order,))
    if not found.runs:
        return _Retirement(revision, "Removing what the former revision left.", removal(environment, revision))
    if found.keep not in LET_GO:
        order = ordering.draining(environment, revision, found)
        return _Retirement(revision, "Letting the former revision end with its tasks.", (order,))
    if found.workers:
        verb = "end" if len(found.workers) > 1 else "ends"
        return _Retirement(revision, f"{_workers(found)} of the former revision {verb} with its tasks.")
    order = ordering.stopping(environment, revision, found)
    return _Retirement(revision, "Stopping the former revision.", (order,))


def _workers(found: Cell) -> str:
    count = len(found.workers)
    return f"{count} worker{'s' if count > 1 else ''}"
