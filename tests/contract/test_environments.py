"""The ledger's environments: in memory, and on a real PostgreSQL."""

from __future__ import annotations

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import PurePosixPath
from typing import Any

import pytest

from aerodrome.errors import CallerError, NotFoundError
from aerodrome.ledger import texts
from aerodrome.ledger.environments import Environments
from aerodrome.ledger.memory import MemoryEnvironments
from aerodrome.model import hibernation
from aerodrome.model.change import Change, ChangeKind, Seed, Strategy
from aerodrome.model.environment import Environment, Failure, FinishedPhase, LastUpdate, Progress
from aerodrome.model.hibernation import Hibernation, HibernationStep, Rest
from aerodrome.model.history import Outcome, Revision
from aerodrome.model.lifecycle import Event, Status
from aerodrome.model.release import Deployed

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LATER = NOW + timedelta(minutes=5)
DEPLOYED = Deployed(identifier="f00d", version="3.3.1", lock="10ck", content="c0de", cell=1)
PLACE = {"region": "eu-west-1", "account": "123456789012"}


@pytest.fixture(params=["memory", "postgresql"])
def environments(request: pytest.FixtureRequest) -> Environments | MemoryEnvironments:
    if request.param == "memory":
        return MemoryEnvironments(**PLACE)
    return Environments(request.getfixturevalue("engine"), **PLACE)


@pytest.fixture
def add(environments, spec) -> Callable[..., Environment]:
    def add(name: str = "one", *, quota: int = 10, **tags: str) -> Environment:
        made: Environment = environments.create(name, spec, tags, sealed_secrets=b"sealed", quota=quota, now=NOW)
        return made

    return add


def outcome(attempt: Callable[[], Any]) -> Any:
    try:
        return attempt()
    except CallerError as error:
        return error


def events(environments, name="one"):
    return [(each["kind"], each["sentence"], each["at"]) for each in environments.events(name)]


def test_what_is_created_is_read_back_whole(environments, add, spec):
    made = add(team="a", cost="é")

    assert environments.get("one") == made
    assert (made.name, made.spec, made.tags) == ("one", spec, {"team": "a", "cost": "é"})
    assert (made.status, made.created_at, made.failure, made.sealed_secrets) == (
        Status.CREATING,
        NOW,
        None,
        b"sealed",
    )
    assert made.arn == "arn:aws:airflow:eu-west-1:123456789012:environment/one"
    assert re.fullmatch("[0-9a-f]{8}", made.identifier)
    assert made.last_update == LastUpdate(status="PENDING", created_at=NOW, source="user")
    assert (made.progress.phase, made.progress.detail) == ("queued", "Waiting for the controller.")
    assert (made.progress.phase_started_at, made.progress.fraction, made.progress.phases) == (NOW, None, ())
    assert "sealed" not in repr(made)


def test_a_creation_is_the_first_event(environments, add):
    add()
    assert events(environments) == [("CREATE_REQUESTED", "Creation was asked for.", NOW)]


def test_nobody_of_that_name(environments):
    assert environments.get("one") is None
    assert environments.names(after=None, limit=10) == []
    assert environments.events("one") == []


def test_what_was_read_does_not_change_by_itself(environments, add):
    before = add(team="a")
    environments.set_tags("one", {"team": "b"})
    environments.request("one", Event.DELETE_REQUESTED, NOW)
    assert (before.tags, before.status) == ({"team": "a"}, Status.CREATING)


def test_tags_that_the_caller_changes_afterwards_stay_as_they_were(environments, spec):
    tags = {"team": "a"}
    environments.create("one", spec, tags, sealed_secrets=b"", quota=10, now=NOW)
    tags["team"] = "b"
    assert environments.get("one").tags == {"team": "a"}


def test_a_name_is_taken_once_and_told_apart_by_its_case(environments, add):
    first = add()
    with pytest.raises(
        CallerError, match=r"^Environment one already exists\. Choose another Name, or delete it first\.$"
    ):
        add(team="b")
    assert environments.get("one") == first
    assert add("One").identifier != first.identifier


def test_a_taken_name_is_told_before_a_full_quota(add):
    add()
    with pytest.raises(CallerError, match="already exists"):
        add(quota=1)


def test_a_full_quota_names_its_setting_and_changes_nothing(environments, add):
    add()
    with pytest.raises(CallerError) as refused:
        add("two", quota=1)
    sentence = "The quota of 1 environments is reached. Delete one, or raise AERODROME_QUOTA_ENVIRONMENTS."
    assert str(refused.value) == sentence
    assert environments.names(after=None, limit=10) == ["one"]
    assert environments.events("two") == []


