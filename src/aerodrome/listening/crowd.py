"""Who makes room on a listener that has too many clients, and which of them is too slow. Pure: `protocol` acts.

A listener limits its connections, in total and for each peer. When a limit is reached, the client with the least to
lose makes room: first one that has its answer already, then the one that has waited longest with an incomplete head,
then the one whose body arrives slowest. A client whose answer is being made stays. So a client that sends nothing, or a
byte now and then, loses its place to one that sends.

A request that is passed on waits for another server. Such requests have a limit of their own, so that places remain for
requests that are answered here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import IntEnum

LEAST_RATE = 1024
"""Bytes of a body that must arrive in a second; a modem does three times as much."""

SPARED_RATE = 256 * 1024
"""Bytes in a second. A body that arrives as fast makes room for nobody: its sender means to send it."""

WINDOW_SECONDS = 10.0
"""Over which the rate is measured, and after which it is judged first; arbitrary."""

SETTLED_SECONDS = 0.25
"""Age of a phase at which a client may count as idle or slow. When all are younger, the newcomer is refused."""


class ClientPhase(IntEnum):
    """What a client does; the lowest makes room first."""

    LEAVING = 0
    """It has its answer, and the rest of its body is dropped."""
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
    """How many connections a listener takes."""

    total: int
    each_peer: int
    """Of `total`, those of one peer."""
    bodies_each_peer: int
    """Of `each_peer`, those whose body is still arriving; the rest is for requests that come in one piece."""
    passed_on: int = 0
    """Of `total`, those whose request waits for another server; 0 where the listener does not count them."""
    passed_on_each_peer: int = 0
    settled_seconds: float = SETTLED_SECONDS


@dataclass(frozen=True, slots=True)
class Room:
    """Whether there is room, and which client has to go for it."""

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
        """A new connection; it counts whether or not there is room."""
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
        """The body of `client` did not come with its head; its phase is BODY already."""
        bodies = self._peers[client.peer].bodies()
        if len(bodies) <= self._limits.bodies_each_peer:
            return Room(is_free=True)
        leaving = _slowest((each for each in bodies if each is not client), now, self._settled(now))
        return Room(leaving is not None, leaving)

    def move(self, client: Client, phase: ClientPhase, now: float) -> None:
        """A phase begins for a client. Nothing happens for one that is gone."""
        group = self._peers.get(client.peer)
        if group is not None and group.has(client):
            group.remove(client)
            client.phase, client.since = phase, now
            group.add(client)

    def leave(self, client: Client) -> None:
        """The client is gone; a second call changes nothing."""
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
        """A client whose phase began before this may count as idle or slow."""
        return now - self._limits.settled_seconds

    def answered(self, client: Client) -> None:
        """Its request waits for no other server any more."""
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
        """The client that makes room; None when all are being answered, or have just begun."""
        for client in self._by_phase[ClientPhase.LEAVING]:
            return client
        for client in self._by_phase[ClientPhase.HEAD]:
            if client.since <= settled:
                return client
            break  # the others are younger
        return _slowest(self._by_phase[ClientPhase.BODY], now, settled)


def _slowest(clients: Iterable[Client], now: float, settled: float) -> Client | None:
    """The client whose body arrives slowest, of those that are slow and have not just begun."""
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
