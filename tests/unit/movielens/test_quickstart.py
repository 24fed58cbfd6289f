"""The command's words, its waiting, and what it says when something fails."""

import io
import json
import sys
from pathlib import Path

import botocore.exceptions as aws
import pytest
from rich.console import Console

from examples.movielens import control_plane, failure, progress, quickstart, resources, screen, waiting


def test_waiting_looks_until_something_is_found():
    found = iter([None, None, "there"])
    slept = []
    clock = iter(range(10))
    answer = waiting.until(lambda: next(found), seconds=5, every=0.5, now=lambda: next(clock), sleep=slept.append)
    assert (answer, slept) == ("there", [0.5, 0.5])


def test_waiting_ends_when_the_time_is_up():
    clock = iter(range(100))
    with pytest.raises(TimeoutError):
        waiting.until(lambda: None, seconds=3, every=1, now=lambda: next(clock), sleep=lambda _: None)


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (failure.QuickstartError("plain"), "plain"),
        (
            aws.ClientError({"Error": {"Code": "ValidationException", "Message": "no"}}, "CreateEnvironment"),
            "CreateEnvironment was refused: ValidationException: no",
        ),
        (aws.EndpointConnectionError(endpoint_url="http://127.0.0.1:1"), "Aerodrome's API does not answer"),
        (aws.NoRegionError(), "the AWS client cannot go on"),
        (KeyboardInterrupt(), "interrupted"),
        (KeyError("x"), "something unexpected happened: KeyError"),
    ],
)
def test_whatever_happens_is_told_in_one_sentence_with_a_next_step(error: BaseException, sentence: str):
    told = failure.told(error)
    assert str(told).startswith(sentence)
    assert told.look


def test_the_reason_of_a_failed_command_is_its_marked_line():
    assert control_plane.told_reason("warning: x\nerror: the port is taken\n  log line\n") == "the port is taken"
    assert control_plane.told_reason("something\nlast words\n") == "last words"
    assert control_plane.told_reason("") == ""


def test_the_progress_of_an_environment_is_found_in_the_status():
    document = {"environments": [{"name": "a", "progress": {"phase": "start"}}, {"name": "b", "progress": None}]}
    assert control_plane.find_progress(document, "a") == {"phase": "start"}
    assert control_plane.find_progress(document, "b") == {}
    assert control_plane.find_progress(document, "c") == {}
    assert control_plane.find_progress([], "a") == {}


def test_the_role_reaches_its_own_bucket_only():
    policy = resources.role_policy("b")
    assert policy["Statement"][0]["Resource"] == ["arn:aws:s3:::b", "arn:aws:s3:::b/*"]


def test_without_a_terminal_each_beginning_and_end_is_one_line():
    text = io.StringIO()
    with screen.Screen(Console(file=text)).bars("Pipeline") as board:
        for state in ("waiting", "under way", "under way", "done"):
            board.show([progress.Bar("load", state)])
    assert text.getvalue().splitlines() == ["Pipeline", "  load under way", "  load done"]


def test_next_steps_begin_with_the_command_on_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def first_step() -> str:
        text = io.StringIO()
        folder = control_plane.path_to_add()
        screen.Screen(Console(file=text)).next_steps("mine", "bucket", "https://link", path_to_add=folder)
        return text.getvalue().partition("What next\n")[2].splitlines()[0].partition("#")[0].strip()

    folder = tmp_path / "a folder"
    folder.mkdir()
    (folder / "aerodrome").touch(mode=0o755)
    monkeypatch.setattr(sys, "executable", str(folder / "python"))
    monkeypatch.setenv("PATH", "/nowhere")
    assert first_step() == f"export PATH='{folder}':\"$PATH\""
    monkeypatch.setenv("PATH", str(folder))
    assert first_step() == "aerodrome login mine"


def test_a_failure_ends_with_a_sentence_and_status_1(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture):
    def fail() -> None:
        raise failure.QuickstartError("the port is taken", look="aerodrome doctor")

    monkeypatch.setattr(control_plane, "up", fail)
    assert quickstart.main(["--json", "--name", "mine"]) == 1
    out, err = capsys.readouterr()
    assert json.loads(out) == {"environment": "mine", "error": "the port is taken", "look": "aerodrome doctor"}
    assert "the port is taken" in err
    assert "Traceback" not in err


def test_help_shows_examples(capsys: pytest.CaptureFixture):
    with pytest.raises(SystemExit, match="0"):
        quickstart.main(["--help"])
    assert "make quickstart VERSION=2.11" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["bad name!", "-x", "1st", "ends-", "x" * 51, ""])
def test_a_name_that_a_service_would_refuse_is_refused_before_anything_is_made(
    name: str, capsys: pytest.CaptureFixture
):
    with pytest.raises(SystemExit, match="2"):
        quickstart.main([f"--name={name}"])
    assert "--name" in capsys.readouterr().err