def test_of_many_at_once_one_gets_the_name(environments, add):
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda _: outcome(add), range(8)))
    assert [type(each) for each in results].count(Environment) == 1
    assert len(events(environments)) == 1


def test_of_many_at_once_no_more_than_the_quota_are_made(environments, add):
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda number: outcome(lambda: add(f"e{number}", quota=3)), range(8)))
    made = [each for each in results if isinstance(each, Environment)]
    assert len(made) == 3
    assert len({each.number for each in made} | {each.identifier for each in made}) == 6
    assert environments.names(after=None, limit=10) == sorted(each.name for each in made)


def test_a_number_is_never_used_again(environments, add):
    first = add()
    environments.request("one", Event.DELETE_REQUESTED, NOW)
    environments.request("one", Event.REMOVED, NOW)
    again = add()
    assert again.number > first.number >= 1
    assert again.identifier != first.identifier


def test_names_come_in_byte_order_page_by_page(environments, add):
    for name in ("b", "a_b", "A", "a-1", "a", "aB"):
        add(name)
    assert environments.names(after=None, limit=10) == ["A", "a", "a-1", "aB", "a_b", "b"]
    assert environments.names(after="a", limit=2) == ["a-1", "aB"]
    assert environments.names(after="a0", limit=2) == ["aB", "a_b"]
    assert environments.names(after="b", limit=2) == []


@pytest.mark.parametrize("status", [Status.CREATING, Status.AVAILABLE, Status.UNAVAILABLE, Status.CREATE_FAILED])
def test_a_deletion_is_asked_for_and_leaves_only_events(environments, add, status):
    add()
    way = {
        Status.CREATING: [],
        Status.AVAILABLE: [Event.CREATED],
        Status.UNAVAILABLE: [Event.CREATED, Event.LOST],
        Status.CREATE_FAILED: [Event.FAILED],
    }[status]
    for event in way:
        environments.request("one", event, NOW)
    assert environments.get("one").status is status

    deleting = environments.request("one", Event.DELETE_REQUESTED, LATER)
    assert (deleting.status, environments.get("one")) == (Status.DELETING, deleting)
    assert environments.request("one", Event.DELETE_REQUESTED, LATER) == deleting

    assert environments.request("one", Event.REMOVED, LATER).status is Status.DELETED
    assert environments.get("one") is None
    assert environments.names(after=None, limit=10) == []
    kinds = ["CREATE_REQUESTED", *way, "DELETE_REQUESTED", "DELETE_REQUESTED", "REMOVED"]
    assert [kind for kind, _, _ in events(environments)] == kinds


def test_what_is_gone_takes_no_event(environments, add):
    with pytest.raises(NotFoundError, match=r"^Environment one not found\.$"):
        environments.request("one", Event.DELETE_REQUESTED, NOW)
    add()
    environments.request("one", Event.DELETE_REQUESTED, NOW)
    environments.request("one", Event.REMOVED, NOW)
    with pytest.raises(NotFoundError, match=r"^Environment one not found\.$"):
        environments.request("one", Event.DELETE_REQUESTED, NOW)


def test_an_event_that_the_status_forbids_changes_nothing(environments, add):
    before = add()
    with pytest.raises(CallerError, match="Environments with CREATING status cannot be given the event RECOVERED"):
        environments.request("one", Event.RECOVERED, NOW)
    assert environments.get("one") == before
    assert len(events(environments)) == 1


def test_a_creations_end_settles_the_last_update(environments, add):
    add()
    made = environments.request("one", Event.CREATED, LATER)
    assert made.last_update == LastUpdate(status="SUCCESS", created_at=LATER, source="user")
    lost = environments.request("one", Event.LOST, LATER + timedelta(hours=1))
    assert lost.last_update == made.last_update

    add("two")
    failure = Failure(code="UNIT_FAILED", message="no", tail=("line",))
    progress = environments.get("two").progress
    environments.set_progress("two", progress, failure=failure)
    assert environments.get("two").failure == failure
    failed = environments.request("two", Event.FAILED, LATER)
    assert failed.last_update == LastUpdate(status="FAILED", created_at=LATER, source="user", failure=failure)
    assert (failed.status, failed.failure, failed.change) == (Status.CREATE_FAILED, failure, None)
    assert environments.events("two")[-1]["detail"] == {"code": "UNIT_FAILED", "message": "no", "tail": ["line"]}


