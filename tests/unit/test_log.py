"""Logging never raises: what cannot be made or written is dropped, counted, and told later."""

from __future__ import annotations

import contextlib
import errno
import io
import json
import logging
import sys
from collections.abc import Iterator

import pytest
import structlog

from aerodrome import log


class Disk(io.StringIO):
    """A stream on a disk that may be full."""

    full = False

    def write(self, text: str) -> int:
        if self.full:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(text)

    def flush(self) -> None:
        if self.full:
            raise OSError(errno.ENOSPC, "No space left on device")


class Unspeakable:
    def __repr__(self) -> str:
        raise ValueError("no")


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    found = Disk()
    monkeypatch.setattr(sys, "stderr", found)
    monkeypatch.setattr(logging, "raiseExceptions", True)
    log.configure()
    yield found
    structlog.reset_defaults()


def lines(disk: Disk) -> list[dict[str, object]]:
    return [json.loads(line) for line in disk.getvalue().splitlines()]


@pytest.mark.parametrize("say", ["info", "warning", "error", "exception", "critical"])
def test_a_full_disk_drops_lines_and_says_later_how_many(disk, say):
    logger = structlog.get_logger("any")
    disk.full = True
    for _ in range(3):
        getattr(logger, say)("lost", exc_info=KeyError("first"))
    disk.full = False
    logger.info("back")
    logger.info("on")
    assert [(line["event"], line.get("lines_dropped")) for line in lines(disk)] == [("back", 3), ("on", None)]


def test_a_closed_stream_raises_nothing(disk):
    logger = structlog.get_logger("any")
    disk.close()
    logger.info("lost")
    logging.getLogger("library").warning("lost")


def test_a_line_that_cannot_be_made_is_dropped(disk):
    logger = structlog.get_logger("any")
    logger.info("lost", fact=Unspeakable())
    logger.bind(fact=Unspeakable()).exception("lost")
    logger.info("said", fact=1)
    assert [(line["event"], line["lines_dropped"]) for line in lines(disk)] == [("said", 2)]


def test_lines_are_what_they_were(disk):
    structlog.get_logger("any").bind(environment="one").info("done", fact=1)
    structlog.get_logger("any").debug("unsaid")
    [line] = lines(disk)
    assert (line["event"], line["level"], line["environment"], line["fact"]) == ("done", "info", "one", 1)


def test_the_same_trouble_is_written_once_in_a_while_and_then_says_how_often():
    now = [0.0]
    repeats = log.Repeats(lambda: now[0])
    tell = {"level": "error", "event": "down", "reason": "no answer"}

    def told(**more):
        with contextlib.suppress(structlog.DropEvent):
            return repeats(None, "", {**tell, **more})
        return None

    assert told() == tell
    now[0] = log.REPEATED_AFTER - 1
    assert [told(), told(), told(reason="another")["reason"]] == [None, None, "another"]
    assert [told(level="info"), told(level="info")] == [{**tell, "level": "info"}] * 2
    now[0] = log.REPEATED_AFTER
    assert told() == {**tell, "repeated": 2}
    assert told() is None
    for number in range(2 * log.MOST_REMEMBERED):
        assert told(reason=number) is not None
    assert len(repeats._told) <= log.MOST_REMEMBERED


def test_a_traceback_that_comes_again_is_written_once(disk):
    def fail() -> None:
        try:
            {}["again"]
        except KeyError:
            structlog.get_logger("any").exception("a request failed")

    for _ in range(5):
        fail()
    [line] = lines(disk)
    assert "KeyError" in str(line["exception"])
