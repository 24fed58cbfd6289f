"""Units in control groups of this machine: hostile ones are bounded, and all of each ends with it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from aerodrome.backends.local import groups, leftovers
from aerodrome.backends.local.paths import CellPaths
from aerodrome.cell import cgroups, kernel, placement
from integration.cell import harness

if TYPE_CHECKING:
    from collections.abc import Iterator

MIB = 2**20

READY = 'import os, sys, time\nos.write(int(os.environ.pop("AERODROME_NOTIFY_FD")), b"READY=1\\n")\n'

FORKS = f"""{READY}
sys.stdin.readline()
made = 0
try:
    while made < 1000:
        if os.fork() == 0:
            os.setsid()
            time.sleep(3600)
        made += 1
except BlockingIOError:
    print("made", made, flush=True)
time.sleep(3600)
"""

EATS = f"""{READY}
pid = os.fork()
if pid == 0:
    if os.fork() == 0:
        print("eater", os.getpid(), flush=True)
        while not os.path.exists("go"):
            time.sleep(0.01)
        eaten = []
        while True:
            eaten.append(b"x" * 2**20)
    os.wait()
    os._exit(0)
os.wait()
print("survived", flush=True)
time.sleep(3600)
"""

COMPUTES = f"""{READY}
for _ in range(2):
    if os.fork() == 0:
        break
while True:
    pass
