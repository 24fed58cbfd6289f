from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from aerodrome.services import processes


@pytest.fixture(autouse=True)
def unread() -> Iterator[None]:
    """The boot id is read once a process: here anew."""
    processes._boot.cache_clear()
    yield
    processes._boot.cache_clear()


class UnreadablePath:
    """A file that cannot be opened for now."""

    def read_text(self, encoding: str) -> str:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), encoding)


def test_a_passing_error_is_raised_and_changes_no_later_mark(monkeypatch):
    with monkeypatch.context() as passing:
        passing.setattr(processes, "BOOT_ID", UnreadablePath())
        with pytest.raises(OSError, match="open files"):
            processes.mark(os.getpid())
    assert processes.mark(os.getpid()).startswith(processes.BOOT_ID.read_text().strip())


def test_a_system_without_a_boot_id_has_marks_too(monkeypatch, tmp_path: Path):
    monkeypatch.setattr(processes, "BOOT_ID", tmp_path / "none")
    assert processes.mark(os.getpid()) == processes.mark(os.getpid()) is not None
