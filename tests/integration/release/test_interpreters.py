"""Trying out what was found, and the sentence when nothing serves."""

import os
import sys
from pathlib import Path

import pytest

from aerodrome import errors
from aerodrome.release import interpreters
from aerodrome.release.interpreters import Interpreter, InterpreterFolders, UnusablePython

LINE = f"{sys.version_info.major}.{sys.version_info.minor}"


def program(path, text):
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def test_the_python_of_a_virtual_environment_leads_to_its_base():
    found = interpreters.inspect(Path(sys.executable))
    assert isinstance(found, Interpreter)
    assert found.version == sys.version_info[:3]
    assert found.path.is_relative_to(sys.base_prefix)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("exit 127", "does not start"),
        ("echo not json", "does not start"),
        ("""echo '[[3,12,0],"candidate","cpython","/x",[]]'""", "is not a released CPython"),
        ("""echo '[[3,12,0],"final","pypy","/x",[]]'""", "is not a released CPython"),
        ("""echo '[[3,12,0],"final","cpython","/x",["ssl","sqlite3"]]'""", "was built without ssl, sqlite3"),
    ],
)
def test_a_python_that_cannot_serve_is_refused_with_the_reason(tmp_path, text, reason):
    refusal = interpreters.inspect(program(tmp_path / "python3.12", text))
    assert isinstance(refusal, UnusablePython)
    assert reason in refusal.reason


def test_a_shim_that_starts_nothing_does_not_hide_a_real_python(tmp_path):
    program(tmp_path / f"python{LINE}", "exit 127")
    folders = [tmp_path, Path(sys.base_prefix) / "bin"]
    places = InterpreterFolders(folders=folders, downloads=tmp_path / "downloads", environ={"HOME": str(tmp_path)})
    assert interpreters.find(LINE, places).version == sys.version_info[:3]


def test_no_python_at_all_says_what_to_do_and_what_was_tried(tmp_path):
    # 3.99 is no line that anybody offers, so uv fails without asking the network.
    shim = program(tmp_path / "python3.99", "exit 127")
    environ = {"HOME": str(tmp_path), "PATH": str(tmp_path), "UV_OFFLINE": "1", "PIP_CONFIG_FILE": os.devnull}
    places = InterpreterFolders(downloads=tmp_path / "downloads", environ=environ)
    with pytest.raises(errors.BrokenError) as caught:
        interpreters.find("3.99", places)
    assert "no Python 3.99 was found, and uv could not download it" in str(caught.value)
    assert "AERODROME_PYTHON_FOLDERS" in str(caught.value)
    assert caught.value.code == "VERSION_INSTALL_FAILED"
    assert caught.value.tail == (f"{shim} does not start (CalledProcessError)",)


def test_only_a_path_that_everybody_can_walk_is_open_to_all(tmp_path):
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    inner.parent.chmod(0o700)
    assert not interpreters.open_to_all(inner)
    assert interpreters.open_to_all(Path("/usr/bin"))
