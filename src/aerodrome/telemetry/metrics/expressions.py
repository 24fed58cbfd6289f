"""CloudWatch's metric math: an expression read, and worked out on series. Pure.

A value is a number, a text, a series, or a list of series; a number that there is none of, such as the mean of a series
without points, is NaN, and what is worked out with it has no points. An operator works on each point of a series, and
on each series of a list; where two series meet, on the times that both have.
"""

from __future__ import annotations

import math
import operator
import re
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

DEEPEST = 50
"""Brackets and calls within each other."""

MOST_SIGNS = 300
"""Of one expression: a sum is as deep as it has terms, and is worked out by recursion."""

MOST_SERIES = 500
"""Of one list."""


class ExpressionError(Exception):
    """It is no expression, or it cannot be worked out."""


@dataclass(frozen=True, slots=True)
class Series:
    """A time series with its name."""

    label: str
    points: Mapping[int, float]
    period: int
    properties: Mapping[str, str] | None = None
    """What a label may say of it: `PROP('Dim.x')`."""


Value = float | str | Series | list[Series]


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What an expression is worked out in."""

    of: Callable[[str], Value]
    """The value of another query of the request, by its id."""
    metrics: Callable[[str], list[Series]]
    """All metrics of the request whose ids have a text."""
    search: Callable[[str, str, int], list[Series]]
    times: Callable[[int], Sequence[int]]
    """The beginnings of all periods of the request."""
    period: int
    """Of what has no period of its own."""


@dataclass(frozen=True, slots=True)
class FunctionCall:
    """A function or an operator with what it is given."""

    name: str
    given: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Name:
    """An id of another query, or a word such as REPEAT."""

    text: str


@dataclass(frozen=True, slots=True)
class Text:
    """A quoted text."""

    text: str


Node = FunctionCall | Name | Text | float

_TOKEN = re.compile(
    r"""\s*(?:(?P<number>\d+(?:\.\d*)?(?:[eE][+-]?\d{1,3})?|\.\d+)|(?P<name>[A-Za-z_]\w*)
    |(?P<quoted>"[^"]*"|'[^']*')|(?P<sign>&&|\|\||<=|>=|==|!=|[-+*/^<>(),\[\]]))""",
    re.VERBOSE,
)

_LEVELS: tuple[tuple[str, ...], ...] = (
    ("||", "OR"),
    ("&&", "AND"),
    ("==", "!="),
    ("<", ">", "<=", ">="),
    ("+", "-"),
    ("*", "/"),
)
"""Operators from those that bind least."""


def read(text: str) -> Node:
    """The tree of an expression.

    Raises:
        ExpressionError: it is none.
    """
    return _ExpressionReading(text).whole()


def names(node: Node) -> Iterable[str]:
    """Every name that an expression has."""
    if isinstance(node, Name):
        yield node.text
    elif isinstance(node, FunctionCall):
        for each in node.given:
            yield from names(each)


def calls(node: Node) -> Iterable[str]:
    """The name of every function and operator that an expression has."""
    if isinstance(node, FunctionCall):
        yield node.name
        for each in node.given:
            yield from calls(each)


