"""The loop between a real ledger and a backend in memory: it makes what the ledger asks for, and answers errors."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime

import pytest
import sqlalchemy as sa

from aerodrome import clock
from aerodrome.backends.memory import FakeEnvironment, MemoryBackend
from aerodrome.controller import loop, scaling
from aerodrome.controller.loop import Controller
from aerodrome.controller.scaling import Pace
from aerodrome.errors import BrokenError, RetryError
from aerodrome.ledger.environments import Environments
from aerodrome.ledger.migrate import migrate
from aerodrome.ledger.notices import Notices
from aerodrome.ledger.snapshots import Snapshots
from aerodrome.model import defaults
from aerodrome.model.change import Change, ChangeKind, Strategy
from aerodrome.model.lifecycle import Event, Status
from aerodrome.model.orders import ReportDeaths
from product import wait_for

PACE = Pace(scale_in_after=30.0, drain_limit=12 * 3600.0)

TWO_WORKERS = 10
"""Tasks; each has five slots in SPEC's class."""

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SPEC = defaults.complete(
    "one",
    {
        "ExecutionRoleArn": "arn:aws:iam::000000000000:role/execution",
        "SourceBucketArn": "arn:aws:s3:::bucket",
        "DagS3Path": "dags",
        "NetworkConfiguration": {"SubnetIds": ["subnet-a", "subnet-b"], "SecurityGroupIds": ["sg-a"]},
    },
    latest_version="3.3.1",
)


class Bench:
    """A ledger, a backend in memory and a running controller."""

    def __init__(self, ledger, snapshots, backend, controller):
        self.ledger = ledger
        self.snapshots = snapshots
        self.backend = backend
        self.controller = controller

    def add(self, name="one", spec=SPEC):
        self.ledger.create(name, spec, {}, sealed_secrets=b"", quota=10, now=clock.now())

    def reaches(self, status, name="one"):
        return wait_for(
            f"{name} is {status}",
            lambda: (found := self.ledger.get(name)) is not None and found.status is status and found,
            limit=60,
        )


@pytest.fixture
def bench(cluster, empty_database):
    engine = sa.create_engine(cluster.superuser_dsn(empty_database, scheme="postgresql+psycopg"))
    migrate(engine)
    ledger = Environments(engine, region="us-east-1", account="000000000000")
    backend = MemoryBackend()
    snapshots = Snapshots(engine)
    notices = Notices(cluster.superuser_dsn(empty_database))
    controller = Controller(ledger, snapshots, notices, backend.parts, clock.now, snapshots_kept=2, pace=PACE)
    controller.start()
    yield Bench(ledger, snapshots, backend, controller)
    controller.stop()
    engine.dispose()


def test_a_creation_comes_about_and_tells_its_phases(bench):
    bench.add()
    found = bench.reaches(Status.AVAILABLE)
    assert found.last_update.status == "SUCCESS"
    assert {"database", "services", "start"} <= {phase.name for phase in found.progress.phases}
    kinds = [event["kind"] for event in bench.ledger.events("one")]
    assert kinds[0] == "CREATE_REQUESTED"
    assert kinds[-1] == "CREATED"


def test_a_deletion_comes_about(bench):
    bench.add()
    bench.reaches(Status.AVAILABLE)
    bench.ledger.request("one", Event.DELETE_REQUESTED, clock.now())
    wait_for("the environment is gone", lambda: bench.ledger.get("one") is None, limit=60)
    assert bench.backend.environments["one"] == FakeEnvironment()
    assert bench.ledger.events("one")[-1]["kind"] == "REMOVED"
    wait_for("nothing of it is remembered", lambda: not len(bench.controller._remembering), limit=60)


def test_what_passes_by_itself_is_tried_again_and_told(bench):
    bench.backend.failures["MakeDatabase"] = RetryError("The template is in use.", delay=0.05)
    bench.add()
    wait_for("the reason is told", lambda: "in use" in bench.ledger.get("one").progress.detail, limit=60)
    del bench.backend.failures["MakeDatabase"]
    bench.reaches(Status.AVAILABLE)


def test_what_a_person_must_mend_ends_a_creation_with_its_code_and_lines(bench):
    bench.backend.failures["CellOrder ALL"] = BrokenError("No space left.", code="DISK_FULL", tail=("last line",))
    bench.add()
    failure = bench.reaches(Status.CREATE_FAILED).last_update.failure
    assert (failure.code, failure.message, failure.tail) == ("DISK_FULL", "No space left.", ("last line",))
    assert not bench.backend.environments["one"].databases
    bench.ledger.request("one", Event.DELETE_REQUESTED, clock.now())
    wait_for("the environment is gone", lambda: bench.ledger.get("one") is None, limit=60)


def test_a_fault_that_nobody_foresaw_ends_a_creation_but_not_the_loop(bench):
    bench.backend.failures["ServicesOrder ALL"] = ZeroDivisionError("secret detail")
    bench.add()
    failure = bench.reaches(Status.CREATE_FAILED).last_update.failure
    assert failure.code == "INTERNAL_FAILURE"
    assert "secret detail" not in failure.message
    bench.backend.failures.clear()
    bench.add("two")
    bench.reaches(Status.AVAILABLE, "two")


