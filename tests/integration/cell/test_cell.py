"""A cell over its socket: order, readiness, apply, restart, stop, logs, and clients that behave badly."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import stat

import pytest

from integration.cell import harness

LISTENER = """
import os, signal, socket, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
kind, address, go = sys.argv[1:]
while not os.path.exists(go):
    time.sleep(0.01)
if kind == "unix":
    server = socket.socket(socket.AF_UNIX)
    server.bind(address)
else:
    server = socket.socket()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.bind(("127.0.0.1", int(address)))
server.listen(5)
while True:
    server.accept()[0].close()
"""

FAMILY = """
import os, signal, sys, time
def note(text):
    print(text, flush=True)
def leave(*_):
    time.sleep(0.5)
    note("parent leaves")
    os._exit(0)
signal.signal(signal.SIGTERM, leave)
if os.fork() == 0:
    signal.signal(signal.SIGTERM, lambda *_: (note("child was signalled"), os._exit(1)))
    note("child %d" % os.getpid())
    while True:
        time.sleep(0.05)
while True:
    time.sleep(0.05)
"""

STUBBORN = """
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = os.fork()
if child:
    print("child %d" % child, flush=True)
while True:
    time.sleep(0.05)
"""

LEAVER = """
import os, signal, sys, time
def leave(*_):
    with open(os.environ["ORDER"], "a") as order:
        order.write(os.path.basename(sys.argv[0]) + " ")
    os._exit(0)
signal.signal(signal.SIGTERM, leave)
os.write(int(os.environ["AERODROME_NOTIFY_FD"]), b"READY=1\\n")
while True:
    time.sleep(0.05)
