"""Limits that are met again and again are one event, each limit by itself."""

from __future__ import annotations

from aerodrome.cell import fullness, images, placement


def test_what_follows_within_a_minute_is_the_same_event() -> None:
    first = placement.met(None, "memory", 1, 100.0)
    again = placement.met(first, "memory", 2, 150.0)
    assert (again.at, again.last, again.times) == (100.0, 150.0, 3)
    later = placement.met(again, "memory", 1, 150.0 + placement.ONE_EVENT)
    assert (later.at, later.times) == (210.0, 1)


def test_a_disk_is_full_when_bytes_or_files_are_short() -> None:
    whole = images.Space(2**30, 2**29, 1000)
    assert not fullness.is_full(whole)
    assert fullness.is_full(whole._replace(free=4096))
    assert fullness.is_full(whole._replace(files=0))