def test_a_lost_cell_is_started_again(bench):
    bench.add()
    bench.reaches(Status.AVAILABLE)
    bench.backend.environments["one"].cells[1].alive = False
    wait_for(
        "the loss was noticed", lambda: "LOST" in [event["kind"] for event in bench.ledger.events("one")], limit=60
    )
    bench.reaches(Status.AVAILABLE)
    assert bench.backend.environments["one"].cells[1].alive


def change(bench, spec, kind=ChangeKind.UPDATE):
    wanted = Change(kind=kind, spec=spec, revision=0, strategy=Strategy.GRACEFUL, requested_at=clock.now())
    return bench.ledger.begin(bench.ledger.get("one"), wanted)


def test_an_update_comes_about_beside_what_runs(bench):
    bench.add()
    bench.reaches(Status.AVAILABLE)
    change(bench, replace(SPEC, max_workers=7))
    found = bench.reaches(Status.AVAILABLE)
    assert (found.spec.max_workers, found.revision, found.last_update.status) == (7, 2, "SUCCESS")
    place = bench.backend.environments["one"]
    wait_for("the former revision is gone", lambda: list(place.cells) == [2], limit=60)
    assert bench.snapshots.of("one") == []


def test_an_upgrade_leaves_a_snapshot(bench):
    bench.add()
    before = bench.reaches(Status.AVAILABLE)
    change(bench, replace(SPEC, airflow_version="3.3.2"))
    bench.reaches(Status.AVAILABLE)
    [snapshot] = bench.snapshots.of("one")
    assert (snapshot.number, snapshot.spec, snapshot.deployed) == (2, before.spec, before.deployed)


def test_only_the_newest_snapshots_are_kept(bench):
    bench.add()
    bench.reaches(Status.AVAILABLE)
    for version in ("3.3.2", "3.3.1", "3.3.2"):
        change(bench, replace(SPEC, airflow_version=version))
        bench.reaches(Status.AVAILABLE)
    wait_for("the oldest went", lambda: [each.number for each in bench.snapshots.of("one")] == [3, 4], limit=60)
    assert bench.backend.removed_snapshots == [(bench.ledger.get("one").identifier, 2)]


def test_releases_are_collected_but_for_those_in_use(bench):
    wait_for("the first look", lambda: bench.backend.in_use)
    assert bench.backend.in_use[0] == (frozenset(), frozenset())


def test_a_failed_update_ends_as_it_was(bench):
    bench.add()
    bench.reaches(Status.AVAILABLE)
    bench.backend.failures["Build"] = BrokenError("a needs b", code="REQUIREMENTS_CONFLICT", tail=("line",))
    change(bench, replace(SPEC, airflow_configuration_options={"core.parallelism": "9"}))
    found = bench.reaches(Status.UPDATE_FAILED)
    assert (found.spec, found.revision, found.last_update.failure.code) == (SPEC, 1, "REQUIREMENTS_CONFLICT")
    assert bench.ledger.revisions("one")[-1].failure == found.last_update.failure


def test_what_postgresql_cannot_store_ends_no_loop(bench):
    bench.add()
    bench.reaches(Status.AVAILABLE)
    bench.backend.failures["Build"] = BrokenError("a\0b\ud800", code="DAG_IMPORT_FAILED", tail=("x\0",))
    change(bench, replace(SPEC, airflow_configuration_options={"core.parallelism": "9"}))
    found = bench.reaches(Status.UPDATE_FAILED)
    assert (found.last_update.failure.message, found.last_update.failure.tail) == ("ab?", ("x",))


def test_a_ledger_that_is_away_when_it_is_asked_ends_no_loop(bench, monkeypatch):
    asked = []

    def away(name):
        asked.append(name)
        raise sa.exc.OperationalError("SELECT", {}, Exception("away"))

    with monkeypatch.context() as patched:
        patched.setattr(bench.ledger, "get", away)
        bench.add()
        wait_for("it was asked in vain", lambda: len(asked) > 1, limit=60)
    bench.reaches(Status.AVAILABLE)


def test_airflow_is_told_of_a_dead_workers_tasks(bench):
    bench.add()
    bench.reaches(Status.AVAILABLE)
    bench.backend.environments["one"].cells[1].died_at = 100.0

    def told():
        return [each.deaths for each in bench.backend.taken if isinstance(each, ReportDeaths) and each.deaths]

    [[death]] = wait_for("Airflow was told", told, limit=60)
    assert (death.revision, death.worker, death.at) == (1, "worker-1", 100.0)
    assert bench.ledger.get("one").status is Status.AVAILABLE


def test_an_environment_is_looked_at_as_soon_as_its_queue_grows(bench, monkeypatch):
    monkeypatch.setattr(loop, "NAMES_EVERY", 3600.0)
    monkeypatch.setattr(scaling, "SAMPLE_EVERY", 3600.0)
    monkeypatch.setattr(loop, "CALM", 3600.0)
    bench.add(spec=replace(SPEC, max_workers=3))
    bench.reaches(Status.AVAILABLE)
    wait_for("it rests", lambda: bench.controller._due.get("one", 0.0) > time.monotonic() + 1800, limit=60)
    place = bench.backend.environments["one"]
    place.tasks = replace(place.tasks, queued=TWO_WORKERS)
    place.waiting = TWO_WORKERS
    wait_for("a worker came", lambda: len(place.cells[1].seen().workers) == 2, limit=60)
