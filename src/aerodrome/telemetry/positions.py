"""Places in the order of events, and the tokens that carry them. Pure.

Events are in the order of their time, and those of one millisecond in the order of their numbers, which count what the
store has taken. So a place is a time and a number, and a page begins after one or ends before one.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from aerodrome.telemetry.refusals import invalid

_SEARCH = re.compile(r"([fb])(\d{20})(\d{36})")

_PAGE = re.compile(r"([fb])/(\d{20})(\d{36})/s")

LONGEST = 4096
"""Characters of a token that are looked at."""


class Position(NamedTuple):
    """A place in the order: that of an event, or between two."""

    moment: int
    number: int


def event_id(position: Position) -> str:
    """56 digits, as AWS has them."""
    return f"{position.moment:020d}{position.number:036d}"


def page_token(direction: str, position: Position) -> str:
    """A token of GetLogEvents: `f` goes on after the position, `b` before it."""
    return f"{direction}/{event_id(position)}/s"


def read_page_token(token: str) -> tuple[str, Position]:
    """Direction and position.

    Raises:
        TelemetryRefusedError: it is none of ours.
    """
    found = _PAGE.fullmatch(token)
    if found is None:
        raise invalid("The specified nextToken is invalid.")
    return found[1], _bounded(int(found[2]), int(found[3]))


def search_token(direction: str, position: Position, asked: Mapping[str, Any]) -> str:
    """A token of FilterLogEvents, `f` forward or `b` backward; it is good for the same question only."""
    text = f"{direction}{event_id(position)}{_fingerprint(asked)}"
    return base64.urlsafe_b64encode(text.encode()).decode()


def read_search_token(token: str, asked: Mapping[str, Any]) -> tuple[str, Position]:
    """Direction and the position to go on from.

    Raises:
        TelemetryRefusedError: it is none of ours, or of another question.
    """
    try:
        text = base64.urlsafe_b64decode(token[:LONGEST]).decode()
    except ValueError:
        text = ""
    found = _SEARCH.match(text)
    if found is None or text[found.end() :] != _fingerprint(asked):
        raise invalid("The specified nextToken is invalid.")
    return found[1], _bounded(int(found[2]), int(found[3]))


def _fingerprint(asked: Mapping[str, Any]) -> str:
    kept = {name: value for name, value in asked.items() if name not in {"nextToken", "limit", "startFromHead"}}
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()[:16]


def _bounded(moment: int, number: int) -> Position:
    most = 2**62  # of a column of 64 bits, with room for one more or less
    return Position(min(moment, most), min(number, most))
