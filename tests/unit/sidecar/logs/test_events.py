from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aerodrome.sidecar.logs import events
from aerodrome.sidecar.logs.events import LARGEST, LEVELS, Grouped, ShippedEvent, grouped

NOW = 1_800_000_000_000


def split(text: str, *, settled: bool = True) -> list[str]:
    found = grouped(text.encode(), is_settled=settled, is_full=False)
    return [each.decode() for each in found.events]


def read(message: bytes, *, not_before: int = 0, least: int = 0) -> list[ShippedEvent]:
    return events.read(Grouped((message,), (1,), 1), now=NOW, not_before=not_before, least=least)[0]


AIRFLOW2 = """\
[2026-11-30T10:00:00.123+0000] {taskinstance.py:1134} INFO - first
[2026-11-30T10:00:01.000+0000] {taskinstance.py:3311} ERROR - Task failed with exception
Traceback (most recent call last):
  File "/x.py", line 1, in f

    boom()
ValueError: two
lines

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
KeyError: 'a'
[2026-11-30T10:00:02.000+0000] {taskinstance.py:1200} INFO - last
"""

PRINTED = """\
hello
world
Process Worker-1:
Traceback (most recent call last):
  File "/x.py", line 1, in f
    boom()
ValueError: two

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "/y.py", line 1, in g
KeyError: 'a'
after
"""


def test_a_traceback_is_one_event():
    found = split(AIRFLOW2)
    assert len(found) == 3
    assert found[1].endswith("KeyError: 'a'")
    found = split(PRINTED)
    assert found[:2] == ["hello", "world"]
    assert found[2].startswith("Process Worker-1:")
    assert found[2].endswith("KeyError: 'a'")
    assert found[3:] == ["after"]


def test_the_last_event_waits_for_its_rest():
    text = b"[2026-11-30T10:00:00.123+0000] {a.py:1} INFO - one\n[2026-11-30T10:00:00.124+0000] {a.py:1} ERROR - two\n"
    found = grouped(text, is_settled=False, is_full=False)
    assert [each[-3:] for each in found.events] == [b"one"]
    rest = text[found.consumed :] + b"Traceback (most recent call last):\nE: x\n"
    assert len(grouped(rest, is_settled=True, is_full=False).events) == 1
    assert grouped(b"half a li", is_settled=False, is_full=False).consumed == 0


@given(
    st.lists(
        st.sampled_from([*AIRFLOW2.splitlines(), *PRINTED.splitlines(), '{"timestamp": "x"}', "a\rb"]), max_size=40
    ),
    st.data(),
)
def test_however_a_file_is_read_every_line_comes_once_and_in_order(lines, data):
    whole = "".join(f"{line}\n" for line in lines).encode()
    found, offset, end = [], 0, 0
    while offset < len(whole):
        end = data.draw(st.integers(end, len(whole)))
        settled = end == len(whole)
        got = grouped(whole[offset:end], is_settled=settled, is_full=False)
        found += got.events
        offset += got.consumed
    kept = [line for event in found for line in event.decode().split("\n") if line.strip()]
    assert kept == [line for line in lines if line.strip()]


def test_an_event_that_is_too_large_is_cut_and_a_full_piece_does_not_stop_everything():
    piece = b"x" * (LARGEST + 5)
    found = grouped(piece, is_settled=False, is_full=True)
    assert [len(each) for each in found.events] == [LARGEST, 5]
    assert found.consumed == len(piece)
    assert found.ends == (0, len(piece))


@pytest.mark.parametrize("letter", ["é", "€", "😀"])
def test_an_event_is_not_cut_within_a_letter(letter):
    text = "x" + letter * LARGEST
    found = grouped(text.encode(), is_settled=True, is_full=False)
    assert all(len(each) <= LARGEST for each in found.events)
    assert "".join(event for each in found.events for _, event in read(each)) == text


@pytest.mark.parametrize(
    ("text", "moment", "level"),
    [
        ("[2026-11-30T10:00:00.123+0000] {a.py:1} WARNING - x", 1_796_032_800_123, 30),
        ("[2026-11-30 10:00:00,123] {a.py:1} INFO - an [ERROR] within", 1_796_032_800_123, 20),
        ("2026-11-30T10:00:00.123456Z [error    ] x [airflow]", 1_796_032_800_123, 40),
        ("2026-11-30T11:00:00.123456+01:00 [info     ] x", 1_796_032_800_123, 20),
        ('{"timestamp":"2026-11-30T10:00:00.123456Z","level":"error","event":"x"}', 1_796_032_800_123, 40),
        ('{"timestamp":"2026-11-30T10:00:00.123456Z","event":" ERROR ","level":"debug"}', 1_796_032_800_123, 10),
        ("[2026-11-30 10:00:00,123: CRITICAL/MainProcess] x", 1_796_032_800_123, 50),
        ("[2026-11-30 10:00:00 +0000] [12] [INFO] Starting gunicorn", 1_796_032_800_000, 20),
        ("[2026-11-30T10:00:00.5+0000] {a b.py:1} ERROR - x", 1_796_032_800_500, 40),
        ("2026-11-30T10:00:00.001Z [debug    ] x", 1_796_032_800_001, 10),
        ("[2026-13-30T10:00:00.001+0000] {a.py:1} ERROR - no such time", NOW, 40),
        ("2026-11-30T10:00:00+99:00 [error] no such zone", NOW, 40),
        ("printed", NOW, 20),
        ("[2226-11-30T10:00:00.123+0000] {a.py:1} INFO - from the future", NOW, 20),
    ],
)
def test_times_and_levels_are_read(text, moment, level):
    assert read(text.encode(), least=level) == [(moment, text)]
    assert read(text.encode(), least=level + 1) == []


def test_times_never_go_backwards_in_a_stream():
    old, new = (b"[2026-11-30T10:00:0%d.123+0000] {a.py:1} INFO - x" % second for second in (0, 1))
    [(before, _), (after, _)] = read(old) + read(new)
    assert read(old, not_before=NOW - 5) == [(NOW - 5, old.decode())]
    found, ends = events.read(Grouped((new, old, new), (1, 2, 3), 3), now=NOW, not_before=before, least=0)
    assert ([moment for moment, _ in found], ends) == ([after] * 3, [1, 2, 3])


def test_what_is_below_the_level_holds_no_time_and_no_place():
    low = b"[2026-11-30T10:00:05+0000] {a.py:1} DEBUG - x"
    high = b"[2026-11-30T10:00:00+0000] {a.py:1} ERROR - x"
    found, ends = events.read(Grouped((low, high, low), (1, 2, 3), 3), now=NOW, not_before=0, least=LEVELS["INFO"])
    assert (found, ends) == ([(1_796_032_800_000, high.decode())], [2])


@given(st.binary(max_size=300))
def test_whatever_code_prints_can_be_read(printed):
    for event in grouped(printed, is_settled=True, is_full=False).events:
        [(moment, text)] = read(event)
        assert (moment <= NOW, text) == (True, event.decode("utf-8", "replace"))