"""


def child_of(cell: harness.Cell, name: str) -> int:
    text = harness.until(lambda: "child " in cell.text(name) and cell.text(name), "a child")
    pid = int(text.split("child ")[1].split()[0])
    cell.seen.add(pid)
    return pid


@pytest.mark.parametrize("kind", ["unix", "tcp"])
def test_a_unit_is_ready_when_its_socket_accepts_and_others_wait_for_it(cell, kind) -> None:
    go = cell.folder / "go"
    with socket.socket() as spare:
        spare.bind(("127.0.0.1", 0))
        port = spare.getsockname()[1]
    address = str(cell.folder / "r.sock") if kind == "unix" else str(port)
    redis = cell.unit("redis", LISTENER, ready=f"connect:{address if kind == 'unix' else '127.0.0.1:' + address}")
    redis["argv"] += [kind, address, str(go)]
    pid = cell.start(cell.unit("worker", after=["redis"]), redis)

    harness.until(lambda: cell.state_of("redis") == "starting", "a starting unit")
    assert cell.units()["worker"]["state"] == "waiting"
    assert cell.units()["worker"]["since"] is not None
    assert cell.units()["worker"]["started_at"] is None
    go.touch()
    cell.ready("worker")
    redis = cell.units()["redis"]
    assert redis["started_at"] < redis["ready_since"]
    cell.shut_down(pid)


def test_a_unit_says_itself_that_it_is_ready(cell) -> None:
    go = cell.folder / "go"
    env = {**harness.BASE_ENV, "GO": str(go)}
    cell.start(cell.unit("scheduler", harness.NOTIFIER, ready="notify", env=env))

    harness.until(lambda: cell.state_of("scheduler") == "starting", "a starting unit")
    go.touch()
    cell.ready("scheduler")
    assert cell.units()["scheduler"]["status_text"] == "serving tests"


def test_the_stop_signal_goes_to_the_main_process_alone(cell) -> None:
    pid = cell.start(cell.unit("worker", FAMILY))
    child = child_of(cell, "worker")

    cell.shut_down(pid)

    assert "parent leaves" in cell.text("worker")
    assert "child was signalled" not in cell.text("worker")
    harness.until(lambda: harness.dead(child), "the end of what the worker left")


def test_who_does_not_stop_in_its_grace_is_killed_with_its_group(cell) -> None:
    pid = cell.start(cell.unit("worker", STUBBORN, stop={"signal": "SIGTERM", "grace": 0.3}))
    child = child_of(cell, "worker")

    cell.shut_down(pid)

    harness.until(lambda: harness.dead(child), "the end of the child")
    assert "not stopped in its grace" in cell.log.read_text()


def test_what_others_need_stops_last(cell) -> None:
    order = cell.folder / "order"
    env = {**harness.BASE_ENV, "ORDER": str(order)}
    redis = cell.unit("redis", LEAVER, env=env, ready="notify")
    scheduler = cell.unit("scheduler", LEAVER, env=env, ready="notify", after=["redis"])
    worker = cell.unit("worker", LEAVER, env=env, ready="notify", after=["scheduler"])
    cell.start(redis, worker, scheduler)
    cell.ready("worker")

    os.kill(cell.ask("status")["pid"], signal.SIGHUP)  # neither of these means anything to a cell
    os.kill(cell.ask("status")["pid"], signal.SIGINT)
    pid = cell.ask("status")["pid"]
    os.kill(pid, signal.SIGTERM)  # and this is a shutdown

    harness.until(lambda: harness.dead(pid), "the end of the cell")
    assert order.read_text().split() == ["worker.py", "scheduler.py", "redis.py"]
    assert not any(path.exists() for path in (cell.socket, cell.pid_file, cell.state))


def test_apply_adds_removes_and_changes_and_is_idempotent(cell) -> None:
    one, two = cell.unit("one"), cell.unit("two")
    cell.start(one, two)
    first, second = cell.ready("one"), cell.ready("two")
    changed = dict(one, env={**harness.BASE_ENV, "NEW": "1"})
    wanted = [changed, cell.unit("three")]

    done = cell.ask("apply", units=wanted)

    assert (done["added"], done["removed"], done["changed"]) == (["three"], ["two"], ["one"])
    cell.ready("one", besides=first)
    cell.ready("three")
    harness.until(lambda: set(cell.units()) == {"one", "three"}, "the removal")
    assert harness.dead(second)
    pids = {name: unit["pid"] for name, unit in cell.units().items()}
    again = cell.ask("apply", units=wanted)
    assert not again["added"] + again["removed"] + again["changed"]
    assert {name: unit["pid"] for name, unit in cell.units().items()} == pids
    assert json.loads(cell.config.read_text())["units"][0]["env"]["NEW"] == "1"
    assert stat.S_IMODE(cell.config.stat().st_mode) == 0o600


def test_a_new_grace_or_order_restarts_nothing(one_cell) -> None:
    one = one_cell.unit("one")
    one_cell.start(one)
    first = one_cell.ready("one")

    done = one_cell.ask("apply", units=[dict(one, stop={"signal": "SIGINT", "grace": 1})])

    assert done["changed"] == []
    assert one_cell.units()["one"]["pid"] == first


def test_a_faulty_apply_changes_nothing(one_cell) -> None:
    one_cell.start(one_cell.unit("one"))
    first = one_cell.ready("one")
    before = one_cell.config.read_text()

    answer = one_cell.ask("apply", units=[one_cell.unit("one"), one_cell.unit("two", cwd="here")])

    assert answer == {"ok": False, "error": "unit two: cwd must be an absolute path"}
    assert one_cell.config.read_text() == before
    assert one_cell.units()["one"]["pid"] == first


def test_a_unit_removed_and_wanted_again_comes_back(one_cell) -> None:
    worker = one_cell.unit("worker", FAMILY)
    one_cell.start(worker)
    first = one_cell.ready("worker")
    child_of(one_cell, "worker")

    one_cell.ask("apply", units=[])
    assert one_cell.state_of("worker") == "stopping"
    one_cell.ask("apply", units=[worker])

    one_cell.ready("worker", besides=first)


def test_restart_stops_warmly_and_starts_anew(cell) -> None:
    cell.start(cell.unit("one"))
    first = cell.ready("one")

    assert cell.ask("restart", unit="one") == {"ok": True}

    cell.ready("one", besides=first)
    unit = cell.units()["one"]
    assert (unit["restarts"], unit["last_exit"]["code"]) == (1, 0)


def test_tail_gives_the_last_lines(one_cell) -> None:
    one_cell.start(one_cell.unit("one", "for n in range(40): print('line', n)"))
    harness.until(lambda: one_cell.units()["one"]["last_exit"], "an exit")

    assert one_cell.ask("tail", unit="one", lines=2)["lines"] == ["line 38", "line 39"]
    assert len(one_cell.ask("tail", unit="one")["lines"]) == 20


def test_a_log_that_grows_too_large_is_rotated_under_its_writer(one_cell) -> None:
    script = (
        "import time\nprint('x' * 11 * 2**20, flush=True)\nwhile True:\n  print('on', flush=True)\n  time.sleep(0.05)"
    )
    one_cell.start(one_cell.unit("one", script))
    log = one_cell.folder / "one.log"
    old = one_cell.folder / "one.log.1"

    harness.until(lambda: old.exists() and log.stat().st_size < 2**20 and "on\n" in log.read_text(), "a rotation")
    assert one_cell.units()["one"]["restarts"] == 0


@pytest.mark.parametrize(
    ("request_", "sentence"),
    [
        ({}, "op must be one of apply, restart, run, shutdown, status, tail"),
        ({"op": 7}, "op must be one of"),
        ({"op": ["status"]}, "op must be one of"),
        ({"op": "apply"}, "units must be a list"),
        ({"op": "restart", "unit": "ghost"}, "unit must name a unit of this cell"),
        ({"op": "restart", "unit": {}}, "unit must name a unit of this cell"),
        ({"op": "tail", "unit": "one", "lines": 0}, "lines must be an integer from 1 to 1000"),
        ({"op": "tail", "unit": "one", "lines": "7"}, "lines must be an integer"),
        ({"op": "tail"}, "unit must name"),
    ],
)
def test_a_request_that_makes_no_sense_is_told_why(one_cell, request_, sentence) -> None:
    one_cell.start(one_cell.unit("one"))

    answer = harness.ask(one_cell.socket, **request_)

    assert not answer["ok"]
    assert sentence in answer["error"]


def test_a_client_may_ask_many_things_over_one_connection(cell) -> None:
    cell.start()
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(cell.socket))
        client.sendall(b'{"op":"status"}\n{"op":"nonsense"}\n{"op":"sta')
        client.sendall(b'tus"}\n')
        with client.makefile("rb") as lines:
            oks = [json.loads(lines.readline())["ok"] for _ in range(3)]
    assert oks == [True, False, True]


@pytest.mark.parametrize("rubbish", [b"rubbish\n", b"\xff\n", b"[]\n", b"POST / HTTP/1.1\r\nHost: x\r\n\r\n"])
def test_nothing_is_heard_behind_what_is_no_request(cell, rubbish) -> None:
    """A program that speaks another protocol may have been made to send a request in the midst of it."""
    cell.start()
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(cell.socket))
        client.sendall(rubbish + b'{"op":"shutdown"}\n')
        with client.makefile("rb") as lines:
            assert [json.loads(line)["ok"] for line in lines] == [False]
    assert not cell.ask("status")["leaving"]


def test_a_request_without_end_is_cut_off(one_cell) -> None:
    one_cell.start()
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(harness.DEADLINE)
        client.connect(str(one_cell.socket))
        with pytest.raises(OSError, match=r".+"):  # noqa: PT012 - which of the sends fails is the kernel's affair
            for _ in range(200):
                client.sendall(b"x" * 65536)
    assert one_cell.ask("status")["ok"]


def test_slow_and_silent_clients_harm_nobody(one_cell) -> None:
    one_cell.start(*[one_cell.unit(f"unit{number}") for number in range(5)])
    with contextlib.ExitStack() as clients:
        deaf, *silent = [clients.enter_context(socket.socket(socket.AF_UNIX)) for _ in range(101)]
        deaf.connect(str(one_cell.socket))
        deaf.settimeout(0)
        with pytest.raises(BlockingIOError):  # noqa: PT012 - the cell stops reading from who does not read
            while True:
                deaf.send(b'{"op":"status"}\n' * 100)
        for client in silent:
            client.connect(str(one_cell.socket))
            with contextlib.suppress(BrokenPipeError):  # the longest silent ones make room for the newest
                client.send(b'{"op":')
        assert one_cell.ask("status")["ok"]
    assert one_cell.ask("status")["ok"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount")
def test_units_find_folders_where_they_expect_them_and_nobody_else_does(one_cell) -> None:
    shown, expected = one_cell.folder / "shown", one_cell.folder / "expected"
    for folder in (shown, expected):
        folder.mkdir()
    (shown / "dag.py").write_text("")
    one_cell.views = [[str(shown), str(expected)]]
    one_cell.start(one_cell.unit("looker", f"import os\nprint(os.listdir({str(expected)!r}), flush=True)\n"))
    harness.until(lambda: "['dag.py']" in one_cell.text("looker"), "what the unit sees")
    assert list(expected.iterdir()) == []


def test_a_leaving_cell_takes_no_orders(one_cell) -> None:
    worker = one_cell.unit("worker", FAMILY)
    pid = one_cell.start(worker)
    child_of(one_cell, "worker")
    one_cell.ask("shutdown")

    assert "shutting down" in one_cell.ask("apply", units=[])["error"]
    assert "shutting down" in one_cell.ask("restart", unit="worker")["error"]
    assert one_cell.ask("shutdown")["ok"]
    assert one_cell.ask("status")["leaving"]
    harness.until(lambda: harness.dead(pid), "the end of the cell")


def test_nothing_that_a_unit_left_outlives_its_cell(one_cell) -> None:
    daemon = "import os, time\nif os.fork() == 0:\n  os.setsid()\n  print('child', os.getpid(), flush=True)\n"
    pid = one_cell.start(one_cell.unit("one", daemon + "while True: time.sleep(0.05)"))
    child = child_of(one_cell, "one")

    one_cell.shut_down(pid)

    harness.until(lambda: harness.dead(child), "the end of the daemon")


def test_the_warm_process_tells_of_itself(cell) -> None:
    status = harness.ask(cell.warm.socket, op="status")

    assert status["pid"] == cell.warm.process.pid
    assert (status["imported"], status["failed"], status["threads"]) == (3, ["no_such_module_anywhere"], 1)
    assert "ModuleNotFoundError" in cell.warm.log.read_text()
    assert stat.S_IMODE(cell.warm.socket.stat().st_mode) == 0o600
    assert not harness.ask(cell.warm.socket, op="nonsense")["ok"]


def test_the_warm_process_exits_when_told_to(one_cell) -> None:
    assert harness.ask(one_cell.warm.socket, op="exit") == {"ok": True}

    assert one_cell.warm.process.wait(harness.DEADLINE) == 0
    assert not one_cell.warm.socket.exists()


def test_a_cell_that_cannot_start_says_why(one_cell) -> None:
    spawn = one_cell.warm.spawn
    assert "cannot read" in spawn(one_cell.folder / "absent.json")["error"]
    one_cell.write(one_cell.unit("one", cwd="x"))
    assert "cwd must be an absolute path" in spawn(one_cell.config)["error"]
    one_cell.write()
    one_cell.config.chmod(0o644)
    assert "mode 0600" in spawn(one_cell.config)["error"]
    one_cell.config.chmod(0o600)
    one_cell.socket = one_cell.folder / ("x" * 120)
    one_cell.write()
    assert "too long" in spawn(one_cell.config)["error"]
    assert not harness.ask(one_cell.warm.socket, op="spawn", config=7)["ok"]


def test_a_living_cell_is_not_started_twice(cell) -> None:
    pid = cell.start(cell.unit("one"))
    unit = cell.ready("one")

    assert cell.warm.spawn(cell.config) == {"ok": True, "pid": pid, "already": True}
    assert cell.units()["one"]["pid"] == unit
    assert int(cell.pid_file.read_text()) == pid
