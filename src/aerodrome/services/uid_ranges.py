"""Which uids of a machine are whose: the decision. Pure; `uid_register` reads and writes what this works on.

As root, each installation of Aerodrome on a machine has ranges of uids that no other installation, no account and no
container has. Its environments, its builders, its checks and its AWS emulator run under these.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

SIZE = 2_000
"""Uids in a range."""

ENVIRONMENTS = 500
"""So many environments have two uids each in a range; after as many, another range is taken."""

BUILDERS = 500
"""The next uids are those that packages are built under, one for each environment of the range."""

CHECKERS = 250
"""The next are those of processes of `aerodrome check`; the one after them is that of the embedded AWS emulator."""

NOT_OURS = (
    range(60_000, 66_000),  # reserved by distributions and systemd, with 65534 (nobody) and 65535 (no id, in 16 bits)
    range(100_000, 2_000_200_000),  # users' containers (/etc/subuid), systemd-nspawn's, and those that sssd gives out
)
"""Uids that others give out by convention."""

END = 2_147_480_000
"""Behind the last uid that a signed number of 32 bits holds."""


@dataclass(frozen=True, slots=True)
class UidRanges:
    """An entry of the register, and what the data folder itself keeps of it."""

    identifier: str
    data: str
    """The data folder; it holds a record with the same identifier, or the entry is void."""

    firsts: tuple[int, ...]
    """The first uids of its ranges."""

    unregistered: int = 0
    """Its files belong to this many uids from the first on, one for each environment, as before there was a register;
    0 = to its ranges. Only what the data folder keeps says so, until the files have moved."""

    def environment(self, number: int) -> int:
        """The uid of environment `number`; `index_of(number)` must be a range that it has."""
        return self.firsts[index_of(number)] + number % ENVIRONMENTS

    def control(self, number: int) -> int:
        """A second uid of environment `number`, for what holds its secrets."""
        return self.environment(number) + ENVIRONMENTS

    def builder(self, number: int) -> int:
        """The uid that packages and the startup script of environment `number` are built under."""
        return self.firsts[index_of(number)] + 2 * ENVIRONMENTS + number % BUILDERS

    def checker(self, pid: int) -> int:
        """The uid that user code has in the `aerodrome check` of that process."""
        return self.firsts[0] + 2 * ENVIRONMENTS + BUILDERS + pid % CHECKERS

    @property
    def emulator(self) -> int:
        """The uid of the embedded AWS emulator."""
        return self.firsts[0] + 2 * ENVIRONMENTS + BUILDERS + CHECKERS

    @property
    def shown(self) -> str:
        """Its ranges, for a person."""
        return ", ".join(f"{span[0]}-{span[-1]}" for span in self.spans())

    def spans(self) -> Iterator[range]:
        """Its ranges."""
        return (range(first, first + SIZE) for first in self.firsts)


@dataclass(frozen=True, slots=True)
class Register:
    """Who has what on a machine."""

    installations: tuple[UidRanges, ...] = ()
    last: int = 0
    """The range that was given out last: what was given back is used again as late as possible, for files of its
    environments may be left in places that all users share."""

    def find(self, identifier: str) -> UidRanges | None:
        return next((each for each in self.installations if each.identifier == identifier), None)

    def without(self, *identifiers: str) -> Register:
        return replace(
            self, installations=tuple(each for each in self.installations if each.identifier not in identifiers)
        )

    def having(self, installation: UidRanges) -> Register:
        """With this entry, in the place of the one of the same identifier."""
        others = self.without(installation.identifier)
        return replace(others, installations=(*others.installations, installation))


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What else there is."""

    mapped: tuple[range, ...] = (range(END),)
    """The ids that this user namespace has; a container may have 65,536."""

    accounts: tuple[range, ...] = ()
    """Those of users, groups and of people's containers, as far as the system lists them."""

    running: frozenset[int] = frozenset()
    """Those of processes that run."""


@dataclass(frozen=True, slots=True)
class Claim:
    """What a data folder gets."""

    register: Register
    own: UidRanges
    before: tuple[int, ...]
    """The first uids of the ranges that its files belong to now; where they differ from `own.firsts`, it moves."""

    unregistered: int = 0
    """As of `UidRanges`."""

    @property
    def moves(self) -> bool:
        """Whether its files belong to uids that are not its own."""
        return any(old != new for old, new in zip(self.before, self.own.firsts, strict=False))

    def uids(self) -> Iterator[tuple[int, int]]:
        """Each uid that files may belong to now, with the one that they shall belong to."""
        if self.unregistered:
            yield from ((self.before[0] + number, self.own.environment(number)) for number in range(self.unregistered))
            return
        for old, new in zip(UidRanges("", "", self.before).spans(), self.own.spans(), strict=False):
            yield from zip(old, new, strict=True)


