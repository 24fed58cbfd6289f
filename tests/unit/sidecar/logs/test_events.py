from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aerodrome.sidecar.logs import events
from aerodrome.sidecar.logs.events import LARGEST, grouped, read

NOW = 1_800_000_000_000


def split(text: str, *, settled: bool = True) -> list[str]:
    found = grouped(text.encode(), is_settled=settled, is_full=False)
    return [each.decode() for each in found.events]


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
    assert "".join(read(each, now=NOW, not_before=0, oldest=0).message for each in found.events) == text


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
        ("printed", NOW, 20),
        ("[2226-11-30T10:00:00.123+0000] {a.py:1} INFO - from the future", NOW, 20),
    ],
)
def test_times_and_levels_are_read(text, moment, level):
    found = read(text.encode(), now=NOW, not_before=0, oldest=0)
    assert (found.moment, found.level, found.message) == (moment, level, text)


def test_times_never_go_backwards_in_a_stream():
    old = b"[2026-11-30T10:00:00.123+0000] {a.py:1} INFO - x"
    assert read(old, now=NOW, not_before=NOW - 5, oldest=0).moment == NOW - 5
    assert read(old, now=NOW, not_before=0, oldest=NOW - 9).moment == NOW - 9


@given(st.binary(max_size=300))
def test_whatever_code_prints_can_be_read(printed):
    for event in grouped(printed, is_settled=True, is_full=False).events:
        assert read(event, now=NOW, not_before=0, oldest=0).level in events.LEVELS.values()