def test_a_creation_is_a_change_to_the_first_revision(environments, spec):
    by = "arn:aws:iam::123456789012:user/a"
    environments.create("one", spec, {}, sealed_secrets=b"", quota=9, now=NOW, requested_by=by)
    wanted = Change(
        kind=ChangeKind.CREATE,
        spec=spec,
        revision=1,
        strategy=Strategy.GRACEFUL,
        requested_at=NOW,
        requested_by=by,
    )
    assert environments.get("one").change == wanted
    [pending] = environments.revisions("one")
    assert pending == Revision(
        number=1, kind=ChangeKind.CREATE, spec=spec, outcome=Outcome.PENDING, requested_at=NOW, requested_by=by
    )

    seed = Seed(identifier="0badcafe", number=3)
    done = replace(wanted, deployed=DEPLOYED, archived=True, report=("One thing.",), seed=seed)
    environments.set_progress("one", environments.get("one").progress, change=done)
    assert environments.get("one").change == done
    made = environments.request("one", Event.CREATED, LATER)
    assert (made.deployed, made.change, made.revision) == (DEPLOYED, None, 1)
    assert environments.revisions("one") == [
        replace(pending, outcome=Outcome.APPLIED, settled_at=LATER, report=("One thing.",))
    ]
    assert environments.revisions("two") == []


def an_update(spec, kind=ChangeKind.UPDATE, strategy=Strategy.FORCED):
    return Change(kind=kind, spec=spec, revision=0, strategy=strategy, requested_at=LATER, requested_by="arn:a")


def available(environments, add):
    add()
    return environments.request("one", Event.CREATED, NOW)


def test_an_update_gets_the_next_revision_and_is_settled(environments, add, spec):
    before = available(environments, add)
    wanted = replace(spec, max_workers=7)
    begun = environments.begin(before, an_update(wanted))
    assert environments.get("one") == begun
    assert (begun.status, begun.spec, begun.revision) == (Status.UPDATING, spec, 1)
    assert begun.change == replace(an_update(wanted), revision=2)
    pending = LastUpdate(status="PENDING", created_at=LATER, source="user", strategy=Strategy.FORCED)
    assert begun.last_update == pending
    assert environments.events("one")[-1]["detail"] == {"revision": 2, "kind": "UPDATE", "by": "arn:a"}

    much_later = LATER + timedelta(hours=1)
    updated = environments.request("one", Event.UPDATED, much_later)
    assert environments.get("one") == updated
    assert (updated.status, updated.spec, updated.revision, updated.change) == (Status.AVAILABLE, wanted, 2, None)
    assert updated.last_update == replace(pending, status="SUCCESS", created_at=much_later)
    assert [(each.number, each.outcome) for each in environments.revisions("one")] == [
        (1, Outcome.APPLIED),
        (2, Outcome.APPLIED),
    ]


def test_a_failed_update_leaves_the_configuration_and_uses_up_its_number(environments, add, spec):
    before = available(environments, add)
    wanted = replace(spec, max_workers=7)
    failure = Failure(code="UNIT_FAILED", message="no", tail=("line",))
    environments.begin(before, an_update(wanted))
    environments.set_progress("one", before.progress, failure=failure)
    environments.request("one", Event.UPDATE_BROKEN, LATER)
    restored = environments.request("one", Event.RESTORED, LATER)
    assert (restored.status, restored.spec, restored.revision) == (Status.UPDATE_FAILED, spec, 1)
    assert (restored.change, restored.failure) == (None, None)
    assert (restored.last_update.status, restored.last_update.failure) == ("FAILED", failure)
    failed = environments.revisions("one")[-1]
    assert (failed.outcome, failed.failure, failed.spec) == (Outcome.FAILED, failure, wanted)

    again = environments.begin(restored, an_update(spec, ChangeKind.MAINTENANCE))
    assert (again.status, again.change.revision) == (Status.MAINTENANCE, 3)
    assert again.last_update.source == "maintenance"
    assert environments.get("one").last_update.maintained_at == again.change.requested_at
    assert environments.events("one")[-1]["kind"] == "MAINTENANCE_BEGUN"


