"""No two installations on a machine ever have a uid in common, whatever is moved, copied, removed or lost."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from aerodrome.services import uid_ranges
from aerodrome.services.uid_ranges import SIZE, Claim, Machine, Register, UidRanges

LOWEST = 30_000


@dataclass
class Disk:
    """Data folders, by their places, and the register of their machine."""

    register: Register = field(default_factory=Register)
    machine: Machine = field(default_factory=Machine)
    records: dict[str, UidRanges | None] = field(default_factory=dict)
    names: itertools.count = field(default_factory=itertools.count)

    def start(self, data: str, *, unregistered: int = 0) -> Claim:
        found = uid_ranges.claim(
            self.register,
            self.records.get(data),
            data,
            is_alive=lambda entry: (
                entry.data != data
                and (there := self.records.get(entry.data)) is not None
                and there.identifier == entry.identifier
            ),
            machine=self.machine,
            lowest=LOWEST,
            unregistered=unregistered,
            named=lambda: f"installation-{next(self.names)}",
        )
        assert found is not None
        self.register = found.register
        self.records[data] = found.own
        return found

    def uids_are_nobody_elses(self) -> bool:
        spans = [span for each in self.register.installations for span in each.spans()]
        return all(not set(one) & set(other) for one, other in itertools.combinations(spans, 2))


places = st.sampled_from(["/a", "/b", "/c", "/d"])
moves = st.one_of(
    st.tuples(st.just("start"), places, st.sampled_from([0, 1, 700, 2_500])),
    st.tuples(st.just("grow"), places),
    st.tuples(st.just("copy"), places, places),
    st.tuples(st.just("move"), places, places),
    st.tuples(st.just("remove"), places),
    st.tuples(st.just("lose the register")),
)


@given(st.lists(moves, max_size=30))
def test_whatever_happens_two_installations_that_have_started_share_no_uid(history):
    disk, started = Disk(), dict[str, UidRanges]()
    for what, *arguments in history:
        match what, arguments:
            case "start", [data, unregistered]:
                started[data] = disk.start(data, unregistered=unregistered).own
            case "grow", [data] if data in started:
                found = uid_ranges.extended(disk.register, disk.start(data).own, disk.machine, lowest=LOWEST)
                assert found is not None
                disk.register, disk.records[data], started[data] = found.register, found.own, found.own
            case "copy" | "move", [old, new] if old in disk.records and old != new:
                disk.records[new] = disk.records[old]
                started.pop(new, None)  # it is not started yet where it is now
                if what == "move":
                    del disk.records[old]
                    started.pop(old, None)
            case "remove", [data]:
                disk.records.pop(data, None)
                started.pop(data, None)
            case "lose the register", []:
                # As a new root file system does: what runs, runs on the old one no more.
                disk.register, started = Register(), {}
        assert disk.uids_are_nobody_elses()
        spans = [span for each in started.values() for span in each.spans()]
        assert all(not set(one) & set(other) for one, other in itertools.combinations(spans, 2))


def test_an_installation_keeps_its_uids_from_start_to_start_and_where_it_is_moved():
    disk = Disk()
    first = disk.start("/a").own
    assert (disk.start("/a").own, first.firsts) == (first, (LOWEST,))
    disk.records["/b"] = disk.records.pop("/a")
    moved = disk.start("/b")
    assert (moved.own.firsts, moved.own.data, moved.moves) == ((LOWEST,), "/b", False)
    assert [each.data for each in disk.register.installations] == ["/b"]


def test_a_copy_gets_uids_of_its_own_and_its_files_move():
    disk = Disk()
    original = disk.start("/a").own
    disk.records["/b"] = original
    copy = disk.start("/b")
    assert copy.moves
    assert copy.before == original.firsts
    assert copy.own.identifier != original.identifier
    assert disk.start("/a").own == original


def test_of_two_older_installations_with_the_same_uids_the_first_keeps_them_and_the_other_moves():
    disk = Disk()
    assert not disk.start("/a", unregistered=1).moves
    second = disk.start("/b", unregistered=1)
    assert second.moves
    assert (second.before, second.own.firsts) == ((LOWEST,), (LOWEST + SIZE,))


def test_a_move_that_was_broken_off_is_taken_up_again():
    disk = Disk()
    disk.start("/a", unregistered=1)
    second = disk.start("/b", unregistered=1)
    disk.records["/b"] = UidRanges(second.own.identifier, "/b", second.before)  # the files are where they were
    again = disk.start("/b", unregistered=1)
    assert (again.own, again.before, again.moves) == (second.own, second.before, True)


@given(st.integers(min_value=1, max_value=4_000))
def test_older_environments_never_have_a_uid_that_another_one_has_in_a_range(count):
    disk = Disk()
    found = disk.start("/a", unregistered=count)
    assert found.moves == (count > uid_ranges.ENVIRONMENTS)
    new = dict(found.uids())
    assert {LOWEST + number: found.own.environment(number) for number in range(count)}.items() <= new.items()
    controls = {found.own.control(number) for number in range(count)}
    assert not controls & {new[LOWEST + number] for number in range(count)}
    if found.moves:
        assert not set(new) & set(new.values())  # a move that was broken off is taken up again from the start
        disk.records["/a"] = UidRanges(found.own.identifier, "/a", found.before, found.unregistered)
        again = disk.start("/a")
        assert (again.own, dict(again.uids()), again.moves) == (found.own, new, True)
    disk.records["/a"] = found.own
    settled = disk.start("/a")
    assert (settled.own, settled.moves) == (found.own, False)


def test_what_was_given_back_is_given_out_again_as_late_as_possible():
    disk = Disk()
    given_out = []
    for _ in range(3):
        given_out += disk.start("/a").own.firsts
        del disk.records["/a"]
    assert given_out == [LOWEST, LOWEST + SIZE, LOWEST + 2 * SIZE]
    assert len(disk.register.installations) == 1


def test_a_range_in_which_somebody_has_an_account_or_runs_something_is_nobodys():
    disk = Disk(machine=Machine(accounts=(range(30_500, 30_501),), running=frozenset({33_999})))
    assert disk.start("/a").own.firsts == (34_000,)
    assert disk.start("/old", unregistered=1).moves  # its uids belong to an account here


def test_a_namespace_of_few_ids_gives_out_those_that_it_has_and_then_none():
    small = Machine(mapped=(range(65_536),))
    register = Register()
    for number in range(15):
        own = UidRanges(str(number), f"/{number}", ())
        found = uid_ranges.extended(register, own, small, lowest=LOWEST)
        assert found is not None
        register = found.register
        assert all(span.stop <= 60_000 for span in found.own.spans())
    assert uid_ranges.extended(register, UidRanges("one more", "/more", ()), small, lowest=LOWEST) is None


@given(st.integers(min_value=0, max_value=2_999), st.integers(min_value=0, max_value=2_999), st.integers(0, 2**22))
def test_environments_builders_checks_and_emulator_of_an_installation_are_never_the_same(number, other, pid):
    own = UidRanges("own", "/a", (30_000, 34_000, 66_000, 68_000, 70_000, 72_000))
    environment = own.environment(number)
    uids = (environment, own.control(other), own.builder(other), own.checker(pid), own.emulator)
    assert len({*uids}) == 5
    assert all(any(uid in span for span in own.spans()) for uid in uids)
    assert (own.environment(other) == environment) == (other == number)


@given(st.integers(min_value=10_000, max_value=70_000), st.sets(st.integers(10_000, 120_000), max_size=20))
def test_no_range_touches_what_others_give_out(lowest, running):
    machine = Machine(running=frozenset(running))
    found = uid_ranges.extended(Register(), UidRanges("own", "/a", ()), machine, lowest=lowest)
    assert found is not None
    [span] = found.own.spans()
    assert span.start >= lowest
    assert not any(uid in span for uid in running)
    assert not any(span.start < ids.stop and ids.start < span.stop for ids in uid_ranges.NOT_OURS)
