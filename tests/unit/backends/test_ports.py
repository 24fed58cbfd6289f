"""Ports of an environment: a free one, the same at every start, and an honest end without any."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aerodrome.backends.local import ports
from aerodrome.errors import BrokenError

HERE = Path("/srv/aerodrome")
FIRST_OF_HERE = ports.choose(HERE, 1, lambda _: True)


@given(st.integers(min_value=1), st.sets(st.integers(FIRST_OF_HERE, FIRST_OF_HERE + 50)))
def test_a_port_that_is_free(number, taken):
    chosen = ports.choose(HERE, number, lambda port: port not in taken)
    assert chosen not in taken
    assert chosen == ports.choose(HERE, number, lambda port: port not in taken)


def test_neighbours_do_not_share():
    chosen = [ports.choose(HERE, number, lambda _: True) for number in range(1, 50)]
    assert len(set(chosen)) == 49
    assert all(abs(one - other) >= ports.APART for one, other in pairwise(sorted(chosen)))


@pytest.mark.parametrize("last", [ports.FIRST, ports.LAST])
def test_each_port_is_tried(last):
    assert ports.choose(HERE, 1, lambda port: port == last) == last


def test_no_free_port_is_said():
    with pytest.raises(BrokenError, match="no free TCP port"):
        ports.choose(HERE, 1, lambda _: False)


def test_two_installations_begin_elsewhere():
    assert ports.choose(HERE, 1, lambda _: True) != ports.choose(HERE / "other", 1, lambda _: True)


def test_every_note_counts(tmp_path):
    for place, text in (("one/port", "20001"), ("one/2/port", "20002"), ("two/port", "x"), ("one/2/3/port", "20003")):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).write_text(text)
    assert ports.noted(tmp_path) == {20001, 20002}


@pytest.mark.parametrize("text", ["", "{}", "1.5", "x"])
def test_an_unreadable_note_is_no_memory(tmp_path, text):
    note = tmp_path / "port"
    assert ports.remembered(note) is None
    note.write_text(text)
    assert ports.remembered(note) is None
    note.write_text("20001")
    assert ports.remembered(note) == 20001