def test_a_change_begins_only_from_what_its_caller_saw(environments, add, spec):
    before = available(environments, add)
    environments.begin(before, an_update(replace(spec, max_workers=7)))
    updating = environments.get("one")
    with pytest.raises(CallerError, match="Environments with UPDATING status cannot be updated"):
        environments.begin(before, an_update(spec))
    assert environments.get("one") == updating
    environments.request("one", Event.UPDATED, LATER)
    with pytest.raises(CallerError, match="was changed in the meantime"):
        environments.begin(before, an_update(spec))
    assert len(environments.revisions("one")) == 2

    environments.request("one", Event.DELETE_REQUESTED, NOW)
    environments.request("one", Event.REMOVED, NOW)
    with pytest.raises(NotFoundError):
        environments.begin(before, an_update(spec))


def test_of_many_changes_at_once_one_begins(environments, add, spec):
    before = available(environments, add)
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda _: outcome(lambda: environments.begin(before, an_update(spec))), range(8)))
    assert [type(each) for each in results].count(Environment) == 1
    assert len(environments.revisions("one")) == 2


def test_tags_are_merged_and_removed(environments, add):
    add(team="a")
    environments.set_tags("one", {"team": "b", "cost": "1", "aws:x": "ü"})
    assert environments.get("one").tags == {"team": "b", "cost": "1", "aws:x": "ü"}
    environments.remove_tags("one", iter(["team", "absent"]))
    assert environments.get("one").tags == {"cost": "1", "aws:x": "ü"}
    environments.set_tags("one", {})
    environments.remove_tags("one", [])
    assert environments.get("one").tags == {"cost": "1", "aws:x": "ü"}
    assert len(events(environments)) == 1


def test_tags_of_nobody_are_refused(environments, add):
    add("two", team="a")
    with pytest.raises(NotFoundError, match=r"^Environment one not found\.$"):
        environments.set_tags("one", {"team": "b"})
    with pytest.raises(NotFoundError, match=r"^Environment one not found\.$"):
        environments.remove_tags("one", ["team"])
    assert environments.get("two").tags == {"team": "a"}


def test_tags_that_many_add_at_once_are_all_there(environments, add):
    add()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: environments.set_tags("one", {f"key{number}": "v"}), range(16)))
    assert environments.get("one").tags == {f"key{number}": "v" for number in range(16)}


def test_what_is_recorded_is_an_event_of_its_environment_alone(environments, add):
    add()
    add("two")
    environments.record("one", "TAGS_CHANGED", "Tags were added.", {"Keys": ["a"]}, LATER)
    assert events(environments)[1:] == [("TAGS_CHANGED", "Tags were added.", LATER)]
    assert environments.events("one")[-1]["detail"] == {"Keys": ["a"]}
    assert len(events(environments, "two")) == 1
    assert environments.get("one").status is Status.CREATING


def test_no_reader_changes_the_ledger(environments, add):
    environments.record("one", "NOTED", "A note.", {"list": ["a"]}, NOW)
    made = add(team="a")
    made.tags["team"] = "b"
    environments.get("one").tags["team"] = "c"
    environments.all()[0].tags["team"] = "d"
    environments.events("one")[0]["detail"]["list"].append("b")
    assert environments.get("one").tags == {"team": "a"}
    assert environments.events("one")[0]["detail"] == {"list": ["a"]}


def test_an_event_is_its_place_time_environment_kind_sentence_and_detail(environments, add):
    add()
    environments.record(None, "THREAD_HUNG", "A thread hangs.", {}, NOW)
    environments.record("one", "NOTED", "A note.", {"a": 1, "b": [None, 0.5, True]}, LATER)
    created, noted = environments.events("one")
    assert created["id"] < noted.pop("id")
    assert noted == {
        "at": LATER,
        "environment": "one",
        "kind": "NOTED",
        "sentence": "A note.",
        "detail": {"a": 1, "b": [None, 0.5, True]},
    }


def test_of_many_events_the_newest_are_told_the_oldest_first(environments, add):
    add()
    for number in range(5):
        environments.record("one", "NOTED", f"Note {number}.", {}, NOW)
    told = [each["sentence"] for each in environments.events("one", limit=3)]
    assert told == ["Note 2.", "Note 3.", "Note 4."]
    assert environments.events("one", limit=0) == []


ODD = "no\x00end \ud800 " + "x" * 2 * texts.LONGEST
KEPT = texts.text(ODD)


