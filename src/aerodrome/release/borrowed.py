"""A process borrowed from a version's primed process: a fork that has imported Airflow and runs a script of ours.

`sandbox` borrows one in the place of a new interpreter. The other side is `cell/lent`. Whoever lends does not wait, and
is not the borrowed process's parent; it ends when we end it, or when its standard input does.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import struct
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Self

_PATIENCE = 10.0
"""Seconds in which a fork is there; milliseconds are usual."""

_CREDENTIALS = struct.Struct("3i")
"""struct ucred: process, user, group."""


class Borrowed:
    """The process, with what `subprocess.Popen` has of one."""

    def __init__(self, argv: Sequence[str], pidfd: int, stdin: IO[bytes], stdout: IO[bytes]) -> None:
        self.stdin = stdin
        self.stdout = stdout
        self._argv = argv
        self._pidfd = pidfd

    def wait(self, timeout: float) -> None:
        """Wait for its end. Raises subprocess.TimeoutExpired."""
        if not select.select([self._pidfd], [], [], timeout)[0]:
            raise subprocess.TimeoutExpired(list(self._argv), timeout)

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stdout.close()
        with suppress(BrokenPipeError):
            self.stdin.close()
        os.close(self._pidfd)


def borrow(lender: Path, argv: Sequence[str], given: Sequence[int]) -> Borrowed | None:
    """A fork of the process that serves at `lender`, which runs the script `argv`; None = it gives none.

    The script has the descriptors `given` under the numbers that they have here. It has our pipes for its standard
    input and output, and no environment variable.
    """
    with ExitStack() as ours, ExitStack() as theirs:
        read, write = (ours.enter_context(each) for each in _pipe())
        out_read, out_write = (ours.enter_context(each) for each in _pipe())
        theirs.callback(read.close)
        theirs.callback(out_write.close)
        handles = {0: read.fileno(), 1: out_write.fileno(), 2: out_write.fileno(), **{each: each for each in given}}
        try:
            pidfd = _sent(lender, argv, handles)
        except (OSError, ValueError):  # it has ended, or the kernel knows no pidfd
            return None
        ours.pop_all()
        return Borrowed(argv, pidfd, write, out_read)


def _pipe() -> tuple[IO[bytes], IO[bytes]]:
    read, write = os.pipe()
    return os.fdopen(read, "rb"), os.fdopen(write, "wb")


def _sent(lender: Path, argv: Sequence[str], handles: Mapping[int, int]) -> int:
    """Have a process forked and sent the script; its pidfd. Raises OSError or ValueError."""
    with (
        tempfile.TemporaryDirectory(prefix="aerodrome-meet-") as folder,  # ours alone, so nobody else connects
        socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener,
    ):
        listener.bind(f"{folder}/s")
        listener.listen(1)
        listener.settimeout(_PATIENCE)
        _ask(lender, {"op": "lend", "meet": f"{folder}/s"})
        connection, _ = listener.accept()
        with connection:
            pid, _, _ = _CREDENTIALS.unpack(
                connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
            )
            pidfd = os.pidfd_open(pid)
            with ExitStack() as on_failure:
                on_failure.callback(os.close, pidfd)
                message = json.dumps({"argv": list(argv), "numbers": list(handles)}).encode()
                socket.send_fds(connection, [message], list(handles.values()))
                on_failure.pop_all()
            return pidfd


def _ask(lender: Path, request: Mapping[str, object]) -> None:
    """Raises OSError or ValueError unless it has done what was asked."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(_PATIENCE)
        connection.connect(str(lender))
        connection.sendall(json.dumps(request).encode() + b"\n")
        answer = b""
        while not answer.endswith(b"\n"):
            read = connection.recv(65536)
            if not read:
                raise ConnectionResetError(f"{lender} gave no answer")
            answer += read
    if not json.loads(answer).get("ok"):
        raise ValueError(f"{lender} lends no process: {answer.decode(errors='replace')}")