def new_identifier() -> str:
    """One that no data folder has."""
    return uuid.uuid4().hex


def index_of(number: int) -> int:
    """Which of an installation's ranges the uid of environment `number` is in."""
    return number // ENVIRONMENTS


def claim(
    register: Register,
    record: UidRanges | None,
    data: str,
    *,
    is_alive: Callable[[UidRanges], bool],
    machine: Machine,
    lowest: int,
    unregistered: int = 0,
    named: Callable[[], str] = new_identifier,
) -> Claim | None:
    """What the data folder at `data` gets; None = the machine has no free range.

    `record` is what lies in it. `is_alive` says of an entry whether another data folder than this one, at the entry's
    place, holds its identifier. Without a record, an Aerodrome without a register may have made environments: these
    have the `unregistered` uids from `lowest` on, one each. Where that reaches beyond the uids that environments have
    in a range, the uid of one would be another's second: so the whole installation moves.
    """
    others = [each for each in register.installations if record is None or each.identifier != record.identifier]
    known = register.without(*(each.identifier for each in others if not is_alive(each)))
    entry = known.find(record.identifier) if record is not None else None
    if record is not None and entry is not None and not is_alive(entry):
        return Claim(
            known.having(replace(entry, data=data)), replace(entry, data=data), record.firsts, record.unregistered
        )
    before = record.firsts if record is not None else (lowest,) if unregistered else ()
    many = record.unregistered if record is not None else unregistered if unregistered > ENVIRONMENTS else 0
    if many:
        taken = range(before[0], before[0] + many)
        machine = replace(machine, accounts=(*machine.accounts, taken))  # old and new uids differ, so moves may repeat
    # With an entry that is alive elsewhere, this folder is a copy.
    identifier = record.identifier if record is not None and entry is None else named()
    own = UidRanges(identifier, data, ())
    for wanted in (None,) * (1 + index_of(many - 1)) if many else before or (None,):
        # What runs under the uids that it had may be its own.
        keeps = wanted is not None and _is_free(range(wanted, wanted + SIZE), known.having(own), machine)
        first = wanted if keeps else _next(known.having(own), machine, lowest=lowest)
        if first is None:
            return None
        known = known if keeps else replace(known, last=first)
        own = replace(own, firsts=(*own.firsts, first))
    return Claim(known.having(own), own, before, many)


def extended(register: Register, own: UidRanges, machine: Machine, *, lowest: int) -> Claim | None:
    """The installation with one range more; None = the machine has no free one."""
    first = _next(register, machine, lowest=lowest)
    if first is None:
        return None
    more = replace(own, firsts=(*own.firsts, first))
    return Claim(replace(register.having(more), last=first), more, own.firsts)


def _next(register: Register, machine: Machine, *, lowest: int) -> int | None:
    """The free range after the one that was given out last; after the last of all, from the beginning."""
    end = min(END, max(ids.stop for ids in machine.mapped))
    for start in (max(lowest, register.last + SIZE), lowest):
        for first in _candidates(start, end):
            span = range(first, first + SIZE)
            if _is_free(span, register, machine) and not any(uid in span for uid in machine.running):
                return first
    return None


def _candidates(first: int, end: int) -> Iterator[int]:
    while first + SIZE <= end:
        over = next((ids for ids in NOT_OURS if _overlap(ids, range(first, first + SIZE))), None)
        if over is None:
            yield first
            first += SIZE
        else:
            first = over.stop


def _is_free(span: range, register: Register, machine: Machine) -> bool:
    taken: Iterable[range] = (*machine.accounts, *(each for one in register.installations for each in one.spans()))
    return any(_holds(ids, span) for ids in machine.mapped) and not any(_overlap(ids, span) for ids in taken)


def _overlap(one: range, other: range) -> bool:
    return one.start < other.stop and other.start < one.stop


def _holds(ids: range, span: range) -> bool:
    return ids.start <= span.start and span.stop <= ids.stop
