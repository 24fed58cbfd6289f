"""The choice among the Pythons that were found, and where they are looked for."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aerodrome.release import interpreters
from aerodrome.release.interpreters import (
    Interpreter,
    InterpreterFolders,
    UnusablePython,
    candidates,
    choose,
    named_folders,
)

versions = st.tuples(st.just(3), st.integers(11, 13), st.integers(0, 4))
found = st.lists(
    st.builds(Interpreter, path=st.sampled_from([Path("/a"), Path("/b")]), version=versions, shared=st.booleans())
    | st.builds(UnusablePython, path=st.just(Path("/r")), reason=st.just("does not start"))
)


@given(found, st.booleans())
def test_the_choice_is_of_the_line_and_none_better_was_there(tried, for_others):
    chosen = choose(tried, "3.12", for_others=for_others)
    fitting = [python for python in tried if isinstance(python, Interpreter) and python.version[:2] == (3, 12)]
    assert (chosen is None) == (not fitting)
    for python in fitting:
        assert chosen is not None
        if not for_others or chosen.shared == python.shared:
            assert chosen.version >= python.version
        assert not for_others or chosen.shared >= python.shared


def test_among_equals_the_more_deliberate_place_wins():
    first, second = (Interpreter(Path(path), (3, 12, 1), shared=True) for path in ("/named", "/usr"))
    assert choose([first, second], "3.12", for_others=False) == first


def program(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("")
    path.chmod(0o755)
    return path


def test_every_place_is_looked_at_in_order_of_deliberateness(tmp_path):
    name = "python3.12"
    expected = [
        program(tmp_path / "named" / name),
        program(tmp_path / "named" / "bin" / name),
        program(tmp_path / "named" / "3.12.4" / "bin" / name),
        program(tmp_path / "downloads" / "cpython-3.12.9" / "bin" / name),
        program(tmp_path / ".local" / "share" / "uv" / "python" / "cpython-3.12.8" / "bin" / name),
        program(tmp_path / "path" / name),
        program(tmp_path / ".pyenv" / "versions" / "3.12.1" / "bin" / name),
    ]
    program(tmp_path / ".pyenv" / "versions" / "3.11.7" / "bin" / "python3.11")
    (tmp_path / "path" / "sub").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / name).write_text("not executable")
    environ = {"HOME": str(tmp_path), "PATH": os.pathsep.join([str(tmp_path / "path"), str(tmp_path / "other"), ""])}
    places = InterpreterFolders(folders=[tmp_path / "named"], downloads=tmp_path / "downloads", environ=environ)
    assert candidates("3.12", places) == expected


def test_a_python_found_twice_is_tried_once(tmp_path):
    real = program(tmp_path / "real" / "python3.12")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python3.12").symlink_to(real)
    environ = {"PATH": f"{tmp_path / 'bin'}{os.pathsep}{tmp_path / 'real'}", "HOME": str(tmp_path)}
    places = InterpreterFolders(downloads=tmp_path / "none", environ=environ)
    assert candidates("3.12", places) == [tmp_path / "bin" / "python3.12"]


def test_the_setting_of_folders_is_a_list_like_path():
    assert named_folders("") == ()
    assert named_folders("/a:/b/c:") == (Path("/a"), Path("/b/c"))


@pytest.mark.parametrize(
    "environ",
    [{"UV_OFFLINE": "1"}, {"UV_OFFLINE": "true"}, {"UV_PYTHON_DOWNLOADS": "never"}, {"UV_PYTHON_DOWNLOADS": "manual"}],
)
def test_a_version_without_a_python_is_refused_with_how_to_get_one(tmp_path, environ):
    nowhere = interpreters.InterpreterFolders(
        downloads=tmp_path, environ={**environ, "PATH": str(tmp_path), "HOME": str(tmp_path)}
    )
    refusal = interpreters.refusal("1.10.15", "3.7", nowhere)
    assert str(refusal) == (
        "Airflow 1.10.15 needs Python 3.7, and none was found on this machine. Install Python 3.7 (your package "
        "manager, pyenv, or `uv python install 3.7`), or name its folder in AERODROME_PYTHON_FOLDERS."
    )


def test_nothing_is_refused_that_uv_may_download(tmp_path):
    nowhere = interpreters.InterpreterFolders(
        downloads=tmp_path, environ={"PATH": str(tmp_path), "HOME": str(tmp_path)}
    )
    assert interpreters.refusal("1.10.15", "3.7", nowhere) is None
