"""Metrics over a real socket: from the package statsd, led by what units run, to what is summed up."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
import subprocess
import sys
import threading
import time

import pytest

from aerodrome.airflow.context import INSIDE
from aerodrome.sidecar.metrics import listening
from aerodrome.sidecar.metrics.aggregation import Aggregation
from aerodrome.sidecar.metrics.listening import Listening
from waiting import wait_for

CLIENT = """
import sys, types
sys.path.insert(0, {inside!r})
# The package statsd as it is; it is part of every Airflow version, and of nothing else here.
import socket
class StatsClient:
    def __init__(self, host="localhost", port=8125, prefix=None):
        self._addr, self._prefix = (host, port), prefix
        self._sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    def _send(self, data):
        self._sock.sendto(data.encode("ascii"), self._addr)
for name in ("statsd", "statsd.client", "statsd.client.udp"):
    sys.modules[name] = types.ModuleType(name)
sys.modules["statsd.client.udp"].StatsClient = StatsClient
from aerodrome_unit import metrics
metrics.lead()
metrics.lead()
airflows = StatsClient("127.0.0.1", 9, "airflow")
"""

SENDER = """
own = StatsClient("127.0.0.1", int(sys.argv[1]))
import os
half = int(sys.argv[2]) // 2
for number in range(half):
    airflows._send("airflow.scheduler_heartbeat:1|c")
if os.fork() == 0:
    os.closerange(3, 100)  # as a cell does to what a unit has inherited
    taken = [os.open("/", os.O_RDONLY) for _ in range(20)]
    for number in range(half):
        airflows._send("airflow.scheduler_heartbeat:1|c")
    assert all(os.fstat(each) for each in taken)
    os._exit(0)
assert os.wait()[1] == 0
own._send("of.my.own:1|c")
"""


STEPPING = """
import os
metrics.MOST_WAITING = int(sys.argv[1])
for line in sys.stdin:
    for number in range(int(line)):
        airflows._send("airflow.scheduler_heartbeat:1|c")
    airflows._send("airflow.scheduler_heartbeat:0|c")
    if os.fork() == 0:  # what waits is the parent's to send
        airflows._send("airflow.scheduler_heartbeat:0|c")
        os._exit(0)
    os.wait()
    print("sent", flush=True)
"""


class Taken:
    """A sidecar's socket with its thread."""

    def __init__(self, folder) -> None:
        self.path = folder / "metrics.sock"
        self.aggregation = Aggregation(3)
        self.listening = Listening(self.path, None, self.aggregation)
        self._ended = False
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        try:
            self.listening.run(self._beat)
        except InterruptedError:
            return

    def _beat(self) -> None:
        if self._ended:
            raise InterruptedError

    @property
    def lost(self) -> int:
        return self.listening.finished(0.0)[1]

    @property
    def counted(self) -> float:
        found, _ = self.listening.finished(time.time() + 3600)
        self.total = getattr(self, "total", 0.0) + sum(sum(each.values.values()) for each in found)
        return self.total

    def end(self) -> None:
        self._ended = True
        self.thread.join()
        self.listening.close()


@pytest.fixture
def taken(tmp_path):
    found = Taken(tmp_path)
    yield found
    found.end()


def send(path, count: int, port: int = 9) -> None:
    subprocess.run(
        [sys.executable, "-I", "-c", CLIENT.format(inside=str(INSIDE)) + SENDER, str(port), str(count)],
        env={"AERODROME_METRICS": str(path), "PATH": "/usr/bin:/bin"},
        check=True,
        timeout=60,
    )


def test_every_metric_arrives_and_other_clients_stay_as_they_are(taken):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as of_somebody_else:
        of_somebody_else.bind(("127.0.0.1", 0))
        of_somebody_else.settimeout(30)
        send(taken.path, 300, of_somebody_else.getsockname()[1])
        assert of_somebody_else.recv(100) == b"of.my.own:1|c"
    wait_for("all packets", lambda: taken.counted == 300)


