"""How long a cell that does not answer is waited for."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from aerodrome.backends.local import silence
from aerodrome.backends.local.paths import CellPaths
from aerodrome.backends.local.silence import Silences
from aerodrome.model.observed import CellState


@given(st.floats(0.1, 200), st.booleans())
def test_no_cell_is_given_up_before_its_time(seconds, stopped):
    state, trouble = silence.judged(seconds, stopped=stopped)
    late = seconds > (silence.STOPPED_PATIENCE if stopped else silence.CELL_PATIENCE)
    assert (state is CellState.LOST) is late
    assert (state is CellState.SILENT) is not late
    assert bool(trouble) is late


def test_the_trouble_says_what_and_for_how_long():
    assert silence.judged(12.4, stopped=True)[1] == "was stopped by a signal for 12 s"
    assert silence.judged(95.0, stopped=False)[1] == "gave no answer for 95 s"


def test_silence_is_counted_only_while_we_look():
    silences, cell = Silences(), CellPaths(Path("/run/one"))
    assert silences.seconds(cell) == 0.0
    assert silences.note(cell, 1000.0) == silence.ANSWER_PATIENCE
    assert silences.note(cell, 1003.0) == silence.ANSWER_PATIENCE + 3
    slept = silence.ANSWER_PATIENCE + 3 + silence.LONGEST_LOOK  # the machine did
    assert silences.note(cell, 90_000.0) == silences.seconds(cell) == slept
    assert silences.patience(cell) == silence.SHORT_PATIENCE  # others wait meanwhile
    silences.forget(cell)
    assert silences.note(cell, 90_001.0) == silence.ANSWER_PATIENCE
