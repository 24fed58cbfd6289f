"""The generated reference says what the code says."""

from __future__ import annotations

import pytest

from tools import error_codes, reference


@pytest.mark.parametrize("name", reference.PAGES)
def test_a_page_is_current(name):
    written = (reference.FOLDER / name).read_text()
    assert written == reference.PAGES[name](), f"run: python -m tools.reference  ({name} is out of date)"


def test_every_setting_is_explained():
    assert "|  |\n" not in reference.settings()


def test_every_error_code_is_explained_and_no_other():
    assert error_codes.differences() == []


def test_the_codes_are_read_off_the_code(tmp_path):
    room = tmp_path / "aerodrome" / "room"
    room.mkdir(parents=True)
    (room / "words.py").write_text('WORD = "OF_ANOTHER"\n')
    (room / "acts.py").write_text(
        """
from aerodrome.controller.plans import failed
from aerodrome.errors import BrokenError
from aerodrome.room import words

OWN = "OF_A_CONSTANT"
def act(error, code):
    BrokenError("…", code="WRITTEN")
    BrokenError("…", code=OWN)
    BrokenError("…", code=words.WORD)
    BrokenError("…", code=error.code)
    BrokenError("…", code=code)
    return failed("OF_A_FAILURE", "…")
"""
    )
    (tmp_path / "aerodrome" / "model").mkdir()
    (tmp_path / "aerodrome" / "model" / "phases.py").write_text('LIMITS = {"phase": Limit("OF_A_LIMIT", 3)}\n')
    assert set(error_codes.given(tmp_path)) == {"WRITTEN", "OF_A_CONSTANT", "OF_ANOTHER", "OF_A_FAILURE", "OF_A_LIMIT"}
    (room / "riddle.py").write_text("def act(ask):\n    BrokenError('…', code=ask())\n")
    with pytest.raises(AssertionError, match=r"riddle\.py:2: cannot tell"):
        error_codes.given(tmp_path)
