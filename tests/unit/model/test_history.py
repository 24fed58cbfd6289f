"""Which snapshots may go."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aerodrome.errors import CallerError, NotFoundError
from aerodrome.model.change import Seed
from aerodrome.model.history import Snapshot, begun_from, check_seed, contents_in_use, is_needed, surplus
from aerodrome.model.lifecycle import Status
from aerodrome.model.release import Deployed

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def snapshot(spec, number, identifier="one"):
    deployed = Deployed(identifier="r", version="3.3.1", lock="l")
    return Snapshot(identifier=identifier, number=number, taken_at=NOW, spec=spec, deployed=deployed, size=1)


def under_change(revision, seed=None, identifier="one", status=Status.UPDATING):
    named = SimpleNamespace(identifier=seed[0], number=seed[1]) if seed else None
    change = SimpleNamespace(revision=revision, seed=named)
    return SimpleNamespace(identifier=identifier, name=f"of {identifier}", status=status, change=change)


CALM = SimpleNamespace(identifier="one", name="of one", status=Status.AVAILABLE, change=None)


@given(st.lists(st.integers(1, 30), unique=True), st.integers(1, 6))
def test_the_newest_are_kept(spec, numbers, kept):
    gone = [each.number for each in surplus([snapshot(spec, number) for number in numbers], [CALM], kept=kept)]
    assert gone == sorted(numbers)[: max(0, len(numbers) - kept)]


@pytest.mark.parametrize(
    ("environment", "needed"),
    [
        (CALM, False),
        (under_change(2), True),
        (under_change(3), False),
        (under_change(9, seed=("one", 2)), True),
        (under_change(1, seed=("one", 2), identifier="two"), True),
        (under_change(1, seed=("two", 2), identifier="three"), False),
        (under_change(2, identifier="two"), False),
    ],
)
def test_what_a_change_makes_or_uses_is_needed(spec, environment, needed):
    assert is_needed("one", 2, [CALM, environment]) == needed
    gone = surplus([snapshot(spec, number) for number in (2, 3, 4)], [environment], kept=2)
    assert [each.number for each in gone] == ([] if needed else [2])


def test_a_snapshot_is_needed_by_what_begins_from_it_until_that_is_deleted():
    clone = under_change(1, seed=("one", 2), identifier="two", status=Status.CREATING)
    assert begun_from("one", 2, [CALM, clone]) == begun_from("one", None, [CALM, clone]) == ("of two",)
    assert begun_from("one", 3, [clone]) == begun_from("two", None, [clone]) == ()
    clone.status = Status.DELETING
    assert begun_from("one", None, [clone]) == ()


def test_nothing_begins_from_a_snapshot_that_is_gone_or_about_to_be():
    seed = Seed(identifier="one", number=2)
    check_seed(seed, CALM, is_kept=True)
    for source, is_kept in ((CALM, False), (None, False), (None, True)):
        with pytest.raises(NotFoundError, match="Snapshot 2 is gone"):
            check_seed(seed, source, is_kept=is_kept)
    leaving = SimpleNamespace(name="of one", status=Status.DELETING)
    with pytest.raises(CallerError, match="of one is being deleted"):
        check_seed(seed, leaving, is_kept=True)


def test_what_runs_and_what_a_change_brings_is_in_use():
    def running(content, coming=None):
        change = None if coming is None else SimpleNamespace(deployed=SimpleNamespace(content=coming))
        return SimpleNamespace(deployed=SimpleNamespace(content=content), change=change)

    created = SimpleNamespace(deployed=None, change=SimpleNamespace(deployed=None))
    assert contents_in_use([running("a"), running(None), running("b", coming="c"), created]) == {"a", "b", "c"}
