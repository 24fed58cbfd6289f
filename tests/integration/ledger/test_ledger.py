"""The ledger on a real PostgreSQL: quotas, races, tags, notices, and a schema that its migrations make."""

from __future__ import annotations

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
from aerodrome.model import defaults
from aerodrome.model.environment import Failure
from aerodrome.model.lifecycle import Event, Status

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
def engine(cluster, empty_database):
    url = cluster.superuser_dsn(empty_database, scheme="postgresql+psycopg")
    engine = sa.create_engine(url)
    migrate(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def ledger(engine):
    return Environments(engine, region="us-east-1", account="000000000000")


def add(ledger, name="one", quota=10):
    return ledger.create(name, SPEC, {"team": "a"}, sealed_secrets=b"sealed", quota=quota, now=NOW)


def test_migrations_make_the_schema_and_may_run_again(engine):
    migrate(engine)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), schema.metadata) == []


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


def test_events_settle_the_last_update(ledger):
    add(ledger)
    assert ledger.request("one", Event.CREATED, NOW).last_update.status == "SUCCESS"
    add(ledger, "two")
    failure = Failure(code="UNIT_FAILED", message="no", tail=("line",))
    failed = ledger.request("two", Event.FAILED, NOW, failure=failure)
    assert (failed.status, failed.last_update.failure) == (Status.CREATE_FAILED, failure)


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


def test_a_change_wakes_whoever_waits(ledger, cluster, empty_database):
    notices = Notices(cluster.superuser_dsn(empty_database))
    notices.wait(0.01)  # from here on it listens
    adding = threading.Thread(target=add, args=(ledger,))
    adding.start()
    assert notices.wait(30) == {"one"}
    adding.join()
    notices.close()
