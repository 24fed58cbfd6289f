"""StatsD's packets: lines of `name:value|type`. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass

LONGEST = 8192
"""Bytes of a packet that are read; units send no longer ones, and a line alone where it is longer."""

_LOST = re.compile(rb"aerodrome\.lost:([0-9]{1,6})\|c")
"""The line by which a unit tells how many of its own were lost on the way."""

COUNTER, GAUGE, TIMER = "c", "g", "ms"


@dataclass(frozen=True, slots=True)
class Stat:
    """One line."""

    name: str
    """Without the prefix, with tags."""
    kind: str
    value: float
    is_delta: bool = False
    """Whether a gauge is to be changed by the value."""


def read(packet: bytes, prefix: str) -> Iterator[Stat]:
    """The lines of a packet whose names begin with the prefix; what is no line is passed over."""
    for line in packet.decode("utf-8", "replace").split("\n"):
        stat = _read(line, f"{prefix}.")
        if stat is not None:
            yield stat


def lost(packet: bytes) -> int:
    """How many lines were lost before this packet, as it says itself."""
    found = _LOST.search(packet)
    return int(found[1]) if found else 0


def _read(line: str, prefix: str) -> Stat | None:
    name, _, rest = line.rpartition(":")
    text, kind, *more = [*rest.split("|"), ""]
    if not name.startswith(prefix) or kind not in {COUNTER, GAUGE, TIMER}:
        return None
    try:
        value = float(text)
        rate = float(more[0][1:]) if more[0].startswith("@") else 1.0
    except ValueError:
        return None
    if not (math.isfinite(value) and 0 < rate <= 1):
        return None
    is_delta = kind == GAUGE and text[:1] in {"+", "-"}
    return Stat(name.removeprefix(prefix), kind, value / rate if kind == COUNTER else value, is_delta)
