"""Whatever is killed, the units go on or come back, and never twice."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys

from aerodrome.cell import kernel
from integration.cell import harness
from matrices import EVERY_FAULT

TASKS = """
import os, signal, time
import sys
child = os.fork()
if child == 0:
    os.setpgid(0, 0)  # as a task of Airflow 2 does
    grandchild = os.fork()
    while True:
        time.sleep(0.05)
print("child", child, flush=True)
while True:
    time.sleep(0.05)
"""


def fork_process_of(pid: int) -> int:
    """The forker: the one child of the cell that is of the cell's own session."""
    found = [one for one in kernel.processes() if one.parent == pid and one.session == os.getsid(pid)]
    assert len(found) == 1
    return found[0].pid


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    harness.until(lambda: harness.dead(pid), "its death")


def start_again(cell: harness.Cell) -> int:
    answer = harness.until(lambda: cell.warm.spawn(cell.config), "an answer")
    assert answer["ok"], answer
    cell.seen.add(answer["pid"])
    return int(answer["pid"])


def test_a_killed_unit_runs_again(cell) -> None:
    cell.start(cell.unit("scheduler"))
    first = cell.ready("scheduler")

    kill(first)

    cell.ready("scheduler", besides=first)
    unit = cell.units()["scheduler"]
    assert (unit["restarts"], unit["last_exit"]["signal"], unit["last_exit"]["code"]) == (1, "SIGKILL", None)


def test_all_units_killed_at_once_run_again(one_cell) -> None:
    names = [f"unit{number}" for number in range(6)]
    one_cell.start(*[one_cell.unit(name) for name in names])
    first = {name: one_cell.ready(name) for name in names}

    for pid in first.values():
        os.kill(pid, signal.SIGKILL)

    for name in names:
        one_cell.ready(name, besides=first[name])
        assert one_cell.units()[name]["restarts"] == 1


def test_tasks_of_a_killed_worker_die_before_it_runs_again(cell) -> None:
    cell.start(cell.unit("worker", TASKS))
    first = cell.ready("worker")
    harness.until(lambda: "child" in cell.text("worker"), "a task")
    tasks = harness.until(lambda: [one.pid for one in kernel.processes() if one.session == first][2:3], "its child")
    tasks = [one.pid for one in kernel.processes() if one.session == first and one.pid != first]
    assert len(tasks) == 2

    kill(first)

    cell.ready("worker", besides=first)
    assert all(harness.dead(pid) for pid in tasks)
    assert '"left": 2' in cell.log.read_text()


def test_a_unit_that_keeps_dying_backs_off_and_says_why(cell) -> None:
    cell.start(cell.unit("broken", "import sys; print('no fuel'); sys.exit(3)"), cell.unit("sound"))
    sound = cell.ready("sound")

    harness.until(lambda: cell.units()["broken"]["restarts"] >= 3, "some restarts")
    unit = harness.until(
        lambda: cell.state_of("broken") == "backing_off" and cell.units()["broken"], "a unit that backs off"
    )

    assert unit["last_exit"]["code"] == 3
    assert unit["pid"] is None
    assert unit["next_start_at"] - unit["last_exit"]["at"] > 0.7
    assert cell.ask("tail", unit="broken", lines=1)["lines"] == ["no fuel"]
    assert cell.units()["sound"]["pid"] == sound


def test_a_cell_started_again_adopts_its_units(cell) -> None:
    pid = cell.start(cell.unit("scheduler"), cell.unit("worker", after=["scheduler"]))
    units = {name: cell.ready(name) for name in ("scheduler", "worker")}
    since = cell.units()["worker"]["ready_since"]
    kill(pid)
    assert not any(harness.dead(unit) for unit in units.values())

    second = start_again(cell)

    assert second != pid
    assert {name: unit["pid"] for name, unit in cell.units().items()} == units
    worker = cell.units()["worker"]
    assert (worker["state"], worker["restarts"]) == ("ready", 0)
    assert abs(worker["ready_since"] - since) < 0.1
    kill(units["worker"])
    cell.ready("worker", besides=units["worker"])
    assert cell.units()["worker"]["restarts"] == 1
    cell.shut_down(second)
    harness.until(lambda: harness.dead(units["scheduler"]), "the end of an adopted unit")