class _ExpressionReading:
    def __init__(self, text: str) -> None:
        self._tokens: list[tuple[str, str]] = []
        place = 0
        while text[place:].strip():
            found = _TOKEN.match(text, place)
            if found is None:
                raise ExpressionError(f"The expression cannot be read from {text[place : place + 20]!r} on.")
            place = found.end()
            self._tokens.append((found.lastgroup or "", found[found.lastgroup or 0]))
        self._place = 0
        self._depth = 0
        self._signs = 0

    def whole(self) -> Node:
        found = self._level(0)
        if self._place < len(self._tokens):
            raise ExpressionError(f"The expression has {self._tokens[self._place][1]!r} where nothing is expected.")
        return found

    def _next(self) -> tuple[str, str]:
        return self._tokens[self._place] if self._place < len(self._tokens) else ("", "")

    def _take(self, text: str) -> bool:
        is_there = self._next()[0] != "quoted" and self._next()[1] == text
        self._place += is_there
        return is_there

    def _need(self, text: str) -> None:
        if not self._take(text):
            raise ExpressionError(f"The expression has {self._next()[1]!r} where {text!r} is expected.")

    def _level(self, number: int) -> Node:
        if number == len(_LEVELS):
            return self._signed()
        self._deeper()
        left = self._level(number + 1)
        while self._next()[0] != "quoted" and self._next()[1] in _LEVELS[number]:
            sign = self._next()[1]
            self._place += 1
            self._signs += 1
            if self._signs > MOST_SIGNS:
                raise ExpressionError(f"The expression has more than {MOST_SIGNS} signs.")
            left = FunctionCall({"OR": "||", "AND": "&&"}.get(sign, sign), (left, self._level(number + 1)))
        self._depth -= 1
        return left

    def _deeper(self) -> None:
        self._depth += 1
        if self._depth > DEEPEST * len(_LEVELS):
            raise ExpressionError(f"The expression has more than {DEEPEST} brackets within each other.")

    def _signed(self) -> Node:
        self._deeper()
        if self._take("-"):
            found: Node = FunctionCall("*", (-1.0, self._signed()))
        else:
            found = self._one()
            if self._take("^"):
                found = FunctionCall("^", (found, self._signed()))
        self._depth -= 1
        return found

    def _one(self) -> Node:
        kind, text = self._next()
        self._place += 1
        if kind == "number":
            if not math.isfinite(number := float(text)):
                raise ExpressionError(f"The number {text} is too large.")
            return number
        if kind == "quoted":
            return Text(text[1:-1])
        if kind == "name":
            return FunctionCall(text.upper(), self._given(")")) if self._take("(") else Name(text)
        if text == "[":
            return FunctionCall("[]", self._given("]"))
        if text == "(":
            found = self._level(0)
            self._need(")")
            return found
        raise ExpressionError(
            f"The expression has {text!r} where a value is expected." if kind else "The expression ends too early."
        )

    def _given(self, end: str) -> tuple[Node, ...]:
        found: list[Node] = []
        if self._take(end):
            return ()
        while True:
            found.append(self._level(0))
            if self._take(end):
                return tuple(found)
            self._need(",")


def work_out(node: Node, world: World) -> Value:
    """The value of an expression.

    Raises:
        ExpressionError: it has none.
    """
    if isinstance(node, float):
        return node
    if isinstance(node, Text):
        return node.text
    if isinstance(node, Name):
        return node.text if node.text in _WORDS else world.of(node.text)
    given = [work_out(each, world) for each in node.given]
    if node.name in _OPERATORS:
        left, right = given
        return _each(left, right, _OPERATORS[node.name])
    if node.name not in FUNCTIONS:
        raise ExpressionError(f"The function {node.name} is not offered here.")
    try:
        return FUNCTIONS[node.name](world, *given)
    except TypeError:
        raise ExpressionError(f"{node.name} is given too much, too little, or something of another type.") from None


_WORDS = frozenset({"REPEAT", "LINEAR", "ASC", "DESC", "AVG", "SUM", "MIN", "MAX", "LAST"})
"""Names that mean themselves."""


def _powered(left: float, right: float) -> float:
    found = left**right
    return found if isinstance(found, float) else math.nan


_OPERATORS: Mapping[str, Callable[[float, float], float]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "^": _powered,
    "<": lambda a, b: float(a < b),
    ">": lambda a, b: float(a > b),
    "<=": lambda a, b: float(a <= b),
    ">=": lambda a, b: float(a >= b),
    "==": lambda a, b: float(a == b),
    "!=": lambda a, b: float(a != b),
    "&&": lambda a, b: float(bool(a) and bool(b)),
    "||": lambda a, b: float(bool(a) or bool(b)),
}


def _each(left: Value, right: Value, work: Callable[[float, float], float]) -> Value:
    """An operator on two values of whatever type."""
    if isinstance(left, str) or isinstance(right, str):
        raise ExpressionError("An operator is given a text.")
    if _is_nothing(left) or _is_nothing(right):
        work = _nothing
    if isinstance(left, list):
        return [_series(_each(each, right, work)) for each in left]
    if isinstance(right, list):
        return [_series(_each(left, each, work)) for each in right]
    if isinstance(left, Series):
        others = right.points if isinstance(right, Series) else dict.fromkeys(left.points, right)
        made = {at: _safe(work, value, others[at]) for at, value in left.points.items() if at in others}
        return replace(left, points=_finite(made))
    if isinstance(right, Series):
        return replace(right, points=_finite({at: _safe(work, left, value) for at, value in right.points.items()}))
    return _safe(work, left, right)


