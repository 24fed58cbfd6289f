"""What a strict umask has closed is opened for reading, and nothing else changes."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from aerodrome.errors import BrokenError
from aerodrome.services import accounts


def modes(top: Path) -> dict[str, int]:
    return {path.relative_to(top).as_posix(): stat.S_IMODE(path.lstat().st_mode) for path in (top, *top.rglob("*"))}


def test_a_closed_package_is_opened_with_all_below_it(tmp_path):
    package = tmp_path / "package"
    (package / "inner").mkdir(parents=True)
    for name, mode in (("module.py", 0o600), ("program", 0o700), ("inner/data", 0o640)):
        (package / name).touch()
        (package / name).chmod(mode)
    for folder in (package / "inner", package):
        folder.chmod(0o700)
    accounts._open(package)
    assert modes(package) == {
        ".": 0o705, "inner": 0o705, "inner/data": 0o644, "module.py": 0o604, "program": 0o705,
    }  # fmt: skip


def test_what_is_open_is_not_looked_into(tmp_path):
    (tmp_path / "secret").touch()
    (tmp_path / "secret").chmod(0o600)
    tmp_path.chmod(0o755)
    accounts._open(tmp_path)
    assert modes(tmp_path) == {".": 0o755, "secret": 0o600}


def test_packages_that_cannot_be_opened_are_named_with_what_to_do(monkeypatch):
    def refuse(path: Path) -> None:
        raise OSError(30, "Read-only file system", str(path))

    monkeypatch.setattr(accounts, "_open", refuse)
    monkeypatch.setattr(accounts, "open_way_to", lambda _: None)
    with pytest.raises(BrokenError, match="Read-only file system; let others read") as refused:
        accounts.open_our_interpreter("aerodrome")
    assert refused.value.code == "PACKAGES_UNREADABLE"