def test_a_unit_that_died_while_no_cell_looked_is_started(one_cell) -> None:
    pid = one_cell.start(one_cell.unit("worker", TASKS))
    first = one_cell.ready("worker")
    harness.until(lambda: "child" in one_cell.text("worker"), "a task")
    kill(pid)
    kill(first)

    start_again(one_cell)

    one_cell.ready("worker", besides=first)
    harness.until(lambda: not [one for one in kernel.processes() if one.session == first], "the end of its tasks")


def test_a_notice_given_while_no_cell_listened_is_heard_by_the_next(cell) -> None:
    go = cell.folder / "go"
    pid = cell.start(cell.unit("web", harness.NOTIFIER, env={**harness.BASE_ENV, "GO": str(go)}))
    harness.until(lambda: cell.state_of("web") == "starting", "a starting unit")
    first = cell.units()["web"]["pid"]
    kill(pid)
    go.touch()

    start_again(cell)

    assert cell.ready("web") == first
    assert cell.units()["web"]["restarts"] == 0


CLOSER = """
import os, time
fd = int(os.environ.pop("AERODROME_NOTIFY_FD"))
while not os.path.exists(os.environ["GO"]):
    time.sleep(0.01)
os.write(fd, b"READY=1\\n")
os.close(fd)
reader, writer = os.pipe()
assert reader == fd
print("reused", flush=True)
while not os.path.exists(os.environ["GO"] + "2"):
    os.write(writer, b"x" * 100)
    time.sleep(0.3)
    assert len(os.read(reader, 100)) == 100
print("whole", flush=True)
while True:
    time.sleep(0.05)
"""


def test_a_unit_that_closed_its_pipe_unheard_is_ready_and_no_other_pipe_is_read(cell) -> None:
    go = cell.folder / "go"
    pid = cell.start(cell.unit("web", CLOSER, ready="notify", env={**harness.BASE_ENV, "GO": str(go)}))
    harness.until(lambda: cell.state_of("web") == "starting", "a starting unit")
    first = cell.units()["web"]["pid"]
    kill(pid)
    go.touch()
    harness.until(lambda: "reused" in cell.text("web"), "another pipe of that number")

    start_again(cell)

    assert cell.ready("web") == first
    rounds = cell.folder / "go2"
    harness.until(lambda: cell.units()["web"]["state"] == "ready", "a look at it")
    rounds.touch()
    harness.until(lambda: "whole" in cell.text("web"), "an untouched pipe")
    assert cell.units()["web"]["restarts"] == 0


def test_a_specification_changed_while_no_cell_looked_is_obeyed(one_cell) -> None:
    pid = one_cell.start(one_cell.unit("one"), one_cell.unit("two"))
    first, second = one_cell.ready("one"), one_cell.ready("two")
    kill(pid)
    one_cell.write(one_cell.unit("one", env={**harness.BASE_ENV, "NEW": "1"}))

    start_again(one_cell)

    one_cell.ready("one", besides=first)
    harness.until(lambda: set(one_cell.units()) == {"one"}, "the removal")
    assert harness.dead(second)


def test_a_cell_killed_while_it_stops_a_unit_leaves_a_successor_that_can(one_cell) -> None:
    stubborn = "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('deaf', flush=True)\n"
    unit = one_cell.unit("one", stubborn + "while True: time.sleep(0.05)", stop={"signal": "SIGTERM", "grace": 2})
    pid = one_cell.start(unit)
    first = one_cell.ready("one")
    harness.until(lambda: "deaf" in one_cell.text("one"), "a deaf unit")
    one_cell.ask("shutdown")
    harness.until(lambda: one_cell.state_of("one") == "stopping", "a stopping unit")
    kill(pid)
    one_cell.write()

    second = start_again(one_cell)

    harness.until(lambda: harness.dead(first), "the end of the unit")
    harness.until(lambda: not one_cell.units(), "an empty cell")
    one_cell.shut_down(second)


