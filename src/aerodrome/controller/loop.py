"""The loop: observe, plan, act, write down; for several environments at once, with one thread at a time for each.

Everything that changes the world goes through `Controller._order`. The loop wakes when a notice comes, at the time that
the last plan named, or at the latest after `CALM` seconds.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta

import structlog

from aerodrome.backends.contract import Backend
from aerodrome.clock import Clock
from aerodrome.controller import (
    crash_loops,
    demand,
    hibernation,
    keeping,
    ordering,
    queue_growth,
    web_scaling,
    zones_lost,
)
from aerodrome.controller import plan as planning
from aerodrome.controller.plans import CALM, Begin, Fail, Happen, Plan, Reach, Sleep, Take, Wait
from aerodrome.controller.remembering import AskedAhead, Remembered, Remembering
from aerodrome.controller.scaling import Pace
from aerodrome.errors import DISK_FULL, BrokenError, CallerError, RetryError
from aerodrome.ledger.connection import LedgerAwayError, LedgerError
from aerodrome.ledger.environments import Environments
from aerodrome.ledger.notices import Notices
from aerodrome.ledger.snapshots import Snapshots
from aerodrome.model import history, lifecycle
from aerodrome.model.change import Change
from aerodrome.model.demand import Demand, WebDemand
from aerodrome.model.environment import Environment, Failure
from aerodrome.model.hibernation import Rest
from aerodrome.model.lifecycle import Event, Status
from aerodrome.model.observed import NO_CELL, Ahead, DatabaseSeen, Observed, RuntimeSeen
from aerodrome.model.orders import DatabaseOrder, Order, QueueAgain, ReleaseOrder, ReportDeaths, RuntimeOrder
from aerodrome.model.phases import Phase
from aerodrome.services.clusters import ServerAwayError
from aerodrome.threads import SupervisedThread

WORKERS = 4
"""How many environments are worked on at once; each takes a thread only while something is done for it."""

FAULT_PAUSE = 2.0
"""Seconds before another try after a fault that nobody foresaw."""

FAULT_LIMIT = 3
"""How many faults in a row end a change."""

NAMES_EVERY = 1.0
"""Seconds after which the ledger is asked again which environments there are, if no notice came."""

LONGEST_ROUND = timedelta(seconds=30)
"""A longer pause between two rounds means that the machine has slept; no change may fail because of that."""

PATIENCE = 60.0
"""Seconds that a round may take; it only reads the ledger and starts what is due, in other threads."""

COLLECT_EVERY = 3600.0
"""Seconds between two looks for releases that nobody uses."""

UNDER_CHANGE = frozenset({Status.CREATING, Status.UPDATING, Status.CREATING_SNAPSHOT, Status.MAINTENANCE})
"""Statuses in which a failure ends the change."""

UNSETTLED = frozenset({Status.CREATING, Status.CREATE_FAILED, Status.ROLLING_BACK, Status.DELETING})
"""Statuses in which a look finds copies of the database, instead of what code has changed in it."""

ASK_EVERY = 10.0
"""Seconds between two questions to a database about what is to do; only its environment's units change that."""

ASK_SOON = 1.0
"""The same when the environment is to hibernate as soon as there is nothing."""

SLOW = 1.0
"""Seconds after which an answer about what is to do counts as slow."""

ASK_AGAIN = 15.0
"""Seconds between two such questions after a slow answer or none: each takes a thread that other environments need."""

UNIT_FAILING = "UNIT_FAILING"
"""The kind of event for a unit that ends again and again."""

SAME_MOMENT = 1.0
"""Seconds by which two answers of a cell may differ about the time of the same event."""

QUEUED_AGAIN = 60.0
"""Seconds that Airflow gets to queue tasks again, before it is told once more."""

log = structlog.get_logger("controller")


