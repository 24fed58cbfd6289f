"""Commands that run once: their outputs, their bounds, and that nothing of them outlives its answer."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import stat
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from aerodrome.cell import runs
from integration.cell import harness

if TYPE_CHECKING:
    from pathlib import Path

NOBODY = 65534
ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a command another identity")

SPEAKER = """
import sys
print("to stdout", sys.argv[1:])
print("to stderr", file=sys.stderr)
sys.exit(7)
"""

SLEEPER = """
import os, time
print(os.getpid(), flush=True)
time.sleep(600)
"""

FAMILY = """
import os, time
def say(what):
    os.write(1, (what + " " + str(os.getpid()) + "\\n").encode())
if os.fork() == 0:
    say("child")
    time.sleep(600)
if os.fork() == 0:
    os.setsid()
    say("away")
    time.sleep(600)
say("parent")
time.sleep(600)
"""


class Outputs:
    """The two files of one run."""

    def __init__(self, cell: harness.Cell, name: str) -> None:
        self.stdout = cell.folder / f"{name}.out"
        self.stderr = cell.folder / f"{name}.err"
        for path in (self.stdout, self.stderr):
            path.touch(mode=0o600)


def request(cell: harness.Cell, name: str, script: str, outputs: Outputs | None = None, **fields: Any) -> dict:
    path = cell.folder / f"{name}.py"
    path.write_text(script)
    path.chmod(0o644)
    outputs = outputs or Outputs(cell, name)
    wanted = {
        "id": name,
        "argv": [str(path)],
        "env": harness.BASE_ENV,
        "cwd": str(cell.folder),
        "umask": 0o077,
        "uid": None,
        "gid": None,
        "stdout": str(outputs.stdout),
        "stderr": str(outputs.stderr),
        "timeout": 60,
        "limit": 1_000_000,
    }
    return {**wanted, **fields}


def text(cell: harness.Cell, name: str, kind: str = "out") -> str:
    return (cell.folder / f"{name}.{kind}").read_text()


@contextlib.contextmanager
def begun(cell: harness.Cell, *wanted: dict):
    """Runs that are going on; yields the futures of their answers."""
    with ThreadPoolExecutor(len(wanted)) as pool:
        answers: list[Future[dict]] = [pool.submit(cell.ask, "run", **one) for one in wanted]
        names = {one["id"] for one in wanted}
        harness.until(lambda: names <= {run["id"] for run in cell.ask("status")["runs"]}, "running commands")
        yield answers


def test_a_command_answers_when_it_has_ended_with_its_own_code_and_two_outputs(cell) -> None:
    cell.start()
    wanted = request(cell, "speaker", SPEAKER)
    wanted["argv"] += ["--value", "hunter2"]

    answer = cell.ask("run", **wanted)

    assert answer == {"ok": True, "code": 7, "signal": None, "killed": None}
    assert text(cell, "speaker") == "to stdout ['--value', 'hunter2']\n"
    assert text(cell, "speaker", "err") == "to stderr\n"
    assert cell.ask("status")["runs"] == []
    assert "hunter2" not in cell.log.read_text()


def test_a_command_has_nothing_to_read_and_cannot_hang_on_a_question(one_cell) -> None:
    one_cell.start()

    assert one_cell.ask("run", **request(one_cell, "asking", "input('sure? ')"))["code"] == 1
    assert "EOFError" in text(one_cell, "asking", "err")


def test_a_command_carries_no_descriptor_of_the_cell_and_leads_a_session(one_cell) -> None:
    one_cell.start()
    script = """
