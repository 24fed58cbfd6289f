"""Loopback ports of an environment: a cell gets the same port at every start, as long as that one is free."""

from __future__ import annotations

import os
import socket
import zlib
from collections.abc import Callable
from contextlib import closing
from itertools import chain
from pathlib import Path

from aerodrome.errors import BrokenError

FIRST = 20000
"""Below the range that Linux gives to clients (32768 and up), so that no client's connection takes a port."""

LAST = 29999

APART = 4
"""Ports between two environments' first ones: an environment needs one for its services and one for each revision."""


def choose(installation: Path, number: int, is_free: Callable[[int], bool]) -> int:
    """A free port for the environment with that number; the environments' searches begin `APART` ports apart.

    The beginning depends on the installation too. Otherwise two installations would begin at the same port, and a port
    that one of them finds free could be the other's a second later.
    """
    begin = zlib.crc32(os.fsencode(installation))
    start = FIRST + (begin + APART * number) % (LAST + 1 - FIRST)
    for port in chain(range(start, LAST + 1), range(FIRST, start)):
        if is_free(port):
            return port
    raise BrokenError(f"no free TCP port from {FIRST} to {LAST}", code="NO_FREE_PORT")


def noted(run: Path) -> set[int]:
    """Every port that any cell below the run folder has chosen, whether somebody listens there already or not."""
    found = (remembered(note) for pattern in ("*/port", "*/*/port") for note in run.glob(pattern))
    return {port for port in found if port is not None}


def remembered(note: Path) -> int | None:
    """The port of the last start; None when there was no start."""
    try:
        port: int = int(note.read_text())
    except (OSError, ValueError):
        return None
    return port


def is_free(port: int) -> bool:
    """Whether nobody listens on the port, or has bound it with one of the options for sharing, to listen later.

    Connections that have ended do not count.
    """
    return all(_can_be_bound(port, option) for option in (socket.SO_REUSEADDR, socket.SO_REUSEPORT))


def _can_be_bound(port: int, option: int) -> bool:
    with closing(socket.socket()) as probe:
        probe.setsockopt(socket.SOL_SOCKET, option, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
