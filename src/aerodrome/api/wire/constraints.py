"""Checks values against shapes: types, required members, lengths, ranges, patterns, enums, as the model states. Pure.

`requests` gives what came in, and gets violations in AWS's words, each with its member. Values below a sensitive shape
are never repeated.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from botocore.model import ListShape, MapShape, Shape, StringShape, StructureShape

from aerodrome import java_patterns

MOST_VIOLATIONS = 10
"""How many violations one answer lists; arbitrary, and a bound for the work that a hostile body causes."""

WIDENED = {"RestApiPath": 2048}
"""Maxima that are raised on purpose: the model's 64 characters cannot name a task of a run (docs/decisions/0006)."""

LONGEST_ECHO = 100
"""Characters of a refused value that the answer repeats; arbitrary."""

INTEGER_BITS = {"integer": 32, "long": 64}

Hints = Mapping[str, Callable[[Any], str]]
"""Shape name → how a person mends a refused value of that shape; empty when nothing is known."""

_NOT_NULL = "Member must not be null"


@dataclass
class Walk:
    """One walk over one input; `sentences` are the violations that it found."""

    hints: Hints
    sentences: list[str] = field(default_factory=list)

    def read(self, shape: Shape, value: Any, path: str = "", *, hidden: bool = False) -> Any:
        """The value as a Python value, without members that the shape does not know."""
        if getattr(shape, "is_document_type", False):
            return value
        hidden = hidden or bool(shape.metadata.get("sensitive"))
        if isinstance(shape, StructureShape):
            return self._structure(shape, value, path, hidden=hidden)
        if isinstance(shape, MapShape):
            return self._map(shape, value, path, hidden=hidden)
        if isinstance(shape, ListShape):
            return self._list(shape, value, path, hidden=hidden)
        return self._scalar(shape, value, path, hidden=hidden)

    @property
    def is_enough(self) -> bool:
        """True when enough violations were found to stop the walk."""
        return len(self.sentences) >= MOST_VIOLATIONS

    def require(self, shape: Shape, value: Any, path: str, constraint: str | None, *, hidden: bool) -> bool:
        """True when `constraint` is None; otherwise the violation is noted."""
        if constraint is None:
            return True
        shown = "" if hidden and value is not None else f"{_shown(value)} "
        hint = self.hints.get(shape.name, lambda _: "")(value)
        sentence = f"Value {shown}at '{path}' failed to satisfy constraint: {constraint}"
        self.sentences.append(f"{sentence} ({hint})" if hint else sentence)
        return False

    def _structure(self, shape: StructureShape, value: Any, path: str, *, hidden: bool) -> Any:
        if not self.require(shape, value, path, _of_type(value, dict, "an object"), hidden=hidden):
            return None
        found = {}
        for member, inner in shape.members.items():
            inner_path = _joined(path, member[:1].lower() + member[1:])
            given = value.get(member)
            if self.is_enough:
                break
            if given is not None:
                found[member] = self.read(inner, given, inner_path, hidden=hidden)
            elif member in shape.required_members:
                self.require(inner, None, inner_path, _NOT_NULL, hidden=hidden)
        return found

    def _map(self, shape: MapShape, value: Any, path: str, *, hidden: bool) -> Any:
        constraint = _of_type(value, dict, "an object") or _size(shape, value)
        if not self.require(shape, value, path, constraint, hidden=hidden):
            return None
        found = {}
        for key, each in value.items():
            if self.is_enough:
                break
            complaint = _string(shape.key, key)
            keys = f"Map keys must satisfy constraint: [{complaint}]" if complaint else None
            if self.require(shape.key, key, path, keys, hidden=hidden):
                found[key] = self._element(shape.value, each, _joined(path, _printable(key)), hidden=hidden)
        return found

    def _list(self, shape: ListShape, value: Any, path: str, *, hidden: bool) -> Any:
        constraint = _of_type(value, list, "a list") or _size(shape, value)
        if not self.require(shape, value, path, constraint, hidden=hidden):
            return None
        found = []
        for number, each in enumerate(value, start=1):
            if self.is_enough:
                break
            found.append(self._element(shape.member, each, f"{path}.{number}.member", hidden=hidden))
        return found

    def _element(self, shape: Shape, value: Any, path: str, *, hidden: bool) -> Any:
        if value is not None:
            return self.read(shape, value, path, hidden=hidden)
        self.require(shape, None, path, _NOT_NULL, hidden=hidden)
        return None

    def _scalar(self, shape: Shape, value: Any, path: str, *, hidden: bool) -> Any:
        if shape.type_name == "timestamp":
            moment = _moment(value)
            constraint = None if moment else "Member must be a time: epoch seconds or an ISO 8601 date and time"
            return moment if self.require(shape, value, path, constraint, hidden=hidden) else None
        constraint = _SCALARS[shape.type_name](shape, value)
        return value if self.require(shape, value, path, constraint, hidden=hidden) else None


