"""Metrics over a real socket: from the package statsd, led by what units run, to what is summed up."""

from __future__ import annotations

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

SENDER = """
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
airflows, own = StatsClient("127.0.0.1", 9, "airflow"), StatsClient("127.0.0.1", int(sys.argv[1]))
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
        [sys.executable, "-I", "-c", SENDER.format(inside=str(INSIDE)), str(port), str(count)],
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
