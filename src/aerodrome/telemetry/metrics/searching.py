"""The search expressions of `SEARCH('{Namespace,Dimension} MetricName="x" word', …)`. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from aerodrome.telemetry.metrics.catalogue import Metric

DEEPEST = 20
"""Parentheses within each other."""

MOST_FOUND = 500
"""Metrics that one search finds."""

_TOKEN = re.compile(
    r"""\s*(?:(?P<bracket>[()])|(?P<key>:?[\w./-]+|"(?:[^"\\]|\\.)*")\s*=\s*(?P<value>"(?:[^"\\]|\\.)*"|[^\s()"]+)
    |(?P<quoted>"(?:[^"\\]|\\.)*")|(?P<word>[^\s()"]+))""",
    re.VERBOSE,
)

_SCHEMA = re.compile(r"\s*\{([^}]*)\}")

_PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")

Test = Callable[[Metric], bool]


class SearchError(Exception):
    """It is no search expression."""


@dataclass(frozen=True, slots=True)
class _SearchWord:
    kind: str
    text: str
    value: str = ""


def read(text: str) -> Test:
    """The test that a search expression makes of a metric.

    Raises:
        SearchError: it is none.
    """
    schema = _SCHEMA.match(text)
    tests: list[Test] = []
    if schema is not None:
        tests.append(_of_schema([_plain(each.strip()) for each in schema[1].split(",")]))
        text = text[schema.end() :]
    words = list(_words(text))
    if words:
        reading = _SearchReading(words)
        tests.append(reading.whole())
    return lambda metric: all(test(metric) for test in tests)


def _of_schema(names: list[str]) -> Test:
    namespace, dimensions = names[0], set(names[1:])
    return lambda metric: (
        metric.namespace == namespace and (not dimensions or {name for name, _ in metric.dimensions} == dimensions)
    )


def _words(text: str) -> Iterator[_SearchWord]:
    place = 0
    while text[place:].strip():
        found = _TOKEN.match(text, place)
        if found is None:
            raise SearchError(f"The search cannot be read from {text[place : place + 20]!r} on.")
        place = found.end()
        kind = found.lastgroup or ""
        yield _SearchWord("pair", found["key"], found["value"]) if kind == "value" else _SearchWord(kind, found[kind])


class _SearchReading:
    """Reads words: OR binds less than AND, which may be left out."""

    def __init__(self, words: list[_SearchWord]) -> None:
        self._words = words
        self._place = 0

    def whole(self) -> Test:
        found = self._either(0)
        if self._place < len(self._words):
            raise SearchError("The search has a bracket that nothing opens.")
        return found

    def _next(self) -> _SearchWord | None:
        return self._words[self._place] if self._place < len(self._words) else None

    def _take(self, kind: str, text: str) -> bool:
        word = self._next()
        is_there = word is not None and word.kind == kind and word.text == text
        self._place += is_there
        return is_there

    def _either(self, depth: int) -> Test:
        tests = [self._both(depth)]
        while self._take("word", "OR"):
            tests.append(self._both(depth))
        return lambda metric: any(test(metric) for test in tests)

    def _both(self, depth: int) -> Test:
        tests = [self._one(depth)]
        while (word := self._next()) is not None and (word.kind, word.text) not in {("word", "OR"), ("bracket", ")")}:
            self._take("word", "AND")
            tests.append(self._one(depth))
        return lambda metric: all(test(metric) for test in tests)

    def _one(self, depth: int) -> Test:
        if depth > DEEPEST:
            raise SearchError(f"The search has more than {DEEPEST} brackets within each other.")
        if self._take("word", "NOT"):
            inner = self._one(depth + 1)
            return lambda metric: not inner(metric)
        if self._take("bracket", "("):
            inner = self._either(depth + 1)
            if not self._take("bracket", ")"):
                raise SearchError("The search has a bracket that nothing closes.")
            return inner
        word = self._next()
        if word is None or word.kind == "bracket":
            raise SearchError("The search ends where something is missing.")
        self._place += 1
        return _of_word(word)


def _of_word(word: _SearchWord) -> Test:
    if word.kind != "pair":
        return lambda metric: any(_fits(word.text, each) for each in _texts(metric, None))
    key = _plain(word.text).removeprefix(":aws.")
    return lambda metric: any(_fits(word.value, each) for each in _texts(metric, key))


def _texts(metric: Metric, key: str | None) -> list[str]:
    """What a word is looked for in: the values of one property, or all of them."""
    if key is None:
        return [metric.namespace, metric.name, *(each for pair in metric.dimensions for each in pair)]
    if key == "MetricName":
        return [metric.name]
    if key == "Namespace":
        return [metric.namespace]
    return [value for name, value in metric.dimensions if name == key]


def _fits(wanted: str, text: str) -> bool:
    """Quoted words are a whole text; others are parts of one, as words and camel case have them."""
    if wanted.startswith('"'):
        return _plain(wanted) == text
    parts, found = _parts(wanted), _parts(text)
    return any(found[place : place + len(parts)] == parts for place in range(len(found) - len(parts) + 1))


def _parts(text: str) -> list[str]:
    return [each.lower() for each in _PART.findall(text)] or [text.lower()]


def _plain(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text[1:-1]) if text.startswith('"') else text
