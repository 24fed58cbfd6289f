"""The ledger's snapshots and notices: in memory, and on a real PostgreSQL."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor, wait
from datetime import UTC, datetime

import pytest

from aerodrome.errors import CallerError, NotFoundError
from aerodrome.ledger.environments import Environments
from aerodrome.ledger.memory import MemoryEnvironments, MemoryNotices, MemorySnapshots
from aerodrome.ledger.notices import Notices
from aerodrome.ledger.snapshots import Snapshots
from aerodrome.model.change import Change, ChangeKind, Seed, Strategy
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
    cleared = []
    assert not snapshots.remove(one.identifier, 2, lambda: cleared.append(0), is_needed=lambda every: len(every) == 2)
    assert (snapshots.of("one"), cleared) == ([taken(one, 2)], [])
    for number in (2, 3):
        assert snapshots.remove(one.identifier, number, lambda: cleared.append(1), is_needed=lambda _: False)
    assert (snapshots.of("one"), snapshots.of("two"), cleared) == ([], [taken(two, 2)], [1, 1])


def test_a_snapshot_that_could_not_be_cleared_is_still_known(ledger, add, taken):
    def fail() -> None:
        raise OSError("away")

    _, snapshots, _ = ledger
    one = add("one")
    snapshots.add(taken(one, 2))
    with pytest.raises(OSError, match="away"):
        snapshots.remove(one.identifier, 2, fail, is_needed=lambda _: False)
    assert snapshots.of("one") == [taken(one, 2)]


def test_no_clone_begins_while_its_snapshot_is_removed_or_when_it_is_gone(ledger, add, taken, spec):
    environments, snapshots, _ = ledger
    one = add("one")
    seed = Seed(identifier=one.identifier, number=2)

    def clone(name: str) -> None:
        environments.create(name, spec, {}, sealed_secrets=b"", quota=9, now=NOW, seed=seed)

    with pytest.raises(NotFoundError, match="Snapshot 2 is gone"):
        clone("early")
    snapshots.add(taken(one, 2))
    clone("in-time")
    assert environments.get("in-time").change.seed == seed
    with ThreadPoolExecutor(1) as pool:
        asked: list[Future[None]] = []

        def clear() -> None:
            asked.append(pool.submit(clone, "late"))
            assert not wait(asked, timeout=0.5).done  # it waits for us

        assert snapshots.remove(one.identifier, 2, clear, is_needed=lambda _: False)
        with pytest.raises(NotFoundError, match="Snapshot 2 is gone"):
            asked[0].result()
    snapshots.add(taken(one, 2))
    environments.request("one", Event.DELETE_REQUESTED, NOW)
    with pytest.raises(CallerError, match="is being deleted"):
        clone("too-late")
    assert environments.names() == ["in-time", "one"]


def test_a_restore_needs_its_snapshot(ledger, add, taken, spec):
    environments, snapshots, _ = ledger
    one = add("one")
    environments.request("one", Event.CREATED, NOW)
    restore = Change(
        kind=ChangeKind.RESTORE,
        spec=spec,
        revision=0,
        strategy=Strategy.GRACEFUL,
        requested_at=NOW,
        seed=Seed(identifier=one.identifier, number=2),
    )
    found = environments.get("one")
    with pytest.raises(NotFoundError, match="Snapshot 2 is gone"):
        environments.begin(found, restore)
    assert environments.get("one") == found
    snapshots.add(taken(one, 2))
    environments.begin(found, restore)


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
