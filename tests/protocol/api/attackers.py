"""Clients that take much and give little, in a process of their own: hundreds that send a byte in five seconds.

Run as a program, it attacks until its standard input ends; `dripping` runs it.
"""

from __future__ import annotations

import os
import selectors
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

EVERY = 5.0
"""Seconds between two bytes, and until a connection that was closed is opened again."""


@contextmanager
def dripping(port: int, head: bytes, *, number: int) -> Iterator[None]:
    """For the time of the block `number` connections have sent `head` and go on with a byte in five seconds."""
    argv = [sys.executable, str(Path(__file__)), str(port), head.hex(), str(number)]
    with subprocess.Popen(argv, env=dict(os.environ), stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == b"attacking\n"
        yield
        assert process.poll() is None, "the attack ended before its time"
        process.stdin.close()


def attack(port: int, head: bytes, number: int) -> None:
    """Open the connections, say so, and go on."""
    selector = selectors.DefaultSelector()
    selector.register(sys.stdin, selectors.EVENT_READ)
    missing, has_said = number, False
    while True:
        began = time.monotonic()
        for _ in range(missing):
            _open(port, head, selector)
        missing = 0
        if not has_said:
            has_said = True
            print("attacking", flush=True)  # noqa: T201 - whoever started this reads it
        while time.monotonic() - began < EVERY:
            for key, _ in selector.select(0.2):
                if key.fileobj is sys.stdin:
                    return
                missing += _is_over(key.fileobj, selector)  # type: ignore[arg-type]
        for key in list(selector.get_map().values()):
            with suppress(OSError, AttributeError):
                key.fileobj.send(b"x")  # type: ignore[union-attr]


def _open(port: int, head: bytes, selector: selectors.BaseSelector) -> None:
    connection = socket.create_connection(("127.0.0.1", port), timeout=30)
    with suppress(OSError):
        connection.sendall(head)
    connection.settimeout(0)
    selector.register(connection, selectors.EVENT_READ)


def _is_over(connection: socket.socket, selector: selectors.BaseSelector) -> bool:
    with suppress(OSError):
        if connection.recv(4096):
            return False
    selector.unregister(connection)
    connection.close()
    return True


if __name__ == "__main__":
    attack(int(sys.argv[1]), bytes.fromhex(sys.argv[2]), int(sys.argv[3]))
