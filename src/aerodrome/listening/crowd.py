"""Who makes room on a listener that has too many clients, and which of them is too slow. Pure: `protocol` acts.

A listener has a number of connections, and of these one peer a part. When either is full, the client makes room that
has least to lose: one whose answer was given already, then one that has sent no whole request for the longest, then the
one whose body arrives slowest. Whoever is being answered stays. So those who send nothing, or a byte now and then, lose
their places to those who send.

What is passed on to another server waits for that server and must not take all places: it has a number of its own, and
what remains is for requests that are answered here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import IntEnum

LEAST_RATE = 1024
"""Bytes of a body that must arrive in a second; a modem does three times as much."""

SPARED_RATE = 256 * 1024
"""Bytes in a second from which a body makes room for nobody: its sender does not keep a place for the place's sake."""

WINDOW_SECONDS = 10.0
"""For which the rate is taken, and which a body has at first; arbitrary."""

SETTLED_SECONDS = 0.25
"""Age of a phase from which a client may be called idle or slow; when all are younger, the newcomer is refused."""


class ClientPhase(IntEnum):
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
    phase: ClientPhase = ClientPhase.HEAD
    received: int = 0
    """Bytes of this request's body."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionLimits:
    """How many connections a listener has."""

    total: int
    each_peer: int
    """Of `total`, those of one peer."""
    bodies_each_peer: int
    """Of `each_peer`, those whose body is on its way; the rest is for requests that come in one piece."""
    passed_on: int = 0
    """Of `total`, those whose request waits for another server; 0 where nothing is passed on by the clients' count."""
    passed_on_each_peer: int = 0
    settled_seconds: float = SETTLED_SECONDS


@dataclass(frozen=True, slots=True)
class Room:
    """Whether there is room, and who has to go for it."""

    is_free: bool
    leaving: Client | None = None


class Crowd:
    """The clients of one listener."""

    def __init__(self, limits: ConnectionLimits) -> None:
        self._limits = limits
        self._number = 0
        self._peers: dict[str, _Group] = {}
        self._passed_on: set[Client] = set()

    def __len__(self) -> int:
        return self._number

    def enter(self, client: Client, now: float) -> Room:
        """A new connection, which is counted whether or not there is room."""
        own = self._peers.setdefault(client.peer, _Group())
        crowded = own
        leaving = None
        is_full = len(own) >= self._limits.each_peer
        if not is_full and self._number >= self._limits.total:
            is_full, crowded = True, max(self._peers.values(), key=len)
        if is_full:
            leaving = crowded.least(now, self._settled(now))
        own.add(client)
        self._number += 1
        return Room(not is_full or leaving is not None, leaving)

    def begin_body(self, client: Client, now: float) -> Room:
        """The body of `client` did not come with its head; its phase says so already."""
        bodies = self._peers[client.peer].bodies()
        if len(bodies) <= self._limits.bodies_each_peer:
            return Room(is_free=True)
        leaving = _slowest((each for each in bodies if each is not client), now, self._settled(now))
        return Room(leaving is not None, leaving)

    def move(self, client: Client, phase: ClientPhase, now: float) -> None:
        """Something else begins for a client; nothing does for one that is gone."""
        group = self._peers.get(client.peer)
        if group is not None and group.has(client):
            group.remove(client)
            client.phase, client.since = phase, now
            group.add(client)

    def leave(self, client: Client) -> None:
        """It is gone; said twice, it is gone once."""
        self._passed_on.discard(client)
        group = self._peers.get(client.peer)
        if group is not None and group.has(client):
            group.remove(client)
            self._number -= 1
            if not len(group):
                del self._peers[client.peer]

    def pass_on(self, client: Client, now: float) -> Room:
        """The request of `client` is to be passed on."""
        passed = self._passed_on - {client}
        own = {each for each in passed if each.peer == client.peer}
        room = Room(is_free=True)
        for many, most in ((own, self._limits.passed_on_each_peer), (passed, self._limits.passed_on)):
            if len(many) >= most:
                leaving = _slowest(many, now, self._settled(now))
                room = Room(leaving is not None, leaving)
                break
        if room.is_free:
            self._passed_on.add(client)
        return room

    def _settled(self, now: float) -> float:
        """Whoever began before may be called idle or slow."""
        return now - self._limits.settled_seconds

    def answered(self, client: Client) -> None:
        """Its request waits for nobody any more."""
        self._passed_on.discard(client)


class _Group:
    """One peer's clients by what they do, in the order in which they began to."""

    def __init__(self) -> None:
        self._by_phase: dict[ClientPhase, dict[Client, None]] = {phase: {} for phase in ClientPhase}

    def __len__(self) -> int:
        return sum(map(len, self._by_phase.values()))

    def has(self, client: Client) -> bool:
        return client in self._by_phase[client.phase]

    def add(self, client: Client) -> None:
        self._by_phase[client.phase][client] = None

    def remove(self, client: Client) -> None:
        del self._by_phase[client.phase][client]

    def bodies(self) -> Collection[Client]:
        return self._by_phase[ClientPhase.BODY]

    def least(self, now: float, settled: float) -> Client | None:
        """Who makes room; None when all are being answered, or have just begun."""
        for client in self._by_phase[ClientPhase.LEAVING]:
            return client
        for client in self._by_phase[ClientPhase.HEAD]:
            if client.since <= settled:
                return client
            break  # the others are younger
        return _slowest(self._by_phase[ClientPhase.BODY], now, settled)


def _slowest(clients: Iterable[Client], now: float, settled: float) -> Client | None:
    """Whose body arrives slowest, of those that are slow and have not just begun."""
    paces = (
        (each.received / (now - each.since), each.since, each)
        for each in clients
        if each.phase is ClientPhase.BODY and each.since <= settled and each.since < now
    )
    slow = ((rate, since, each) for rate, since, each in paces if rate < SPARED_RATE)
    return min(slow, key=lambda pace: pace[:2], default=(0, 0, None))[2]


def is_too_slow(received: int, seconds: float) -> bool:
    """Whether so many bytes of a body in so many seconds are less than a client must send."""
    return received < LEAST_RATE * seconds
