"""JSON of strangers, read within a bound: a parser makes an object of each value, and nothing else runs meanwhile.

So the values are counted before anything is parsed, which takes a hundredth of the time. A thread would not help: the
parser keeps the interpreter to itself. Pure.
"""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn

MOST_VALUES = 300_000
"""Values of one document, of which an empty list or object counts as two."""

_MARKS = (b"[", b"{", b",")
"""Outside of texts there are at least as many of these as values, but for one; of an empty list or object, two."""


class TooManyValuesError(ValueError):
    """The document would take too long to read."""

    def __init__(self, most: int) -> None:
        super().__init__(f"it has more than {most} values")


def loads(document: bytes, *, most: int = MOST_VALUES, **options: Any) -> Any:
    """`json.loads` of a document in UTF-8, with its options.

    Raises:
        TooManyValuesError: it has more values than `most`. ValueError: it is no JSON in UTF-8.
        RecursionError: it is nested too deeply.
    """
    check(document, most=most)
    return json.loads(document.decode(), **options)


def check(document: bytes, *, most: int = MOST_VALUES) -> None:
    """Raise TooManyValuesError if it has more values than `most`."""
    if _marks(document) <= most:
        return
    outside = document.replace(rb"\\", b"").replace(rb"\"", b"")  # what is left of quotes begins and ends texts
    if outside.count(b'"') > 4 * (most + 1) or _marks(b"".join(outside.split(b'"')[::2])) > most:
        raise TooManyValuesError(most)


def strictly(document: bytes, *, most: int = MOST_VALUES, deepest: int) -> Any:
    """The document, if every number in it is one of JSON's, and so can be sent on.

    Raises:
        TooManyValuesError: it has more values than `most`. ValueError: it is no JSON in UTF-8, or deeper than that.
    """
    try:
        found = loads(document, most=most, parse_constant=_refused, parse_float=_finite)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if document.count(b"[") + document.count(b"{") > deepest:
        _check_depth(found, deepest)
    return found


def _marks(text: bytes) -> int:
    return sum(map(text.count, _MARKS))


def _refused(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number of JSON")


def _finite(text: str) -> float:
    found = float(text)
    if math.isinf(found):
        raise ValueError(f"{text[:20]} is too large a number")
    return found


def _check_depth(document: Any, deepest: int) -> None:
    level = [document]
    for _ in range(deepest + 1):
        level = [each for each in level if isinstance(each, dict | list)]
        if not level:
            return
        level = [inner for each in level for inner in (each.values() if isinstance(each, dict) else each)]
    raise ValueError("it is nested too deeply")
