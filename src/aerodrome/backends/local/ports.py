"""Loopback ports of an environment: the same ones at every start as long as they are free."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from aerodrome.errors import BrokenError

FIRST = 20000
"""Below the range that Linux hands out to clients (32768 and up), so that no passing connection takes a port."""

LAST = 29999


@dataclass(frozen=True, slots=True)
class Ports:
    """TCP ports on 127.0.0.1."""

    execution: int
    """Airflow 3's API for running tasks."""

    credentials: int
    """The sidecar's endpoint for the execution role's credentials."""


def choose(number: int, is_free: Callable[[int], bool]) -> Ports:
    """Two free ports for the environment of that number; neighbours begin two apart."""
    start = FIRST + (2 * number) % (LAST - FIRST)
    order = [*range(start, LAST), *range(FIRST, start)]
    free = (port for port in order if is_free(port))
    try:
        return Ports(next(free), next(free))
    except StopIteration:
        raise BrokenError(f"no free TCP port from {FIRST} to {LAST}", code="NO_FREE_PORT") from None


def remembered(note: Path) -> Ports | None:
    """The ports of the environment's last start; None when there was none."""
    try:
        return Ports(**json.loads(note.read_text()))
    except (OSError, ValueError, TypeError):
        return None


def is_free(port: int) -> bool:
    """Whether nobody listens there."""
    with closing(socket.socket()) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
