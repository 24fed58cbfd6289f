"""Bodies on their way to the emulator: whole in a file, whoever writes them, and gone afterwards."""

import asyncio
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aerodrome.api.aws import spool
from aerodrome.api.aws.spool import DiskPace, Spool
from aerodrome.identity.payloads import Unsigned


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 10)), max_size=20))
def test_a_disk_that_was_slow_is_waited_for_once_in_a_while_only(writes):
    pace, now = DiskPace(), 0.0
    slow_at = float("-inf")
    for seconds, later in writes:
        now += later
        assert pace.is_quick(now) == (now >= slow_at + spool.REST)
        pace.took(seconds, now)
        slow_at = now if seconds >= spool.SLOW else slow_at


@pytest.mark.parametrize("is_slow", [False, True])
@pytest.mark.parametrize("sizes", [[], [1], [100, 9000, 300_000], [spool.PIECE, 5, spool.PIECE + 1]])
def test_the_file_has_the_body_and_is_gone_then(tmp_path, monkeypatch, sizes, is_slow):
    pieces = [bytes([65 + number]) * size for number, size in enumerate(sizes)]
    writers = set()
    end = spool._end

    def noted(*given):
        writers.add(threading.current_thread())
        end(*given)

    monkeypatch.setattr(spool, "_end", noted)

    async def arriving():
        for piece in pieces:
            yield piece

    async def take() -> bytes:
        spooled = Spool(tmp_path)
        monkeypatch.setattr(spooled._pace, "is_quick", lambda _: not is_slow)  # whatever this machine's disk is
        async with spooled.taken(arriving(), Unsigned()) as name:
            return (tmp_path / name).read_bytes()

    assert asyncio.run(take()) == b"".join(pieces)
    assert list(tmp_path.iterdir()) == []
    assert (writers == {threading.main_thread()}) is not is_slow
