"""The generated reference says what the code says."""

from __future__ import annotations

import pytest

from tools import reference


@pytest.mark.parametrize("name", reference.PAGES)
def test_a_page_is_current(name):
    written = (reference.FOLDER / name).read_text()
    assert written == reference.PAGES[name](), f"run: python -m tools.reference  ({name} is out of date)"


def test_every_setting_is_explained():
    assert "|  |\n" not in reference.settings()
