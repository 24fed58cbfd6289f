"""What a folder gives, and how it is watched."""

from __future__ import annotations

import io
import zipfile

import pytest

from aerodrome.cli.dev import folder_tree
from aerodrome.cli.dev.folder import Folder
from aerodrome.cli.dev.steps import EnvironmentFile

EVERY = 0.05


@pytest.fixture
def notes():
    return []


@pytest.fixture
def folder(tmp_path, notes):
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "a.py").write_text("1")
    return Folder(tmp_path, notes.append)


def until(rounds, condition):
    """Turn until the condition holds; pytest's own limit ends what never does."""
    for _ in rounds:
        if condition():
            return


def test_dags_and_include_lie_together(folder, tmp_path, notes):
    (tmp_path / "include").mkdir()
    (tmp_path / "include" / "b.sql").write_text("2")
    (tmp_path / "dags" / "back\\slash.py").write_text("3")
    next(folder.rounds(EVERY))
    assert {name: entry.digest for name, entry in folder.dags().items()} == {
        "a.py": folder_tree.digest(b"1"),
        "include/b.sql": folder_tree.digest(b"2"),
    }
    folder.dags()
    assert [note for note in notes if "backslash" in note]


def test_files_that_are_members_of_an_environment(folder, tmp_path):
    (tmp_path / "requirements.txt").write_text("toolz")
    (tmp_path / "startup_script").mkdir()
    (tmp_path / "startup_script" / "startup.sh").write_text("true")
    (tmp_path / "plugins").mkdir()
    rounds = folder.rounds(EVERY)
    next(rounds)
    assert set(folder.members()) == {
        EnvironmentFile.REQUIREMENTS,
        EnvironmentFile.STARTUP,
    }  # an empty folder holds no plugins
    (tmp_path / "plugins" / "mine.py").write_text("x")
    until(rounds, lambda: EnvironmentFile.PLUGINS in folder.members())
    plugins = folder.members()[EnvironmentFile.PLUGINS]
    assert plugins.digest == folder_tree.digest(plugins.read())
    assert zipfile.ZipFile(io.BytesIO(plugins.read())).namelist() == ["mine.py"]
    (tmp_path / "plugins" / ".mine.py.swp").write_text("an editor's")
    (tmp_path / "plugins" / "mine.py").touch()
    (tmp_path / "dags" / "b.py").write_text("a sign that all of this was seen")
    until(rounds, lambda: "b.py" in folder.dags())
    assert folder.members()[EnvironmentFile.PLUGINS].digest == plugins.digest
    (tmp_path / "requirements.txt").unlink()
    assert EnvironmentFile.REQUIREMENTS not in folder.members()


def test_changes_are_seen_and_folders_that_come_and_go(folder, tmp_path):
    rounds = folder.rounds(EVERY)
    next(rounds)
    (tmp_path / "dags" / "a.py").write_text("22")
    until(rounds, lambda: folder.dags()["a.py"].digest == folder_tree.digest(b"22"))
    (tmp_path / "dags" / "deep" / "er").mkdir(parents=True)
    (tmp_path / "dags" / "deep" / "er" / "c.py").write_text("3")
    until(rounds, lambda: "deep/er/c.py" in folder.dags())
    (tmp_path / "include").mkdir()
    (tmp_path / "include" / "b.sql").write_text("2")
    until(rounds, lambda: "include/b.sql" in folder.dags())
    (tmp_path / "dags").rename(tmp_path / "elsewhere")
    until(rounds, lambda: set(folder.dags()) == {"include/b.sql"})
    (tmp_path / "elsewhere").rename(tmp_path / "dags")
    until(rounds, lambda: "a.py" in folder.dags())


def test_a_folder_may_begin_without_any_tree(tmp_path, notes):
    (tmp_path / "startup.sh").write_text("true")
    folder = Folder(tmp_path, notes.append)
    rounds = folder.rounds(EVERY)
    next(rounds)
    assert set(folder.members()) == {EnvironmentFile.STARTUP}
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "a.py").write_text("1")
    until(rounds, lambda: "a.py" in folder.dags())
