"""The decisions about an environment that hibernates, from the request to the moment when it is awake again. Pure.

Nothing is lost on the way: units stop as in a drain, so a task that a worker took at the last moment ends first, and
what was queued stays in the queue. Only when no unit runs is the database asked once more. If something waits there
that came in between, the environment wakes at once.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from aerodrome.controller import bringing_up, keeping, letting_go, maintenance, ordering
from aerodrome.controller.plans import CALM, Begin, Happen, Plan, Sleep, Take, Wait
from aerodrome.controller.scaling import Pace
from aerodrome.model import hibernation
from aerodrome.model.environment import Environment
from aerodrome.model.hibernation import HibernationStep, Rest
from aerodrome.model.lifecycle import Event
from aerodrome.model.observed import Ahead, Cell, CellState, Observed
from aerodrome.model.orders import Keep, Order
from aerodrome.model.phases import Phase

LEAD = timedelta(seconds=15)
"""How long before a run is due its environment is woken: units need some seconds to start."""

SHORTEST = timedelta(minutes=2)
"""An environment whose next run is due sooner does not hibernate; arbitrary, some times what falling asleep takes."""

MISSED = timedelta(minutes=10)
"""A run that has been due for so long while a scheduler ran is one that no scheduler starts."""

READ_LIMIT = timedelta(minutes=10)
"""How long DAG files that are not read keep an environment awake: one that cannot be read shall not do so for ever."""

EMPTY_AFTER = timedelta(minutes=2)
"""An environment without DAGs has no file to read when nothing of it has changed for so long; arbitrary."""

STOP_LIMIT = timedelta(seconds=60)
"""How long units may take to stop; they end their tasks before that, without any limit."""

WAKE_LIMIT = timedelta(minutes=3)
"""How long an environment may take to wake, until it is called UNAVAILABLE."""

ANSWER_LIMIT = timedelta(minutes=2)
"""How long a request that does not wait lasts while nobody knows whether anything runs; arbitrary."""

NOTED_EVERY = timedelta(seconds=30)
"""How often it is written down that an environment is used."""


def slept(environment: Environment, observed: Observed, now: datetime, pace: Pace) -> Plan | None:
    """The next move of an environment that hibernates or shall; None = it is awake and stays so."""
    match environment.hibernation.rest:
        case Rest.AWAKE:
            return _tired(environment, observed, now)
        case Rest.WAITING:
            return _waiting(environment, observed, now, pace)
        case Rest.STOPPING:
            return _stopping(environment, observed, now)
        case Rest.HIBERNATED:
            return _hibernated(environment, observed, now)
        case Rest.WAKING:
            return _waking(environment, observed, now)


def since(environment: Environment, now: datetime) -> datetime:
    """Runs that were due before this moment do not count: a scheduler ran then, and did not start them."""
    slept = environment.hibernation
    return (slept.since if slept.is_down and slept.since is not None else now) - MISSED


def is_asked(environment: Environment) -> bool:
    """Whether it matters what the database says is due."""
    rest = environment.hibernation.rest
    return rest in {Rest.WAITING, Rest.HIBERNATED} or (rest is Rest.AWAKE and hibernation.habits(environment.tags).any)


def hindrance(environment: Environment, observed: Observed, now: datetime) -> str:
    """Why the environment cannot hibernate now, in a sentence; empty = it can."""
    others = [revision for revision, cell in observed.cells.items() if revision != environment.serving and cell.runs]
    if others:
        return "Tasks of a former revision have not ended."
    if not observed.services.alive or not observed.cell(environment.serving).alive:
        return "Its cell is gone, and is being started again."
    if observed.ahead is None:
        return "Nobody knows yet what its database has to do."
    return _need(observed.ahead, now + SHORTEST) or _unread(environment, observed, observed.ahead, now)


def _unread(environment: Environment, observed: Observed, ahead: Ahead, now: datetime) -> str:
    """Why the database cannot know yet what is due, in a sentence; empty = every DAG file has been read.

    What is not read before the units stop wakes nobody: it is no news any more when they have stopped.
    """
    dags_at, changed_at = observed.runtime.dags_at, environment.last_update.created_at
    if dags_at is not None:
        changed_at = max(changed_at, datetime.fromtimestamp(dags_at, UTC))
    passed = now - changed_at
    is_read = passed > EMPTY_AFTER if ahead.read_at is None else ahead.read_at > changed_at
    return "" if is_read or passed > READ_LIMIT else "Its DAG files have not been read yet."


def _need(ahead: Ahead, until: datetime) -> str:
    """What needs units before that moment, in a sentence; empty = nothing."""
    if ahead.unknown:
        return ahead.unknown
    if ahead.busy:
        return f"There is something to do: {ahead.busy}."
    if ahead.due_at is not None and ahead.due_at < until:
        return f"The next run is due at {_moment(ahead.due_at)}."
    return ""


def _tired(environment: Environment, observed: Observed, now: datetime) -> Plan | None:
    """Begins the hibernation of an environment that has been idle for as long as its tags say."""
    slept = environment.hibernation
    patience = hibernation.habits(environment.tags).patience(now)
    if patience is None or observed.ahead is None:
        return None
    used_at = max(each for each in (slept.used_at, slept.since, environment.last_update.created_at) if each is not None)
    dags_at = observed.runtime.dags_at
    is_used = bool(observed.ahead.busy) or (dags_at is not None and dags_at > used_at.timestamp())
    if is_used and now - used_at > NOTED_EVERY:
        return _step(environment, hibernation.used(slept, now))
    if is_used or now - used_at < patience or hindrance(environment, observed, now):
        return None
    minutes = f"{patience.total_seconds() / 60:.0f} minute{'s' if patience > timedelta(minutes=1) else ''}"
    return _step(environment, hibernation.tired(slept, f"Nothing has happened for {minutes}.", now))


def _waiting(environment: Environment, observed: Observed, now: datetime, pace: Pace) -> Plan | None:
    """Begins to stop the units as soon as nothing runs; meanwhile the environment is watched as every other."""
    slept = environment.hibernation
    watched = keeping.watch(environment, observed, now, pace)
    if not isinstance(watched, Wait) and not isinstance(watched, Begin):
        return watched
    why = hindrance(environment, observed, now)
    if not why:
        return _step(environment, hibernation.begun(slept, observed.runtime.dags_at, now))
    if not slept.waits and observed.ahead is None and slept.since is not None and now - slept.since > ANSWER_LIMIT:
        return _step(environment, hibernation.refused(slept, "Its database does not say what it has to do.", now))
    if slept.waits or observed.ahead is None:
        is_told = isinstance(watched, Begin) or watched.trouble is not None
        return watched if is_told else replace(watched, detail=f"To hibernate. {why}")
    return _step(environment, hibernation.refused(slept, why, now))


def _stopping(environment: Environment, observed: Observed, now: datetime) -> Plan:
    """Ends every unit, each after its tasks, and then the queue's server."""
    for revision, cell in sorted(observed.cells.items()):
        if cell.runs:
            return _ending(environment, revision, cell, now)
    return _resting(environment, observed) or _step(environment, hibernation.reached(environment.hibernation, now))


