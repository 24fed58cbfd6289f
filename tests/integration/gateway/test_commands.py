"""The CLI endpoint: bodies as clients send them, answers as MWAA gives them, a token for one command."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest

from aerodrome.errors import CallerError, RetryError
from waiting import wait_for

from .conftest import decoded


def run(world, body, *, token=None, name="three", path="/aws_mwaa/cli", kind="text/plain"):
    given = token or world.token(name, None, "cli")
    return world.ask("POST", path, name=name, body=body, authorization=f"Bearer {given}", content_type=kind)


@pytest.mark.parametrize("path", ["/aws_mwaa/cli", "/pluginsv2/aws_mwaa/cli"])
@pytest.mark.parametrize("name", ["two", "three"])
@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("text/plain", 'dags trigger a --conf \'{"x": "é"}\''),
        ("application/json", 'dags trigger a --conf \'{"x": "é"}\''),
        ("application/json", json.dumps({"command": 'dags trigger a --conf \'{"x": "é"}\''})),
        ("application/json; charset=utf-8", json.dumps('dags trigger a --conf \'{"x": "é"}\'')),
        ("application/x-www-form-urlencoded", 'dags trigger a --conf \'{"x": "é"}\''),
    ],
)
def test_a_command_runs_once_as_it_was_sent(world, path, name, kind, body):
    answer = run(world, body.encode(), path=path, name=name, kind=kind)
    assert answer.status == 200
    assert {key: decoded(value) for key, value in answer.document.items()} == {"stdout": b"out", "stderr": b"err"}
    assert world.commands == [(name, 'dags trigger a --conf \'{"x": "é"}\'')]
    [entry] = world.entries
    assert (entry.kind, entry.action, entry.allowed) == ("CLI_COMMAND", "dags trigger", True)
    assert entry.principal == "arn:aws:iam::000000000000:user/ada"


def test_a_command_that_fails_answers_400_with_its_output(world):
    world.command = lambda _text: SimpleNamespace(stdout=b"\xff", stderr=b"no such DAG", exit_code=1)
    answer = run(world, "dags pause absent")
    assert answer.status == 400
    assert decoded(answer.document["stderr"]) == b"no such DAG"
    assert decoded(answer.document["stdout"]) == b"\xff"


def raising(error):
    def command(_text):
        raise error

    return command


def test_a_command_that_is_not_allowed(world):
    world.command = raising(CallerError("users create is not allowed here; allowed are: dags list"))
    answer = run(world, "users create --password hidden")
    assert (answer.status, answer.document["message"]) == (
        400,
        "users create is not allowed here; allowed are: dags list",
    )
    [entry] = world.entries
    assert (entry.action, entry.allowed) == ("users create", False)
    assert "hidden" not in repr(entry)


def test_a_command_that_cannot_run_now(world):
    world.command = raising(RetryError("Too much to do; try again.", delay=3))
    answer = run(world, "version")
    assert (answer.status, answer.headers["retry-after"]) == (503, "3")


def test_what_a_bug_says_stays_in_the_log(world):
    world.command = raising(RuntimeError("postgresql://user:password@host"))
    answer = run(world, "version")
    assert answer.status == 500
    assert b"password" not in answer.body


@pytest.mark.parametrize("case", ["replayed", "swapped", "web", "forged", "missing", "basic"])
def test_cli_tokens_that_are_not_valid(world, case):
    token = world.token(role=None, kind="cli")
    if case == "replayed":
        assert run(world, "version", token=token).status == 200
        world.commands.clear()
    elif case == "swapped":
        token = world.token("two", None, "cli")
    elif case == "web":
        token = world.token()
    elif case == "forged":
        token = "x" * 43
    headers = {} if case == "missing" else {"authorization": f"{'Basic' if case == 'basic' else 'Bearer'} {token}"}
    answer = world.ask("POST", "/aws_mwaa/cli", body="version", **headers)
    assert answer.status == 401
    assert not world.commands
    assert not world.entries[-1].allowed


def test_a_web_session_runs_no_commands(world):
    assert world.ask("POST", "/aws_mwaa/cli", body="version", cookie=world.log_in()).status == 401


@pytest.mark.parametrize("body", [b"", b"  \n", b"\xff\xfe", b"x" * 70_000], ids=["empty", "blank", "binary", "long"])
def test_bodies_that_are_no_command(world, body):
    answer = run(world, body)
    assert answer.status == (413 if len(body) > 1000 else 400)
    assert not world.commands


@pytest.mark.parametrize("body", ["[]", "{}", '{"command": 1}', "1", "[" * 60_000])
def test_json_that_is_no_command(world, body):
    answer = run(world, body, kind="application/json")
    assert answer.status in {200, 400}
    assert all(text == body for _, text in world.commands)  # what is no JSON at all counts as the bare command


def test_four_run_at_once_some_wait_and_the_rest_are_told_to_come_back(world):
    go, lock, counts = threading.Event(), threading.Lock(), {"now": 0, "most": 0}

    def command(_text):
        with lock:
            counts["now"] += 1
            counts["most"] = max(counts["most"], counts["now"])
        go.wait(30)
        with lock:
            counts["now"] -= 1
        return SimpleNamespace(stdout=b"", stderr=b"", exit_code=0)

    world.command = command
    with ThreadPoolExecutor(20) as pool:
        answers = [pool.submit(run, world, "version") for _ in range(20)]
        wait_for("all but the running are refused", lambda: sum(answer.done() for answer in answers) == 8)
        assert counts["most"] == 4
        other = pool.submit(run, world, "version", name="two")
        go.set()
        statuses = sorted(answer.result().status for answer in answers)
        assert other.result().status == 200
    assert statuses == [200] * 12 + [503] * 8
    assert counts["most"] <= 5  # four here, and the other environment's