def test_nothing_waits_for_a_sidecar_that_is_not_there(tmp_path):
    send(tmp_path / "none.sock", 100_000)
    ended = Taken(tmp_path)
    ended.end()
    ended.listening._socket.close()
    send(ended.path, 100_000)


class Stepping:
    """A process that sends as many lines as it is told, and one that counts for nothing from a fork, then waits."""

    def __init__(self, path, most_waiting=5000) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-c", CLIENT.format(inside=str(INSIDE)) + STEPPING, str(most_waiting)],
            env={"AERODROME_METRICS": str(path), "PATH": "/usr/bin:/bin"},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def send(self, count: int) -> None:
        self._process.stdin.write(f"{count}\n")
        self._process.stdin.flush()
        assert self._process.stdout.readline() == "sent\n"

    def end(self) -> None:
        self._process.communicate()
        assert self._process.returncode == 0


@contextlib.contextmanager
def stepping(path, **more):
    found = Stepping(path, **more)
    try:
        yield found
    finally:
        found.end()


def test_what_finds_no_room_is_sent_later(tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as hanging:
        hanging.bind(str(tmp_path / "metrics.sock"))
        with stepping(tmp_path / "metrics.sock") as sender:
            sender.send(3000)
            packets: list[bytes] = []

            def are_there() -> bool:
                packets.extend(read(hanging))
                sender.send(0)
                return b"\n".join(packets).count(b"heartbeat:1|c") == 3000

            wait_for("all lines", are_there)
    assert max(len(packet) for packet in packets) > 8000


def read(taking: socket.socket) -> list[bytes]:
    """What lies in the queue."""
    taking.settimeout(0)
    found = []
    with contextlib.suppress(BlockingIOError):
        while True:
            found.append(taking.recv(65536))
    return found


def test_what_is_lost_is_told(tmp_path):
    path = tmp_path / "metrics.sock"
    with stepping(path, most_waiting=100) as sender:
        sender.send(1000)  # there is no sidecar yet
        taken = Taken(tmp_path)
        try:
            sender.send(1)
            wait_for("what was not lost", lambda: taken.counted == 102)  # one began a packet of its own
            wait_for("what was", lambda: taken.lost == 900)
        finally:
            taken.end()


def test_metrics_wait_while_a_sidecar_is_replaced(tmp_path):
    path, first = tmp_path / "metrics.sock", Taken(tmp_path)
    with stepping(path) as sender:
        try:
            sender.send(10)
            wait_for("the first", lambda: first.counted == 10)
        finally:
            first.end()
        sender.send(10)
        second = Taken(tmp_path)
        try:
            sender.send(10)
            wait_for("the others", lambda: second.counted == 20)
        finally:
            second.end()


def test_a_flood_of_lines_in_few_packets_does_not_take_the_processor(taken, monkeypatch):
    monkeypatch.setattr(listening, "SLOT", 0.2)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as hostile:
        hostile.settimeout(0.001)
        hostile.connect(str(taken.path))
        refused = 0
        for _ in range(40):
            try:
                hostile.send(b"\n".join([b"airflow.scheduler_heartbeat:1|c"] * 200))
            except TimeoutError:
                refused += 1
    assert refused > 10


def test_a_flood_does_not_take_the_processor(taken, monkeypatch):
    monkeypatch.setattr(listening, "BURST", 2)
    monkeypatch.setattr(listening, "SLOT", 0.2)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as hostile:
        hostile.settimeout(0.001)
        refused = 0
        for _ in range(200):
            try:
                hostile.sendto(b"airflow.scheduler_heartbeat:1|c", str(taken.path))
            except TimeoutError:
                refused += 1
    assert refused > 100


def test_only_the_environments_own_may_send(tmp_path):
    taken = Taken(tmp_path)
    taken.end()
    assert stat.S_IMODE(taken.path.stat().st_mode) == 0o600
    if os.geteuid() == 0:
        Listening(taken.path, 12345, Aggregation(3)).close()
        found = taken.path.stat()
        assert (stat.S_IMODE(found.st_mode), found.st_gid) == (0o620, 12345)
