"""Who makes room on a listener that has too many clients, and which of them is too slow. Pure: `protocol` acts.

A listener has a number of connections, and of these one peer a part. When either is full, the client makes room that
has least to lose: one whose answer was given already, then one that has sent no whole request for the longest, then the
one whose body arrives slowest. Whoever is being answered stays. So those who send nothing, or a byte now and then, lose
their places to those who send.

What is passed on to another server waits for that server and must not take all places: it has a number of its own, and
what remains is for requests that are answered here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum

LEAST_RATE = 1024
"""Bytes of a body that must arrive in a second; a modem does three times as much."""

WINDOW_SECONDS = 10.0
"""For which the rate is taken, and which a body has at first; arbitrary."""

SETTLED_SECONDS = 1.0
"""Age of a body before it can be the slowest: by then one that is not slow has come, or is coming."""


class Phase(IntEnum):
    """What a client does; the lowest makes room first."""

    LEAVING = 0
    """It was answered, and the rest of its body is dropped."""
    HEAD = 1
    """It has sent no whole head yet."""
    BODY = 2
    """Its body arrives."""
    SERVED = 3
    """All has arrived, and the answer is on its way."""


@dataclass(eq=False, slots=True)
class Client:
    """One connection."""

    peer: str
    since: float
    """When the phase began; seconds of the loop's clock."""
    phase: Phase = Phase.HEAD
    received: int = 0
    """Bytes of this request's body."""
    is_passed_on: bool = False

    def enters(self, phase: Phase, now: float) -> None:
        """Something else begins."""
        self.phase = phase
        self.since = now


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How many connections a listener has."""

    total: int
    each_peer: int
    passed_on: int = 0
    """Of `total`, those whose request waits for another server; 0 where nothing is passed on by the clients' count."""
    passed_on_each_peer: int = 0


@dataclass(frozen=True, slots=True)
class Room:
    """Whether there is room, and who has to go for it."""

    is_free: bool
    leaving: Client | None = None


class Crowd:
    """The clients of one listener."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._clients: set[Client] = set()
        self._of_peer: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._clients)

    def enter(self, client: Client, now: float) -> Room:
        """A new connection, which is counted whether or not there is room."""
        self._clients.add(client)
        self._of_peer[client.peer] += 1
        crowded = self._crowded()
        if crowded is None:
            return Room(is_free=True)
        leaving = _least((each for each in self._clients if each.peer == crowded and each is not client), now)
        return Room(leaving is not None, leaving)

    def leave(self, client: Client) -> None:
        """It is gone; said twice, it is gone once."""
        if client in self._clients:
            self._clients.discard(client)
            self._of_peer[client.peer] -= 1
            if not self._of_peer[client.peer]:
                del self._of_peer[client.peer]

    def pass_on(self, client: Client, now: float) -> Room:
        """The request of `client` is to be passed on."""
        passed = [each for each in self._clients if each.is_passed_on and each is not client]
        own = [each for each in passed if each.peer == client.peer]
        room = Room(is_free=True)
        for many, most in ((own, self._limits.passed_on_each_peer), (passed, self._limits.passed_on)):
            if len(many) >= most:
                leaving = _least(many, now)
                room = Room(leaving is not None, leaving)
                break
        client.is_passed_on = room.is_free
        return room

    def _crowded(self) -> str | None:
        """Whose client has to go: who has too many, or the most when all are too many together."""
        for peer, number in self._of_peer.most_common(1):
            if number > self._limits.each_peer or len(self._clients) > self._limits.total:
                return peer
        return None


def _least(clients: Iterable[Client], now: float) -> Client | None:
    """Who makes room; None when all are served, or have only begun to send a body."""
    found = [
        each
        for each in clients
        if each.phase < Phase.BODY or (each.phase is Phase.BODY and now - each.since >= SETTLED_SECONDS)
    ]
    return min(found, key=lambda each: _worth(each, now), default=None)


def _worth(client: Client, now: float) -> tuple[int, float, float]:
    rate = client.received / (now - client.since) if client.phase is Phase.BODY else 0.0
    return client.phase, rate, client.since


def is_too_slow(received: int, seconds: float) -> bool:
    """Whether so many bytes of a body in so many seconds are less than a client must send."""
    return received < LEAST_RATE * seconds
