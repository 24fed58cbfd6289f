"""Lines made into events: a traceback is one event, and each has a time and a level. Pure.

Airflow 1.10 and 2 begin what they log with `[time]`, Airflow 3 with the time alone or as one JSON object for each line.
Lines that begin otherwise belong to the event before them, if Airflow began that. What a unit prints in other ways is
an event for each line, but for indented lines and tracebacks.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

LARGEST = 256 * 1024 - 26
"""Bytes of an event's message; more is cut into several."""

LEVELS = {"DEBUG": 10, "INFO": 20, "WARNING": 30, "WARN": 30, "ERROR": 40, "CRITICAL": 50, "EXCEPTION": 40}

_LEVEL_OF = LEVELS | {name.lower(): level for name, level in LEVELS.items()}

_AIRFLOWS = rb"(?:\[?\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d|\{\")"

_BEGINNING = re.compile(_AIRFLOWS)

_NEXT = re.compile(rb"\n" + _AIRFLOWS)
"""A line that begins an event of Airflow's, with the line end before it: `re` looks for one byte much faster."""

_HEAD = re.compile(
    r"(?:\[|\{\"timestamp\": ?\")?"
    r"(\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d)(?:[.,](\d{1,3})\d{0,6})? ?(Z|[+-]\d\d:?\d\d)?"
    r"(?:\] \{[^\s\[:}]{1,200}:\d{1,9}\} (DEBUG|INFO|WARNING|ERROR|CRITICAL) - "
    r"| ?\[(debug|info|warning|error|critical|exception) *\]"
    r"|\", ?\"level\": ?\"([a-z]+)\")?",
    re.ASCII,
)
"""The time: second, fraction, zone. The last group is the level, where it is in its usual place, with none before."""

_SCALE = (0, 100, 10, 1)
"""Milliseconds that the last of so many digits of a second's fraction stands for."""

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


ShippedEvent = tuple[int, str]
"""One event: its time, in milliseconds since 1970, and its text. A plain tuple, for many are made."""


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
    starts = _starts(piece)
    ends = [*starts[1:], len(piece)] if starts else []
    if starts and not is_settled and not (is_full and len(starts) == 1):
        starts, ends = starts[:-1], ends[:-1]
    found: list[bytes] = []
    sent: list[int] = []
    for start, end in zip(starts, ends, strict=True):
        message = piece[start:end].rstrip(b"\r\n\0").lstrip(b"\0")  # zeros: the edges of a hole
        if not message or message.isspace():
            continue
        if len(message) <= LARGEST:
            found.append(message)
        else:
            parts = _cut(message)
            found += parts
            sent += [start] * (len(parts) - 1)  # it is sent with its last part
        sent.append(end)
    return Grouped(tuple(found), tuple(sent), ends[-1] if ends else 0)


def read(grouped: Grouped, *, now: int, not_before: int, least: int) -> tuple[list[ShippedEvent], list[int]]:
    """The events of a level or above, each at the time that its text says, and the ends of the same events.

    No time is in the future, or before `not_before` or the event before it. One function for all, for many lines come.
    """
    found: list[ShippedEvent] = []
    ends: list[int] = []
    known, second = None, None
    for message, end in zip(grouped.events, grouped.ends, strict=True):
        text = message.decode("utf-8", "replace")
        head = _HEAD.match(text)
        moment, level = now, None
        if head is not None:
            said, fraction, zone = head.group(1, 2, 3)
            if (said, zone) != known:  # lines of the same second are beside each other
                known, second = (said, zone), _second(said, zone)
            if second is not None:
                moment = second + int(fraction) * _SCALE[len(fraction)] if fraction else second
            level = _LEVEL_OF.get(head[head.lastindex or 0])
        level = level or _level(text)
        if level >= least:
            moment = now if moment > now else moment  # noqa: FURB136 - min and max take a third as long as all of this
            not_before = moment if moment > not_before else not_before  # noqa: FURB136
            found.append((not_before, text))
            ends.append(end)
    return found, ends


def _starts(piece: bytes) -> list[int]:
    """Where its events begin. Behind Airflow's first, each begins as Airflow's do."""
    first = 0 if _BEGINNING.match(piece) else _first(piece)
    starts = _starts_of_printed(piece[:first])
    if first < len(piece):
        starts.append(first)
        starts += [found.start() + 1 for found in _NEXT.finditer(piece, first)]
    return starts


def _first(piece: bytes) -> int:
    """Where Airflow's first event begins."""
    found = _NEXT.search(piece)
    return len(piece) if found is None else found.start() + 1


def _starts_of_printed(piece: bytes) -> list[int]:
    starts: list[int] = []
    place, before, is_open = 0, b"", False
    for line in _lines(piece):
        if not starts or _begins(line, before, is_open=is_open):
            starts.append(place)
            is_open = line.startswith(_TRACEBACK)
        elif line.startswith(_TRACEBACK):
            is_open = True
        elif is_open and line.strip() and not line[:1].isspace():
            is_open = False  # the line of the exception itself
        before = line if line.strip() else before
        place += len(line)
    return starts


def _begins(line: bytes, before: bytes, *, is_open: bool) -> bool:
    if is_open or not line.strip() or line[:1].isspace() or line.startswith(_CHAINED):
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


def _second(said: str, zone: str | None) -> int | None:
    """Milliseconds since 1970; without a zone it is UTC. None: there is no such time."""
    try:
        found = datetime.fromisoformat(said + (zone or "Z"))
    except ValueError:
        return None
    return round(found.timestamp()) * 1000


def _level(text: str) -> int:
    """What the text says of its level; INFO when it says nothing, as MWAA takes what is printed."""
    found = _JSON_LEVEL.search(text) if text.startswith('{"') else _LEVEL.search(text, 0, _LOOKED_AT)
    name = found.group(found.lastgroup) if found is not None and found.lastgroup else "INFO"
    return _LEVEL_OF.get(name, LEVELS["INFO"])
