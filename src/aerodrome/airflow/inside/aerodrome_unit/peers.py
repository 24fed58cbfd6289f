"""The execution API on loopback answers processes of its own environment alone.

Every process of the machine reaches it there. The kernel is asked for the user who owns the other end of a connection
(sock_diag(7)); a stranger's is closed before a byte of it is read.
"""

# mypy: disable-error-code="import-not-found"

from __future__ import annotations

import importlib
import socket
import struct
from collections.abc import Collection
from typing import Any

NETLINK_SOCK_DIAG = 4
BY_FAMILY = 20  # SOCK_DIAG_BY_FAMILY, linux/sock_diag.h
NO_COOKIE = 0xFFFFFFFF

HEADER = struct.Struct("=IHHII")  # struct nlmsghdr: length, type, flags, sequence, port
QUESTION = struct.Struct("=BBBBI")  # the beginning of struct inet_diag_req_v2: family, protocol, -, -, states
PORTS = struct.Struct("!HH")
ENDS = struct.Struct("=16s16sIII")  # the rest of struct inet_diag_sockid: addresses, interface, cookie
ANSWER = struct.Struct("=BBBB48sIIIII")  # struct inet_diag_msg: its last members are uid and inode

SECONDS = 0.2  # for the kernel's answer, which is there when the question has been sent


def only_from(users: Collection[int]) -> Any:
    """The web server's protocol for HTTP, for connections of these users alone."""
    protocol: Any = importlib.import_module("uvicorn.protocols.http.auto").AutoHTTPProtocol

    class OwnPeers(protocol):  # type: ignore[misc]
        is_strange = False

        def connection_made(self, transport: Any) -> None:
            self.is_strange = owner(transport.get_extra_info("socket")) not in users
            if self.is_strange:
                transport.abort()
            else:
                super().connection_made(transport)

        def connection_lost(self, error: Any) -> None:
            if not self.is_strange:
                super().connection_lost(error)

    return OwnPeers


def owner(connection: Any) -> int | None:
    """The user who owns the other end of a connection of IPv4 on loopback; None = it is gone already."""
    try:
        theirs, ours = connection.getpeername(), connection.getsockname()
    except OSError:
        return None
    try:
        return asked(theirs, ours)
    except (OSError, struct.error):
        return searched(theirs, ours)


def asked(theirs: tuple[str, int], ours: tuple[str, int]) -> int | None:
    """The owner of the socket from `theirs` to `ours`, by the kernel's answer. Raises OSError when there is none."""
    addresses = [socket.inet_aton(host).ljust(16, b"\0") for host, _ in (theirs, ours)]
    ends = PORTS.pack(theirs[1], ours[1]) + ENDS.pack(*addresses, 0, NO_COOKIE, NO_COOKIE)
    question = QUESTION.pack(socket.AF_INET, socket.IPPROTO_TCP, 0, 0, 0xFFFFFFFF) + ends
    with socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, NETLINK_SOCK_DIAG) as kernel:
        kernel.settimeout(SECONDS)
        kernel.send(HEADER.pack(HEADER.size + len(question), BY_FAMILY, 1, 1, 0) + question)
        answer = kernel.recv(4096)
    if HEADER.unpack_from(answer)[1] != BY_FAMILY:
        raise OSError("the kernel knows no such connection")
    *_, uid, inode = ANSWER.unpack_from(answer, HEADER.size)
    return int(uid) if inode else None  # without an inode nobody holds it any more


def searched(theirs: tuple[str, int], ours: tuple[str, int]) -> int | None:
    """The same by /proc/net/tcp, which is slower and always there."""
    wanted = [written(*theirs), written(*ours)]
    with open("/proc/net/tcp", encoding="ascii") as lines:
        for line in lines:
            words = line.split()
            if words[1:3] == wanted and words[9] != "0":
                return int(words[7])
    return None


def written(host: str, port: int) -> str:
    """An address as /proc/net/tcp has it: a word in the machine's order, then the port."""
    return "{:08X}:{:04X}".format(*struct.unpack("=I", socket.inet_aton(host)), port)