def _ending(environment: Environment, revision: int, cell: Cell, now: datetime) -> Plan:
    late = letting_go.is_over(environment, Phase.STOP, STOP_LIMIT, now)
    drain = replace(ordering.draining(environment, revision, cell), web_servers=0, patience=ordering.GRACEFUL_PATIENCE)
    order: Order
    if cell.state is CellState.LOST and cell.keep is not Keep.NOTHING:  # its workers end with their tasks, as others do
        phase, detail, order = Phase.DRAIN, "Looking after what a dead cell left.", drain
    elif cell.keep not in letting_go.LET_GO:
        phase, detail, order = Phase.DRAIN, "Letting workers end.", drain
    elif cell.workers and cell.draining:
        verb = "end" if len(cell.workers) > 1 else "ends"
        detail = f"{len(cell.workers)} worker{'s' if len(cell.workers) > 1 else ''} {verb} with what runs."
        return Wait(phase=Phase.DRAIN, detail=detail)
    else:
        forced = late or cell.state is CellState.LOST
        phase, detail = Phase.STOP, "Ending what does not stop by itself." if forced else "Stopping the units."
        order = ordering.stopping(environment, revision, cell, late=forced)
        if cell.order == order:
            return Wait(phase=phase, detail=detail)
    return Take(phase=phase, detail=detail, orders=(order,))


