r"""Turns the model's patterns, which are Java's, into Python's.

Three things differ: Python has no `\p{L}` and similar classes, `\w` and `\d` mean ASCII in Java, and Java's `.` stops
at more line ends. A pattern must match the whole value.
"""

from __future__ import annotations

import re
import sys
import unicodedata
from functools import cache
from itertools import groupby

_ANY_BUT_LINE_ENDS = r"[^\n\r\x85\u2028\u2029]"

_TOKEN = re.compile(r"\\p\{(?P<category>\w+)\}|\\.|\[|\]|\.|[^\\\[\].]+", re.DOTALL)


@cache
def compiled(pattern: str) -> re.Pattern[str]:
    """The pattern for `fullmatch`."""
    return re.compile(translated(pattern), re.ASCII)


def translated(pattern: str) -> str:
    """A Java pattern in Python's spelling."""
    parts: list[str] = []
    in_class = False
    for token in _TOKEN.finditer(pattern):
        text = token.group()
        if token["category"]:
            ranges = _ranges(token["category"])
            parts.append(ranges if in_class else f"[{ranges}]")
            continue
        if text in "[]":
            in_class = text == "["
        parts.append(_ANY_BUT_LINE_ENDS if text == "." and not in_class else text)
    return "".join(parts)


@cache
def _ranges(category: str) -> str:
    """The characters of a Unicode category (`L`) or sub-category (`Lu`), as the inside of a character class."""
    return "".join(runs for name, runs in _runs().items() if name.startswith(category))


@cache
def _runs() -> dict[str, str]:
    """Sub-category → its runs of characters, as the inside of a class; one walk over Unicode (about 0.2 s, once)."""
    found: dict[str, list[str]] = {}
    first = 0
    for category, run in groupby(map(unicodedata.category, map(chr, range(sys.maxunicode + 1)))):
        after = first + sum(1 for _ in run)
        found.setdefault(category, []).append(f"\\U{first:08x}-\\U{after - 1:08x}")
        first = after
    return {category: "".join(runs) for category, runs in found.items()}
