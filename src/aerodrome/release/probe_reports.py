"""The findings of `inside/probe.py`, read with suspicion: user code runs under the same uid and may write some too.

`verification` calls it. A finding without the expected shape is dropped, and no more is kept than a person could read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from aerodrome import bounded_json

LARGEST = 64 * 2**20
"""Bytes of all findings together."""

LONGEST = 8 * 2**20
"""Bytes of one finding; what is longer is none."""

_LINES = 30
_LETTERS = 1000
_NAMES = 200


class Gathered:
    """Lines of JSON, cut out of a stream of bytes."""

    def __init__(self, told: Callable[[dict[str, Any]], object]) -> None:
        """`told` is called for each finding."""
        self._told = told
        self._rest = b""
        self._left = LARGEST

    def take(self, data: bytes) -> None:
        self._left -= len(data)
        if self._left < 0:
            return
        *lines, rest = (self._rest + data).split(b"\n")
        self._rest = rest[: LONGEST + 1]
        for line in lines:
            finding = read(line) if len(line) <= LONGEST else None
            if finding is not None:
                self._told(finding)


def read(line: bytes) -> dict[str, Any] | None:
    """One finding, with every part of the type that it must have; None for anything else. Pure."""
    try:
        found = bounded_json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or not isinstance(found.get("event"), str):
        return None
    kept: dict[str, Any] = {"event": found["event"]}
    if isinstance(found.get("count"), int):
        kept["count"] = found["count"]
    if found["event"] == "dags":
        kept["file"] = _text(found.get("file"))
    for name in ("dags", "plugins"):
        kept[name] = [_text(value) for value in _list(found.get(name))[:_NAMES]]
    kept["errors"] = [_error(error) for error in _list(found.get("errors"))[:_NAMES] if isinstance(error, dict)]
    return kept


def _error(error: Mapping[str, Any]) -> dict[str, Any]:
    places = [place for place in _list(error.get("places"))[:_LINES] if _is_place(place)]
    kept: dict[str, Any] = {
        name: _text(error.get(name)) for name in ("kind", "message", "package", "module", "subject")
    }
    kept["survived"] = error.get("survived") is True
    return kept | {"trace": [_text(line) for line in _list(error.get("trace"))[-_LINES:]], "places": places}


def _is_place(place: Any) -> bool:
    return isinstance(place, list) and list(map(type, place)) == [str, int]


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _text(value: Any) -> str:
    return value[:_LETTERS] if isinstance(value, str) else ""
