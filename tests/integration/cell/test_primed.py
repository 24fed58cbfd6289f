"""A warm process with a primed process beside it: cells of either, and what becomes of the one without the other."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from aerodrome.cell import kernel
from integration.cell import harness

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PRIME = """
import os, sys, types
left = types.ModuleType("left_behind")
left.seen = os.environ["WANTED"], os.getcwd()
sys.modules["left_behind"] = left
{more}
"""

UNIT = """
import json, os, sys
left = sys.modules.get("left_behind")
print(json.dumps([left and left.seen, "WANTED" in os.environ]), flush=True)
"""


@pytest.fixture
def place() -> Iterator[Path]:
    with harness.folder() as path:
        yield path


@pytest.fixture
def begin(place: Path) -> Iterator[Callable[..., harness.Cell]]:
    """Starts a warm process that primes another one with a script; the cell is not started yet."""
    started: list[harness.Cell] = []

    def begin(more: str = "") -> harness.Cell:
        script, file = place / "prime.py", place / "prime.json"
        script.write_text(PRIME.format(more=more))
        wanted = {
            "socket": str(place / "primed.sock"),
            "argv": [str(script)],
            "env": {**harness.BASE_ENV, "WANTED": "yes"},
            "cwd": str(place),
            "views": [],
        }
        file.write_text(json.dumps(wanted))
        warm = harness.Warm(place, harness.interpreters(harness.VERSIONS[1]), more=("--prime", str(file)))
        cell = harness.Cell(place, warm)
        started.append(cell)
        warm.wait()
        return cell

    yield begin
    for cell in started:
        cell.warm.kill()
        cell.clean()


def test_units_of_a_cell_of_its_find_what_the_script_has_left(begin, place):
    cell = begin()
    harness.until(lambda: harness.serves(place / "primed.sock"), "a primed process")
    answer = harness.ask(place / "primed.sock", op="spawn", config=str(cell.write(cell.unit("one", UNIT))))
    assert answer["ok"]
    harness.until(lambda: cell.text("one"), "what the unit prints")
    assert json.loads(cell.text("one").splitlines()[0]) == [["yes", str(place)], False]
    cell.shut_down(answer["pid"])


def test_units_of_a_cell_of_the_warm_process_do_not(begin, place):
    cell = begin()
    harness.until(lambda: harness.serves(place / "primed.sock"), "a primed process")
    pid = cell.start(cell.unit("one", UNIT))
    harness.until(lambda: cell.text("one"), "what the unit prints")
    assert json.loads(cell.text("one").splitlines()[0]) == [None, False]
    cell.shut_down(pid)


@pytest.mark.parametrize(
    "more",
    ["sys.exit(3)", "raise OSError", "import threading; threading.Thread(target=threading.Event().wait).start()"],
)
def test_without_it_the_warm_process_serves_alone(begin, place, more):
    cell = begin(more)
    harness.until(lambda: "no primed process" in cell.warm.log.read_text(), "a word about it")
    assert not (place / "primed.sock").exists()
    assert harness.ask(cell.warm.socket, op="status")["ok"]


def test_it_ends_with_the_warm_process_and_its_cells_go_on(begin, place):
    cell = begin()
    harness.until(lambda: harness.serves(place / "primed.sock"), "a primed process")
    primed = harness.ask(place / "primed.sock", op="status")["pid"]
    answer = harness.ask(place / "primed.sock", op="spawn", config=str(cell.write(cell.unit("one"))))
    unit = cell.ready("one")
    cell.warm.kill()
    harness.until(lambda: harness.dead(primed), "the end of the primed process")
    assert not harness.dead(unit)
    assert kernel.process(unit) is not None
    cell.shut_down(answer["pid"])


def test_one_that_was_killed_is_started_again_by_the_next_creation(begin, place):
    cell = begin()
    harness.until(lambda: harness.serves(place / "primed.sock"), "a primed process")
    assert harness.ask(cell.warm.socket, op="status")["primed"] is True
    killed = harness.ask(place / "primed.sock", op="status")["pid"]
    os.kill(killed, signal.SIGKILL)
    harness.until(lambda: harness.ask(cell.warm.socket, op="status")["primed"] is False, "word of its end")
    assert not harness.serves(place / "primed.sock")
    pid = cell.start(cell.unit("one", UNIT))
    harness.until(lambda: harness.serves(place / "primed.sock"), "another primed process")
    assert harness.ask(place / "primed.sock", op="status")["pid"] != killed
    cell.shut_down(pid)


def test_one_that_has_failed_is_told_and_not_started_again(begin):
    cell = begin("sys.exit(3)")
    harness.until(lambda: harness.ask(cell.warm.socket, op="status")["primed"] is False, "word of its end")
    pid = cell.start(cell.unit("one", UNIT))
    assert harness.ask(cell.warm.socket, op="status")["primed"] is False
    assert cell.warm.log.read_text().count("no primed process") == 1
    cell.shut_down(pid)


def test_a_missing_file_costs_the_primed_process_alone(place):
    warm = harness.Warm(place, harness.interpreters(harness.VERSIONS[1]), more=("--prime", str(place / "absent")))
    try:
        assert harness.ask(warm.wait().socket, op="status")["ok"]
    finally:
        warm.kill()