"""


@pytest.fixture
def group() -> Iterator[cgroups.ControlGroup]:
    found, trouble = cgroups.here()
    if found is None or set(found.folders) != set(cgroups.CONTROLLERS):
        pytest.skip(f"this machine grants no control groups: {trouble or found}")
    top = found.below(f"aerodrome-test-{os.getpid()}")
    cgroups.make(top, holds_groups=True)
    own = top.below("1")
    cgroups.make(own, holds_groups=True)
    yield own
    cgroups.kill(top)
    harness.until(lambda: cgroups.remove(top), "an end of the groups")


@pytest.fixture
def placed(one_cell, group) -> harness.Cell:
    one_cell.group = group
    return one_cell


def met(cell: harness.Cell, name: str) -> dict | None:
    return next(iter(cell.units()[name]["limits_met"]), None)


def test_each_unit_has_a_group_and_the_cell_too(placed, group) -> None:
    limits = {"processes": 64, "memory": 256 * MIB, "user_processes": 999}
    cell = placed.start(placed.unit("one", limits=limits), placed.unit("two"))
    one, two = placed.ready("one"), placed.ready("two")
    assert cgroups.members(group.below("one")) == {one}
    assert cgroups.members(group.below("two")) == {two}
    assert cell in cgroups.members(group.below("cell"))
    assert cgroups.bound(group.below("one")) == 256 * MIB
    # No rlimit where the group sees to it.
    assert "unlimited" in next(line for line in limits_of(one) if line.startswith("Max data size"))
    placed.shut_down(cell)
    assert not cgroups.exists(group.below("one"))


def limits_of(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/limits").read_text().splitlines()


def test_the_kernel_holds_a_unit_to_its_processors(placed, group) -> None:
    placed.start(placed.unit("one", limits={"processors": 2}), placed.unit("two"))
    placed.ready("one")
    placed.ready("two")
    assert ceiling(group.below("one")) == 2
    assert ceiling(group.below("two")) is None
    assert placed.ask("apply", units=[placed.unit("one", limits={"processors": 1}), placed.unit("two")])["ok"]
    assert ceiling(group.below("one")) == 1


def ceiling(group: cgroups.ControlGroup) -> float | None:
    """Of how many processors the kernel gives the group time; None = of all."""
    place = Path(group.folders[cgroups.CPU])
    names = ("cpu.cfs_quota_us", "cpu.cfs_period_us") if group.version == 1 else ("cpu.max",)
    quota, period = " ".join((place / name).read_text() for name in names).split()
    return None if quota in {"-1", "max"} else int(quota) / int(period)


def test_new_limits_need_no_restart(placed, group) -> None:
    placed.start(placed.unit("one", limits={"memory": 256 * MIB}))
    before = placed.ready("one")
    assert placed.ask("apply", units=[placed.unit("one", limits={"memory": 512 * MIB})])["ok"]
    assert placed.ready("one") == before
    assert cgroups.bound(group.below("one")) == 512 * MIB


def test_a_fork_bomb_is_refused_told_and_ends_with_its_unit(placed, group) -> None:
    script = FORKS.replace("sys.stdin.readline()", 'while not os.path.exists("go"): time.sleep(0.01)')
    hostile = placed.unit("hostile", script, ready="notify", limits={"processes": 40})
    placed.start(hostile, placed.unit("neighbour"))
    pid, neighbour = placed.ready("hostile"), placed.ready("neighbour")
    (placed.folder / "go").touch()
    harness.until(lambda: "made 39" in placed.text("hostile"), "a refused fork")
    assert harness.until(lambda: met(placed, "hostile"), "word of it")["limit"] == "processes"
    left = cgroups.members(group.below("hostile"))
    assert len(left) == 40
    (placed.folder / "go").unlink()
    os.kill(pid, 9)  # the children have sessions of their own
    harness.until(lambda: not any(map(kernel.process, left - {pid})) or None, "an end of them all")
    placed.ready("hostile", besides=pid)
    assert placed.ready("neighbour") == neighbour
    assert met(placed, "neighbour") is None


def test_out_of_memory_ends_what_took_it_and_not_what_it_was_forked_from(placed) -> None:
    hostile = placed.unit("hostile", EATS, ready="notify", limits={"memory": 128 * MIB})
    placed.start(hostile, placed.unit("neighbour"))
    pid, neighbour = placed.ready("hostile"), placed.ready("neighbour")
    eater = int(harness.until(lambda: placed.text("hostile").partition("eater ")[2], "the eater").split()[0])
    scored = str(placement.SCORES[2])
    harness.until(lambda: Path(f"/proc/{eater}/oom_score_adj").read_text().strip() == scored, "its score")
    (placed.folder / "go").touch()
    harness.until(lambda: "survived" in placed.text("hostile"), "the end of the eater")
    told = harness.until(lambda: met(placed, "hostile"), "word of it")
    assert (told["limit"], told["times"]) == ("memory", 1)
    assert placed.ready("hostile") == pid
    assert placed.ready("neighbour") == neighbour


def test_who_is_killed_with_its_cell_is_found_by_the_group(placed, group, monkeypatch) -> None:
    runaway = (
        "import os, time\nif os.fork() == 0:\n    os.setsid()\n    if os.fork(): os._exit(0)\n" + "time.sleep(3600)\n"
    )
    cell = placed.start(placed.unit("runaway", runaway))
    harness.until(lambda: len(cgroups.members(group.below("runaway"))) == 2, "the runaway")
    everybody = cgroups.members(group)
    assert cell in everybody
    monkeypatch.setattr(leftovers, "_end_others", lambda *_: pytest.fail("a list of processes is not needed"))
    top = cgroups.ControlGroup(group.version, {kind: str(Path(place).parent) for kind, place in group.folders.items()})
    leftovers.end([CellPaths(placed.folder)], None, top=top)
    assert cgroups.members(group) == set()
    assert all(map(harness.dead, everybody))


def test_a_group_of_another_installation_is_not_ours_to_end(placed, group) -> None:
    placed.start(placed.unit("one"))
    placed.ready("one")
    other = group.below("elsewhere")
    cgroups.make(other)
    assert groups.of_cell(CellPaths(placed.folder), other) is None


def test_a_cell_that_starts_again_knows_the_groups_of_what_it_adopts(placed, group) -> None:
    first = placed.start(placed.unit("one", limits={"processes": 64}))
    pid = placed.ready("one")
    os.kill(first, 9)
    harness.until(lambda: harness.dead(first), "its death")
    placed.seen.add(placed.warm.spawn(placed.config)["pid"])
    assert placed.ready("one") == pid
    assert placed.ask("apply", units=[])["ok"]
    harness.until(lambda: not cgroups.exists(group.below("one")), "an end of the unit and of its group")


def test_a_lost_tree_costs_no_unit(placed) -> None:
    placed.group = cgroups.ControlGroup(1, {"pids": "/proc/no-such-tree"})
    placed.start(placed.unit("one", limits={"memory": 2**40}))
    placed.ready("one")


def test_without_groups_there_are_rlimits(one_cell) -> None:
    limits = {"processes": 64, "memory": 2**33, "user_processes": 4321}
    uid = 54321 if os.geteuid() == 0 else None
    program = "import time\nprint('runs', flush=True)\ntime.sleep(3600)\n"
    one_cell.start(one_cell.unit("one", program, limits=limits, uid=uid, gid=uid))
    harness.until(lambda: "runs" in one_cell.text("one"), "its program, which runs under the limits")
    told = "\n".join(limits_of(one_cell.ready("one")))
    assert str(2**33) in told
    assert ("4321" in told) == (uid is not None)


def test_processes_that_want_to_run_are_counted_for_all_groups_below(placed, group) -> None:
    placed.start(placed.unit("busy", COMPUTES, ready="notify"), placed.unit("idle"))
    placed.ready("busy")
    placed.ready("idle")
    harness.until(lambda: cgroups.runnable(group.below("busy")) >= 2, "two that compute")
    harness.until(lambda: cgroups.runnable(group.below("idle")) == 0, "one that does nothing")
    assert cgroups.runnable(group) >= 2
