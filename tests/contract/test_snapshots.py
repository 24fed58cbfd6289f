"""The ledger's snapshots and notices: in memory, and on a real PostgreSQL."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from aerodrome.errors import NotFoundError
from aerodrome.ledger.environments import Environments
from aerodrome.ledger.memory import MemoryEnvironments, MemoryNotices, MemorySnapshots
from aerodrome.ledger.notices import Notices
from aerodrome.ledger.snapshots import Snapshots
from aerodrome.model.history import Snapshot
from aerodrome.model.lifecycle import Event
from aerodrome.model.release import Deployed

NOW = datetime(2026, 1, 1, tzinfo=UTC)
DEPLOYED = Deployed(identifier="f00d", version="3.3.1", lock="10ck")
PLACE = {"region": "eu-west-1", "account": "123456789012"}
LONG = 60.0
"""Seconds for a notice that comes."""


@pytest.fixture(params=["memory", "postgresql"])
def ledger(request):
    """Environments, snapshots and notices of one ledger."""
    if request.param == "memory":
        environments = MemoryEnvironments(**PLACE)
        snapshots, notices = MemorySnapshots(environments), MemoryNotices(environments)
    else:
        engine = request.getfixturevalue("engine")
        environments, snapshots = Environments(engine, **PLACE), Snapshots(engine)
        notices = Notices(engine.url.set(drivername="postgresql").render_as_string(hide_password=False))
    yield environments, snapshots, notices
    notices.close()


@pytest.fixture
def add(ledger, spec):
    return lambda name: ledger[0].create(name, spec, {}, sealed_secrets=b"", quota=9, now=NOW)


@pytest.fixture
def taken(spec):
    def taken(environment, number, size=2**33):
        return Snapshot(
            identifier=environment.identifier, number=number, taken_at=NOW, spec=spec, deployed=DEPLOYED, size=size
        )

    return taken


def test_snapshots_are_of_one_environment_the_oldest_first(ledger, add, taken):
    _, snapshots, _ = ledger
    one, two = add("one"), add("two")
    for each in (taken(one, 4), taken(two, 3), taken(one, 2)):
        snapshots.add(each)
    assert snapshots.of("one") == [taken(one, 2), taken(one, 4)]
    assert snapshots.of("two") == [taken(two, 3)]
    assert snapshots.of("three") == []


def test_a_snapshot_that_is_written_down_again_stays_as_it_was(ledger, add, taken):
    _, snapshots, _ = ledger
    one = add("one")
    snapshots.add(taken(one, 2, size=1))
    snapshots.add(taken(one, 2, size=2))
    assert snapshots.of("one") == [taken(one, 2, size=1)]


def test_a_snapshot_is_removed_by_its_number_and_environment(ledger, add, taken):
    _, snapshots, _ = ledger
    one, two = add("one"), add("two")
    for each in (taken(one, 2), taken(two, 2)):
        snapshots.add(each)
    snapshots.remove(one.identifier, 2)
    snapshots.remove(one.identifier, 3)
    assert (snapshots.of("one"), snapshots.of("two")) == ([], [taken(two, 2)])


def test_snapshots_go_with_their_environment(ledger, add, taken):
    environments, snapshots, _ = ledger
    one = add("one")
    snapshots.add(taken(one, 2))
    environments.request("one", Event.DELETE_REQUESTED, NOW)
    environments.request("one", Event.REMOVED, NOW)
    with pytest.raises(NotFoundError):
        snapshots.add(taken(one, 3))
    add("one")
    assert snapshots.of("one") == []


def test_what_happens_to_an_environment_wakes_whoever_listens(ledger, add):
    environments, _, notices = ledger
    assert notices.wait(0.01) == set()  # from here on it listens
    add("one")
    assert notices.wait(LONG) == {"one"}
    environments.request("one", Event.CREATED, NOW)
    assert notices.wait(LONG) == {"one"}


def test_what_changes_no_status_of_an_environment_wakes_nobody(ledger, add):
    environments, _, notices = ledger
    made = add("one")
    notices.wait(0.01)
    environments.set_progress("one", made.progress)
    environments.set_tags("one", {"a": "b"})
    environments.record(None, "THREAD_HUNG", "A thread hangs.", {}, NOW)
    assert notices.wait(0.05) == set()
    environments.record("one", "NOTED", "A note.", {}, NOW)
    assert notices.wait(LONG) == {"one"}


def test_whoever_has_closed_hears_what_comes_after_he_listens_again(ledger, add):
    _, _, notices = ledger
    notices.wait(0.01)
    notices.close()
    add("one")
    assert notices.wait(0.05) == set()
    add("two")
    assert notices.wait(LONG) == {"two"}