def _safe(work: Callable[..., float], *given: Any) -> float:
    """A finite number, or NaN."""
    try:
        found = float(work(*given))
    except (ArithmeticError, ValueError):
        return math.nan
    return found if math.isfinite(found) else math.nan


def _is_nothing(value: Value) -> bool:
    return isinstance(value, float) and math.isnan(value)


def _nothing(*_given: float) -> float:
    return math.nan


def _finite(found: Mapping[int, float]) -> dict[int, float]:
    return {at: value for at, value in found.items() if math.isfinite(value)}


def _series(value: Value) -> Series:
    if not isinstance(value, Series):
        raise ExpressionError("A time series is expected where there is none.")
    return value


def _list(value: Value) -> list[Series]:
    return value if isinstance(value, list) else [_series(value)]


def _number(value: Value) -> float:
    if not isinstance(value, float):
        raise ExpressionError("A number is expected where there is none.")
    return value


def _whole(value: Value) -> int:
    number = _number(value)
    if math.isnan(number):
        raise ExpressionError("A number is expected where there is none.")
    return int(number)


def _mapped(work: Callable[[float], float]) -> Callable[..., Value]:
    """A function of one number, on each of a value's."""

    def function(_world: World, value: Value) -> Value:
        return _each(value, 0.0, lambda each, _: work(each))

    return function


def _along(work: Callable[[Sequence[tuple[int, float]]], Mapping[int, float]]) -> Callable[..., Value]:
    """A function of a series' points in the order of time."""

    def function(_world: World, value: Value) -> Value:
        made = [replace(each, points=_finite(work(sorted(each.points.items())))) for each in _list(value)]
        return made if isinstance(value, list) else made[0]

    return function


def _gathered(work: Callable[[Sequence[float]], float]) -> Callable[..., Value]:
    """A function that makes one number of a series, and one series of a list; several series are a list too."""

    def function(world: World, *given: Value) -> Value:
        if len(given) == 1 and isinstance(given[0], Series):
            return _safe(work, list(given[0].points.values())) if given[0].points else math.nan
        if given and all(isinstance(each, float) for each in given):
            return math.nan if any(map(_is_nothing, given)) else _safe(work, [_number(each) for each in given])
        several = [one for each in given for one in _list(each)]
        times = sorted({at for each in several for at in each.points})
        made = {at: _safe(work, [each.points[at] for each in several if at in each.points]) for at in times}
        return Series("", _finite(made), several[0].period if several else world.period)

    return function


def _rates(points: Sequence[tuple[int, float]]) -> dict[int, float]:
    return {at: (value - before) / (at - then) for (then, before), (at, value) in pairwise(points)}


def _differences(points: Sequence[tuple[int, float]]) -> dict[int, float]:
    return {at: value - before for (_, before), (at, value) in pairwise(points)}


def _time_differences(points: Sequence[tuple[int, float]]) -> dict[int, float]:
    return {at: float(at - then) for (then, _), (at, _) in pairwise(points)}


def _running_sum(points: Sequence[tuple[int, float]]) -> dict[int, float]:
    total, made = 0.0, {}
    for at, value in points:
        total += value
        made[at] = total
    return made


def _fill(world: World, value: Value, how: Value) -> Value:
    made = [_filled(each, world.times(each.period), how) for each in _list(value)]
    return made if isinstance(value, list) else made[0]


def _filled(series: Series, times: Sequence[int], how: Value) -> Series:
    points = dict(series.points)
    if _is_nothing(how):
        return series
    if isinstance(how, float):
        return replace(series, points={at: points.get(at, how) for at in times})
    if isinstance(how, Series):
        others = how.points
        return replace(series, points={at: points.get(at, others.get(at, math.nan)) for at in times if
                                       at in points or at in others})  # fmt: skip
    if how not in {"REPEAT", "LINEAR"}:
        raise ExpressionError("FILL takes a number, a time series, REPEAT or LINEAR.")
    known = sorted(points)
    made: dict[int, float] = {}
    place = -1
    for at in times:
        while place + 1 < len(known) and known[place + 1] <= at:
            place += 1
        if at in points:
            made[at] = points[at]
        elif place >= 0 and how == "REPEAT":
            made[at] = points[known[place]]
        elif 0 <= place < len(known) - 1:
            then, later = known[place], known[place + 1]
            made[at] = points[then] + (points[later] - points[then]) * (at - then) / (later - then)
    return replace(series, points=_finite(made))


