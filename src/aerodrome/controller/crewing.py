"""The decisions about the workers and web servers of the cell that serves, and that no task is forgotten. Pure."""

from __future__ import annotations

from dataclasses import replace

from aerodrome.controller import ordering, scaling, web_scaling
from aerodrome.controller.plans import EventNote, Plan, Take
from aerodrome.controller.scaling import Pace
from aerodrome.model import zones
from aerodrome.model.environment import Environment
from aerodrome.model.observed import OVERDUE, Cell, CellState, Observed
from aerodrome.model.orders import CellOrder, Keep, MendDatabase, Order, QueueAgain
from aerodrome.model.phases import Phase

ASTRAY_FOR = 5.0
"""Seconds for which tasks must have been seen without a message: the two places are not looked at in one moment."""

SCALING = "SCALING"
"""The kind of event for workers and web servers that come and go."""


def crewed(environment: Environment, observed: Observed, phase: Phase, pace: Pace) -> Plan | None:
    """One worker or more that come, take no more tasks, or end; None = there are as many as there shall be."""
    running, found, demand = environment.deployed, observed.cell(environment.serving), observed.demand
    order = found.order
    if running is None or demand is None or demand.revision != environment.serving:
        return None
    if found.state is not CellState.RUNNING or not isinstance(order, CellOrder) or order.keep is not Keep.ALL:
        return None
    spec = ordering.spec_of(environment, environment.serving)
    standing = scaling.standing(spec, found)
    known = replace(standing, without=tuple({*standing.without, *_unready(order, found)}))
    step = scaling.step(spec, ordering.slots(environment, environment.serving), known, demand, pace)
    if step is None:
        return None
    crew = step.crew
    takes_tasks_away = step.is_forced or len(crew.draining) > len(order.draining)
    if takes_tasks_away and not all(worker.tells_holds for worker in found.workers):
        return None  # workers of a cell from before do not hear that they shall take no more; a change replaces it
    changed = replace(order, workers=crew.workers, draining=crew.draining)
    orders: tuple[Order, ...] = (changed,)
    connections = ordering.connections(environment, len(crew.workers))
    if len(crew.workers) > len(order.workers) and observed.database.connections not in {None, connections}:
        orders = (MendDatabase(connections=connections), changed)
    figures = {
        "queued": demand.queued, "running": demand.running, "workers": len(crew.active), "draining": len(crew.draining),
    }  # fmt: skip
    note = EventNote(kind=SCALING, sentence=step.sentence, revision=environment.serving, figures=figures)
    return Take(phase=phase, detail=step.sentence, orders=orders, note=note, again_after=scaling.SAMPLE_EVERY)


def _unready(order: CellOrder, found: Cell) -> frozenset[int]:
    """The places of zones in which nothing serves yet, although it does in others: a worker would come late there."""
    serving = {zones.of_unit(*zones.parted(name), len(order.zones)) for name in found.ready} - {None}
    return frozenset(place for place in zones.places(order) if serving and place not in serving)


def served(environment: Environment, observed: Observed, pace: Pace) -> Plan | None:
    """Another number of web servers; None = there are as many as there shall be."""
    found, demand = observed.cell(environment.serving), observed.web_demand
    order = found.order
    if demand is None or demand.revision != environment.serving or found.state is not CellState.RUNNING:
        return None
    if not isinstance(order, CellOrder) or order.keep is not Keep.ALL:
        return None
    spec = ordering.spec_of(environment, environment.serving)
    step = web_scaling.step(spec, web_scaling.standing(spec, found), demand, pace)
    if step is None:
        return None
    note = EventNote(
        kind=SCALING, sentence=step.sentence, revision=environment.serving, figures={"web_servers": step.count}
    )
    changed = replace(order, web_servers=step.count)
    return Take(phase=Phase.READY, detail=step.sentence, orders=(changed,), note=note, again_after=scaling.SAMPLE_EVERY)


def queued_again(environment: Environment, observed: Observed, phase: Phase) -> Plan | None:
    """Has Airflow queue again what is queued without a message; None = nothing is, as far as we have seen."""
    running, demand, tasks = environment.deployed, observed.demand, observed.database.tasks
    if running is None or demand is None or tasks is None or demand.astray_for < ASTRAY_FOR:
        return None
    count = tasks.overdue
    verb = "tasks have" if count > 1 else "task has"
    sentence = (
        f"{count} {verb} been queued for more than {OVERDUE:.0f} s, and the queue has no message of "
        f"{'them' if count > 1 else 'it'}: Airflow queues {'them' if count > 1 else 'it'} again."
    )
    note = EventNote(kind="TASKS_ASTRAY", sentence=sentence, revision=environment.serving)
    order = QueueAgain(version=running.version, queued_for=OVERDUE)
    return Take(phase=phase, detail=sentence, orders=(order,), note=note)
