"""What holds for every command: help with an example, `--json`, and in a pipe whole lines without colour.

A command that is registered and has no row in `CALLS` fails here, so none is forgotten.
"""

from __future__ import annotations

import ast
import io
import json
import re
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import pytest
import typer
from click.testing import CliRunner

from aerodrome import cli
from aerodrome.backends.purging import Found
from aerodrome.cli import (
    aws_clients,
    change_progress,
    check_run,
    console,
    doctor,
    events_query,
    login,
    main,
    metrics_query,
    operator_client,
    rendering,
    roles,
    starting,
    stopping,
)
from aerodrome.cli.dev import lifetime, session
from aerodrome.cli.dev import output as teller_of_dev
from aerodrome.errors import BrokenError

ESCAPE = "\x1b[31m"
LONG = " ".join(["a sentence [of/] many words", *("which goes on" for _ in range(12)), "to its end"])
FOLDER = LONG.replace("/", "")
TOLD = f"{ESCAPE}{LONG}"
"""What a stranger may have sent: it is never obeyed, and in a pipe never broken."""

FAILURE = {"code": "UNHEALTHY", "message": TOLD, "tail": ["first line", "second line"]}
PROGRESS = {"phase": "units", "detail": TOLD, "fraction": None, "phases": [{"seconds": 1.0}]}
ENVIRONMENT = {
    "name": "mine",
    "airflow_version": "3.3.1",
    "class": "mw1.small",
    "status": "UPDATE_FAILED",
    "units": [],
    "other_cells": [],
    "progress": PROGRESS,
    "failure": None,
    "last_update": {"failure": FAILURE},
    "hibernation": {"rest": "AWAKE", "refusal": ""},
}
SLEEPING = {
    "name": "mine",
    "status": "AVAILABLE",
    "progress": {**PROGRESS, "phase": "hibernated"},
    "hibernation": {"rest": "HIBERNATED", "refusal": ""},
}
REVISION = {
    "number": 1,
    "kind": "UPDATE",
    "outcome": "FAILED",
    "runs": False,
    "requested_at": "2026-01-01T00:00:00+00:00",
    "requested_by": None,
    "failure": FAILURE,
    "report": [],
    "configuration": {"AirflowVersion": "3.3.1", "Option": TOLD},
}
APPLIED = {
    **REVISION,
    "number": 2,
    "outcome": "APPLIED",
    "runs": True,
    "failure": None,
    "configuration": {"AirflowVersion": "3.3.1"},
}
EVENT = {
    "id": 1,
    "at": "2026-01-01T00:00:00+00:00",
    "kind": "API_REQUEST",
    "environment": "mine",
    "principal": None,
    "address": TOLD,
    "action": "airflow:GetEnvironment",
    "resource": "*",
    "allowed": False,
    "sentence": "No.",
    "detail": None,
}
SNAPSHOT = {
    "environment": TOLD,
    "number": 4,
    "taken_at": "2026-01-01T00:00:00+00:00",
    "airflow_version": "3.3.1",
    "size": 1,
}
EXPLAINED = {
    "allowed": False,
    "sentence": TOLD,
    "refusal": "",
    "statements": [
        {"layer": "identity", "policy": TOLD, "statement": 1, "effect": "Allow", "applies": True, "decides": True}
    ],
}
BEGUN = {"name": "mine", "revision": 5}


@dataclass(frozen=True)
class Call:
    """How a command is called, and what the control plane answers."""

    arguments: str = ""
    answer: object = None
    exit_code: int = 0
    told: str = LONG
    """Words that stand whole on one line of what is printed."""


CALLS = {
    "up": Call(told=FOLDER),
    "down": Call(told=FOLDER),
    "status": Call(
        answer={
            "api": "http://x",
            "troubles": [],
            "uids": "",
            "primed": [],
            "services": [],
            "environments": [ENVIRONMENT],
        }
    ),
    "events": Call(answer=[EVENT]),
    "login": Call("mine"),
    "logs": Call("mine"),
    "metrics": Call("mine"),
    "alarms": Call("mine", exit_code=3),
    "top": Call("--once", {"environments": [{**ENVIRONMENT, "name": TOLD}]}),
    "why": Call("mine", {"troubles": [], "environments": [ENVIRONMENT]}, exit_code=3),
    "env": Call(told=FOLDER),
    "trust": Call(told=FOLDER),
    "doctor": Call(exit_code=1),
    "purge": Call("--yes", told=FOLDER),
    "check": Call("folder", exit_code=1),
    "dev": Call("folder --once", told=LONG),
    "revisions": Call("mine", [REVISION, APPLIED]),
    "diff": Call("mine 1 2", [REVISION, APPLIED]),
    "rollback": Call("mine 1", BEGUN, told="mine is AVAILABLE with revision 5, after 1.0 s."),
    "hibernate": Call("mine", SLEEPING),
    "wake": Call("mine", SLEEPING, told="mine is awake, after 1.0 s."),
    "database create": Call("warehouse", {"host": TOLD, "port": 1}),
    "role create": Call("mine --bucket b", told=FOLDER),
    "iam explain": Call("--principal a --action b", EXPLAINED),
    "snapshots": Call(answer=[SNAPSHOT]),
    "snapshots list": Call(answer=[SNAPSHOT]),
    "snapshots restore": Call("mine 4 --yes", BEGUN, told="mine is AVAILABLE with revision 5, after 1.0 s."),
    "snapshots clone": Call("mine 4 copy", BEGUN, told="copy is AVAILABLE with revision 5, after 1.0 s."),
    "snapshots remove": Call("mine 4", {"name": "mine", "snapshot": 4}, told="Snapshot 4 of mine is removed."),
}


