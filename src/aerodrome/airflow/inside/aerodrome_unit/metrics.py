"""Leads Airflow's StatsD metrics to the sidecar, over a datagram socket that only users of this environment can reach.

Airflow is told to send them to a port that discards everything. Where that address is the target, the client of the
package statsd sends to the socket instead. So a process that does not know of it (Airflow in a virtual environment that
a task makes) loses its metrics and nothing else, and clients that DAG code makes for itself stay as they are.
"""

# mypy: disable-error-code="import-not-found"

from __future__ import annotations

import atexit
import collections
import contextlib
import os
import socket
import threading
import time
from typing import Any

VARIABLE = "AERODROME_METRICS"
"""Names the socket."""

DISCARD = ("127.0.0.1", 9)
"""What Airflow is configured with: host and port."""

LONGEST = 8192
"""Bytes of a packet that the sidecar reads. The kernel's queue has ten packets, so lines that wait go together."""

MOST_WAITING = 5000
"""Lines that wait for a full queue, in this process; what is more is lost, counted and told."""

PATIENCE = 0.5
SHARE = 0.05
"""Seconds for which a full queue holds this process up at first, and what share of its time after that.

Most processors are busy when a queue is full, so to wait lets the sidecar read. A task ends soon after its last metric:
for that one nobody comes who would send it later.
"""

LAST_PATIENCE = 1.0
"""Seconds, once more, when the process ends."""

LEAST = 0.005
"""Seconds; to wait for less is not worth it."""

MOST_TOLD = 999_999
LOST = "aerodrome.lost:%d|c"
"""The line by which the sidecar hears how many were lost here; six digits are read."""


class _Way:
    """The way to the sidecar. One thread at a time sends, for all others too, and none waits for it."""

    def __init__(self) -> None:
        self.process = 0
        self.socket: socket.socket

    def send(self, line: bytes) -> None:
        path = os.environ.get(VARIABLE)
        if not path:
            return
        if self.process != os.getpid():
            self._begin()
        self.waiting.append(line)
        self._flush(path)
        if len(self.waiting) > MOST_WAITING:
            with contextlib.suppress(IndexError):  # another thread has just sent all
                self.waiting.pop()
                self.lost += 1

    def end(self) -> None:
        """Send what still waits, when the process ends; what cannot be sent is lost."""
        path = os.environ.get(VARIABLE)
        if path and self.process == os.getpid():
            self.patience = LAST_PATIENCE
            self._flush(path)

    def _begin(self) -> None:
        """In a new process: what waits is its parent's to send.

        A cell closes what a unit has inherited, and the number of the socket may be another's now.
        """
        if self.process:
            self.socket.detach()
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.settimeout(0.0)
        self.is_connected = False
        self.sending = threading.Lock()
        self.waiting: collections.deque[bytes] = collections.deque()
        self.packet, self.told, self.lost = b"", 0, 0
        self.patience, self.then = PATIENCE, time.monotonic()
        self.process = os.getpid()

    def _flush(self, path: str) -> None:
        if not self.sending.acquire(blocking=False):
            return  # who has it sends this line too, or the next one does
        try:
            while self.packet or self.waiting:
                if not self.packet:
                    self.packet = self._next_packet()
                if not self._is_sent(path):
                    return
                self.packet, self.told = b"", 0
        finally:
            self.sending.release()

    def _next_packet(self) -> bytes:
        lines = [self.waiting.popleft()]
        length = len(lines[0])
        if self.lost:
            self.told = min(self.lost, MOST_TOLD)
            self.lost -= self.told
            lines.append((LOST % self.told).encode())
            length += 1 + len(lines[1])
        while self.waiting and length + 1 + len(self.waiting[0]) <= LONGEST:
            lines.append(self.waiting.popleft())
            length += 1 + len(lines[-1])
        return b"\n".join(lines)

    def _is_sent(self, path: str) -> bool:
        """Send the packet; False = it is to be tried again with the next line."""
        try:
            if not self.is_connected:  # to wait for room, a socket must be
                self.socket.connect(path)
                self.is_connected = True
            try:
                self.socket.send(self.packet)
            except BlockingIOError:
                return self._is_sent_late()
        except (FileNotFoundError, ConnectionError):  # no sidecar listens, which says so at once; the next one may
            self.is_connected = False
            return False
        except OSError:  # as when a line is longer than the kernel takes
            self.lost += self.packet.count(b"\n") + 1 + self.told
        return True

    def _is_sent_late(self) -> bool:
        now = time.monotonic()
        self.patience += max(0.0, min(PATIENCE - self.patience, SHARE * (now - self.then)))
        self.then = now
        if self.patience < LEAST:
            return False
        self.socket.settimeout(self.patience)
        try:
            self.socket.send(self.packet)
        except (BlockingIOError, socket.timeout):  # two exceptions before Python 3.10
            return False
        finally:
            self.socket.settimeout(0.0)
            self.patience -= time.monotonic() - now
        return True


def lead() -> None:
    """Do so from now on, in this process and its forks; to repeat it changes nothing."""
    with contextlib.suppress(ImportError):
        from statsd.client.udp import StatsClient

        if not hasattr(StatsClient, "leads_to_sidecar"):
            _lead(StatsClient)


def _lead(client: Any) -> None:
    begin, send, way = client.__init__, client._send, _Way()  # noqa: SLF001 - it has no public way

    def begun(self: Any, host: str = "localhost", port: int = 8125, *more: Any, **others: Any) -> None:
        begin(self, host, port, *more, **others)
        self.leads_to_sidecar = (host, port) == DISCARD

    def sent(self: Any, data: str) -> None:
        if self.leads_to_sidecar:
            way.send(data.encode("ascii", "replace"))
        else:
            send(self, data)

    atexit.register(way.end)
    client.__init__, client._send, client.leads_to_sidecar = begun, sent, False  # noqa: SLF001 - see above
