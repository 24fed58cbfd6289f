"""The decisions that bring units up, each thing after the things that it needs. Pure.

Every function returns the next move for one thing, or None when that thing is as it should be.
"""

from __future__ import annotations

from aerodrome.controller import ordering
from aerodrome.controller.plans import CALM, EventNote, Plan, Take, Wait, failed
from aerodrome.model.environment import Environment, Failure
from aerodrome.model.observed import Cell, CellState, Observed, Unit
from aerodrome.model.orders import CellOrder, Install, Keep, MendDatabase, Order, Rebuild, ServicesOrder
from aerodrome.model.phases import Phase
from aerodrome.model.release import Deployed

BROKER = "redis"
"""The service that workers cannot start without."""

RESTART_LIMIT = 4
"""A unit that died this often before it was ever ready will not recover by itself."""


def ground(observed: Observed, order: ServicesOrder) -> Plan | None:
    """What must be there before any unit of Airflow."""
    return installed(observed) or services(observed, order)


def installed(observed: Observed, phase: Phase = Phase.INSTALL) -> Plan | None:
    """The Airflow version."""
    releases = observed.releases
    if releases.installation.done:
        return None
    return Take(
        phase=phase,
        detail=releases.installation.detail or "Installing Airflow.",
        fraction=releases.installation.fraction,
        orders=(Install(version=releases.version, lock=releases.lock),),
    )


def services(observed: Observed, order: ServicesOrder) -> Plan | None:
    """Redis and the sidecar; after a hibernation, the sidecar is there already."""
    if observed.services.alive and observed.services.keep is not Keep.BUCKET:
        return None
    return _started(observed, Phase.SERVICES, "Starting Redis and the sidecar.", order)


def services_as_ordered(observed: Observed, order: ServicesOrder) -> Plan | None:
    """Redis and the sidecar, by their present order."""
    if observed.services.order == order:
        return None
    return _started(observed, Phase.READY, "Telling the sidecar of the configuration.", order)


def database(environment: Environment, observed: Observed, phase: Phase) -> Plan | None:
    """What of the database is not as it shall be: what the environment's code has changed, and its connections."""
    altered, connections = observed.database.altered, ordering.connections(environment, _workers(environment, observed))
    mend = MendDatabase(connections=connections)
    if not altered:
        if observed.database.connections in {None, connections}:
            return None
        detail = "Setting how many connections the database lets in."
        return Take(phase=phase, detail=detail, orders=(mend,), again_after=0)
    sentence = f"Code of the environment has changed {', '.join(altered)}. It is put back, so that Airflow can work."
    return Take(
        phase=phase,
        detail="Putting back what was changed in the database.",
        orders=(mend,),
        note=EventNote(kind="NOTE", sentence=sentence),
        again_after=0,
    )


def release(environment: Environment, observed: Observed, phase: Phase) -> Plan | None:
    """The files of the release that the environment runs."""
    return rebuilding(environment, observed, phase) or unbuilt(observed, phase)


def rebuilding(environment: Environment, observed: Observed, phase: Phase) -> Plan | None:
    """Builds a lost release again; None also when that has failed."""
    work, running, detail = observed.work(Rebuild), environment.deployed, "Building the lost release again."
    if not observed.releases.is_lost or running is None:
        return None
    revision = environment.change.revision if environment.change is not None else environment.revision
    orders = (MendDatabase(), Rebuild(revision=revision, spec=environment.spec, deployed=running))
    if work is None:
        sentence = "The folder of the release is gone from the disk: the release is built again from the bucket."
        note = EventNote(kind="NOTE", sentence=sentence)
        return Take(phase=phase, detail=detail, orders=orders, note=note, again_after=0)
    if work.trouble is not None:
        return None
    if work.done:
        return Take(phase=phase, detail=work.detail or detail, orders=orders, again_after=1.0)
    return Wait(phase=phase, detail=work.detail or detail, again_after=1.0)


def unbuilt(observed: Observed, phase: Phase) -> Plan | None:
    """Tells what keeps a lost release from being built again."""
    work = observed.work(Rebuild)
    if not observed.releases.is_lost or work is None or work.trouble is None:
        return None
    return troubled(work.trouble, phase)


def troubled(trouble: Failure, phase: Phase) -> Wait:
    """The plan to wait for a person, which tells what is wrong."""
    return Wait(phase=phase, detail=f"{trouble.code}: {trouble.message}", trouble=trouble, again_after=CALM)


