"""Says whose a connection is: the user behind a unix socket or a loopback connection, the address behind any other.

Every process of this machine reaches a listener on loopback, and all have one address. So we ask the kernel which user
owns the other end of the connection (sock_diag, which takes microseconds); if it does not answer, we search
/proc/net/tcp.
"""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import struct
from typing import Protocol

UNKNOWN = "a local process that has left"

_CREDENTIALS = struct.Struct("3i")
"""struct ucred: pid, uid, gid."""

_NETLINK_SOCK_DIAG = 4
_BY_FAMILY = 20
"""SOCK_DIAG_BY_FAMILY, for questions and answers."""

_HEADER = struct.Struct("=IHHII")
"""struct nlmsghdr: length, type, flags, sequence, port."""

_QUESTION = struct.Struct("=BBBBI")
"""The beginning of struct inet_diag_req_v2: family, protocol, extensions, padding, states."""

_PORTS = struct.Struct("!HH")
_ENDS = struct.Struct("=16s16sIII")
"""The rest of struct inet_diag_sockid: source, destination, interface, a cookie in two halves."""

_ANSWER = struct.Struct("=BBBB48sIIIII")
"""struct inet_diag_msg: family, state, timer, retransmissions, id, expiry, two queues, uid, inode."""

_NO_COOKIE = 0xFFFFFFFF
_SECONDS = 0.2
"""Seconds to wait for the kernel's answer, which is ready as soon as the question is sent."""

_LIVE = {"01", "04", "05"}
"""In /proc/net/tcp: established, or closed for writing by an end that is still held."""

Address = tuple[ipaddress.IPv4Address | ipaddress.IPv6Address, int]


class Connected(Protocol):
    """A connected socket, as asyncio shows it too."""

    @property
    def family(self) -> int: ...
    def getpeername(self) -> object: ...
    def getsockname(self) -> object: ...
    def getsockopt(self, level: int, option: int, length: int, /) -> bytes: ...


def of(connection: Connected) -> str:
    """Who is at the other end: `uid 1000`, `address 192.0.2.7` (of IPv6 the network of 64 bits), or `UNKNOWN`."""
    try:
        found = uid(connection)
        if found is not None:
            return f"uid {found}"
        if connection.family == socket.AF_UNIX:
            return UNKNOWN
        host, _ = _address(connection.getpeername())
    except OSError:
        return UNKNOWN
    if host.is_loopback:
        return UNKNOWN
    if isinstance(host, ipaddress.IPv4Address):
        return f"address {host}"
    return f"address {ipaddress.ip_network((host, 64), strict=False).network_address}"


def uid(connection: Connected) -> int | None:
    """The user who owns the other end; None = it is on another machine, or gone already.

    Raises:
        OSError: the connection is closed.
    """
    if connection.family == socket.AF_UNIX:
        return int(
            _CREDENTIALS.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))[1]
        )
    theirs, ours = _address(connection.getpeername()), _address(connection.getsockname())
    if not theirs[0].is_loopback and theirs[0] != ours[0]:
        return None
    try:
        return _asked(theirs, ours)
    except (OSError, struct.error):
        return searched(theirs, ours)


def searched(theirs: Address, ours: Address) -> int | None:
    """The owner of the socket from `theirs` to `ours`, by /proc/net/tcp; None when there is none."""
    wanted = [_written(theirs), _written(ours)]
    name = "tcp" if isinstance(theirs[0], ipaddress.IPv4Address) else "tcp6"
    # A socket of IPv6 may speak IPv4, and is in the other list then.
    for path, ends in ((f"/proc/net/{name}", wanted), ("/proc/net/tcp6", [_mapped(theirs), _mapped(ours)])):
        with contextlib.suppress(OSError), open(path, encoding="ascii") as lines:  # noqa: PTH123 - no file of ours
            for line in lines:
                words = line.split()
                if words[1:3] == ends and words[3] in _LIVE and words[9] != "0":
                    return int(words[7])
    return None


def _asked(theirs: Address, ours: Address) -> int | None:
    family = socket.AF_INET if isinstance(theirs[0], ipaddress.IPv4Address) else socket.AF_INET6
    ends = _ENDS.pack(theirs[0].packed, ours[0].packed, 0, _NO_COOKIE, _NO_COOKIE)
    asked = _QUESTION.pack(family, socket.IPPROTO_TCP, 0, 0, 0xFFFFFFFF) + _PORTS.pack(theirs[1], ours[1]) + ends
    with socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, _NETLINK_SOCK_DIAG) as kernel:
        kernel.settimeout(_SECONDS)
        kernel.send(_HEADER.pack(_HEADER.size + len(asked), _BY_FAMILY, 1, 1, 0) + asked)
        answer = kernel.recv(4096)
    if _HEADER.unpack_from(answer)[1] != _BY_FAMILY:
        raise OSError("the kernel knows no such connection")
    *_, owner, inode = _ANSWER.unpack_from(answer, _HEADER.size)
    return int(owner) if inode else None  # without an inode no process holds it


def _address(name: object) -> Address:
    host, port = name[:2]  # type: ignore[index]  # of a TCP socket it is a tuple
    parsed = ipaddress.ip_address(host.partition("%")[0])
    return getattr(parsed, "ipv4_mapped", None) or parsed, port


def _mapped(address: Address) -> str:
    """An address of IPv4 as a socket of IPv6 has it."""
    host, port = address
    packed = host.packed if isinstance(host, ipaddress.IPv6Address) else b"\0" * 10 + b"\xff\xff" + host.packed
    return _written((ipaddress.IPv6Address(packed), port))


def _written(address: Address) -> str:
    """An address as /proc/net/tcp has it: words in the machine's order, then the port."""
    host, port = address
    words = struct.unpack(f"={len(host.packed) // 4}I", host.packed)
    return "".join(f"{word:08X}" for word in words) + f":{port:04X}"