def _resting(environment: Environment, observed: Observed) -> Plan | None:
    """Keeps alone what watches the bucket; None = it is so."""
    order = replace(ordering.services(environment), keep=Keep.BUCKET)
    services = observed.services
    if not services.alive or services.order != order:
        return Take(phase=Phase.STOP, detail="Stopping Redis, whose queue is kept.", orders=(order,))
    if bringing_up.BROKER in {unit.name for unit in services.units}:
        return Wait(phase=Phase.STOP, detail="Redis writes its queue.")
    return None


def _hibernated(environment: Environment, observed: Observed, now: datetime) -> Plan:
    """Wakes the environment for what needs it."""
    why = _reason(environment, observed, now)
    if why:
        step = hibernation.woken(environment.hibernation, why, now)
        if step is not None:
            return _step(environment, step)
    due = maintenance.due(environment, observed.releases.patch, now)
    if due is not None:
        return Begin(phase=Phase.MAINTENANCE, detail="The maintenance window has begun.", change=due)
    left = [(revision, cell) for revision, cell in sorted(observed.cells.items()) if cell.runs]
    if left:
        return _ending(environment, *left[0], now)
    others = [revision for revision in sorted(observed.cells) if revision != environment.serving]
    if others:
        detail = "Removing what a former revision left."
        return Take(phase=Phase.HIBERNATED, detail=detail, orders=letting_go.removal(environment, others[0]))
    return _resting(environment, observed) or Wait(
        phase=Phase.HIBERNATED, detail=_sleeping(observed.ahead), again_after=CALM
    )


def _reason(environment: Environment, observed: Observed, now: datetime) -> str:
    """Why the environment must wake, in a sentence; empty = it need not."""
    slept = environment.hibernation
    need = _need(observed.ahead, now + LEAD) if observed.ahead is not None else ""
    if need:
        return need
    dags_at = observed.runtime.dags_at
    if dags_at is not None and dags_at != slept.dags_at:  # not only later, since clocks go back
        return "A DAG object in the bucket has changed."
    night = hibernation.habits(environment.tags).night
    if night is not None and not slept.by_command and slept.since is not None and not night.has(now):
        ended = night.last_end(now)
        if slept.since < ended:
            return f"Its night ended at {_moment(ended)}."
    return ""


def _waking(environment: Environment, observed: Observed, now: datetime) -> Plan:
    """Starts services and units; the environment is awake when all of them serve."""
    slept = environment.hibernation
    if slept.since is not None and now - slept.since > WAKE_LIMIT:
        detail = f"It does not wake: {environment.progress.detail}"
        return Happen(phase=Phase.LOST, detail=detail, event=Event.LOST)
    cell = observed.cell(environment.serving)
    if cell.runs and cell.keep is Keep.NOTHING:  # it was just stopping, and takes no order any more
        if letting_go.is_over(environment, Phase.STOP, STOP_LIMIT, now):
            order = ordering.stopping(environment, environment.serving, cell, late=True)
            return Take(phase=Phase.STOP, detail="Ending what does not stop by itself.", orders=(order,))
        return Wait(phase=Phase.STOP, detail="Waiting for the units that were just stopping.")
    return (
        bringing_up.ground(observed, ordering.services(environment))
        or bringing_up.database(environment, observed, Phase.DATABASE)
        or bringing_up.release(environment, observed, Phase.RELEASE)
        or keeping.served(environment, observed)
        or _step(environment, hibernation.awake(slept, now), Phase.READY)
    )


def _step(environment: Environment, step: HibernationStep, phase: Phase | None = None) -> Sleep:
    found = phase or Phase(environment.progress.phase)
    return Sleep(phase=found, detail=step.sentence or environment.progress.detail, step=step)


def _sleeping(ahead: Ahead | None) -> str:
    if ahead is None or ahead.due_at is None:
        return "Hibernated: no run is due."
    return f"Hibernated: the next run is due at {_moment(ahead.due_at)}."


def _moment(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC" if at.utcoffset() == timedelta() else at.isoformat(sep=" ", timespec="seconds")
