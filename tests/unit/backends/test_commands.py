"""What a caller of run_command is told about how the command ended, and what of it is left."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from aerodrome.backends.contract import OUTPUT_LIMIT
from aerodrome.backends.local import cell_client, commands
from aerodrome.backends.local.paths import EnvironmentPaths
from aerodrome.errors import RetryError

WEB = {"name": "web", "argv": ["/boot.py", "web"], "env": {}, "cwd": "/", "umask": 63, "uid": None, "gid": None}


@pytest.fixture
def paths(tmp_path):
    paths = EnvironmentPaths(tmp_path / "home", tmp_path)
    paths.services.config.write_text(json.dumps({"units": [WEB]}))
    return paths


@pytest.fixture
def answering(monkeypatch):
    """Plays the cell: writes the outputs, answers, and keeps the requests."""

    def play(answer, stdout=b"", stderr=b""):
        heard = []

        def ask(path, request, *, seconds):
            heard.append((path, request, seconds))
            for key, text in (("stdout", stdout), ("stderr", stderr)):
                Path(request[key]).write_bytes(text)
            return answer

        monkeypatch.setattr(cell_client, "ask", ask)
        return heard

    return play


def answer(**changes):
    return {"ok": True, "code": 0, "signal": None, "killed": None, **changes}


def test_outputs_and_code_come_back_and_the_files_are_gone(paths, answering):
    heard = answering(answer(code=3), b"out", b"err")

    result = commands.run(paths, paths.services, ["version"], timeout=7.0)

    assert (result.stdout, result.stderr, result.exit_code) == (b"out", b"err", 3)
    path, request, seconds = heard[0]
    assert path == paths.services.socket
    assert request["argv"] == ["/boot.py", "cli", "version"]
    assert (request["op"], request["timeout"], request["limit"]) == ("run", 7.0, OUTPUT_LIMIT)
    assert seconds > 7.0
    assert [path.name for path in paths.run.iterdir()] == ["cell.json"]


def test_a_signal_makes_a_shells_exit_code(paths, answering):
    answering(answer(code=None, signal=15))
    assert commands.run(paths, paths.services, ["version"], timeout=1.0).exit_code == 143


@pytest.mark.parametrize(("killed", "words"), [("timeout", b"1.5 seconds"), ("output", b"bytes")])
def test_who_was_stopped_is_told_why_after_what_it_said(paths, answering, killed, words):
    answering(answer(code=None, signal=9, killed=killed), b"partly", b"no newline")

    result = commands.run(paths, paths.services, ["version"], timeout=1.5)

    assert (result.stdout, result.exit_code) == (b"partly", 137)
    first, second = result.stderr.splitlines()
    assert first == b"no newline"
    assert words in second


def test_outputs_are_bounded(paths, answering):
    answering(answer(code=None, signal=9, killed="output"), b"x" * (OUTPUT_LIMIT + 10))
    assert len(commands.run(paths, paths.services, ["version"], timeout=1.0).stdout) == OUTPUT_LIMIT


def test_what_is_read_is_the_file_that_was_made_whatever_lies_at_its_name(paths, monkeypatch):
    def ask(path, request, *, seconds):
        del path, seconds
        secret = paths.run / "secret"
        secret.write_text("hunter2")
        for key in ("stdout", "stderr"):
            (paths.run / request[key]).unlink()
            (paths.run / request[key]).symlink_to(secret)
        return answer()

    monkeypatch.setattr(cell_client, "ask", ask)
    assert commands.run(paths, paths.services, ["version"], timeout=1.0).stdout == b""


@pytest.mark.parametrize("killed", ["leaving", "abandoned"])
def test_an_environment_that_stopped_meanwhile_is_no_result(paths, answering, killed):
    answering(answer(code=None, signal=9, killed=killed))
    with pytest.raises(RetryError):
        commands.run(paths, paths.services, ["version"], timeout=1.0)


def test_without_a_cell_or_its_files_there_is_nothing_to_run(paths, answering, tmp_path):
    answering(None)
    with pytest.raises(RetryError, match="does not run"):
        commands.run(paths, paths.services, ["version"], timeout=1.0)
    paths.services.config.write_text("{}")
    with pytest.raises(RetryError, match="no web server"):
        commands.run(paths, paths.services, ["version"], timeout=1.0)
    absent = EnvironmentPaths(tmp_path, tmp_path / "absent")
    with pytest.raises(RetryError, match="does not run"):
        commands.run(absent, absent.services, ["version"], timeout=1.0)


def test_no_output_is_told_by_the_representation(paths, answering):
    answering(answer(), b"hunter2", b"hunter2")
    assert "hunter2" not in repr(commands.run(paths, paths.services, ["version"], timeout=1.0))
