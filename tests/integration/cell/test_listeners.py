"""The ports that a cell holds for its units: from the first moment, over their deaths and its own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager

import pytest

from aerodrome.backends.local import ports
from integration.cell import harness

OWNER = 54320
NEIGHBOUR = 54321
PATIENT = """
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
os.write(int(os.environ.pop("AERODROME_NOTIFY_FD")), b"READY=1\\n")
while not os.path.exists(os.environ["GO"]):
    time.sleep(0.01)
"""
TAKE = """
import os, socket, sys
if os.geteuid() == 0:
    os.setresuid({user}, {user}, {user})
taken = socket.socket()
taken.setsockopt(socket.SOL_SOCKET, socket.{option}, 1)
try:
    taken.bind((sys.argv[1], int(sys.argv[2])))
except OSError as error:
    sys.exit(error.strerror)
"""


@pytest.fixture
def port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answer(port: int) -> int:
    """The process that serves the port."""
    with closing(socket.create_connection(("127.0.0.1", port), timeout=harness.DEADLINE)) as client:
        return int(client.recv(64))


def can_be_taken(port: int, *, option: str, address: str = "127.0.0.1") -> bool:
    """Whether a neighbour (another user, where we are root) can bind the port."""
    program = TAKE.format(user=NEIGHBOUR, option=option)
    ended = subprocess.run(
        [sys.executable, "-c", program, address, str(port)], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0 or "Address already in use" in ended.stderr
    return ended.returncode == 0


@contextmanager
def taken(port: int, *, owner: int = NEIGHBOUR, options: Sequence[str] = ("SO_REUSEPORT",)) -> Iterator[socket.socket]:
    """The port in somebody else's hands (another user's, where we are root), bound with these options."""
    with closing(socket.socket()) as other:
        if os.geteuid() == 0:
            os.fchown(other.fileno(), owner, owner)
        for option in options:
            other.setsockopt(socket.SOL_SOCKET, getattr(socket, option), 1)
        other.bind(("127.0.0.1", port))
        yield other


def listening(cell: harness.Cell, port: int, **fields) -> dict:
    """A unit, of another user where we are root."""
    identity = {} if os.geteuid() else {"uid": OWNER, "gid": OWNER}
    return cell.unit("listener", harness.LISTENER, listen=port, **identity, **fields)


def test_a_unit_serves_the_port_that_the_cell_holds(cell, port) -> None:
    cell.start(listening(cell, port))

    pid = cell.ready("listener")
    assert answer(port) == pid


@pytest.mark.parametrize("option", ["SO_REUSEADDR", "SO_REUSEPORT"])
@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0"])  # noqa: S104 - what a neighbour may try
def test_nobody_else_can_have_it_before_the_unit_listens(one_cell, port, option, address) -> None:
    if os.geteuid() and option == "SO_REUSEPORT":
        pytest.skip("without root every process is of the same user, whom the kernel lets share a port")
    env = {**harness.BASE_ENV, "GO": str(one_cell.folder / "go")}
    one_cell.start(listening(one_cell, port, env=env))

    assert not can_be_taken(port, option=option, address=address)


def test_nobody_else_can_have_it_while_the_unit_comes_back(one_cell, port) -> None:
    one_cell.start(listening(one_cell, port))
    before = one_cell.ready("listener")
    os.kill(before, signal.SIGKILL)

    harness.until(lambda: harness.dead(before), "the unit's end")
    assert not can_be_taken(port, option="SO_REUSEADDR")
    after = one_cell.ready("listener", besides=before)
    assert answer(port) == after


def test_a_killed_cell_changes_nothing_for_callers(one_cell, port) -> None:
    unit = listening(one_cell, port)
    cell = one_cell.start(unit)
    before = one_cell.ready("listener")
    os.kill(cell, signal.SIGKILL)
    harness.until(lambda: harness.dead(cell), "the cell's end")
    can_be_taken(port, option="SO_REUSEADDR", address="127.0.0.2")  # after which the kernel looks closer
    with closing(socket.create_connection(("127.0.0.1", port))):
        one_cell.start(unit)

    assert {answer(port) for _ in range(20)} == {before}
    os.kill(before, signal.SIGKILL)
    harness.until(lambda: harness.dead(before), "the unit's end")
    assert not can_be_taken(port, option="SO_REUSEADDR")
    after = one_cell.ready("listener", besides=before)
    assert answer(port) == after


@pytest.mark.parametrize("options", [(), ("SO_REUSEADDR",), ("SO_REUSEPORT",), ("SO_REUSEADDR", "SO_REUSEPORT")])
def test_a_cell_does_not_start_beside_somebody_else(one_cell, port, options) -> None:
    with taken(port, options=options):
        assert not ports.is_free(port)
        refused = one_cell.warm.spawn(one_cell.write(listening(one_cell, port)))
        assert refused["error"] == f"cannot start the cell: cannot listen on 127.0.0.1:{port}: Address already in use"

    assert ports.is_free(port)
    one_cell.start(listening(one_cell, port))
    pid = one_cell.ready("listener")
    assert answer(port) == pid


def test_ended_connections_do_not_keep_a_port_from_us(one_cell, port) -> None:
    cell = one_cell.start(listening(one_cell, port))
    one_cell.ready("listener")
    for _ in range(5):
        answer(port)
    one_cell.shut_down(cell)

    assert ports.is_free(port)


def test_a_port_that_a_running_cell_cannot_have_is_told_and_had_when_it_is_free(one_cell, port) -> None:
    one_cell.start()
    with closing(socket.socket()) as other:
        other.bind(("127.0.0.1", port))
        one_cell.ask("apply", units=[listening(one_cell, port)])
        trouble = f"cannot listen on 127.0.0.1:{port}: Address already in use"
        harness.until(lambda: one_cell.units()["listener"]["status_text"] == trouble, "the trouble told")

    pid = one_cell.ready("listener")
    assert answer(port) == pid


def test_the_port_of_a_removed_unit_is_free(one_cell, port) -> None:
    one_cell.start(listening(one_cell, port))
    one_cell.ready("listener")
    one_cell.ask("apply", units=[])
    harness.until(lambda: not one_cell.units(), "the unit's end")

    harness.until(lambda: can_be_taken(port, option="SO_REUSEADDR"), "a free port")


def test_a_leaving_cell_holds_its_ports_until_its_last_unit_has_gone(one_cell, port) -> None:
    patient = one_cell.unit(
        "patient", PATIENT, ready="notify", env={**harness.BASE_ENV, "GO": str(one_cell.folder / "go")}
    )
    cell = one_cell.start(listening(one_cell, port), patient)
    listener = one_cell.ready("listener")
    one_cell.ready("patient")
    one_cell.ask("shutdown")
    harness.until(lambda: harness.dead(listener), "the listener's end")
    harness.until(lambda: "listener" not in one_cell.units(), "the listener to be forgotten")

    assert not can_be_taken(port, option="SO_REUSEADDR")
    (one_cell.folder / "go").touch()
    harness.until(lambda: harness.dead(cell), "the end of the cell")
    assert can_be_taken(port, option="SO_REUSEADDR")


def test_a_cell_whose_units_are_all_dead_begins_anew(one_cell, port) -> None:
    unit = listening(one_cell, port)
    cell = one_cell.start(unit)
    listener = one_cell.ready("listener")
    for pid in (cell, listener):
        os.kill(pid, signal.SIGKILL)
    harness.until(lambda: harness.dead(cell) and harness.dead(listener), "the end of all")
    with taken(port) as other:
        other.listen()
        assert "cannot listen on" in one_cell.warm.spawn(one_cell.write(unit))["error"]


def test_a_socket_of_the_same_user_is_a_strangers_too(one_cell, port) -> None:
    with taken(port, owner=OWNER):
        assert "cannot listen on" in one_cell.warm.spawn(one_cell.write(listening(one_cell, port)))["error"]
