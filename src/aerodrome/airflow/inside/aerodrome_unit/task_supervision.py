"""Free a worker's slot as soon as its task's process is gone.

Airflow 3's supervisor sleeps on the sockets of the task. A process that ends closes them a moment before it can be
reaped. A supervisor that looks in between sleeps again, on nothing, for a whole heartbeat interval (5 s), and its slot
is lost for as long.
"""

from __future__ import annotations

from typing import Any

LAST_LOOK = 0.02
"""Seconds between looks at a process that has closed its sockets: it is about to end."""


def end_promptly(supervised: Any) -> None:
    """Shorten that sleep in the class `supervised` (`WatchedSubprocess`)."""
    service = supervised._service_subprocess  # noqa: SLF001 - there is no other place to reach the wait

    def service_promptly(self: Any, max_wait_time: float, **options: Any) -> Any:
        if not self._open_sockets:
            max_wait_time = min(max_wait_time, LAST_LOOK)
        return service(self, max_wait_time, **options)

    supervised._service_subprocess = service_promptly  # noqa: SLF001 - as above
