"""The agent's side of starting a unit: descriptors, a process from the forker, and the release of its specification.

The supervisor calls `fork`, records the process in the state file, and only then calls `release`. So a cell that is
killed in between leaves no unit that its successor would start a second time.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import struct
from typing import TYPE_CHECKING

from . import forker, kernel, logs, readiness

if TYPE_CHECKING:
    from typing import Any

    from .specs import UnitSpec

PATIENCE = 10.0  # seconds for a fork on a machine that is short of everything
LONGEST_NUMBER = 16  # bytes
CREDENTIALS = struct.Struct("3i")  # struct ucred: pid, uid, gid


class LaunchError(Exception):
    """The unit cannot be started; the sentence says why and goes into its status."""


class Launch:
    """A process that waits for its specification."""

    def __init__(self, pid: int, start: int, notices: readiness.NotifyReader | None, channel: socket.socket) -> None:
        self.pid = pid
        self.start = start
        self.notices = notices
        self._channel = channel

    def release(self, document: dict[str, Any]) -> None:
        """Lets the process become what it says. Should it be dead already, its exit is reported like any other."""
        with contextlib.suppress(OSError):
            self._channel.sendall(json.dumps(document).encode() + b"\n")
        self._channel.close()


def fork(
    requests: socket.socket, spec: UnitSpec, *, listener: socket.socket | None = None, patience: float = PATIENCE
) -> Launch:
    """A new process for the unit, in a session of its own, with a copy of its listener. Raises LaunchError."""
    try:
        log = logs.open_append(spec.log)
    except OSError as error:
        raise LaunchError(f"cannot open the log {spec.log}: {error.strerror or error}") from error
    try:
        return _fork(requests, spec, log, listener, patience)
    except OSError as error:
        raise LaunchError(f"cannot start a process: {error.strerror or error}") from error
    finally:
        os.close(log)


def fork_run(requests: socket.socket, outputs: tuple[int, int], *, patience: float = PATIENCE) -> Launch:
    """A new process for a command, with these as its stdout and stderr. Raises LaunchError."""
    try:
        pid, start, channel = meet(requests, list(outputs), what=forker.RUN, patience=patience)
    except OSError as error:
        raise LaunchError(f"cannot start a process: {error.strerror or error}") from error
    return Launch(pid, start, None, channel)


def _fork(requests: socket.socket, spec: UnitSpec, log: int, listener: socket.socket | None, patience: float) -> Launch:
    reader, writer = readiness.make_pipe() if spec.ready == "notify" else (None, None)
    try:
        handles = [log, *([] if writer is None else [writer]), *([] if listener is None else [listener.fileno()])]
        pid, start, ours = meet(requests, handles, patience=patience)
    except OSError:
        if reader is not None:
            os.close(reader)
        raise
    finally:
        if writer is not None:
            os.close(writer)
    return Launch(pid, start, None if reader is None else readiness.NotifyReader(reader), ours)


def meet(
    requests: socket.socket, handles: list[int], *, what: bytes = forker.FORK, patience: float = PATIENCE
) -> tuple[int, int, socket.socket]:
    """A new process with copies of these descriptors: its number, its start time, and the channel to it.

    Raises OSError, a timeout among them, when there is none.
    """
    ours, theirs = socket.socketpair()
    try:
        ours.settimeout(patience)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        forker.ask(requests, [theirs.fileno(), *handles], what=what)
        theirs.close()
        pid, start = _number(ours)
    except BaseException:
        ours.close()
        raise
    finally:
        theirs.close()
    return pid, start, ours


def _number(channel: socket.socket) -> tuple[int, int]:
    """Hears the new process: its number as the kernel vouches for it (it may have been forked under a unit's uid)."""
    said, ancillary, _, _ = channel.recvmsg(LONGEST_NUMBER, socket.CMSG_SPACE(CREDENTIALS.size))
    if not said:
        raise OSError("no process could be forked; see the limits on processes and memory")
    pid = next(
        CREDENTIALS.unpack(data)[0]
        for level, kind, data in ancillary
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_CREDENTIALS)
    )
    found = kernel.process(pid)
    if found is None:
        raise OSError("the new process died at once")
    return pid, found.start
