"""Finds the fields of events that are JSON, in a worker: who writes an event may mean its names to fill the memory.

Names repeat what is above them, so those of one event of a megabyte may have gigabytes together.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

MOST_FIELDS = 1_000
"""Of one event, and of an answer; AWS discovers 200 in an event."""

LONGEST_NAME = 1_024
"""Characters of a name; longer ones are left out."""

MOST_NAME_CHARS = 2**20
"""Of all names that are counted."""


def leaves(message: str) -> Iterator[tuple[str, str]]:
    """The first fields of an event that is JSON, within others by names with dots. Pure."""
    try:
        document = json.loads(message) if message.lstrip().startswith("{") else None
    except (ValueError, RecursionError):
        return iter(())
    return islice(_leaves(document), MOST_FIELDS) if isinstance(document, dict) else iter(())


def counted(messages: Sequence[str]) -> list[tuple[str, int]]:
    """How many of these events have which field, the most frequent first. Pure."""
    counts: Counter[str] = Counter()
    room = MOST_NAME_CHARS
    for message in messages:
        for name in {name for name, _ in leaves(message)}:
            if name not in counts:
                room -= len(name)
                if room < 0:
                    continue
            counts[name] += 1
    return counts.most_common(MOST_FIELDS)


def record(message: str) -> dict[str, str]:
    """The fields of one event. Pure."""
    return dict(leaves(message))


def _leaves(document: dict[str, Any]) -> Iterator[tuple[str, str]]:
    open_ones = [("", _inner(document))]
    while open_ones:
        above, inner = open_ones[-1]
        for key, value in inner:
            if len(above) + len(key) > LONGEST_NAME:
                continue
            name = above + key
            if isinstance(value, dict | list):
                open_ones.append((f"{name}.", _inner(value)))
                break
            if value is not None:
                yield name, _shown(value)
        else:
            open_ones.pop()


def _inner(value: dict[str, Any] | list[Any]) -> Iterator[tuple[str, Any]]:
    found: Iterable[tuple[Any, Any]] = value.items() if isinstance(value, dict) else enumerate(value)
    return ((str(key), each) for key, each in found)


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(int(value) if isinstance(value, bool) else value)
