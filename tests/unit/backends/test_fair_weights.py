"""Which environments weigh less than their classes say: those that want far more processors than there are."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aerodrome.backends.local import groups
from aerodrome.backends.local.fair_weights import CALM, CROWD, LOOKS, FairWeights, is_crowd

COUNTS = st.lists(st.integers(0, 500), min_size=LOOKS, max_size=LOOKS)


@given(COUNTS, st.integers(1, 128), st.booleans())
def test_more_that_want_to_run_never_weigh_more_and_it_does_not_flap(counts, processors, was):
    found = is_crowd(counts, processors, was=was)
    assert is_crowd(counts, processors, was=found) == found
    assert not found or is_crowd([count + 1 for count in counts], processors, was=was)
    assert not is_crowd([processors] * LOOKS, processors, was=was)  # each of them may have one


@pytest.mark.parametrize(
    ("looks", "was", "expected"),
    [
        ([], False, False),
        ([400] * (LOOKS - 1), False, False),  # it begins
        ([5] * LOOKS, False, True),
        ([4] * LOOKS, False, False),
        ([3] * LOOKS, True, True),
        ([2] * LOOKS, True, False),
    ],
)
def test_a_crowd_on_two_processors(looks, was, expected):
    assert (CALM, CROWD) == (1, 2)
    assert is_crowd(looks, 2, was=was) == expected


class Machine:
    """One with two processors and three environments, of which the third has no group."""

    def __init__(self) -> None:
        self.groups = SimpleNamespace(lighter=frozenset())
        self.weighed: list[str] = []
        self.asked = 0
        self.weights = FairWeights(self.groups, lambda each: self.weighed.append(each.identifier), self.tenants)

    def tenants(self) -> list[SimpleNamespace]:
        self.asked += 1
        return [SimpleNamespace(identifier=name) for name in ("crowd", "chain", "third")]

    def looks(self, number: int, **runnable: int) -> None:
        for _ in range(number):
            self.weights.look(runnable)


@pytest.fixture
def machine(monkeypatch) -> Machine:
    monkeypatch.setattr(groups, "processors", lambda: 2)
    return Machine()


def test_the_crowd_weighs_less_as_long_as_it_is_one(machine):
    machine.looks(20, crowd=2, chain=2)
    assert machine.asked == 0  # nothing changes: nobody asks who there is
    machine.looks(LOOKS, crowd=12, chain=2)
    assert machine.groups.lighter == {"crowd"}
    assert machine.weighed == ["crowd"]
    machine.looks(LOOKS, crowd=0, chain=2)
    assert machine.groups.lighter == frozenset()
    assert machine.weighed == ["crowd", "crowd"]


def test_two_crowds_are_equal(machine):
    machine.looks(LOOKS, crowd=12, chain=30)
    assert machine.groups.lighter == {"crowd", "chain"}


def test_one_that_is_deleted_is_forgotten(machine):
    machine.looks(LOOKS, crowd=12, chain=1)
    machine.looks(1, chain=1)
    assert machine.groups.lighter == frozenset()
    assert machine.weighed == ["crowd"]


@pytest.mark.usefixtures("machine")
@pytest.mark.parametrize(
    ("loadavg", "expected"),
    [("0.1 0.2 0.3 3/400 99\n", False), ("0.1 0.2 0.3 4/400 99\n", True), ("?", True), (None, True)],
)
def test_a_machine_is_busy_with_more_than_its_processors_beside_ourselves(tmp_path, loadavg, expected):
    file = tmp_path / "loadavg"
    if loadavg is not None:
        file.write_text(loadavg)
    assert groups.is_busy(file) == expected
