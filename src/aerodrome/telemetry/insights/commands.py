"""What a query says: its commands and expressions. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class FieldName:
    """A field."""

    name: str


@dataclass(frozen=True, slots=True)
class TextLiteral:
    """A string."""

    value: str


@dataclass(frozen=True, slots=True)
class NumberLiteral:
    """A number."""

    value: float


@dataclass(frozen=True, slots=True)
class Period:
    """A length of time, in milliseconds or, if it is one of the calendar, in months."""

    milliseconds: int = 0
    months: int = 0


@dataclass(frozen=True, slots=True)
class Regex:
    """A regular expression."""

    pattern: str


@dataclass(frozen=True, slots=True)
class Star:
    """All events, in `count(*)`."""


@dataclass(frozen=True, slots=True)
class InsightsCall:
    """A function with what it is given; its name is in lower case."""

    function: str
    given: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Operation:
    """An operator between expressions, or before one: `+ - * / % ^ = != < <= > >= and or not`."""

    operator: str
    given: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Like:
    """Whether a text holds another, or a regular expression matches in it."""

    subject: Expression
    wanted: TextLiteral | Regex
    is_negated: bool


@dataclass(frozen=True, slots=True)
class In:
    """Whether an expression is one of several."""

    subject: Expression
    choices: tuple[Expression, ...]
    is_negated: bool


Expression = FieldName | TextLiteral | NumberLiteral | Period | Regex | Star | InsightsCall | Operation | Like | In


@dataclass(frozen=True, slots=True)
class Named:
    """An expression and what its column is called: its alias, or its own text."""

    expression: Expression
    name: str
    is_alias: bool = False


@dataclass(frozen=True, slots=True)
class FieldsCommand:
    """`fields`: columns beside what is there; and `display`: these columns alone."""

    columns: tuple[Named, ...]
    is_only: bool = False


@dataclass(frozen=True, slots=True)
class FilterCommand:
    """`filter`: events for which it holds."""

    condition: Expression


@dataclass(frozen=True, slots=True)
class ParseCommand:
    """`parse`: parts of a field as columns; names are empty for a regular expression that has them itself."""

    subject: FieldName
    pattern: TextLiteral | Regex
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StatsCommand:
    """`stats`: one row for each combination of what stands after `by`."""

    columns: tuple[Named, ...]
    by: tuple[Named, ...]


@dataclass(frozen=True, slots=True)
class SortKey:
    """What is sorted by."""

    column: Named
    direction: Literal["ASC", "DESC"]


@dataclass(frozen=True, slots=True)
class SortCommand:
    """`sort`: the order from there on."""

    keys: tuple[SortKey, ...]


@dataclass(frozen=True, slots=True)
class LimitCommand:
    """`limit`: so many rows, the first in the order."""

    rows: int


@dataclass(frozen=True, slots=True)
class DedupCommand:
    """`dedup`: of rows that have the same in these fields, the first in the order."""

    names: tuple[FieldName, ...]


Command = FieldsCommand | FilterCommand | ParseCommand | StatsCommand | SortCommand | LimitCommand | DedupCommand
