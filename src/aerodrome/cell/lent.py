"""A process that the primed process lends: it becomes somebody's script, with descriptors that it is given.

Whoever borrows it listens on a socket, and sends there the script's words, the descriptors, and the numbers under which
the script finds them (`release/borrowed` is that side). The script finds what the primed process has imported, and
nothing else of it: no descriptor and no environment variable.
"""

from __future__ import annotations

import array
import fcntl
import json
import os
import socket
import traceback

from . import child, kernel

LONGEST = 64 * 1024  # bytes of what is sent
MOST_FDS = 64
NUMBERS = array.array("i")


def become(meet: str) -> None:
    """In a process of its own: becomes the script that is sent over the socket at `meet`, and ends with it."""
    code = child.CANNOT_PREPARE
    try:
        os.setsid()
        kernel.set_name("aerodrome-lent")
        kernel.close_all_but(set())
        child.reset_signals(python=True)
        os.chdir("/")
        child.take_environment({})  # while output goes to a file, where Python knows its place
        argv = _take(meet)
        if argv:
            code = child.run_script(argv)
    except BaseException:  # noqa: BLE001 - the traceback belongs into the log, whatever it is
        traceback.print_exc()
    finally:
        os._exit(code)


def _take(meet: str) -> list[str]:
    """The script's words; the descriptors have their numbers then. None of either when nobody sends any."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
        connection.connect(meet)
        space = socket.CMSG_SPACE(MOST_FDS * NUMBERS.itemsize)
        data, ancillary, _, _ = connection.recvmsg(LONGEST, space, socket.MSG_CMSG_CLOEXEC)
    if not data:
        return []
    sent = json.loads(data.decode("utf-8"))
    handles = array.array("i")
    for _, _, found in ancillary:
        handles.frombytes(found[: len(found) - len(found) % handles.itemsize])
    above = max(sent["numbers"]) + 1
    spare = {number: fcntl.fcntl(handle, fcntl.F_DUPFD, above) for number, handle in zip(sent["numbers"], handles)}
    for number, handle in spare.items():
        os.dup2(handle, number)
    kernel.close_all_but(set(spare))
    argv: list[str] = sent["argv"]
    return argv
