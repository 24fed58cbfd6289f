"""Lines made into events: a traceback is one event, and each has a time and a level. Pure.

Airflow 1.10 and 2 begin what they log with `[time]`, Airflow 3 with the time alone or as one JSON object for each line.
Lines that begin otherwise belong to the event before them, if Airflow began that. What a unit prints in other ways is
an event for each line, but for indented lines and tracebacks.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

LARGEST = 256 * 1024 - 26
"""Bytes of an event's message; more is cut into several."""

LEVELS = {"DEBUG": 10, "INFO": 20, "WARNING": 30, "WARN": 30, "ERROR": 40, "CRITICAL": 50, "EXCEPTION": 40}

_BEGINNING = re.compile(rb"\[?\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d|\{\"")

_TIME = re.compile(
    r"(?:\[|\{\"timestamp\": ?\")?(\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?) ?(Z|[+-]\d\d:?\d\d)?"
)

_LEVEL = re.compile(
    r"\[(?P<structlog>debug|info|warning|error|critical|exception) *\]"
    r"|\} (?P<airflow>DEBUG|INFO|WARNING|ERROR|CRITICAL) - |\[(?P<gunicorn>DEBUG|INFO|WARNING|ERROR|CRITICAL)\]"
    r"|[\[\s:](?P<celery>DEBUG|INFO|WARNING|ERROR|CRITICAL)[/\]\s:]"
)

_JSON_LEVEL = re.compile(r"\"level\": ?\"(?P<json>[a-z]+)\"")

_LOOKED_AT = 400
"""Characters of an event in which its level is looked for; JSON may have it behind its text."""

_INNER = frozenset(bytes([byte]) for byte in range(0x80, 0xC0))
"""Bytes of UTF-8 that begin no letter."""

_TRACEBACK = b"Traceback (most recent call last)"

_CHAINED = (b"During handling of the above exception", b"The above exception was the direct cause")
"""How tracebacks are joined."""


@dataclass(frozen=True, slots=True)
class ShippedEvent:
    """One event."""

    moment: int
    """Milliseconds since 1970."""
    message: str
    level: int


@dataclass(frozen=True, slots=True)
class Grouped:
    """What a piece of a file holds."""

    events: tuple[bytes, ...]
    """Each without its last line end."""
    ends: tuple[int, ...]
    """For each: how many bytes of the piece are sent when it is sent, and all before it."""
    consumed: int
    """Bytes of the piece that are in them."""


def grouped(piece: bytes, *, is_settled: bool, is_full: bool) -> Grouped:
    """The events of a piece that begins at an event.

    The last one is left for later, for more lines of it may come: unless nothing has come for a while (`is_settled`),
    or the piece has no room for more (`is_full`) and nothing else in it.
    """
    lines = piece.splitlines(keepends=True) if b"\r" not in piece else _lines(piece)
    starts: list[int] = []
    place, before, is_open, is_airflows = 0, b"", False, False
    for line in lines:
        if not starts or _begins(line, before, is_open=is_open, is_airflows=is_airflows):
            starts.append(place)
            is_airflows = _BEGINNING.match(line) is not None
            is_open = line.startswith(_TRACEBACK)
        elif line.startswith(_TRACEBACK):
            is_open = True
        elif is_open and line.strip() and not line[:1].isspace():
            is_open = False  # the line of the exception itself
        before = line if line.strip() else before
        place += len(line)
    ends = [*starts[1:], place] if starts else []
    if starts and not is_settled and not (is_full and len(starts) == 1):
        starts, ends = starts[:-1], ends[:-1]
    found: list[bytes] = []
    sent: list[int] = []
    for start, end in zip(starts, ends, strict=True):
        message = piece[start:end].rstrip(b"\r\n\0").lstrip(b"\0")  # zeros: the edges of a hole
        parts = _cut(message) if message.strip() else []
        found += parts
        sent += [*[start] * (len(parts) - 1), end][: len(parts)]  # one that is cut is sent with its last part
    return Grouped(tuple(found), tuple(sent), ends[-1] if ends else 0)


def read(message: bytes, *, now: int, not_before: int, oldest: int) -> ShippedEvent:
    """One event, at the time that its text says: not in the future, and not before two times."""
    text = message.decode("utf-8", "replace")
    said = _moment(text)
    moment = now if said is None or said > now else said
    return ShippedEvent(max(moment, not_before, oldest), text, _level(text))


def _begins(line: bytes, before: bytes, *, is_open: bool, is_airflows: bool) -> bool:
    if _BEGINNING.match(line):
        return True
    if is_airflows or is_open or not line.strip() or line[:1].isspace() or line.startswith(_CHAINED):
        return False
    return not (line.startswith(_TRACEBACK) and before)


def _lines(piece: bytes) -> Sequence[bytes]:
    """Lines that end with a line feed alone: a progress bar's carriage returns are within one."""
    parts = piece.split(b"\n")
    return [each + b"\n" for each in parts[:-1]] + ([parts[-1]] if parts[-1] else [])


def _cut(message: bytes) -> list[bytes]:
    """In parts that a request may have, none of which ends within a letter."""
    parts: list[bytes] = []
    start = 0
    while start < len(message):
        end = min(start + LARGEST, len(message))
        letter = next((place for place in range(end, end - 4, -1) if message[place : place + 1] not in _INNER), end)
        parts.append(message[start:letter])
        start = letter
    return parts


def _moment(text: str) -> int | None:
    found = _TIME.match(text)
    if found is None:
        return None
    try:
        said = datetime.fromisoformat(found[1].replace(",", ".")[:26] + (found[2] or ""))
    except ValueError:
        return None
    return int((said if said.tzinfo else said.replace(tzinfo=UTC)).timestamp() * 1000)


def _level(text: str) -> int:
    """What the text says of its level; INFO when it says nothing, as MWAA takes what is printed."""
    found = _JSON_LEVEL.search(text) if text.startswith('{"') else _LEVEL.search(text, 0, _LOOKED_AT)
    name = found.group(found.lastgroup) if found is not None and found.lastgroup else "INFO"
    return LEVELS.get(name.upper(), LEVELS["INFO"])
