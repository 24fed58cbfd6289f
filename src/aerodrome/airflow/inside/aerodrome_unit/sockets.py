"""Listening sockets for the web servers: a unix socket that only its owner may open, or a port on loopback."""

from __future__ import annotations

import contextlib
import os
import socket

VARIABLE = "AERODROME_LISTEN_FD"

BACKLOG = 2048
"""Connections that may wait; uvicorn's own default."""


def unix(path: str) -> socket.socket:
    """A listener at `path` with mode 0600; what a dead predecessor left there is replaced."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        listener.bind(path)
    finally:
        os.umask(before)
    listener.listen(BACKLOG)
    return listener


def loopback(port: int) -> socket.socket:
    """A listener on 127.0.0.1: the one that the cell holds for us, if it does."""
    given = os.environ.pop(VARIABLE, None)
    if given is not None:
        os.set_inheritable(int(given), False)  # noqa: FBT003 - takes no keyword
        held = socket.socket(fileno=int(given))
        held.listen(BACKLOG)
        # Only now, when nobody else gets in: ended connections must not keep the port from our successor.
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        return held
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(BACKLOG)
    return listener
