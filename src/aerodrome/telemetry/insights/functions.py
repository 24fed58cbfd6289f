"""The functions of the language, as SQL of DuckDB. Pure.

A value has a kind. Fields of events are text, whatever they hold, and become numbers where numbers are wanted; what is
no number there is absent, as is a field that an event does not have.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from aerodrome.telemetry.insights.commands import Period
from aerodrome.telemetry.refusals import MALFORMED, TelemetryRefusedError

LONGEST_SQL = 200_000
"""Characters that an expression may become."""

WEEK = 7 * 86_400_000
MONDAY = 4 * 86_400_000
"""Milliseconds from the beginning of 1970 to its first Monday."""


class Kind(StrEnum):
    """What a value is."""

    TEXT = "text"
    NUMBER = "number"
    BOOLEAN = "boolean"
    TIME = "time"
    """Milliseconds since 1970."""


@dataclass(frozen=True, slots=True)
class Value:
    """SQL of one value."""

    sql: str
    kind: Kind = Kind.TEXT

    def __post_init__(self) -> None:
        if len(self.sql) > LONGEST_SQL:
            raise wrong("it is too involved")


Build = Callable[[Sequence[Value]], Value]


@dataclass(frozen=True, slots=True)
class Function:
    """How many values it takes, and what becomes of them."""

    least: int
    most: int
    build: Build


def text(value: Value) -> str:
    """The value as a text, as it is shown."""
    if value.kind is Kind.NUMBER:
        return rf"regexp_replace(CAST({value.sql} AS VARCHAR), '\.0$', '')"
    if value.kind is Kind.TIME:
        return f"strftime(epoch_ms({value.sql}), '%Y-%m-%d %H:%M:%S.%g')"
    if value.kind is Kind.BOOLEAN:
        return f"CAST(CAST({value.sql} AS INTEGER) AS VARCHAR)"
    return value.sql


def number(value: Value) -> str:
    """The value as a number, or NULL."""
    if value.kind is Kind.TEXT:
        return f"TRY_CAST({value.sql} AS DOUBLE)"
    if value.kind is Kind.BOOLEAN:
        return f"CAST(CAST({value.sql} AS INTEGER) AS DOUBLE)"
    return value.sql if value.kind is Kind.NUMBER else f"CAST({value.sql} AS DOUBLE)"


def truth(value: Value) -> str:
    """The value as a condition that is never NULL."""
    return value.sql if value.kind is Kind.BOOLEAN else f"coalesce({number(value)} <> 0, false)"


def floored(moment: Value, period: Period) -> Value:
    """The beginning of the period that a time lies in."""
    if period.months:
        at, months = f"epoch_ms({moment.sql})", f"{period.months:d}"
        month = f"((year({at}) * 12 + month({at}) - 1) // {months} * {months})"
        return Value(f"epoch_ms(make_date({month} // 12, {month} % 12 + 1, 1)::TIMESTAMP)", Kind.TIME)
    shift = MONDAY if period.milliseconds % WEEK == 0 else 0
    length = period.milliseconds
    return Value(f"(({moment.sql} - {shift:d}) // {length:d} * {length:d} + {shift:d})", Kind.TIME)


def ceiled(moment: Value, period: Period) -> Value:
    """The end of the period that a time lies in, or the time itself if it is the beginning of one."""
    if period.months:
        raise wrong("dateceil takes no months, quarters and years here")
    shift = MONDAY if period.milliseconds % WEEK == 0 else 0
    length = period.milliseconds
    return Value(f"(-((-({moment.sql} - {shift:d})) // {length:d}) * {length:d} + {shift:d})", Kind.TIME)


def time(value: Value) -> Value:
    """The value as a time."""
    return value if value.kind is Kind.TIME else Value(f"TRY_CAST({number(value)} AS BIGINT)", Kind.TIME)


def wrong(why: str) -> TelemetryRefusedError:
    """The refusal of a query."""
    return TelemetryRefusedError(MALFORMED, f"The query cannot be carried out: {why}.")


def _numeric(pattern: str) -> Build:
    return lambda given: Value(pattern.format(*(number(each) for each in given)), Kind.NUMBER)


def _textual(pattern: str, kind: Kind = Kind.TEXT) -> Build:
    return lambda given: Value(pattern.format(*(text(each) for each in given)), kind)


def _of_all(function: str, form: Callable[[Value], str], kind: Kind) -> Build:
    return lambda given: Value(f"{function}({', '.join(form(each) for each in given)})", kind)


def _trimmed(function: str) -> Build:
    return lambda given: Value(f"{function}({', '.join(text(each) for each in given)})")


def _part(given: Sequence[Value]) -> Value:
    places = [f"CAST({number(each)} AS BIGINT)" for each in given[1:]]
    return Value(f"substring({text(given[0])}, {places[0]} + 1{''.join(f', {each}' for each in places[1:])})")


def _first_present(given: Sequence[Value]) -> Value:
    kinds = {each.kind for each in given}
    if len(kinds) == 1:
        return Value(f"coalesce({', '.join(each.sql for each in given)})", given[0].kind)
    return Value(f"coalesce({', '.join(text(each) for each in given)})")


SCALARS: Mapping[str, Function] = {
    "abs": Function(1, 1, _numeric("abs({0})")),
    "ceil": Function(1, 1, _numeric("ceil({0})")),
    "floor": Function(1, 1, _numeric("floor({0})")),
    "sqrt": Function(1, 1, _numeric("TRY(sqrt({0}))")),
    "log": Function(1, 1, _numeric("TRY(ln({0}))")),
    "greatest": Function(1, 50, _of_all("greatest", number, Kind.NUMBER)),
    "least": Function(1, 50, _of_all("least", number, Kind.NUMBER)),
    "concat": Function(1, 50, _of_all("concat", text, Kind.TEXT)),
    "strlen": Function(1, 1, _textual("CAST(length({0}) AS DOUBLE)", Kind.NUMBER)),
    "toupper": Function(1, 1, _textual("upper({0})")),
    "tolower": Function(1, 1, _textual("lower({0})")),
    "trim": Function(1, 2, _trimmed("trim")),
    "ltrim": Function(1, 2, _trimmed("ltrim")),
    "rtrim": Function(1, 2, _trimmed("rtrim")),
    "substr": Function(2, 3, _part),
    "replace": Function(3, 3, _textual("replace({0}, {1}, {2})")),
    "strcontains": Function(2, 2, _textual("coalesce(contains({0}, {1}), false)", Kind.BOOLEAN)),
    "ispresent": Function(1, 1, _textual("({0} IS NOT NULL)", Kind.BOOLEAN)),
    "isempty": Function(1, 1, _textual("(coalesce({0}, '') = '')", Kind.BOOLEAN)),
    "isblank": Function(1, 1, _textual("(trim(coalesce({0}, ''), ' \t\r\n') = '')", Kind.BOOLEAN)),
    "coalesce": Function(1, 50, _first_present),
    "frommillis": Function(1, 1, lambda given: time(Value(number(given[0]), Kind.NUMBER))),
    "tomillis": Function(1, 1, lambda given: Value(number(given[0]), Kind.NUMBER)),
}
"""Functions of one event, but for those of periods of time and `now`, which `translation` has."""

AGGREGATES: Mapping[str, Function] = {
    "count_distinct": Function(1, 1, _textual("CAST(count(DISTINCT {0}) AS DOUBLE)", Kind.NUMBER)),
    "sum": Function(1, 1, _numeric("sum({0})")),
    "avg": Function(1, 1, _numeric("avg({0})")),
    "min": Function(1, 1, _numeric("min({0})")),
    "max": Function(1, 1, _numeric("max({0})")),
    "stddev": Function(1, 1, _numeric("TRY(stddev_samp({0}))")),
    "sortsfirst": Function(1, 1, _textual("min({0})")),
    "sortslast": Function(1, 1, _textual("max({0})")),
}
"""Functions of many events, but for `count`, `pct`, `earliest` and `latest`, which `translation` has."""


def called(name: str, known: Function, given: Sequence[Value]) -> Value:
    """What a function makes of values.

    Raises:
        TelemetryRefusedError: it takes another number of them.
    """
    if not known.least <= len(given) <= known.most:
        raise wrong(f"{name}() takes {known.least} to {known.most} values, not {len(given)}")
    return known.build(given)