def test_many_deaths_of_the_cell_never_make_a_twin(one_cell) -> None:
    names = [f"unit{number}" for number in range(4)]
    pid = one_cell.start(*[one_cell.unit(name) for name in names])
    for _ in range(8):  # in the middle of starting, mostly
        kill(pid)
        pid = start_again(one_cell)
    for name in names:
        one_cell.ready(name)

    def of(name: str) -> list[int]:
        script = str(one_cell.folder / f"{name}.py")
        comms = [(one.pid, comm_of(one.pid)) for one in kernel.processes()]
        return [number for number, comm in comms if comm == name and script and cwd_of(number) == str(one_cell.folder)]

    for name in names:
        assert of(name) == [one_cell.units()[name]["pid"]]


def comm_of(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8") as file:  # noqa: PTH123
            return file.read().strip()
    except OSError:
        return ""


def cwd_of(pid: int) -> str:
    try:
        return os.readlink(f"/proc/{pid}/cwd")  # noqa: PTH115
    except OSError:
        return ""


def test_the_death_of_the_warm_process_harms_nobody(cell) -> None:
    cell.start(cell.unit("one"))
    first = cell.ready("one")

    cell.warm.kill()

    kill(first)
    cell.ready("one", besides=first)


def test_a_killed_warm_process_is_replaced_and_knows_the_living_cell(one_cell) -> None:
    pid = one_cell.start(one_cell.unit("one"))
    one_cell.warm.kill()
    former, one_cell.warm = one_cell.warm, harness.Warm(one_cell.folder, one_cell.warm.command[0])

    harness.until(lambda: harness.serves(one_cell.warm.socket), "the new warm process")

    assert one_cell.warm.spawn(one_cell.config) == {"ok": True, "pid": pid, "already": True}
    one_cell.warm.kill()
    one_cell.warm = former


def test_a_second_warm_process_leaves_the_first_alone(one_cell) -> None:
    twin = harness.Warm(one_cell.folder, one_cell.warm.command[0])

    assert twin.process.wait(harness.DEADLINE) == 0
    assert harness.ask(one_cell.warm.socket, op="status")["pid"] == one_cell.warm.process.pid


def test_a_cell_that_lost_its_forker_starts_itself_again(cell) -> None:
    pid = cell.start(cell.unit("one"), cell.unit("two"))
    units = {name: cell.ready(name) for name in ("one", "two")}
    forker = fork_process_of(pid)

    kill(forker)

    harness.until(lambda: "forker lost" in cell.log.read_text(), "the notice")
    harness.until(lambda: cell.log.read_text().count('"cell started"') == 2, "the new image")
    assert cell.ask("status")["pid"] == pid
    assert {name: unit["pid"] for name, unit in cell.units().items()} == units
    assert fork_process_of(pid) != forker
    kill(units["one"])
    cell.ready("one", besides=units["one"])
    assert cell.units()["one"]["last_exit"]["signal"] == "SIGKILL"
    cell.shut_down(pid)


def test_a_cell_may_be_started_without_a_warm_process(cell) -> None:
    cell.warm.kill()
    cell.write(cell.unit("one"))
    process = subprocess.Popen([*cell.warm.command, "--cell", str(cell.config)], env=harness.BASE_ENV)
    cell.seen.add(process.pid)
    harness.until(lambda: harness.serves(cell.socket), "a serving cell")
    cell.ready("one")

    twin = subprocess.run([*cell.warm.command, "--cell", str(cell.config)], env=harness.BASE_ENV, check=False)

    assert twin.returncode == 0
    assert cell.ask("status")["pid"] == process.pid
    cell.ask("shutdown")
    assert process.wait(harness.DEADLINE) == 0


def test_a_state_file_of_nonsense_or_of_another_boot_is_not_believed(one_cell) -> None:
    pid = one_cell.start(one_cell.unit("one"))
    first = one_cell.ready("one")
    kill(pid)
    kill(first)
    state = json.loads(one_cell.state.read_text())
    bystander = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    found = kernel.process(bystander.pid)
    assert found is not None
    state["units"][0].update(pid=bystander.pid, start=found.start - 1)
    one_cell.state.write_text(json.dumps(state))

    second = start_again(one_cell)
    one_cell.ready("one")
    assert bystander.poll() is None
    kill(second)
    one_cell.state.write_text("rubbish")
    start_again(one_cell)
    one_cell.ready("one")

    assert bystander.poll() is None
    bystander.kill()
    bystander.wait()


def test_a_frozen_unit_is_killed_after_its_grace(one_cell) -> None:
    pid = one_cell.start(one_cell.unit("one", stop={"signal": "SIGTERM", "grace": 0.3}))
    unit = one_cell.ready("one")
    os.kill(unit, signal.SIGSTOP)

    one_cell.shut_down(pid)

    assert harness.dead(unit)


def test_a_unit_that_floods_its_pipe_harms_nobody(one_cell) -> None:
    flood = (
        "import os\nfd = int(os.environ['AERODROME_NOTIFY_FD'])\nos.write(fd, b'READY=1\\n')\n"
        "while True:\n  try: os.write(fd, b'STATUS=' + b'x' * 4000)\n  except BlockingIOError: os.sched_yield()\n"
    )
    pid = one_cell.start(one_cell.unit("flood", flood, ready="notify"), one_cell.unit("one"))

    one_cell.ready("flood")
    one_cell.ready("one")
    one_cell.shut_down(pid)


def test_a_log_replaced_by_a_link_is_not_written_to(one_cell) -> None:
    victim = one_cell.folder / "victim"
    victim.write_text("precious")
    one_cell.start(one_cell.unit("one"))
    first = one_cell.ready("one")
    log = one_cell.folder / "one.log"
    log.unlink()
    log.symlink_to(victim)

    kill(first)

    harness.until(lambda: "cannot open the log" in one_cell.units()["one"]["status_text"], "the refusal")
    assert victim.read_text() == "precious"
    assert not one_cell.ask("tail", unit="one")["ok"]
    log.unlink()
    one_cell.ready("one", besides=first)


BEATING = """
import os, signal, sys, threading, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
fd = int(os.environ.pop("AERODROME_NOTIFY_FD"))
def beat():
    while True:
        os.write(fd, b"WATCHDOG=1\\n")
        time.sleep(1)
threading.Thread(target=beat, daemon=True).start()
os.write(fd, b"READY=1\\n")
print("pid", os.getpid(), flush=True)
while True:
    time.sleep(0.05)
"""

COMPLAINING = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
fd = int(os.environ.pop("AERODROME_NOTIFY_FD"))
os.write(fd, b"READY=1\\n")
while not os.path.exists(os.environ["GO"]):
    time.sleep(0.05)
os.unlink(os.environ["GO"])
os.write(fd, b"STATUS=its loop stands still\\nWATCHDOG=trigger\\n")
while True:
    time.sleep(0.05)
"""

HOLDING = BEATING.replace(
    "while True:\n    time.sleep(0.05)\n",
    """
import ctypes
while not os.path.exists(os.environ["GO"]):
    time.sleep(0.05)
os.unlink(os.environ["GO"])
ctypes.PyDLL(None).sleep(600)  # in C, and the interpreter is held all the while
""",
)


COMPUTING = HOLDING.replace("ctypes.PyDLL(None).sleep(600)", "sum(range(10**15))")


def fresh_pid(cell: harness.Cell, name: str, before: int) -> int | None:
    """The process of a unit that is ready again; None as long as it is not, or its cell executes itself anew."""
    with contextlib.suppress(OSError):
        unit = cell.units()[name]
        return unit["pid"] if unit["state"] == "ready" and unit["pid"] != before else None
    return None


def test_what_does_nothing_any_more_is_killed_with_its_children_and_says_why(one_cell) -> None:
    go, endless = one_cell.folder / "go", one_cell.folder / "endless"
    pid = one_cell.start(
        one_cell.unit("stopped", BEATING, ready="notify"),
        one_cell.unit("mute", TASKS),  # never beats, as Redis does not
        one_cell.unit("complaining", COMPLAINING, ready="notify", env={**harness.BASE_ENV, "GO": str(go)}),
        one_cell.unit("computing", COMPUTING, ready="notify", env={**harness.BASE_ENV, "GO": str(endless)}),
        one_cell.unit("sound", BEATING, ready="notify"),
    )
    first = {name: one_cell.ready(name) for name in ("stopped", "mute", "complaining", "computing", "sound")}
    harness.until(lambda: "child" in one_cell.text("mute"), "a task")
    tasks = [one.pid for one in kernel.processes() if one.session == first["mute"] and one.pid != first["mute"]]
    go.touch()
    endless.touch()
    forker = fork_process_of(pid)
    os.kill(first["stopped"], signal.SIGSTOP)
    os.kill(first["mute"], signal.SIGSTOP)

    harness.until(lambda: one_cell.state_of("stopped") == "silent", "a state that says so")
    for name in ("complaining", "stopped", "mute", "computing"):
        one_cell.ready(name, besides=first[name])

    why = {name: (unit["last_exit"] or {}).get("hung", "") for name, unit in one_cell.units().items()}
    assert "stopped by a signal" in why["stopped"]
    assert "stopped by a signal" in why["mute"]
    assert why["complaining"] == "hung: its loop stands still"
    assert "no sign of life" in why["computing"]
    assert all(harness.dead(task) for task in tasks)
    assert one_cell.units()["sound"]["pid"] == first["sound"]
    assert one_cell.units()["sound"]["restarts"] == 0

    os.kill(forker, signal.SIGSTOP)  # which the next unit would be forked from
    harness.until(lambda: harness.dead(forker), "the end of the forker")
    os.kill(first["sound"], signal.SIGKILL)
    harness.until(lambda: fresh_pid(one_cell, "sound", first["sound"]), "a new one")


def test_an_adopted_unit_that_has_beaten_once_must_go_on(one_cell) -> None:
    once = BEATING.replace("while True:\n        os.write(fd", "if True:\n        os.write(fd")
    specification = one_cell.unit("once", once, ready="notify")
    pid = one_cell.start(specification)
    first = one_cell.ready("once")

    def beats() -> dict[int, bool]:
        return {unit["pid"]: unit["beats"] for unit in json.loads(one_cell.state.read_text())["units"]}

    harness.until(lambda: beats()[first], "a state file that knows")
    kill(pid)
    one_cell.write(specification, one_cell.unit("other"))
    start_again(one_cell)
    other = one_cell.ready("other")
    harness.until(lambda: other in beats(), "a state file of the new cell")
    assert beats()[first]


@EVERY_FAULT  # for half a minute it waits
def test_an_adopted_unit_is_watched_on(one_cell) -> None:
    go = one_cell.folder / "go-holding"
    pid = one_cell.start(
        one_cell.unit("holding", HOLDING, ready="notify", env={**harness.BASE_ENV, "GO": str(go)}),
    )
    first = one_cell.ready("holding")
    harness.until(lambda: json.loads(one_cell.state.read_text())["units"][0]["beats"], "a state file that knows")
    kill(pid)
    go.touch()
    harness.until(lambda: not go.exists(), "a unit that holds its interpreter")
    start_again(one_cell)
    harness.until(lambda: one_cell.state_of("holding") == "silent", "a state that says so")
    harness.until(lambda: one_cell.units()["holding"]["last_exit"], "its end")
    one_cell.ready("holding", besides=first)
    assert "no sign of life" in one_cell.units()["holding"]["last_exit"]["hung"]
