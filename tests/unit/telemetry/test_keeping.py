from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from aerodrome.telemetry.acceptance import DAY
from aerodrome.telemetry.keeping import (
    FLUSHED_AGE,
    FLUSHED_ROWS,
    LARGE_LINE,
    MERGED_BYTES,
    MERGED_BYTES_OF_LARGE,
    MERGED_PARTS,
    SMALL_ROWS,
    DropReason,
    Fresh,
    Part,
    StoreLimits,
    plan,
)

TODAY = 20_000
NOW = TODAY * DAY + 12 * 3_600_000
ROOMY = StoreLimits(total_bytes=2**40, longest_days=90)


def part(identifier: int, *, day: int = TODAY, size: int = 100, rows: int = 10, raw: int = 100, group: int = 1) -> Part:
    return Part(
        identifier=identifier,
        group=group,
        day=day,
        name=f"{identifier}",
        rows=rows,
        size=size,
        raw=raw,
        last_moment=day * DAY,
    )


def fresh(*, rows: int = 1, oldest: int = NOW) -> Fresh:
    return Fresh(group=1, day=TODAY, rows=rows, size=rows * 100, oldest=oldest, last_number=rows)


def planned(parts=(), newest=(), *, retention=None, limits=ROOMY):
    return plan(now=NOW, retentions={1: retention}, fresh=newest, parts=parts, limits=limits)


def test_the_newest_events_go_to_a_file_when_they_are_many_or_old():
    assert planned(newest=[fresh()]).writes == ()
    assert planned(newest=[fresh(rows=FLUSHED_ROWS)]).writes[0].up_to == FLUSHED_ROWS
    assert planned(newest=[fresh(oldest=NOW - FLUSHED_AGE)]).writes[0].parts == ()


def test_small_files_of_one_day_are_merged():
    small = [part(number) for number in range(MERGED_PARTS)]
    assert planned(small).writes[0].parts == tuple(small)
    assert planned(small[1:]).writes == ()
    assert planned([part(number, rows=SMALL_ROWS) for number in range(MERGED_PARTS)]).writes == ()
    assert planned([part(number, day=TODAY - number) for number in range(MERGED_PARTS)]).writes == ()


@given(
    st.lists(
        st.tuples(st.integers(1, 2 * MERGED_BYTES), st.sampled_from([100, LARGE_LINE + 1])),
        min_size=MERGED_PARTS,
        max_size=40,
    )
)
def test_a_merge_takes_no_more_bytes_than_it_has_memory_for(sizes):
    def is_large(each: Part) -> bool:
        return each.raw > LARGE_LINE * each.rows

    left = [part(number, raw=raw, rows=max(raw // line, 1)) for number, (raw, line) in enumerate(sizes)]
    number = len(sizes)
    while writes := planned(left).writes:
        for merge in writes:
            raw, rows = sum(each.raw for each in merge.parts), sum(each.rows for each in merge.parts)
            (large,) = {is_large(each) for each in merge.parts}
            assert 2 <= len(merge.parts) <= MERGED_PARTS
            assert raw <= (MERGED_BYTES_OF_LARGE if large else MERGED_BYTES)
            number += 1
            left = [each for each in left if each not in merge.parts] + [part(number, raw=raw, rows=rows)]
    for large, most in ((True, MERGED_BYTES_OF_LARGE), (False, MERGED_BYTES)):
        small = [each for each in left if each.rows < SMALL_ROWS and each.raw < most // 2 and is_large(each) == large]
        assert len(small) < MERGED_PARTS, "it ends with few small ones"


def test_a_file_goes_when_its_last_event_is_beyond_retention_or_beyond_the_stores_own_limit():
    old, new = part(1, day=TODAY - 8), part(2, day=TODAY - 6)
    found = planned([old, new], retention=7)
    assert [(each.part, each.reason) for each in found.drops] == [(old, DropReason.RETENTION)]
    ancient = part(3, day=TODAY - 91)
    assert [each.reason for each in planned([ancient]).drops] == [DropReason.LONGEST]
    assert [each.reason for each in planned([ancient], retention=365).drops] == [DropReason.LONGEST]


@given(
    st.lists(st.tuples(st.integers(TODAY - 100, TODAY), st.integers(1, 1000), st.integers(1, 10**6)), max_size=40),
    st.integers(1, 20_000),
)
def test_of_one_group_the_oldest_goes_first_and_the_size_is_bounded(files, most):
    parts = [part(number, day=day, size=size, rows=rows) for number, (day, size, rows) in enumerate(files)]
    found = planned(parts, limits=StoreLimits(total_bytes=most, longest_days=90))
    gone = {each.part.identifier for each in found.drops}
    left = [each for each in parts if each.identifier not in gone]
    assert sum(each.size for each in left) <= most
    assert max((each.part.last_moment for each in found.drops), default=0) <= min(
        (each.last_moment for each in left), default=NOW
    )
    assert all(each.identifier not in gone for write in found.writes for each in write.parts)
    if sum(each.size for each in parts) <= most:
        assert all(each.reason is DropReason.LONGEST for each in found.drops)


@given(
    st.lists(st.tuples(st.integers(1, 4), st.integers(TODAY - 80, TODAY), st.integers(1, 1000)), max_size=60),
    st.integers(1, 20_000),
)
def test_beyond_the_size_a_group_loses_only_while_it_is_the_largest(files, most):
    parts = [part(number, group=group, day=day, size=size) for number, (group, day, size) in enumerate(files)]
    found = plan(
        now=NOW,
        retentions=dict.fromkeys(range(1, 5)),
        fresh=[],
        parts=parts,
        limits=StoreLimits(total_bytes=most, longest_days=90),
    )
    sizes = {group: sum(each.size for each in parts if each.group == group) for group in range(1, 5)}
    for drop in found.drops:
        group = drop.part.group
        assert sizes[group] == max(sizes.values()), "a smaller neighbour loses nothing"
        sizes[group] -= drop.part.size
        own = [each for each in parts if each.group == group and each.last_moment < drop.part.last_moment]
        assert {each.identifier for each in own} <= {each.part.identifier for each in found.drops}
    assert sum(sizes.values()) <= most