def test_texts_of_strangers_are_bounded_and_storable(environments, add):
    add()
    environments.record("one", "NOTED", ODD, {ODD: [ODD, ChangeKind.UPDATE], "path": PurePosixPath("a")}, NOW)
    noted = environments.events("one")[-1]
    assert (noted["sentence"], noted["detail"]) == (KEPT, {KEPT: [KEPT, "UPDATE"], "path": "a"})

    before = environments.get("one")
    failure = Failure(code="UNIT_FAILED", message=ODD, tail=(ODD,))
    environments.set_progress(
        "one",
        replace(before.progress, detail=ODD),
        failure=failure,
        change=replace(before.change, report=(ODD,)),
    )
    found = environments.get("one")
    assert found.progress == replace(before.progress, detail=KEPT)
    assert found.failure == replace(failure, message=KEPT, tail=(KEPT,))
    assert found.change == replace(before.change, report=(KEPT,))
    failed = environments.request("one", Event.FAILED, LATER)
    assert environments.get("one") == failed
    assert environments.events("one")[-1]["detail"] == {"code": "UNIT_FAILED", "message": KEPT, "tail": [KEPT]}
    assert environments.revisions("one")[0].report == (KEPT,)


def test_progress_is_written_down_whole_and_of_nobody_it_is_passed_over(environments, add):
    before = add()
    progress = Progress(
        phase="cell",
        detail="Starting.",
        phase_started_at=LATER,
        fraction=0.25,
        phases=(FinishedPhase(name="queued", seconds=1.5),),
    )
    environments.set_progress("one", progress)
    assert environments.get("one") == replace(before, progress=progress)
    failure = Failure(code="UNIT_FAILED", message="no")
    environments.set_progress("one", progress, failure=failure)
    environments.set_progress("one", before.progress)
    assert (environments.get("one").failure, environments.get("one").change) == (failure, before.change)
    assert len(events(environments)) == 1

    environments.set_progress("two", progress)
    assert environments.get("two") is None


def test_sleep_goes_on_as_decided_of_what_is_there_and_says_so_once(environments, add):
    add()
    asked = environments.rest(
        "one", lambda found: hibernation.asked(found.hibernation, waits=True, now=LATER), LATER, detail={"by": "me"}
    )
    assert environments.get("one") == asked
    assert asked.hibernation == Hibernation(rest=Rest.WAITING, since=LATER, by_command=True, waits=True)
    again = environments.rest("one", lambda found: hibernation.asked(found.hibernation, waits=True, now=LATER), LATER)
    assert again == asked
    begun = Hibernation(rest=Rest.STOPPING, since=LATER, refusal="no", used_at=NOW, dags_at=1.5)
    environments.rest("one", lambda _: HibernationStep(begun), LATER)
    assert environments.get("one").hibernation == begun
    told = [(each["kind"], each["detail"]) for each in environments.events("one")]
    assert told == [("CREATE_REQUESTED", {}), ("HIBERNATION_REQUESTED", {"by": "me"})]
    with pytest.raises(NotFoundError):
        environments.rest("two", lambda _: HibernationStep(begun), LATER)


def test_of_many_who_wake_it_at_once_one_does(environments, add):
    add()
    environments.rest("one", lambda _: HibernationStep(Hibernation(rest=Rest.HIBERNATED, since=NOW)), NOW)

    def wake(_: int) -> Any:
        return environments.rest("one", lambda found: hibernation.woken(found.hibernation, "Why.", LATER), LATER)

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(wake, range(8)))
    assert {each.hibernation.rest for each in found} == {Rest.WAKING}
    assert [each["kind"] for each in environments.events("one")].count("WAKING") == 1


def test_who_comes_after_has_a_number_and_revisions_of_its_own(environments, add, spec):
    first = available(environments, add)
    environments.begin(first, an_update(replace(spec, max_workers=7)))
    environments.request("one", Event.DELETE_REQUESTED, LATER)
    environments.request("one", Event.REMOVED, LATER)
    assert environments.revisions("one") == []
    second = available(environments, add)
    assert second.number > first.number
    assert second.identifier != first.identifier
    assert [each.number for each in environments.revisions("one")] == [1]
    with pytest.raises(CallerError, match="was changed in the meantime"):
        environments.begin(first, an_update(spec))
    assert environments.begin(second, an_update(spec)).change.revision == 2
    kinds = [kind for kind, _, _ in events(environments)]
    assert (kinds.count("CREATE_REQUESTED"), kinds.count("REMOVED")) == (2, 1)  # events outlive it


def test_all_are_all(environments, add):
    assert environments.all() == []
    made = [add("one"), add("two")]
    assert sorted(environments.all(), key=lambda each: each.name) == made