def _if(world: World, condition: Value, then: Value, otherwise: Value = math.nan) -> Value:
    """The second or the third, by the first; without a third there is no point."""
    if isinstance(condition, list):
        return [_series(_if(world, each, then, otherwise)) for each in condition]
    if isinstance(condition, float):
        chosen = condition if _is_nothing(condition) else then if condition else otherwise
        return Series("", {}, world.period) if _is_nothing(chosen) else chosen
    tested = _series(condition)
    made = {}
    for at, value in tested.points.items():
        chosen = then if value else otherwise
        if isinstance(chosen, Series):
            chosen = chosen.points.get(at, math.nan)
        made[at] = _number(chosen)
    label = then.label if isinstance(then, Series) else tested.label
    return replace(tested, label=label, points=_finite(made))


def _sorted(_world: World, value: Value, by: Value, order: Value, most: Value = float(MOST_SERIES)) -> Value:
    if by not in _SORTED_BY or order not in {"ASC", "DESC"}:
        raise ExpressionError("SORT takes series, AVG, SUM, MIN or MAX, and ASC or DESC.")
    full = [each for each in _list(value) if each.points]
    key = _SORTED_BY[str(by)]
    ordered = sorted(full, key=lambda each: _safe(key, list(each.points.values())), reverse=order == "DESC")
    return ordered[: _whole(most)]


_SORTED_BY: Mapping[str, Callable[[Sequence[float]], float]] = {
    "AVG": statistics.fmean,
    "SUM": math.fsum,
    "MIN": min,
    "MAX": max,
}


def _time_series(world: World, value: Value) -> Value:
    return Series("", _finite(dict.fromkeys(world.times(world.period), _number(value))), world.period)


def _slice(_world: World, value: Value, start: Value, end: Value = float(MOST_SERIES)) -> Value:
    return _list(value)[_whole(start) : _whole(end)]


def _search(world: World, text: Value, statistic: Value, period: Value = math.nan) -> Value:
    if not isinstance(text, str) or not isinstance(statistic, str):
        raise ExpressionError("SEARCH takes a text, a statistic and a period.")
    length = _number(period)
    return world.search(text, statistic, world.period if math.isnan(length) else int(length))


FUNCTIONS: Mapping[str, Callable[..., Value]] = {
    "ABS": _mapped(abs),
    "AVG": _gathered(statistics.fmean),
    "CEIL": _mapped(math.ceil),
    "DIFF": _along(_differences),
    "DIFF_TIME": _along(_time_differences),
    "FILL": _fill,
    "FIRST": lambda _world, value: _list(value)[0] if _list(value) else Series("", {}, _world.period),
    "FLOOR": _mapped(math.floor),
    "IF": _if,
    "LAST": lambda _world, value: _list(value)[-1] if _list(value) else Series("", {}, _world.period),
    "LOG": _mapped(math.log),
    "LOG10": _mapped(math.log10),
    "MAX": _gathered(max),
    "METRICS": lambda world, text="": world.metrics(str(text)),
    "METRIC_COUNT": lambda _world, value: float(len(_list(value))),
    "MIN": _gathered(min),
    "PERIOD": lambda _world, value: float(_series(value).period),
    "RATE": _along(_rates),
    "REMOVE_EMPTY": lambda _world, value: [each for each in _list(value) if each.points],
    "RUNNING_SUM": _along(_running_sum),
    "SEARCH": _search,
    "SLICE": _slice,
    "SORT": _sorted,
    "STDDEV": _gathered(statistics.pstdev),
    "SUM": _gathered(math.fsum),
    "TIME_SERIES": _time_series,
    "[]": lambda _world, *given: [one for each in given for one in _list(each)][:MOST_SERIES],
}
"""By name; each is given the world first."""
