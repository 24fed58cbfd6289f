"""The socket on which units say what they measure. A thread of its own reads it, for a full queue loses metrics."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

from aerodrome.airflow.published_metrics import PREFIX
from aerodrome.errors import BrokenError
from aerodrome.sidecar.metrics import statsd
from aerodrome.sidecar.metrics.aggregation import Aggregation, Measured
from aerodrome.sidecar.metrics.statsd import Stat

BURST = 200
SLOT = 0.01
"""Lines that are read in so many seconds at most: whoever sends more waits, and so does not take the processor."""

GLANCE = 1.0
"""Seconds without a packet after which the thread shows that it lives."""

Beat = Callable[[], None]


class Listening:
    """The socket and what came in."""

    def __init__(self, path: Path, group: int | None, aggregation: Aggregation) -> None:
        self._socket = _bound(path, group)
        self._aggregation = aggregation
        self._lock = threading.Lock()
        self._slot = 0.0
        self._lines = 0
        self._lost = 0

    def run(self, beat: Beat) -> None:
        """Take packets, for ever."""
        while True:
            beat()
            self._rest()
            try:
                packet = self._socket.recv(statsd.LONGEST)
            except TimeoutError:
                continue
            self._lines += packet.count(b"\n") + 1
            self._lost += statsd.lost(packet)
            self.take(list(statsd.read(packet, PREFIX)), time.time())

    def take(self, stats: list[Stat], now: float) -> None:
        """Count these."""
        with self._lock:
            for stat in stats:
                self._aggregation.add(stat, now)

    def finished(self, now: float, *, is_early: bool = False) -> tuple[list[Measured], int]:
        """As `Aggregation.take`, and how much was dropped since ever, here and on the way."""
        with self._lock:
            return self._aggregation.take(now, is_early=is_early), self._aggregation.dropped + self._lost

    def close(self) -> None:
        """Take nothing any more."""
        self._socket.close()

    def _rest(self) -> None:
        if self._lines < BURST:
            return
        now = time.monotonic()
        time.sleep(max(0.0, self._slot + SLOT * self._lines / BURST - now))
        self._slot, self._lines = time.monotonic(), 0


def _bound(path: Path, group: int | None) -> socket.socket:
    """A datagram socket in the place of an older one, to which our own user may send, and the group.

    Its folder is ours alone to write to, so nobody can put a link in the file's place.
    """
    made = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    made.settimeout(GLANCE)
    try:
        path.unlink(missing_ok=True)
        made.bind(str(path))
        if group is None:
            path.chmod(0o600)
        else:
            os.chown(path, -1, group)
            path.chmod(0o620)
    except OSError as error:
        made.close()
        raise BrokenError(f"cannot take metrics at {path}: {error.strerror}", code="SIDECAR_METRICS") from error
    return made