def cell(environment: Environment, observed: Observed, deployed: Deployed) -> Plan | None:
    """The cell of a release, in all its zones but those that are given up for now."""
    found = observed.cell(deployed.cell)
    given_up = found.order.without if isinstance(found.order, CellOrder) else ()
    if found.alive and not found.unattended and found.gone <= set(given_up):
        return None
    if BROKER in observed.services.wanted - observed.services.ready:
        return Wait(phase=Phase.SERVICES, detail="Waiting for Redis.")
    order = ordering.cell(environment, deployed.cell, deployed, found)
    connections = ordering.connections(environment, len(order.workers))
    return _started(observed, Phase.START, "Starting the cell.", order, connections)


def cell_as_ordered(environment: Environment, observed: Observed, deployed: Deployed) -> Plan | None:
    """The present order for a cell, with all its units; some of them may have been stopped on purpose."""
    order = ordering.cell(environment, deployed.cell, deployed, observed.cell(deployed.cell))
    if observed.cell(deployed.cell).order == order:
        return None
    connections = ordering.connections(environment, len(order.workers))
    return _started(observed, Phase.START, "Starting all units again.", order, connections)


def waiting(observed: Observed, revision: int, *, but_ending: bool = False) -> Plan | None:
    """What a revision's cell still waits for; `but_ending`: not for workers that end with their tasks first."""
    cells = (observed.services, observed.cell(revision))
    if all(each.all_ready for each in cells):
        return None
    missing, wanted = _missing(cells), sum(len(each.wanted) for each in cells)
    ending = {unit.name for unit in observed.cell(revision).workers if but_ending and unit.is_ending}
    if missing and ending.issuperset(missing) and all(each.alive for each in cells):
        return None
    return Wait(
        phase=Phase.START,
        detail=f"Waiting for {', '.join(missing)}." if missing else "Waiting for the cell.",
        fraction=1 - len(missing) / max(1, wanted),
    )


def restarting(observed: Observed, revision: int) -> str:
    """A sentence that names the units that are being started again; empty = every unit is ready."""
    cells = (observed.services, observed.cell(revision))
    if all(each.all_ready for each in cells):
        return ""
    return f"Being started again: {', '.join(_missing(cells)) or 'the cell'}."


def hopeless(environment: Environment, observed: Observed, revision: int) -> Plan | None:
    """The failure of a change when one of its units keeps dying."""
    # Restarts of services count from the environment's beginning, so only a creation is judged by them.
    services = observed.services.units if environment.deployed is None else ()
    found = [
        (unit, whose)
        for units, whose in ((services, None), (observed.cell(revision).units, revision))
        for unit in units
        if not unit.is_ready and unit.restarts >= RESTART_LIMIT
    ]
    if not found:
        return None
    dying, whose = found[0]
    message = f"The {dying.name} ended {dying.restarts} times before it was ready{_why(dying)}."
    return failed("UNIT_FAILED", message, (dying.name, whose))


def silent(environment: Environment, observed: Observed) -> Plan | None:
    """Waits for cells that give no answer, or replaces them; nothing else is decided before they answer.

    A cell that is replaced is ended alone: its units go on, and the next cell adopts them, as after any cell's death.
    """
    everything = ((None, observed.services), *observed.cells.items())
    phase = Phase(environment.progress.phase)
    for whose, each in everything:
        if each.state is CellState.LOST and each.trouble and each.order is not None:
            name = "The services' cell" if whose is None else f"The cell of revision {whose}"
            sentence = f"{name} {each.trouble}; it is replaced, and its units go on."
            note = EventNote(kind="CELL_HUNG", sentence=sentence, revision=whose)
            return Take(phase=phase, detail=sentence, orders=(each.order,), note=note, again_after=0)
    if any(each.state is CellState.SILENT for _, each in everything):
        return Wait(phase=phase, detail="Waiting for a cell that does not answer.", again_after=1.0)
    return None


def _started(
    observed: Observed, phase: Phase, detail: str, order: CellOrder | ServicesOrder, connections: int | None = None
) -> Take:
    """The order to start something that works with the database; the database is mended first."""
    mend = MendDatabase(connections=connections)
    orders: tuple[Order, ...] = (mend, order) if observed.database.exists else (order,)
    return Take(phase=phase, detail=detail, orders=orders, again_after=0)


def _workers(environment: Environment, observed: Observed) -> int:
    """How many workers the cell that serves was told to have; 0 = nobody knows."""
    order = observed.cell(environment.serving).order
    return len(order.workers) if isinstance(order, CellOrder) else 0


def _missing(cells: tuple[Cell, ...]) -> list[str]:
    return sorted(name for each in cells for name in each.wanted - each.ready)


def _why(unit: Unit) -> str:
    return f" (last time: {unit.last_exit})" if unit.last_exit else ""