def registered(command: object = None, path: str = "") -> Iterator[tuple[str, object]]:
    """Every command that does something, by the words that call it."""
    command = command or typer.main.get_command(main.app)
    commands = getattr(command, "commands", {})
    if path and (not commands or command.invoke_without_command):
        yield path, command
    for name, each in commands.items():
        yield from registered(each, f"{path} {name}".strip())


COMMANDS = dict(registered())


@pytest.fixture
def surroundings(monkeypatch, tmp_path):
    """A narrow pipe in a CI system that likes colours, and a control plane that answers what the test says."""
    data = tmp_path / FOLDER
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "startup.sh").write_text("true")
    for name, value in {"COLUMNS": "40", "FORCE_COLOR": "1", "AERODROME_DATA": str(data), "TERM": "xterm"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(starting, "up", lambda _: starting.State("http://127.0.0.1:4560", adopted=True))
    monkeypatch.setattr(stopping, "down", lambda *_, **__: None)
    monkeypatch.setattr(stopping, "purge", lambda *_, **__: Found(unseen=LONG))
    monkeypatch.setattr(login, "link", lambda *_: LONG)
    monkeypatch.setattr(roles, "create", lambda *_, **__: FOLDER)
    monkeypatch.setattr(lifetime, "running", lambda *_, **__: nullcontext(4560))
    monkeypatch.setattr(session, "Session", Session)
    monkeypatch.setattr(operator_client, "port", lambda _: 4560)
    monkeypatch.setattr(aws_clients, "client", lambda *_: Aws())
    monkeypatch.setattr(operator_client, "is_up", lambda _: False)
    monkeypatch.setattr(doctor, "gather", lambda *_, **__: None)
    finding = doctor.DoctorFinding(subject="disk", level=doctor.Level.FAIL, found=TOLD, fix="buy one")
    monkeypatch.setattr(doctor, "judge", lambda _: [finding])
    errors = [{"code": "X", "message": TOLD, "tail": ["one", "two"]}]
    monkeypatch.setattr(check_run.CheckRun, "run", lambda _: check_run.Checked("3.3.1", errors=errors, notes=[TOLD]))
    ended = {"status": "AVAILABLE", "progress": PROGRESS}
    monkeypatch.setattr(change_progress, "end_of_change", lambda *_: ended)
    monkeypatch.setattr(change_progress, "until", lambda *_: SLEEPING)


class Aws:
    """Clients of MWAA, CloudWatch and CloudWatch Logs."""

    def get_environment(self, **_: object) -> dict[str, object]:
        logging = {"TaskLogs": {"Enabled": True}}
        return {"Environment": {"Name": "mine", "AirflowVersion": "3.3.1", "LoggingConfiguration": logging}}

    def filter_log_events(self, **_: object) -> dict[str, object]:
        return {"events": [{"eventId": "1", "timestamp": 1, "logStreamName": "s", "message": TOLD}]}

    def get_paginator(self, _: object) -> Aws:
        return self

    def paginate(self, **_: object) -> list[dict[str, object]]:
        told = ["" if name != "DAG" else TOLD for name in metrics_query.DIMENSIONS]
        label = "\t".join(["AmazonMWAA", "Sum", "JobStart", *told, ""])
        return [{"MetricDataResults": [{"Label": label, "Timestamps": [1.0], "Values": [2.0]}]}]

    def describe_alarms(self, **_: object) -> dict[str, object]:
        alarm = {"AlarmName": "a", "StateValue": "ALARM", "StateReason": TOLD, "AlarmDescription": TOLD}
        return {"MetricAlarms": [alarm]}


class Session:
    """A session of `aerodrome dev` that tells one thing and is content."""

    def __init__(self, _options, _settings, _port, teller):
        self._teller = teller

    def run(self):
        self._teller.say("note", teller_of_dev.Mark.NOTE, TOLD)
        return True


def documents(text):
    """The JSON document that was printed, or the documents, one a line."""
    try:
        return json.loads(text)
    except ValueError:
        return [json.loads(line) for line in text.splitlines()]


def run(monkeypatch, path, *more):
    call = CALLS[path]
    monkeypatch.setattr(operator_client, "ask", lambda *_: call.answer)
    arguments = [*path.split(), *call.arguments.split(), *more]
    return CliRunner().invoke(typer.main.get_command(main.app), arguments)


def test_every_command_has_a_call_here():
    assert set(CALLS) == set(COMMANDS)


@pytest.mark.parametrize("path", sorted(COMMANDS))
def test_help_has_an_example(path):
    result = CliRunner().invoke(typer.main.get_command(main.app), [*path.split(), "--help"])
    assert result.exit_code == 0
    assert "Examples:" in result.output


@pytest.mark.usefixtures("surroundings")
@pytest.mark.parametrize("path", sorted(COMMANDS))
def test_a_pipe_gets_whole_lines_without_colour(path, monkeypatch):
    result = run(monkeypatch, path)
    assert result.exit_code == CALLS[path].exit_code, result.output
    assert "\x1b" not in result.output
    assert any(CALLS[path].told in line for line in result.stdout.splitlines()), result.output


@pytest.mark.usefixtures("surroundings")
@pytest.mark.parametrize("path", sorted(COMMANDS))
def test_a_script_gets_json(path, monkeypatch):
    result = run(monkeypatch, path, "--json")
    assert result.exit_code == CALLS[path].exit_code, result.output
    assert documents(result.stdout)


@pytest.mark.usefixtures("surroundings")
@pytest.mark.parametrize("path", ["status", "revisions"])
def test_the_log_of_a_failure_keeps_its_lines(path, monkeypatch):
    lines = [line.strip() for line in run(monkeypatch, path).stdout.splitlines()]
    assert lines[lines.index("first line") + 1] == "second line"


@pytest.mark.usefixtures("surroundings")
def test_a_change_that_failed_tells_its_log(monkeypatch):
    failed = {"status": "UPDATE_FAILED", "progress": PROGRESS, "last_update": {"failure": FAILURE}}
    monkeypatch.setattr(change_progress, "end_of_change", lambda *_: failed)
    result = run(monkeypatch, "rollback")
    assert (result.exit_code, result.stdout) == (1, "")
    assert LONG in result.stderr
    assert [line.strip() for line in result.stderr.splitlines()[1:]] == ["first line", "second line"]


@pytest.mark.usefixtures("surroundings")
def test_following_events_in_a_pipe_prints_the_header_once(monkeypatch):
    monkeypatch.setattr(events_query, "follow", lambda *_: iter([[EVENT], [], [EVENT]]))
    result = run(monkeypatch, "events", "--follow")
    header, *rows = result.stdout.splitlines()
    assert header.split()[0] == "at"
    assert len(rows) == 2


class Terminal(io.StringIO):
    """A file that says that somebody looks."""

    def isatty(self):
        return True


def test_a_terminal_gets_folded_cells_and_no_stranger_s_escapes(monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    terminal = console.Voice(file=Terminal(), width=60)
    terminal.print(rendering.events([EVENT]))
    printed = terminal.file.getvalue()
    shown = re.sub(r"\x1b\[[0-9;]*m", "", printed).splitlines()
    assert max(map(len, shown)) <= 60
    assert len(shown) > 3
    assert ESCAPE + "a sentence" not in printed


def test_errors_are_told_as_they_are():
    error = BrokenError("[/no] markup\x1b[2J", code="X", tail=("[red]one\x07",))
    narrow = console.Voice(file=io.StringIO(), width=20)
    told, console.err = console.err, narrow
    try:
        console.refuse(error)
    finally:
        console.err = told
    assert narrow.file.getvalue() == "error: [/no] markup [2J\n  [red]one\n"


def test_the_version_is_told():
    result = CliRunner().invoke(typer.main.get_command(main.app), ["--version"])
    assert result.output == f"aerodrome {metadata.version('aerodrome')}\n"


def test_only_two_modules_print_and_draw():
    """Commands share one console and one table; a command with its own would look and fail in another way."""
    makers = {}
    for path in Path(cli.__file__).parent.rglob("*.py"):
        calls = [each for each in ast.walk(ast.parse(path.read_text())) if isinstance(each, ast.Call)]
        names = {each.func.id for each in calls if isinstance(each.func, ast.Name)} | {
            each.func.attr for each in calls if isinstance(each.func, ast.Attribute)
        }
        for name in names & {"Console", "Voice", "Table", "print_exception"}:
            makers.setdefault(name, set()).add(path.stem)
    assert makers == {"Voice": {"console"}, "Table": {"rendering"}}


@pytest.mark.usefixtures("surroundings")
@pytest.mark.parametrize("arguments", [["folder"], ["--folder", "folder"]])
def test_a_check_takes_its_folder_either_way(arguments, monkeypatch):
    seen = []
    monkeypatch.setattr(
        check_run, "gather", lambda folder, **_: seen.append(folder) or check_run.CheckRequest("3.3.1", None, None)
    )
    CliRunner().invoke(typer.main.get_command(main.app), ["check", *arguments])
    assert seen == [Path("folder")]
