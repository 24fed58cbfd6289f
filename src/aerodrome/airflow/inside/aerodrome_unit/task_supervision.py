"""Airflow 3's tasks begin and end without what each of their processes would do anew, or wait for.

Airflow's supervisor sleeps on the sockets of the task. A process that ends closes them a moment before it can be
reaped. A supervisor that looks in between sleeps again, on nothing, for a whole heartbeat interval (5 s), and its slot
is lost for as long.

Each supervisor loads all certificates of the world for its client, though the API of tasks speaks plain HTTP on
loopback. Each task compiles how its messages are read. Together that was a third of what the beginning of a worker's
first tasks cost. And each says that it lives in the moment after it has said that it begins, which tells the same.
"""

from __future__ import annotations

import functools
import ssl
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


def beat_when_due(supervised: Any) -> None:
    """Have the class `supervised` (`ActivitySubprocess`) send its first heartbeat one interval after the task began."""
    begin = supervised._on_child_started  # noqa: SLF001 - there is no other place

    def begin_and_rest(self: Any, *arguments: Any, **named: Any) -> None:
        begin(self, *arguments, **named)
        self._last_heartbeat_attempt = self._last_successful_heartbeat

    supervised._on_child_started = begin_and_rest  # noqa: SLF001 - as above


def trust_no_certificate(client: Any) -> None:
    """Have the class `client` (of the API of tasks, which is without TLS) load no certificate: it would refuse all."""
    if hasattr(client, "_get_ssl_context_cached"):
        client._get_ssl_context_cached = staticmethod(_without_certificates)  # noqa: SLF001 - there is no option


@functools.lru_cache(maxsize=1)
def _without_certificates(*_: Any) -> ssl.SSLContext:
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def compile_once(*modules: Any) -> None:
    """Have these modules make one pydantic adapter for each type, and make those of every task now, for all forks."""
    from pydantic import JsonValue, TypeAdapter

    adapter: Any = functools.lru_cache(maxsize=None)(TypeAdapter)
    for module in modules:
        if hasattr(module, "TypeAdapter"):
            module.TypeAdapter = adapter
    for wanted in (JsonValue, *(module.ToTask for module in modules if hasattr(module, "ToTask"))):
        adapter(wanted)
