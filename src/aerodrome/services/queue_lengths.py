"""How many messages an environment's queue has, and how many each worker has taken: read from Redis once a second.

A Redis of the environment's own listens where its code may put something else. So the socket is not followed through
a link, and an answer is a few whole numbers or none at all.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aerodrome.services.queues import address
from aerodrome.services.redis import key_prefix

QUEUE = "default"
"""Celery's queue, a list of Redis."""

UNACKED = "unacked."
"""What the names of the hashes begin with that have what a worker has taken; its host name follows."""

SECONDS = 0.5
"""For the whole answer."""

REST = 5.0
"""Seconds in which a Redis is not asked again that gave no answer: looks go on without it."""

LONGEST_LINE = 32
"""Bytes of one answer: `:` and a number."""


@dataclass(frozen=True, slots=True)
class Lengths:
    """Messages that wait, and those that each host name has taken."""

    waiting: int
    taken: Mapping[str, int]


@dataclass(slots=True)
class QueueLengths:
    """Asks the Redis of each environment, or the one that all share, whose URL may hold a password."""

    url: str | None = field(repr=False)
    """None = each has its own."""

    _silent: dict[str, float] = field(default_factory=dict)
    """Identifier → until when it is not asked."""

    _shared: Any = None

    def of(self, identifier: str, path: Path, hosts: Sequence[str]) -> Lengths | None:
        """The lengths for these workers of an environment; `path` is its own Redis's socket. None = no answer."""
        if time.monotonic() < self._silent.get(identifier, 0.0):
            return None
        try:
            found = _ask(path, _keys("", hosts)) if self.url is None else self._ask_shared(identifier, hosts)
        except (OSError, ValueError):
            self._silent[identifier] = time.monotonic() + REST
            return None
        return Lengths(waiting=found[0], taken=dict(zip(hosts, found[1:], strict=True)))

    def _ask_shared(self, identifier: str, hosts: Sequence[str]) -> list[int]:
        import redis  # noqa: PLC0415 - takes a twentieth of the control plane's start, and few have a Redis to share

        try:
            if self._shared is None:
                self._shared = _client(self.url or "")
            with self._shared.pipeline(transaction=False) as pipeline:
                for command, key in _keys(key_prefix(identifier), hosts):
                    pipeline.execute_command(command, key)
                return [int(each) for each in pipeline.execute()]
        except redis.RedisError as error:
            raise ConnectionError(type(error).__name__) from None


def _client(url: str) -> Any:
    """A client of the Redis at that URL, which tries once."""
    import redis  # noqa: PLC0415 - as above
    from redis.backoff import NoBackoff  # noqa: PLC0415
    from redis.retry import Retry  # noqa: PLC0415

    never = Retry(NoBackoff(), 0)
    return redis.Redis.from_url(address(url), socket_connect_timeout=SECONDS, socket_timeout=SECONDS, retry=never)


def _keys(prefix: str, hosts: Sequence[str]) -> list[tuple[str, str]]:
    return [("LLEN", prefix + QUEUE), *(("HLEN", prefix + UNACKED + host) for host in hosts)]


def _ask(path: Path, commands: Sequence[tuple[str, str]]) -> list[int]:
    """The whole numbers that a Redis answers these commands with.

    Raises:
        OSError: nobody listens there, or not in time. ValueError: it answers something else.
    """
    deadline = time.monotonic() + SECONDS
    place = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.settimeout(SECONDS)
            client.connect(f"/proc/self/fd/{place}")
            client.sendall("".join(f"{command} {key}\r\n" for command, key in commands).encode())
            return _numbers(client, len(commands), deadline)
    finally:
        os.close(place)


def _numbers(client: socket.socket, count: int, deadline: float) -> list[int]:
    received = b""
    while received.count(b"\r\n") < count:
        client.settimeout(max(0.001, deadline - time.monotonic()))
        part = client.recv(4096)
        received += part
        if not part or len(received) > count * LONGEST_LINE:
            raise ValueError("not the answers of a Redis")
    lines = received.split(b"\r\n")[:count]
    if not all(line.startswith(b":") and line[1:].isdigit() for line in lines):
        raise ValueError("not the answers of a Redis")
    return [int(line[1:]) for line in lines]
