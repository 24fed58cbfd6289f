"""The process that units are forked from: it holds the preloaded modules and not one specification.

The agent forks it before reading the configuration, and asks it for a process whenever a unit starts. The forker forks
twice, so that the process in between dies and the agent, a subreaper, becomes the parent that learns of the unit's end.
Only the new process reads the specification, over its own channel. The forker ends with the agent; running units do not
mind.

A nursery is a process of the forker's that takes on the units' identity, runs a script that imports what they share,
and then serves as the forker of those units (`nursery` is the agent's side of it).
"""

from __future__ import annotations

import array
import os
import signal
import socket

from . import child, kernel

NUMBERS = array.array("i")
MOST_FDS = 4  # channel, log, notify pipe, listening socket; or channel and two outputs
FORK = b"fork"
RUN = b"run"
NURSERY = b"nursery"


def start() -> tuple[int, socket.socket]:
    """Forks the forker; returns its process number and the socket to ask it by."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            kernel.close_all_but({theirs.fileno()})
            _serve(theirs)
            code = 0
        finally:
            os._exit(code)
    theirs.close()
    return pid, ours


def ask(forker: socket.socket, handles: list[int], *, what: bytes = FORK) -> None:
    """Asks for a process that gets copies of these descriptors: channel, log, and what the unit is given.

    A unit is given nothing, a notify pipe, or a pipe and a socket to listen on. A nursery gets the socket to be asked
    by in place of the pipe; a run gets its stdout and stderr.
    """
    forker.sendmsg([what], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", handles))])


def _serve(requests: socket.socket) -> None:
    kernel.set_name("aerodrome-fork")
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # it goes with the agent, never before
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.set_wakeup_fd(-1)
    while True:
        what, handles = _receive(requests)
        if not handles:
            return
        _fork_twice(requests, what, handles)
        for handle in handles:
            os.close(handle)


def _receive(requests: socket.socket) -> tuple[bytes, list[int]]:
    """The next request and its descriptors; none when the agent is gone."""
    space = socket.CMSG_SPACE(MOST_FDS * NUMBERS.itemsize)
    what, ancillary, _, _ = requests.recvmsg(16, space, socket.MSG_CMSG_CLOEXEC)
    handles = array.array("i")
    for _, _, data in ancillary:
        handles.frombytes(data[: len(data) - len(data) % handles.itemsize])
    return what, list(handles)


def _fork_twice(requests: socket.socket, what: bytes, handles: list[int]) -> None:
    """When no process can be forked the channel simply closes, and the agent sees that."""
    try:
        middle = os.fork()
    except OSError:
        return
    if middle:
        os.waitpid(middle, 0)
        return
    try:
        requests.close()
        parent = os.getpid()
        if os.fork() == 0:
            if what == NURSERY:
                child.serve(_serve, *handles)
            if what == RUN:
                child.run_once(parent, *handles)
            child.run(parent, *handles)
    finally:
        os._exit(0)