def _string(shape: Shape, value: Any) -> str | None:
    if not isinstance(value, str):
        return "Member must be a string"
    size = _size(shape, value)
    if size:
        return size  # before the pattern: patterns only ever see values of bounded length
    if isinstance(shape, StringShape) and shape.enum and value not in shape.enum:
        return f"Member must satisfy enum value set: [{', '.join(shape.enum)}]"
    pattern = shape.metadata.get("pattern")
    if pattern and not java_patterns.compiled(pattern).fullmatch(value):
        return f"Member must satisfy regular expression pattern: {pattern}"
    return None


def _integer(shape: Shape, value: Any) -> str | None:
    if not isinstance(value, int) or isinstance(value, bool):
        return "Member must be a whole number"
    bound = 2 ** (INTEGER_BITS[shape.type_name] - 1)
    if not -bound <= value < bound:
        return f"Member must be a whole number of {INTEGER_BITS[shape.type_name]} bits"
    return _range(shape, value)


def _number(shape: Shape, value: Any) -> str | None:
    if not isinstance(value, int | float) or isinstance(value, bool) or not _is_finite(value):
        return "Member must be a finite number"
    return _range(shape, value)


def _boolean(_shape: Shape, value: Any) -> str | None:
    return _of_type(value, bool, "true or false")


_SCALARS: Mapping[str, Callable[[Shape, Any], str | None]] = {
    "string": _string,
    "integer": _integer,
    "long": _integer,
    "double": _number,
    "float": _number,
    "boolean": _boolean,
}


def _moment(value: Any) -> datetime | None:
    try:
        if isinstance(value, str):
            given = datetime.fromisoformat(value)
            return given if given.tzinfo else given.replace(tzinfo=UTC)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return datetime.fromtimestamp(value, UTC)
    except (ValueError, OverflowError, OSError):
        pass
    return None


def _of_type(value: Any, kind: type, words: str) -> str | None:
    return None if isinstance(value, kind) else f"Member must be {words}"


def _size(shape: Shape, value: Any) -> str | None:
    least, most = shape.metadata.get("min"), WIDENED.get(shape.name, shape.metadata.get("max"))
    if least is not None and len(value) < least:
        return f"Member must have length greater than or equal to {least}"
    if most is not None and len(value) > most:
        return f"Member must have length less than or equal to {most}"
    return None


def _range(shape: Shape, value: float) -> str | None:
    least, most = shape.metadata.get("min"), shape.metadata.get("max")
    if least is not None and value < least:
        return f"Member must have value greater than or equal to {least}"
    if most is not None and value > most:
        return f"Member must have value less than or equal to {most}"
    return None


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:
        return False  # a whole number too large for a float


def _shown(value: Any) -> str:
    """A refused value that a person can recognise: shortened, on one line, without control characters."""
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case int() | float():
            return str(value)[:LONGEST_ECHO]
        case str():
            text = _printable(value[:LONGEST_ECHO])
            return f"'{text}…'" if len(value) > LONGEST_ECHO else f"'{text}'"
        case list():
            return f"(a list of {len(value)})"
        case _:
            return "(an object)"


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def _joined(path: str, member: str) -> str:
    return f"{path}.{member}" if path else member
