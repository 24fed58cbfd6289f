"""What disk images must keep free, so that all of them together leave the reserve of the disk below."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from aerodrome.backends.local.disk_images import BLOCK
from aerodrome.backends.local.disk_reserve import USUAL, Attached, held_back

GIB = 2**30
MIB = 2**20


@st.composite
def images(draw) -> dict[str, Attached]:
    found = {}
    for number in range(draw(st.integers(1, 12))):
        size = draw(st.integers(16, 20 * 1024)) * MIB
        backed = draw(st.integers(0, size // BLOCK)) * BLOCK
        pending = draw(st.integers(0, (size - backed) // BLOCK)) * BLOCK
        found[f"loop{number}"] = Attached(size, backed, pending)
    return found


def grows(image: Attached, clusters: int) -> int:
    """The most that the image can take from the disk below, while it keeps so many clusters free."""
    return max(0, image.size - image.backed - clusters * BLOCK)


@given(images(), st.integers(0, 1000 * GIB), st.integers(0, 4 * GIB))
def test_together_they_leave_the_reserve(found, free, reserve) -> None:
    told = held_back(found, free, reserve)
    pending = sum(each.pending for each in found.values())
    taken = sum(grows(found[name], clusters) for name, clusters in told.items())
    rounding = len(found) * 2 * BLOCK
    assert taken <= max(pending, free - reserve) + rounding
    assert all(0 <= clusters < found[name].size // BLOCK for name, clusters in told.items())


@given(images())
def test_where_there_is_room_they_keep_no_more_than_ext4_itself(found) -> None:
    told = held_back(found, free=10_000 * GIB, reserve=2 * GIB)
    assert all(clusters == min(USUAL, found[name].size // BLOCK // 50) for name, clusters in told.items())


def test_one_that_fills_leaves_the_others_their_part() -> None:
    found = {"loop0": Attached(20 * GIB, 10 * GIB, 0), "loop1": Attached(4 * GIB, 0, 0)}
    told = held_back(found, free=3 * GIB, reserve=2 * GIB)
    assert [grows(found[name], told[name]) // MIB for name in found] == [496, 496]
    assert held_back({}, 0, 1) == {}
