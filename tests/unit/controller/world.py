"""A control plane in memory with a clock of its own, whose controller can be killed at any effect."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from aerodrome.backends.contract import Backend
from aerodrome.backends.memory import FakeEnvironment, MemoryBackend
from aerodrome.controller import plan as planning
from aerodrome.controller.loop import Controller
from aerodrome.controller.plans import Plan
from aerodrome.controller.scaling import Pace
from aerodrome.ledger.memory import MemoryEnvironments, MemorySnapshots
from aerodrome.model import defaults, hibernation
from aerodrome.model.change import Change, ChangeKind, Seed, Strategy
from aerodrome.model.environment import Environment
from aerodrome.model.history import Snapshot
from aerodrome.model.lifecycle import Event, Status
from aerodrome.model.observed import Observed
from aerodrome.model.orders import CellOrder, MendDatabase, Order, Point, Remove, ReportDeaths, title
from aerodrome.model.spec import Spec

NOW = datetime(2026, 1, 1, tzinfo=UTC)
NAME = "one"
REQUEST = {
    "ExecutionRoleArn": "arn:aws:iam::000000000000:role/execution",
    "SourceBucketArn": "arn:aws:s3:::bucket",
    "DagS3Path": "dags",
    "NetworkConfiguration": {"SubnetIds": ["subnet-a", "subnet-b"], "SecurityGroupIds": ["sg-a"]},
    "WeeklyMaintenanceWindowStart": "SUN:03:30",
}
SETTLED = {Status.AVAILABLE, Status.UPDATE_FAILED, Status.CREATE_FAILED}
LOOKS = 400
"""How often a test looks before it says that nothing comes to an end; a change takes some forty looks."""


PACE = Pace(scale_in_after=30.0, drain_limit=12 * 3600.0)


def plan(environment: Environment, observed: Observed, now: datetime) -> Plan:
    """The next move at the usual pace."""
    return planning.plan(environment, observed, now, PACE)


class Killed(BaseException):
    """The control plane is dead."""


@dataclass
class Fuse:
    """Kills at one effect of many: before it has happened, or after it."""

    at: int | None = None
    after: bool = False
    effects: list[str] = field(default_factory=list)

    def guard(self, thing: Any, *names: str) -> Any:
        return _Guarded(thing, self, names)

    def burn(self, name: str, effect: Callable[[], Any]) -> Any:
        is_due = self.at == len(self.effects)
        self.effects.append(name)
        if is_due and not self.after:
            raise Killed(name)
        result = effect()
        if is_due:
            raise Killed(name)
        return result


class _Guarded:
    def __init__(self, thing: Any, fuse: Fuse, names: tuple[str, ...]) -> None:
        self._thing, self._fuse, self._names = thing, fuse, names

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._thing, name)
        if name not in self._names:
            return method

        def guarded(*args: Any, **kwargs: Any) -> Any:
            about = next((_about(each) for each in args if isinstance(each, Order | Event)), "")
            return self._fuse.burn(f"{name} {about}".strip(), lambda: method(*args, **kwargs))

        return guarded


def _about(given: Order | Event) -> str:
    return str(given) if isinstance(given, Event) else title(given)


class World:
    """One environment and all that moves it."""

    def __init__(self) -> None:
        self.environments = MemoryEnvironments()
        self.snapshots = MemorySnapshots(self.environments)
        self.backend = MemoryBackend()
        self.now = NOW
        self.fuse = Fuse()

    def create(self, version: str = "3.3.1", *, seed: Seed | None = None, **more: Any) -> Environment:
        spec = defaults.complete(NAME, {**REQUEST, **more}, latest_version=version)
        self.environments.create(NAME, spec, {}, sealed_secrets=b"", quota=10, now=self.now, seed=seed)
        return self.settle()

    def begin(
        self,
        wanted: Callable[[Spec], Spec],
        *,
        kind: ChangeKind = ChangeKind.UPDATE,
        strategy: Strategy = Strategy.GRACEFUL,
        seed: Seed | None = None,
    ) -> None:
        found = self.found()
        change = Change(
            kind=kind, spec=wanted(found.spec), revision=0, strategy=strategy, requested_at=self.now, seed=seed
        )
        self.environments.begin(found, change)

    def snapshot(self) -> Seed:
        """A snapshot that the present revision's change has left."""
        found = self.found()
        assert found.deployed is not None
        number = found.revision
        taken = Snapshot(
            identifier=found.identifier,
            number=number,
            taken_at=self.now,
            spec=found.spec,
            deployed=found.deployed,
            size=1,
        )
        self.snapshots.add(taken)
        return Seed(identifier=found.identifier, number=number)

    def hibernate(self, *, waits: bool = False) -> None:
        now = self.now
        self.environments.rest(NAME, lambda found: hibernation.asked(found.hibernation, waits=waits, now=now), now)

    def wake(self) -> None:
        now = self.now
        self.environments.rest(NAME, lambda found: hibernation.woken(found.hibernation, "Asked.", now), now)

    def delete(self) -> None:
        self.environments.request(NAME, Event.DELETE_REQUESTED, self.now)

    def found(self) -> Environment:
        found = self.environments.get(NAME)
        assert found is not None
        return found

    @property
    def place(self) -> FakeEnvironment:
        return self.backend.environments[NAME]

    def titles(self, since: int = 0) -> list[str]:
        """The orders that were given, but for those that precede others to be on the safe side."""
        return [title(each) for each in self.backend.taken[since:] if not isinstance(each, MendDatabase | ReportDeaths)]

    def ordered(self, since: int = 0) -> list[tuple[str, int | None]]:
        """The same with the revision that each is about; None where that is the change's own."""
        return [
            (title(each), getattr(each, "revision", None) if isinstance(each, CellOrder | Point | Remove) else None)
            for each in self.backend.taken[since:]
            if not isinstance(each, MendDatabase | ReportDeaths)
        ]

    def controller(self) -> Controller:
        """A new one, as after a start."""
        parts = self.backend.parts
        environments = self.fuse.guard(self.environments, "set_progress", "request", "begin", "rest")
        return Controller(
            environments,
            self.fuse.guard(self.snapshots, "add", "remove"),
            None,  # type: ignore[arg-type]  # nobody listens here
            Backend(
                runtime=self.fuse.guard(parts.runtime, "carry_out"),
                databases=self.fuse.guard(parts.databases, "carry_out", "remove_snapshot"),
                releases=self.fuse.guard(parts.releases, "carry_out"),
            ),
            lambda: self.now,
            snapshots_kept=2,
            pace=PACE,
        )

    def look(self, controller: Controller) -> None:
        """One look, and the wait until the next."""
        self.now += timedelta(seconds=controller.reconcile(NAME) + 0.01)

    def settle(self, until: Callable[[Environment | None], bool] | None = None) -> Environment:
        """Look until the environment has settled, and start a killed controller again; returns the environment."""
        done = until or (lambda found: found is None or found.status in SETTLED)
        controller = self.controller()
        for _ in range(LOOKS):
            found = self.environments.get(NAME)
            if done(found) and (until is not None or not self._retiring(found)):
                return found  # type: ignore[return-value]  # None after a deletion
            try:
                self.look(controller)
            except Killed:
                controller = self.controller()
        found = self.environments.get(NAME)
        raise AssertionError(f"does not end: {found and (found.status, found.progress)} {self.fuse.effects[-20:]}")

    def _retiring(self, found: Environment | None) -> bool:
        if found is None or found.deployed is None or self.backend.busy:
            return False
        return set(self.place.cells) != {found.deployed.cell}


def option(value: str) -> Callable[[Spec], Spec]:
    """An update of one option."""
    return lambda spec: replace(spec, airflow_configuration_options={"core.parallelism": value})


def version(number: str) -> Callable[[Spec], Spec]:
    """A move to another Airflow version."""
    return lambda spec: replace(spec, airflow_version=number)
