"""What `aerodrome events` asks the operator's socket for, once or again and again."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from aerodrome.cli import operator_client
from aerodrome.errors import CallerError
from aerodrome.settings import Settings

PAUSE = 1.0
"""Seconds between two looks with `--follow`."""

LOOK_BACK = 200
"""Numbers before the newest that a later look asks for again: entries may become visible out of order."""

_AGO = re.compile(r"([0-9]{1,6})([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def since(text: str, now: datetime) -> datetime:
    """The moment that `text` means: `90s`, `30m`, `1h`, `7d` before `now`, or a time in ISO 8601.

    Raises:
        CallerError: the text is no time.
    """
    ago = _AGO.fullmatch(text)
    try:
        if ago:
            return now - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        found = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        raise CallerError(f"--since {text} is no time: write 30m, 1h, 7d or 2026-11-23T12:00:00.") from None
    return found if found.tzinfo else found.astimezone()


def path(filters: Mapping[str, Any]) -> str:
    """The path of a question; filters without a value are left out."""
    given = {name: _text(value) for name, value in filters.items() if value is not None and value is not False}
    return f"/events?{urlencode(given)}"


def once(settings: Settings, filters: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The events that fit.

    Raises:
        CallerError: nothing is known of the environment that is asked for.
    """
    found: list[dict[str, Any]] = operator_client.ask(settings, "GET", path(filters))
    narrowing = {name for name, value in filters.items() if value} - {"environment", "limit", "reads"}
    if not found and filters.get("environment") and not narrowing:
        raise CallerError(f"Nothing is known of an environment {filters['environment']}.")
    return found


def follow(settings: Settings, filters: Mapping[str, Any]) -> Iterator[list[dict[str, Any]]]:
    """The events that fit, then new ones, each once and as soon as it is seen; ends with an interrupt."""
    seen: set[int] = set()
    newest = 0
    while True:
        later = {"after": max(0, newest - LOOK_BACK), "limit": 1000} if newest else {}
        found = [
            each for each in operator_client.ask(settings, "GET", path({**filters, **later})) if each["id"] not in seen
        ]
        if newest == 0 and found:
            # The limit left out what is older than the first answer: it is not new.
            seen |= set(range(found[-1]["id"] - LOOK_BACK, found[0]["id"]))
        newest = max([newest, *(each["id"] for each in found)])
        seen = {each for each in seen if each > newest - 2 * LOOK_BACK} | {each["id"] for each in found}
        yield found
        time.sleep(PAUSE)


def _text(value: Any) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    return "true" if value is True else str(value)
