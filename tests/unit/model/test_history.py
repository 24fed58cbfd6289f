"""Which snapshots may go."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aerodrome.model.history import Snapshot, contents_in_use, is_needed, surplus
from aerodrome.model.release import Deployed

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def snapshot(spec, number, identifier="one"):
    deployed = Deployed(identifier="r", version="3.3.1", lock="l")
    return Snapshot(identifier=identifier, number=number, taken_at=NOW, spec=spec, deployed=deployed, size=1)


def under_change(revision, seed=None, identifier="one"):
    named = SimpleNamespace(identifier=seed[0], number=seed[1]) if seed else None
    return SimpleNamespace(identifier=identifier, change=SimpleNamespace(revision=revision, seed=named))


CALM = SimpleNamespace(identifier="one", change=None)


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
    assert is_needed(snapshot(spec, 2), [CALM, environment]) == needed
    gone = surplus([snapshot(spec, number) for number in (2, 3, 4)], [environment], kept=2)
    assert [each.number for each in gone] == ([] if needed else [2])


def test_what_runs_and_what_a_change_brings_is_in_use():
    def running(content, coming=None):
        change = None if coming is None else SimpleNamespace(deployed=SimpleNamespace(content=coming))
        return SimpleNamespace(deployed=SimpleNamespace(content=content), change=change)

    created = SimpleNamespace(deployed=None, change=SimpleNamespace(deployed=None))
    assert contents_in_use([running("a"), running(None), running("b", coming="c"), created]) == {"a", "b", "c"}