import os, json
fds = sorted(int(fd) for fd in os.listdir("/proc/self/fd") if os.path.exists("/proc/self/fd/" + fd))
print(json.dumps([fds, os.getsid(0) == os.getpid(), os.readlink("/proc/self/fd/0"), os.environ["ONLY"]]))
"""
    assert one_cell.ask("run", **request(one_cell, "looking", script, env={"ONLY": "this"}))["code"] == 0
    assert json.loads(text(one_cell, "looking")) == [[0, 1, 2], True, "/dev/null", "this"]


def with_nursery(cell: harness.Cell) -> None:
    """Starts a cell whose nursery has imported a module that is preloaded nowhere else."""
    cell.prelude = cell.unit("nursery", "import wave")
    cell.start(cell.unit("unit"))
    cell.ready("unit")


WHENCE = "import os, sys; print('wave' in sys.modules, os.getppid())"


def test_a_command_has_what_the_nursery_imported_and_is_the_cells_child(cell) -> None:
    with_nursery(cell)

    assert cell.ask("run", **request(cell, "forked", WHENCE))["code"] == 0
    assert text(cell, "forked") == f"True {cell.ask('status')['pid']}\n"


def test_without_a_nursery_a_command_runs_all_the_same(one_cell) -> None:
    with_nursery(one_cell)
    nursery = int(one_cell.log.read_text().partition('"nursery started", "pid": ')[2].partition("}")[0])
    os.kill(nursery, signal.SIGKILL)
    harness.until(lambda: '"no nursery"' in one_cell.log.read_text(), "the end of the nursery")

    assert one_cell.ask("run", **request(one_cell, "forked", WHENCE))["code"] == 0
    assert text(one_cell, "forked").startswith("False")


def test_a_nursery_that_does_not_answer_is_done_without(one_cell) -> None:
    with_nursery(one_cell)
    nursery = int(one_cell.log.read_text().partition('"nursery started", "pid": ')[2].partition("}")[0])
    os.kill(nursery, signal.SIGSTOP)

    assert one_cell.ask("run", **request(one_cell, "forked", WHENCE))["code"] == 0
    assert text(one_cell, "forked").startswith("False")
    os.kill(nursery, signal.SIGCONT)
    harness.until(lambda: not one_cell.ask("status")["runs"], "an empty list")
    assert one_cell.ask("run", **request(one_cell, "again", WHENCE))["code"] == 0
    assert text(one_cell, "again").startswith("True")
    assert text(one_cell, "forked").count("\n") == 1


def test_time_is_up_for_the_whole_family(cell) -> None:
    cell.start()

    answer = cell.ask("run", **request(cell, "family", FAMILY, timeout=0.5))

    assert (answer["killed"], answer["signal"]) == ("timeout", int(signal.SIGKILL))
    members = dict(line.split() for line in text(cell, "family").splitlines())
    assert set(members) == {"parent", "child", "away"}
    harness.until(lambda: all(harness.dead(int(pid)) for pid in members.values()), "the end of the family")


def test_who_says_too_much_is_stopped(one_cell) -> None:
    one_cell.start()
    script = "import sys\nwhile True: sys.stdout.write('x' * 4096)"

    answer = one_cell.ask("run", **request(one_cell, "loud", script, limit=10_000))

    assert answer["killed"] == "output"
    assert len(text(one_cell, "loud")) > 10_000


def test_a_command_that_nobody_waits_for_is_stopped(one_cell) -> None:
    one_cell.start()
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as client:
        client.connect(str(one_cell.socket))
        client.sendall(json.dumps({"op": "run", **request(one_cell, "orphan", SLEEPER)}).encode() + b"\n")
        pid = int(harness.until(lambda: text(one_cell, "orphan"), "the command"))

    harness.until(lambda: harness.dead(pid), "the end of the command")
    harness.until(lambda: not one_cell.ask("status")["runs"], "an empty list")


def test_requests_behind_a_running_command_are_answered_after_it(one_cell) -> None:
    one_cell.start()
    lines = [{"op": "run", **request(one_cell, "first", "import time; time.sleep(0.2)")}, {"op": "status"}]
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as client:
        client.connect(str(one_cell.socket))
        client.settimeout(harness.DEADLINE)
        client.sendall(b"".join(json.dumps(line).encode() + b"\n" for line in lines))
        with client.makefile("rb") as answers:
            assert json.loads(answers.readline())["code"] == 0
            assert json.loads(answers.readline())["runs"] == []


def test_commands_run_side_by_side_beside_the_units_but_not_without_end(one_cell) -> None:
    one_cell.start(one_cell.unit("unit"))
    one_cell.ready("unit")
    wanted = [request(one_cell, f"run{number}", SLEEPER, timeout=3) for number in range(runs.MOST)]
    with begun(one_cell, *wanted) as answers:
        more = one_cell.ask("run", **request(one_cell, "more", SPEAKER))
        again = one_cell.ask("run", **request(one_cell, "run0", SPEAKER))
        assert "are running" in more["error"]
        assert "of this id is running" in again["error"]
        assert one_cell.state_of("unit") == "ready"
    assert {answer.result()["killed"] for answer in answers} == {"timeout"}
    assert one_cell.ask("run", **request(one_cell, "after", SPEAKER))["code"] == 7


def test_a_cell_that_leaves_stops_its_commands_and_answers(one_cell) -> None:
    pid = one_cell.start()
    with begun(one_cell, request(one_cell, "sleeper", SLEEPER)) as answers:
        one_cell.shut_down(pid)
    assert answers[0].exception() is not None or answers[0].result()["killed"] == "leaving"
    assert harness.dead(int(text(one_cell, "sleeper")))


def test_a_command_dies_with_its_cell(one_cell) -> None:
    pid = one_cell.start()
    with begun(one_cell, request(one_cell, "sleeper", SLEEPER)) as answers:
        harness.until(lambda: text(one_cell, "sleeper"), "the command")
        os.kill(pid, signal.SIGKILL)
    assert answers[0].exception() is not None
    harness.until(lambda: harness.dead(int(text(one_cell, "sleeper"))), "the end of the command")


def link(path: Path) -> None:
    target = path.with_suffix(".target")
    target.touch()
    path.unlink()
    path.symlink_to(target)


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def second_name(path: Path) -> None:
    path.with_suffix(".second").hardlink_to(path)


@pytest.mark.parametrize("spoil", [link, pipe, second_name, os.unlink])
def test_an_output_that_is_no_plain_file_of_ours_is_refused(one_cell, spoil) -> None:
    one_cell.start()
    outputs = Outputs(one_cell, "speaker")
    spoil(outputs.stderr)

    answer = one_cell.ask("run", **request(one_cell, "speaker", SPEAKER, outputs))

    assert not answer["ok"]
    assert str(outputs.stderr) in answer["error"]
    assert outputs.stdout.read_text() == ""


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"id": "../x"}, "name"),
        ({"argv": []}, "argv"),
        ({"env": {"A": 1}}, "env"),
        ({"stdout": "relative"}, "stdout"),
        ({"timeout": 0}, "timeout"),
        ({"timeout": float("inf")}, "timeout"),
        ({"timeout": True}, "timeout"),
        ({"limit": 0}, "limit"),
        ({"limit": 2**40}, "limit"),
        ({"uid": NOBODY, "gid": None}, "gid"),
    ],
)
def test_a_request_that_is_not_whole_is_refused_and_names_the_field(one_cell, fields, word) -> None:
    one_cell.start()

    answer = one_cell.ask("run", **request(one_cell, "speaker", SPEAKER, **fields))

    assert not answer["ok"]
    assert word in answer["error"]


@ROOT_ONLY
def test_a_command_of_another_user_writes_into_files_that_it_cannot_open(cell) -> None:
    cell.start()
    script = """
import os
print(os.getresuid(), os.getgroups())
try:
    open(os.environ["OUT"], "a")
except PermissionError:
    print("closed")
"""
    outputs = Outputs(cell, "other")
    env = {**harness.BASE_ENV, "OUT": str(outputs.stdout)}

    answer = cell.ask("run", **request(cell, "other", script, outputs, env=env, uid=NOBODY, gid=NOBODY))

    assert answer["code"] == 0
    assert text(cell, "other") == f"({NOBODY}, {NOBODY}, {NOBODY}) []\nclosed\n"
    found = outputs.stdout.stat()
    assert (found.st_uid, stat.S_IMODE(found.st_mode)) == (0, 0o600)


@ROOT_ONLY
def test_a_command_of_another_user_dies_with_its_cell_too(one_cell) -> None:
    pid = one_cell.start()
    with begun(one_cell, request(one_cell, "sleeper", SLEEPER, uid=NOBODY, gid=NOBODY)):
        harness.until(lambda: text(one_cell, "sleeper"), "the command")
        os.kill(pid, signal.SIGKILL)
    harness.until(lambda: harness.dead(int(text(one_cell, "sleeper"))), "the end of the command")
