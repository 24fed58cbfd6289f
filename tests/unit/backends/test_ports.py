"""Ports of an environment: two different free ones, the same at every start, and an honest end without any."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aerodrome.backends.local import ports
from aerodrome.errors import BrokenError


@given(st.integers(min_value=1), st.sets(st.integers(ports.FIRST, ports.FIRST + 50)))
def test_two_different_ports_that_are_free(number, taken):
    chosen = ports.choose(number, lambda port: port not in taken)
    assert chosen.execution != chosen.credentials
    assert not {chosen.execution, chosen.credentials} & taken
    assert chosen == ports.choose(number, lambda port: port not in taken)


def test_neighbours_do_not_share():
    chosen = [ports.choose(number, lambda _: True) for number in range(1, 50)]
    assert len({port for each in chosen for port in (each.execution, each.credentials)}) == 98


def test_no_free_port_is_said():
    with pytest.raises(BrokenError, match="no free TCP port"):
        ports.choose(1, lambda _: False)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"execution": 1}', '{"execution": 1, "credentials": 2, "x": 3}'])
def test_an_unreadable_note_is_no_memory(tmp_path, text):
    note = tmp_path / "ports.json"
    assert ports.remembered(note) is None
    note.write_text(text)
    assert ports.remembered(note) is None
    note.write_text('{"execution": 1, "credentials": 2}')
    assert ports.remembered(note) == ports.Ports(1, 2)
