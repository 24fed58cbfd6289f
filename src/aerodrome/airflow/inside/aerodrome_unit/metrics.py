"""Leads Airflow's StatsD metrics to the sidecar, over a datagram socket that only users of this environment can reach.

Airflow is told to send them to a port that discards everything. Where that address is the target, the client of the
package statsd sends to the socket instead. So a process that does not know of it (Airflow in a virtual environment that
a task makes) loses its metrics and nothing else, and clients that DAG code makes for itself stay as they are.
"""

# mypy: disable-error-code="import-not-found"

from __future__ import annotations

import contextlib
import os
import socket
import time
from typing import Any

VARIABLE = "AERODROME_METRICS"
"""Names the socket."""

DISCARD = ("127.0.0.1", 9)
"""What Airflow is configured with: host and port."""

PATIENCE = 5.0
REST = 60.0
"""Seconds that a metric waits for a full queue, and for which none is sent after one that waited in vain.

A sidecar that hangs takes a twelfth of a unit's time at most; one on a busy machine gets its turn within the wait.
"""


class _Way:
    """The way to the sidecar."""

    def __init__(self) -> None:
        self.socket: socket.socket | None = None
        self.process = 0
        self.closed_until = 0.0

    def send(self, data: bytes) -> None:
        path = os.environ.get(VARIABLE)
        if not path or time.monotonic() < self.closed_until:
            return
        try:
            self._own().sendto(data, path)
        except (FileNotFoundError, ConnectionError):
            pass  # no sidecar listens, which says so at once
        except OSError:
            self.closed_until = time.monotonic() + REST

    def _own(self) -> socket.socket:
        """The socket of this process. A cell closes what a unit has inherited, and the number may be another's now."""
        if self.socket is None or self.process != os.getpid():
            if self.socket is not None:
                self.socket.detach()
            self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self.socket.settimeout(PATIENCE)
            self.process = os.getpid()
        return self.socket


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

    client.__init__, client._send, client.leads_to_sidecar = begun, sent, False  # noqa: SLF001 - see above