class Controller:
    """Brings every environment to the state that the ledger asks for."""

    def __init__(
        self,
        environments: Environments,
        snapshots: Snapshots,
        notices: Notices,
        backend: Backend,
        clock: Clock,
        *,
        snapshots_kept: int,
        pace: Pace,
    ) -> None:
        self._environments = environments
        self._snapshots = snapshots
        self._notices = notices
        self._backend = backend
        self._clock = clock
        self._snapshots_kept = snapshots_kept
        self._pace = pace
        self._collect_at = 0.0
        self._round_at: datetime | None = None
        self._names: list[str] = []
        self._names_due = 0.0
        self._due: dict[str, float] = {}
        self._running: dict[str, Future[float]] = {}
        self._remembering = Remembering()
        self._noticed: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._stop = threading.Event()
        self._wake = threading.Event()
        self._working = SupervisedThread("controller", self._run, patience=PATIENCE)
        self._growth = queue_growth.QueueGrowth(backend.runtime, self._notice)
        self.threads = (
            self._working,
            SupervisedThread("notices", self._listen),
            SupervisedThread("queues", lambda: self._growth.run(self._stop)),
        )

    def start(self) -> None:
        """Work from now on, in threads of its own."""
        for thread in self.threads:
            thread.start()

    def stop(self) -> None:
        """Stop working; steps under way are finished first."""
        self._stop.set()
        self._wake.set()
        for thread in self.threads:
            thread.join()

    def _run(self) -> None:
        with ThreadPoolExecutor(WORKERS, thread_name_prefix="controller") as pool:
            while not self._stop.is_set():
                self._working.beat()
                if time.monotonic() >= self._collect_at:
                    pool.submit(self._collect)
                    self._collect_at = time.monotonic() + COLLECT_EVERY
                self._wake.clear()
                self._wake.wait(self._round(pool))

    def _listen(self) -> None:
        """Turn notices into wake-ups; while the ledger is away there are none."""
        while not self._stop.is_set():
            try:
                for name in self._notices.wait(1.0):
                    self._notice(name)
            except RetryError:
                self._stop.wait(1.0)
        self._notices.close()

    def _notice(self, name: str) -> None:
        """Have the environment looked at now."""
        self._noticed.put(name)
        self._wake.set()

    def _round(self, pool: ThreadPoolExecutor) -> float:
        """Collect what has ended and start what is due; returns how long nothing will be due."""
        noticed, now = {self._noticed.get() for _ in range(self._noticed.qsize())}, time.monotonic()
        try:
            if noticed or now >= self._names_due:
                self._names, self._names_due = self._environments.names(), now + NAMES_EVERY
            self._forgive_pauses()
        except LedgerError as error:
            log.warning("ledger away", error=str(error).splitlines()[0])
            for name in noticed:
                self._noticed.put(name)
            return 1.0
        for name in [name for name, future in self._running.items() if future.done()]:
            self._due[name] = now + self._running.pop(name).result()
        self._due = {name: 0.0 if name in noticed else self._due.get(name, now) for name in self._names}
        self._remembering.keep(self._due.keys() | self._running.keys())
        for name, due in self._due.items():
            if name in self._running:
                if name in noticed:
                    self._noticed.put(name)  # look again afterwards: something may have happened meanwhile
            elif due <= now:
                self._running[name] = pool.submit(self.reconcile, name)
                self._running[name].add_done_callback(lambda _: self._wake.set())
        waiting = [due - now for name, due in self._due.items() if name not in self._running]
        return max(0.0, min([CALM, *waiting]))

    def _forgive_pauses(self) -> None:
        """Restart the clock of every running phase after a pause; our own start counts as a pause."""
        now, before = self._clock(), self._round_at
        is_pause = before is None or now - before > LONGEST_ROUND
        for environment in self._environments.all() if is_pause else ():
            if environment.status in lifecycle.CHANGING or environment.status is Status.DELETING:
                progress = replace(environment.progress, phase_started_at=now)
                self._environments.set_progress(environment.name, progress)
        self._round_at = now

    def reconcile(self, name: str) -> float:
        """One look at one environment, and what follows from it; returns after how many seconds to look again."""
        try:
            return self._look(name)
        except Exception:  # the ledger is away, so not even the error could be written down
            log.exception("nothing done", environment=name)
            return FAULT_PAUSE

    def _look(self, name: str) -> float:
        environment = self._environments.get(name)
        if environment is None:
            self._growth.follow(name, None)
            return CALM
        try:
            observed = self._observed(environment)
            grows = queue_growth.may_help(environment, observed.cell(environment.serving))
            self._growth.follow(name, environment.tenant if grows else None)
            self._tell_incidents(environment, observed)
            self._tell_crash_loops(environment, observed)
            chosen = planning.plan(environment, observed, self._clock(), self._pace)
            self._carry_out(environment, chosen)
        except Exception as error:  # noqa: BLE001 - the loop outlives every error; each kind has its answer there
            return self._answer(environment, error)
        self._remembering.of(environment).faults = 0
        return chosen.again_after

    def _answer(self, environment: Environment, error: Exception) -> float:
        """What an error means: who must act, and when to look again."""
        match error:
            case RetryError():
                log.info("waiting", environment=environment.name, reason=str(error), cause=str(error.__cause__ or ""))
                self._tell(environment, str(error))
                return error.delay
            case CallerError():
                # The environment changed under us, or a setting is wrong.
                log.info("overtaken", environment=environment.name, reason=str(error))
                self._tell(environment, str(error))
                return FAULT_PAUSE
            case BrokenError():
                return self._fail(environment, Failure(code=error.code, message=str(error), tail=error.tail))
            case OSError() if error.errno in DISK_FULL:
                log.warning("disk full", environment=environment.name, error=str(error))
                self._tell(environment, "Waiting for space: the disk is full.")
                return FAULT_PAUSE
            case ServerAwayError() | LedgerAwayError():
                log.warning("database away", environment=environment.name, error=str(error).splitlines()[0])
                return FAULT_PAUSE
            case _:
                return self._fault(environment, error)

    def _observed(self, environment: Environment) -> Observed:
        """What the three parts of the backend see, and which deaths Airflow has not been told of."""
        tenant, status, running = environment.tenant, environment.status, environment.deployed
        known = self._remembering.of(environment)
        revision = environment.change.revision if environment.change is not None else environment.revision
        version, lock = ordering.version(environment)
        runtime = self._backend.runtime.look(tenant, is_leaving=status is Status.DELETING)
        database = self._backend.databases.look(
            tenant,
            revision=revision,
            running=running,
            is_used=runtime.services.alive and any(cell.alive for cell in runtime.cells.values()),
            is_unsettled=status in UNSETTLED,
            messages=None if runtime.queue is None else runtime.queue.messages,
        )
        return Observed(
            runtime=runtime,
            database=database,
            releases=self._backend.releases.look(
                tenant, revision=revision, version=version, lock=lock, running=running
            ),
            deaths=keeping.deaths(
                runtime,
                database.tasks,
                told=self._told_deaths(known, runtime),
                revision=revision,
                now=self._clock(),
            ),
            demand=self._demand(environment, known, runtime, database),
            web_demand=self._web_demand(environment, known, runtime),
            ahead=self._look_ahead(environment, known),
            zone_rests=self._zone_rests(environment, known, runtime),
            clones=self._clones(environment),
        )

    def _clones(self, environment: Environment) -> tuple[str, ...]:
        """What `Observed.clones` is; asked only of an environment that is being deleted."""
        if environment.status is not Status.DELETING:
            return ()
        return history.begun_from(environment.identifier, None, self._environments.all())

    def _zone_rests(self, environment: Environment, known: Remembered, runtime: RuntimeSeen) -> bool:
        found, now = runtime.cells.get(environment.serving, NO_CELL), self._clock()
        known.zone_losses = zones_lost.noted(known.zone_losses, found, now)
        return now < known.zone_losses.rests_until

    def _told_deaths(self, known: Remembered, runtime: RuntimeSeen) -> dict[tuple[int, str], float]:
        known.deaths = keeping.still_told(known.deaths, runtime, self._clock())
        return known.deaths

    def _demand(
        self, environment: Environment, known: Remembered, runtime: RuntimeSeen, database: DatabaseSeen
    ) -> Demand:
        """What is known of the tasks of the last while, after this look too."""
        revision = environment.serving
        known.demand = demand.seen(
            known.demand,
            revision,
            runtime.cells.get(revision, NO_CELL),
            runtime.queue,
            database.tasks,
            window=self._pace.scale_in_after,
            now=self._clock(),
        )
        return known.demand

    def _web_demand(self, environment: Environment, known: Remembered, runtime: RuntimeSeen) -> WebDemand | None:
        """What is known of the web servers' last while, after this look too; None = their number never changes."""
        revision = environment.serving
        is_asked = environment.status in lifecycle.SETTLED and web_scaling.follows(environment.spec)
        if not is_asked or runtime.served != revision or revision not in runtime.cells:
            known.web_demand = None
            return None
        known.web_demand = web_scaling.seen(
            known.web_demand,
            revision,
            self._backend.runtime.web_load(environment.tenant, revision),
            window=self._pace.scale_in_after,
            now=self._clock(),
        )
        return known.web_demand

    def _look_ahead(self, environment: Environment, known: Remembered) -> Ahead | None:
        """What the database says is to do, for environments that hibernate or may; the answer may be a little old."""
        running, slept = environment.deployed, environment.hibernation
        if running is None or environment.status not in lifecycle.SETTLED or not hibernation.is_asked(environment):
            known.ahead = None
            return None
        now, last = self._clock(), known.ahead
        if last is None or last.slept != slept or now - last.at > last.good_for:
            begun = time.monotonic()
            found = self._ask_ahead(environment, running.version, now)
            is_slow = found is None or time.monotonic() - begun > SLOW
            pause = ASK_AGAIN if is_slow else ASK_SOON if slept.rest is Rest.WAITING else ASK_EVERY
            last = known.ahead = AskedAhead(now, slept, found, timedelta(seconds=pause))
        return last.found

    def _ask_ahead(self, environment: Environment, version: str, now: datetime) -> Ahead | None:
        since = hibernation.since(environment, now)
        try:
            return self._backend.databases.ahead(environment.tenant, version=version, since=since)
        except RetryError as error:  # code of the environment can make its database slow; the rest goes on
            log.info("not known what is due", environment=environment.name, reason=str(error))
            return None

    def _carry_out(self, environment: Environment, chosen: Plan) -> None:
        if isinstance(chosen, Fail):
            tail = self._backend.runtime.tail(environment.tenant, *chosen.failing) if chosen.failing else ()
            self._write_failure(environment, replace(chosen.failure, tail=tail))
            return
        self._write_progress(environment, chosen)
        name, now = environment.name, self._clock()
        match chosen:
            case Wait():
                pass
            case Take():
                self._take(environment, chosen)
            case Reach():
                if chosen.snapshot is not None:
                    self._snapshots.add(chosen.snapshot)
                self._write_change(environment, chosen.change)
            case Happen():
                self._let_happen(environment, chosen)
            case Begin():
                self._environments.begin(environment, chosen.change)
            case Sleep():
                self._environments.rest(
                    name, lambda found: chosen.step if _is_as_seen(found, environment) else None, now
                )

    def _let_happen(self, environment: Environment, chosen: Happen) -> None:
        if chosen.forget is not None:
            self._forget(environment.identifier, chosen.forget)
        self._environments.request(environment.name, chosen.event, self._clock())
        if chosen.event is Event.UPDATED:  # a change that fails must not have cost an older snapshot
            self._remove_surplus(environment.name)

    def _write_progress(self, environment: Environment, chosen: Wait | Take | Reach | Happen | Begin | Sleep) -> None:
        name, before = environment.name, environment.progress
        fraction = chosen.fraction if isinstance(chosen, Wait | Take) else None
        moved = before.moved(chosen.phase, chosen.detail, fraction, self._clock())
        if moved == before:
            return
        self._environments.set_progress(name, moved)
        if moved.phase != before.phase:
            self._environments.record(name, "PHASE", chosen.detail, {"phase": chosen.phase}, self._clock())
        trouble = chosen.trouble if isinstance(chosen, Wait) else None
        if trouble is not None and moved.detail != before.detail:
            self._environments.record(name, "FAILURE", trouble.message, {"code": trouble.code}, self._clock())

    def _take(self, environment: Environment, chosen: Take) -> None:
        """Give the orders. Only what has been done may be written down as done."""
        for order in chosen.orders:
            self._order(environment, order)
        note = chosen.note
        if note is not None:
            log.warning("note", environment=environment.name, what=note.kind, sentence=note.sentence)
            detail = {"revision": note.revision, **note.figures}
            self._environments.record(environment.name, note.kind, note.sentence, detail, self._clock())
        if chosen.reached is not None:
            self._write_change(environment, chosen.reached)

    def _order(self, environment: Environment, order: Order) -> None:
        """The one place from which the world is changed."""
        tenant = environment.tenant
        if isinstance(order, RuntimeOrder):
            self._backend.runtime.carry_out(tenant, order)
        elif isinstance(order, ReleaseOrder):
            self._backend.releases.carry_out(tenant, order)
        elif isinstance(order, DatabaseOrder):
            self._backend.databases.carry_out(tenant, order)
        if isinstance(order, QueueAgain):
            known = self._remembering.of(environment)
            known.demand = replace(known.demand, astray_for=-QUEUED_AGAIN) if known.demand else None
        if isinstance(order, ReportDeaths):
            told = {(death.revision, death.worker): death.at for death in order.deaths}
            self._remembering.of(environment).deaths |= told

    def _write_change(self, environment: Environment, change: Change) -> None:
        """Write down how far the change is, and what has become known of it."""
        found = self._environments.get(environment.name)
        self._environments.set_progress(environment.name, (found or environment).progress, change=change)
        self._record_report(environment, change)

    def _collect(self) -> None:
        """Remove releases and versions that nobody uses; an error is logged, and the next round tries again."""
        try:
            environments, now = self._environments.all(), self._clock()
            snapshots = [each for environment in environments for each in self._snapshots.of(environment.name)]
            versions = history.versions_in_use(environments, snapshots)
            self._backend.releases.collect(history.contents_in_use(environments), versions, now)
        except Exception as error:  # noqa: BLE001 - the loop outlives every error
            log.warning("releases not collected", error=str(error))

    def _remove_surplus(self, name: str) -> None:
        """Make room for newer snapshots."""
        known = self._snapshots.of(name)
        for old in history.surplus(known, self._environments.all(), kept=self._snapshots_kept):
            self._remove_snapshot(old.identifier, old.number, history.is_needed)

    def _forget(self, identifier: str, number: int) -> None:
        """Remove the snapshot of a change that was undone. It stays if a clone begins from it, until it is surplus."""
        self._remove_snapshot(identifier, number, history.begun_from)

    def _remove_snapshot(
        self, identifier: str, number: int, needing: Callable[[str, int, list[Environment]], object]
    ) -> None:
        self._snapshots.remove(
            identifier,
            number,
            lambda: self._backend.databases.remove_snapshot(identifier, number),
            is_needed=lambda environments: bool(needing(identifier, number, environments)),
        )

    def _record_report(self, environment: Environment, change: Change) -> None:
        """Write the new sentences of the change's report as events."""
        known = len(environment.change.report) if environment.change is not None else 0
        for sentence in change.report[known:]:
            self._environments.record(environment.name, "NOTE", sentence, {"revision": change.revision}, self._clock())

    def _tell_incidents(self, environment: Environment, observed: Observed) -> None:
        """Write one event for each unit that hung or met a limit, even if the control plane restarts in between."""
        known = self._remembering.of(environment)
        for each in keeping.incidents(observed):
            if known.told is None:
                known.told = self._told_before(environment.name)
            told, key = known.told, (each.kind, each.revision, each.unit)
            if each.at <= told.get(key, 0.0) + SAME_MOMENT:
                continue
            detail = {"revision": each.revision, "unit": each.unit, "at": each.at}
            log.warning("incident", environment=environment.name, what=each.kind, sentence=each.sentence)
            self._environments.record(environment.name, each.kind, each.sentence, detail, self._clock())
            told[key] = each.at

    def _tell_crash_loops(self, environment: Environment, observed: Observed) -> None:
        """Write one event for each unit that ends again and again. A change that such a unit spoils tells it itself."""
        known, now = self._remembering.of(environment), self._clock()
        if environment.status in UNDER_CHANGE:
            known.endings = {}
            return
        known.endings, told = crash_loops.noted(known.endings, observed, now)
        for (whose, unit), sentence in told:
            detail = {"revision": whose, "unit": unit}
            log.warning("unit fails", environment=environment.name, sentence=sentence)
            self._environments.record(environment.name, UNIT_FAILING, sentence, detail, now)

    def _told_before(self, name: str) -> dict[tuple[str, int | None, str], float]:
        """The incidents that have an event already: kind, revision and unit → when that was."""
        events = [event for event in self._environments.events(name) if event["kind"] in keeping.INCIDENTS]
        return {
            (event["kind"], event["detail"]["revision"], event["detail"]["unit"]): event["detail"]["at"]
            for event in events
        }

    def _fail(self, environment: Environment, failure: Failure) -> float:
        """A person must act. A change ends and is undone; anything else is tried again, more slowly."""
        log.error("broken", environment=environment.name, code=failure.code, message=failure.message)
        if environment.status in UNDER_CHANGE and environment.failure is None:
            self._write_failure(environment, failure)
            return 0.0
        self._tell(environment, f"{failure.code}: {failure.message}")
        return FAULT_PAUSE

    def _tell(self, environment: Environment, detail: str) -> None:
        """Say in the progress why nothing moves."""
        now = self._environments.get(environment.name)
        if now is not None:
            moved = now.progress.moved(now.progress.phase, detail, None, self._clock())
            self._environments.set_progress(environment.name, moved)

    def _fault(self, environment: Environment, fault: Exception) -> float:
        """An error that nobody foresaw: log it whole and try again; when it persists, the change fails."""
        log.error("fault", environment=environment.name, exc_info=fault)
        known = self._remembering.of(environment)
        known.faults += 1
        if known.faults < FAULT_LIMIT:
            return FAULT_PAUSE
        message = f"{type(fault).__name__} in Aerodrome itself; the control plane's log has the details."
        return self._fail(environment, Failure(code="INTERNAL_FAILURE", message=message))

    def _write_failure(self, environment: Environment, failure: Failure) -> None:
        now = self._clock()
        moved = environment.progress.moved(Phase.FAILED, failure.message, None, now)
        self._environments.set_progress(environment.name, moved, failure=failure)
        detail = {"code": failure.code, "tail": list(failure.tail)}
        self._environments.record(environment.name, "FAILURE", failure.message, detail, now)


def _is_as_seen(found: Environment, seen: Environment) -> bool:
    """Whether nobody has woken or changed the environment since it was looked at."""
    return (found.identifier, found.status, found.hibernation) == (seen.identifier, seen.status, seen.hibernation)
