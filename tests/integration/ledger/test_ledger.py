"""The ledger on a real PostgreSQL: quotas, races, tags, notices, and a schema that its migrations make."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from aerodrome.errors import CallerError, NotFoundError
from aerodrome.ledger import schema
from aerodrome.ledger.environments import Environments
from aerodrome.ledger.migrate import migrate
from aerodrome.ledger.notices import Notices
from aerodrome.ledger.snapshots import Snapshots
from aerodrome.model import defaults
from aerodrome.model.change import ChangeKind
from aerodrome.model.environment import Failure
from aerodrome.model.history import Outcome, Snapshot
from aerodrome.model.lifecycle import Event, Status
from aerodrome.model.release import Deployed

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


@pytest.fixture
def ledger(engine):
    return Environments(engine, region="us-east-1", account="000000000000")


def add(ledger, name="one", quota=10):
    return ledger.create(name, SPEC, {"team": "a"}, sealed_secrets=b"sealed", quota=quota, now=NOW)


def test_migrations_make_the_schema_and_may_run_again(engine):
    migrate(engine)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), schema.metadata) == []


def test_environments_from_before_revisions_become_the_first_of_themselves(cluster, empty_database):
    """Rows as the schema 0002 had them."""
    engine = sa.create_engine(cluster.superuser_dsn(empty_database, scheme="postgresql+psycopg"))
    migrate(engine, to="0002")
    row = """
        INSERT INTO environment (name, identifier, arn, spec, tags, status, created_at, last_update, progress,
            failure, sealed_secrets)
        VALUES (:name, :name, :name, :spec, '{}', :status, :now, :update, :progress, NULL, '')
    """
    update = {"status": "SUCCESS", "created_at": NOW.isoformat(), "source": "user", "failure": None}
    progress = {"phase": "queued", "detail": "", "phase_started_at": NOW.isoformat(), "fraction": None, "phases": []}
    values = {"spec": json.dumps(SPEC.document()), "update": json.dumps(update), "progress": json.dumps(progress)}
    with engine.begin() as connection:
        for status in ("AVAILABLE", "CREATING", "CREATE_FAILED"):
            connection.execute(sa.text(row), {"name": status, "status": status, "now": NOW, **values})
    migrate(engine)

    ledger = Environments(engine, region="us-east-1", account="000000000000")
    running, begun, failed = (ledger.get(name) for name in ("AVAILABLE", "CREATING", "CREATE_FAILED"))
    assert (running.spec, running.revision, running.change) == (SPEC, 1, None)
    assert (running.deployed.version, running.deployed.cell) == ("3.3.1", 1)
    assert (begun.change.kind, begun.change.spec, begun.change.requested_at, begun.deployed) == (
        ChangeKind.CREATE,
        SPEC,
        NOW,
        None,
    )
    assert (failed.change, failed.deployed) == (None, None)
    outcomes = [each.outcome for name in ("AVAILABLE", "CREATING", "CREATE_FAILED") for each in ledger.revisions(name)]
    assert outcomes == [Outcome.APPLIED, Outcome.PENDING, Outcome.FAILED]
    engine.dispose()


def test_what_is_created_is_read_back_whole(ledger):
    created = add(ledger)
    assert ledger.get("one") == created
    assert (created.status, created.spec, created.sealed_secrets) == (Status.CREATING, SPEC, b"sealed")
    assert created.arn == "arn:aws:airflow:us-east-1:000000000000:environment/one"
    assert created.last_update.status == "PENDING"


def test_of_many_creates_of_one_name_one_wins(ledger):
    def attempt(_):
        try:
            return add(ledger)
        except CallerError as error:
            return error

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(attempt, range(8)))
    refused = [result for result in results if isinstance(result, CallerError)]
    assert len(refused) == 7
    assert all("already exists" in str(error) for error in refused)


def test_a_quota_holds_against_a_race(ledger):
    def attempt(number):
        try:
            return add(ledger, f"env-{number}", quota=3)
        except CallerError as error:
            return error

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(attempt, range(8)))
    assert len(ledger.names()) == 3
    assert sum("quota of 3" in str(result) for result in results if isinstance(result, CallerError)) == 5


def test_names_are_listed_in_byte_order_page_by_page(ledger):
    for name in ("b", "A", "a-1", "a"):
        add(ledger, name)
    assert ledger.names() == ["A", "a", "a-1", "b"]
    assert ledger.names(after="A", limit=2) == ["a", "a-1"]


def test_an_event_that_the_status_forbids_changes_nothing(ledger):
    before = add(ledger)
    with pytest.raises(CallerError):
        ledger.request("one", Event.RECOVERED, NOW)
    assert ledger.get("one") == before


def test_a_removed_environment_is_gone_but_its_events_stay(ledger):
    add(ledger)
    ledger.request("one", Event.DELETE_REQUESTED, NOW)
    assert ledger.request("one", Event.REMOVED, NOW).status is Status.DELETED
    assert ledger.get("one") is None
    with pytest.raises(NotFoundError):
        ledger.request("one", Event.DELETE_REQUESTED, NOW)
    assert [event["kind"] for event in ledger.events("one")] == ["CREATE_REQUESTED", "DELETE_REQUESTED", "REMOVED"]


def test_progress_and_failure_are_kept(ledger):
    environment = add(ledger)
    moved = environment.progress.moved("install", "Installing.", 0.5, NOW)
    failure = Failure(code="X", message="because")
    ledger.set_progress("one", moved, failure=failure)
    found = ledger.get("one")
    assert (found.progress, found.failure) == (moved, failure)


def test_tags_are_merged_and_removed(ledger):
    add(ledger)
    ledger.set_tags("one", {"team": "b", "cost": "1"})
    assert ledger.get("one").tags == {"team": "b", "cost": "1"}
    ledger.remove_tags("one", ["team", "absent"])
    assert ledger.get("one").tags == {"cost": "1"}
    with pytest.raises(NotFoundError):
        ledger.set_tags("absent", {"a": "b"})


def test_snapshots_are_of_an_environment_and_kept_in_order(ledger, engine):
    environment = add(ledger)
    snapshots = Snapshots(engine)
    deployed = Deployed(identifier="f00d", version="3.3.1", lock="10ck")
    taken = [
        Snapshot(
            identifier=environment.identifier, number=number, taken_at=NOW, spec=SPEC, deployed=deployed, size=2**33
        )
        for number in (4, 2)
    ]
    for each in (*taken, *taken):
        snapshots.add(each)
    assert snapshots.of("one") == taken[::-1]
    assert snapshots.of("two") == []
    for number in (2, 3):
        assert snapshots.remove(environment.identifier, number, lambda: None, is_needed=lambda _: False)
    assert snapshots.of("one") == taken[:1]


def test_a_change_wakes_whoever_waits(ledger, cluster, empty_database):
    notices = Notices(cluster.superuser_dsn(empty_database))
    notices.wait(0.01)  # from here on it listens
    adding = threading.Thread(target=add, args=(ledger,))
    adding.start()
    assert notices.wait(30) == {"one"}
    adding.join()
    notices.close()
