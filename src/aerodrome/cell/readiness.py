"""How a unit shows that it serves, and then that it lives: lines in a pipe, or a socket that accepts.

The supervisor asks here whenever its loop comes round; nothing waits. What a unit writes is hostile, and reading it is
bounded.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import select
import socket
import stat

NOTIFY_FD = 3  # the pipe's number in the unit
NOTIFY_VARIABLE = "AERODROME_NOTIFY_FD"
READ_BYTES = 4096  # a read, and
READS = 16  # in one round, which empty a pipe that nobody read for hours
LONGEST_LINE = 1024  # bytes
LONGEST_STATUS = 200  # characters
PATIENCE = 5  # milliseconds that a TCP handshake on loopback may take; it is done at once, or refused


def make_pipe() -> tuple[int, int]:
    """The reading end, and the end that the unit gets.

    The unit's end is opened for reading too. So the pipe never breaks when the cell dies, and the next cell finds what
    the unit wrote in between. Neither end ever blocks.
    """
    reader, writer = os.pipe()
    try:
        units_end = os.open(f"/proc/self/fd/{writer}", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        os.close(reader)
        raise
    finally:
        os.close(writer)
    os.set_blocking(reader, False)
    return reader, units_end


def reopen_pipe(pid: int, inode: int) -> int | None:
    """The reading end of a living unit's pipe, after the cell that made it has died; None when the unit closed it.

    The number may by now belong to another pipe of the unit, from which not a byte may be taken. So the inode must
    match.
    """
    path = f"/proc/{pid}/fd/{NOTIFY_FD}"
    try:
        found = os.stat(path)
        if not stat.S_ISFIFO(found.st_mode) or found.st_ino != inode:
            return None
        return os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None


class NotifyReader:
    """Reads what a unit says about itself, in systemd's words; other lines are ignored.

    `READY=1`, `STATUS=text`, `WATCHDOG=1` (it lives) and `WATCHDOG=trigger` (it must be killed, as its status says);
    and a word of our own, `HOLDS=3`: a worker that takes no more tasks holds so many; `HOLDS=`: it takes tasks.
    """

    def __init__(self, reader: int) -> None:
        self.ready = False
        self.status = ""
        self.holds: int | None = None
        self.trouble = ""
        """Its own watchdog's complaint; empty while it has none."""
        self._beat = False
        self.inode = os.fstat(reader).st_ino
        self._reader = reader
        self._buffer = b""

    def read(self) -> None:
        """Takes in what has been written since, a bounded piece a round."""
        for _ in range(READS):
            try:
                chunk = os.read(self._reader, READ_BYTES)
            except OSError:  # nothing new
                return
            self._take_lines(chunk)
            if len(chunk) < READ_BYTES:
                return

    def take_beat(self) -> bool:
        """Whether the unit has said since the last call that it lives."""
        beat, self._beat = self._beat, False
        return beat

    def _take_lines(self, chunk: bytes) -> None:
        self._buffer += chunk
        *lines, self._buffer = self._buffer.split(b"\n")
        self._buffer = self._buffer[-LONGEST_LINE:]
        for line in lines:
            self._take(line[:LONGEST_LINE].decode("utf-8", "replace"))

    def close(self) -> None:
        """Gives the pipe up."""
        os.close(self._reader)

    def _take(self, line: str) -> None:
        if line == "READY=1":
            self.ready = True
        elif line == "WATCHDOG=1":
            self._beat, self.trouble = True, ""
        elif line == "WATCHDOG=trigger":
            self._beat, self.trouble = True, self.status or "its own watchdog says so"
        elif line.startswith("HOLDS="):
            digits = line[len("HOLDS=") :]
            self.holds = int(digits) if re.fullmatch(r"[0-9]{1,6}", digits) else None
        elif line.startswith("STATUS="):
            text = line[len("STATUS=") :]
            self.status = "".join(one for one in text if one.isprintable())[:LONGEST_STATUS]


def accepts(address: str) -> bool:
    """Whether somebody accepts connections at this unix socket path or 127.0.0.1:<port>."""
    local = address.startswith("/")
    with contextlib.closing(socket.socket(socket.AF_UNIX if local else socket.AF_INET)) as probe:
        probe.settimeout(0)
        try:
            code = probe.connect_ex(address if local else _host_and_port(address))
        except OSError:  # a path longer than the kernel takes
            return False
        if code == errno.EINPROGRESS:
            code = _finish(probe)
        # A port nobody listens at may connect to itself when the kernel chose it for the probe.
        return code == 0 and (local or probe.getsockname() != probe.getpeername())


def _host_and_port(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host, int(port)


def _finish(probe: socket.socket) -> int:
    poll = select.poll()
    poll.register(probe, select.POLLOUT)
    if not poll.poll(PATIENCE):
        return errno.ETIMEDOUT
    return probe.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
