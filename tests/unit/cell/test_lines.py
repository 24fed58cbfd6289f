from __future__ import annotations

import os
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aerodrome.cell import control, readiness, specs


def echo(request: dict[str, Any]) -> dict[str, Any]:
    return {"ok": True, "op": request.get("op")}


def test_a_request_is_answered() -> None:
    assert control.respond(b'{"op":"status"}', echo) == {"ok": True, "op": "status"}


@pytest.mark.parametrize("line", [b"", b"{", b"\xff", b"7", b"[]", b'"x"', b"[" * 100_000, b"NaN"])
def test_what_is_no_object_is_refused(line) -> None:
    answer = control.respond(line, echo)

    assert not answer["ok"]
    assert "must be" in answer["error"]


@given(st.binary(max_size=200))
def test_any_bytes_are_answered(line: bytes) -> None:
    assert "ok" in control.respond(line, echo)


def test_a_refusal_is_told_and_a_fault_keeps_its_text_to_itself(capfd) -> None:
    def refuse(_: dict[str, Any]) -> dict[str, Any]:
        raise specs.RefusedError("cannot do that")

    def fail(_: dict[str, Any]) -> dict[str, Any]:
        raise ValueError("hunter2")

    assert control.respond(b"{}", refuse) == {"ok": False, "error": "cannot do that"}
    assert "ValueError" in control.respond(b"{}", fail)["error"]
    log = capfd.readouterr().err
    assert "test_lines.py" in log
    assert "hunter2" not in log


@pytest.fixture
def notices():
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    heard = readiness.NotifyReader(reader)
    yield heard, writer
    heard.close()
    os.close(writer)


def test_notices_are_heard_in_pieces(notices) -> None:
    heard, writer = notices
    os.write(writer, b"STATUS=load")
    heard.read()
    assert (heard.status, heard.ready) == ("", False)

    os.write(writer, b"ing\nREADY=1\n")
    heard.read()
    assert (heard.status, heard.ready) == ("loading", True)


def test_signs_of_life_are_taken_once_and_a_complaint_lasts_until_it_is_taken_back(notices) -> None:
    heard, writer = notices
    os.write(writer, b"READY=1\nWATCHDOG=1\n")
    heard.read()
    assert (heard.take_beat(), heard.take_beat(), heard.trouble) == (True, False, "")

    os.write(writer, b"STATUS=stuck\nWATCHDOG=trigger\n")
    heard.read()
    assert (heard.take_beat(), heard.trouble) == (True, "stuck")

    os.write(writer, b"WATCHDOG=1\n")
    heard.read()
    assert heard.trouble == ""


def test_a_pipe_that_nobody_read_for_hours_is_emptied_at_once(notices) -> None:
    heard, writer = notices
    os.write(writer, b"WATCHDOG=trigger\n" * 3000)
    os.write(writer, b"WATCHDOG=1\n")
    heard.read()
    assert heard.trouble == ""


def test_nothing_new_is_nothing(notices) -> None:
    heard, _ = notices
    heard.read()
    assert not heard.ready


@given(pieces=st.lists(st.binary(min_size=1, max_size=2000), max_size=8))
def test_hostile_notices_are_bounded(pieces: list[bytes]) -> None:
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    heard = readiness.NotifyReader(reader)
    for piece in pieces:
        os.write(writer, piece)
        heard.read()
    heard.close()
    os.close(writer)

    assert len(heard.status) <= readiness.LONGEST_STATUS
    assert heard.status.isprintable()
    assert len(heard._buffer) <= readiness.LONGEST_LINE


def test_an_answer_that_comes_later_goes_where_it_was_awaited() -> None:
    later = control.PendingAnswer()
    told: list[dict[str, Any]] = []

    assert control.respond(b"{}", lambda _: later) is later
    later.bind(told.append)
    later.settle({"ok": True})

    assert told == [{"ok": True}]


def test_an_answer_that_nobody_awaits_goes_nowhere() -> None:
    later = control.PendingAnswer()
    told: list[dict[str, Any]] = []
    later.settle({"ok": True})
    later.bind(told.append)
    later.is_abandoned = True

    later.settle({"ok": True})

    assert told == []
