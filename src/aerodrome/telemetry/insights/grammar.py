"""Reads a query of CloudWatch Logs Insights. Pure.

lark has the grammar and builds the parser: LALR(1), so its time is linear, and its lexer knows where a slash begins a
regular expression and where it divides.
"""

from __future__ import annotations

import re
from functools import cache
from itertools import zip_longest
from typing import Any

from lark import Lark, ParseTree, Token, Transformer, UnexpectedInput, v_args
from lark.exceptions import VisitError

from aerodrome.telemetry.insights import commands
from aerodrome.telemetry.refusals import MALFORMED, TelemetryRefusedError

MOST_COMMANDS = 50
DEEPEST = 40
"""Parentheses, calls and `not` within each other."""

MOST_ROWS = 100_000

LONGEST_PERIOD = 10_000
"""Of a unit."""

_UNITS = (
    "milliseconds?|msec|ms|seconds?|sec|s|minutes?|min|hours?|hr|h|days?|d|weeks?|w|"
    "months?|mon|mo|quarters?|qtr|q|years?|yr|y|m"
)

GRAMMAR = (
    r"""
start: "|"? command ("|" command)*

?command: _FIELDS columns           -> fields
    | _DISPLAY columns              -> display
    | _FILTER _either               -> filter
    | _PARSE subject? (STRING [AS names] | REGEX [AS names]) -> parse
    | _STATS columns [BY columns]   -> stats
    | _SORT key ("," key)*          -> sort
    | _LIMIT INTEGER                -> limit
    | _DEDUP names                  -> dedup

columns: column ("," column)*
column: _either [AS alias]
names: alias ("," alias)*
key: _either [DIRECTION]
?alias: name

_either: either
?either: both (OR both)*
?both: negation (AND negation)*
?negation: NOT negation | comparison
?comparison: sum
    | sum COMPARISON sum              -> compared
    | sum NOT? LIKE (STRING | REGEX)  -> like
    | sum MATCHES REGEX               -> matches
    | sum NOT? IN "[" sum ("," sum)* "]" -> among
?sum: product (SIGN product)*
?product: power (FACTOR power)*
?power: unary ("^" unary)*
?unary: SIGN unary                    -> signed
    | primary
?primary: name
    | STRING                          -> text
    | NUMBER                          -> number
    | INTEGER                         -> number
    | PERIOD                          -> period
    | function
    | "(" either ")"
function: FUNCTION (STAR | _either ("," _either)*)? ")"
name: NAME | QUOTED
subject: NAME | QUOTED

_FIELDS: /fields\b/i
_DISPLAY: /display\b/i
_FILTER: /filter\b/i
_PARSE: /parse\b/i
_STATS: /stats\b/i
_SORT: /sort\b/i
_LIMIT: /limit\b/i
_DEDUP: /dedup\b/i
AS.2: /as\b/i
BY.2: /by\b/i
IN.2: /in\b/i
OR.2: /or\b/i
AND.2: /and\b/i
NOT.2: /not\b/i
LIKE.2: /like\b/i
DIRECTION.2: /(asc|desc)\b/i
MATCHES.4: "=~"
COMPARISON: "!=" | "<=" | ">=" | "=" | "<" | ">"
SIGN: "+" | "-"
FACTOR: "*" | "/" | "%"
STAR: "*"
FUNCTION.3: /(?!(not|and|or|in|like|by|as)\b)[A-Za-z_][A-Za-z0-9_]*[ \t]*\(/
PERIOD.3: /\d{1,15}[ \t]*("""
    + _UNITS
    + r""")\b/i
NUMBER.2: /(\d+\.\d*|\.\d+)([eE][+-]?\d{1,3})?|\d+[eE][+-]?\d{1,3}/
INTEGER.1: /\d{1,300}/
NAME: /@?[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z0-9_@]+)*/
QUOTED: /`[^`\n]+`/
STRING: /"([^"\\]|\\.)*"|'([^'\\]|\\.)*'/s
REGEX.3: /\/([^\/\\\n]|\\.)+\//
COMMENT: /#[^\n]*/
%ignore /\s+/
%ignore COMMENT
"""
)

_PERIODS = {"s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 7 * 86_400_000}

_MONTHS = {"mo": 1, "q": 3, "y": 12}

_BEYOND_RE2 = re.compile(r"\(\?(<?[=!]|>)|\\[1-9]")
"""Look-around and references, which need more than linear time."""

_OTHERS = re.compile(
    r"\s*(source|unmask|pattern|diff|anomaly|unnest|filterindex|join|lookup|subqueries)\b", re.IGNORECASE
)
"""Commands that are not offered, where a command is expected."""


def read(query: str) -> tuple[commands.Command, ...]:
    """The commands of a query.

    Raises:
        TelemetryRefusedError: it is none, or says something that is not offered.
    """
    if not query.strip():
        raise _wrong("it is empty")
    try:
        found = _QueryReader(query).transform(_parsed(query))
    except UnexpectedInput as error:
        raise _wrong(_explained(query, error)) from None
    except VisitError as error:
        if isinstance(error.orig_exc, TelemetryRefusedError):
            raise error.orig_exc from None
        raise
    except RecursionError:
        raise _wrong("it is too involved") from None
    if len(found) > MOST_COMMANDS:
        raise _wrong(f"it has more than {MOST_COMMANDS} commands")
    return tuple(found)


@cache
def _parser() -> Lark:
    return Lark(GRAMMAR, parser="lalr", propagate_positions=True, maybe_placeholders=True)


def _parsed(query: str) -> ParseTree:
    """The tree, for which no more are within each other than are allowed."""
    parser = _parser().parse_interactive(query)
    is_open = before = 0
    for token in parser.iter_parse():
        is_open += (token.type in {"LPAR", "FUNCTION"}) - (token.type == "RPAR")
        before = before + 1 if token.type in {"SIGN", "NOT"} else 0
        if is_open + before > DEEPEST:
            raise _wrong(f"more than {DEEPEST} parentheses, signs or negations lie within each other")
    tree: ParseTree = parser.feed_eof()  # type: ignore[no-untyped-call]
    return tree


def _explained(query: str, error: UnexpectedInput) -> str:
    if getattr(getattr(error, "token", None), "type", "") == "$END":
        return "it ends too early"
    place = error.pos_in_stream or 0
    other = _OTHERS.match(query, place)
    if other is not None and query[:place].rstrip()[-1:] in {"", "|"}:
        return f"the command {other[1]} is not offered here"
    return f"line {error.line}, column {error.column}: {query[place : place + 20]!r} is not expected there"


@v_args(meta=True)
class _QueryReader(Transformer[Token, Any]):
    """Makes dataclasses of lark's tree."""

    def __init__(self, query: str) -> None:
        super().__init__()
        self._query = query

    def start(self, _meta: Any, given: list[commands.Command]) -> list[commands.Command]:
        return given

    def fields(self, _meta: Any, given: list[Any]) -> commands.Command:
        return commands.FieldsCommand(given[0])

    def display(self, _meta: Any, given: list[Any]) -> commands.Command:
        return commands.FieldsCommand(given[0], is_only=True)

    def filter(self, _meta: Any, given: list[Any]) -> commands.Command:
        return commands.FilterCommand(given[0])

    def parse(self, _meta: Any, given: list[Any]) -> commands.Command:
        subject = given[0] if isinstance(given[0], commands.FieldName) else commands.FieldName("@message")
        token = next(each for each in given if isinstance(each, Token) and each.type in {"STRING", "REGEX"})
        names = tuple(each.name for each in given[-1]) if isinstance(given[-1], tuple) else ()
        return commands.ParseCommand(subject, _pattern(token), names)

    def stats(self, _meta: Any, given: list[Any]) -> commands.Command:
        return commands.StatsCommand(given[0], given[2] or ())

    def sort(self, _meta: Any, keys: list[commands.SortKey]) -> commands.Command:
        return commands.SortCommand(tuple(keys))

    def limit(self, _meta: Any, given: list[Any]) -> commands.Command:
        rows = int(given[0])
        if not 1 <= rows <= MOST_ROWS:
            raise _wrong(f"a limit is between 1 and {MOST_ROWS}")
        return commands.LimitCommand(rows)

    def dedup(self, _meta: Any, given: list[Any]) -> commands.Command:
        return commands.DedupCommand(given[0])

    def columns(self, _meta: Any, given: list[commands.Named]) -> tuple[commands.Named, ...]:
        return tuple(given)

    def column(self, meta: Any, given: list[Any]) -> commands.Named:
        expression, _, alias = given
        if alias is not None:
            return commands.Named(expression, alias.name, is_alias=True)
        return self._named(expression, meta.end_pos, meta.start_pos)

    def _named(self, expression: commands.Expression, end: int, start: int) -> commands.Named:
        """An expression by its own text."""
        if isinstance(expression, commands.FieldName):
            return commands.Named(expression, expression.name)
        return commands.Named(expression, self._query[start:end].strip())

    def names(self, _meta: Any, given: list[commands.FieldName]) -> tuple[commands.FieldName, ...]:
        return tuple(given)

    def key(self, meta: Any, given: list[Any]) -> commands.SortKey:
        expression, direction = given
        end = meta.end_pos if direction is None else direction.start_pos
        is_descending = direction is not None and direction.lower() == "desc"
        return commands.SortKey(self._named(expression, end, meta.start_pos), "DESC" if is_descending else "ASC")

    def either(self, _meta: Any, given: list[Any]) -> commands.Expression:
        return _chained(given, lambda _: "or")

    def both(self, _meta: Any, given: list[Any]) -> commands.Expression:
        return _chained(given, lambda _: "and")

    def negation(self, _meta: Any, given: list[Any]) -> commands.Expression:
        return commands.Operation("not", (given[-1],))

    def compared(self, _meta: Any, given: list[Any]) -> commands.Expression:
        return commands.Operation(str(given[1]), (given[0], given[2]))

    def like(self, _meta: Any, given: list[Any]) -> commands.Expression:
        return commands.Like(given[0], _pattern(given[-1]), _is_negated(given))

    def matches(self, _meta: Any, given: list[Any]) -> commands.Expression:
        return commands.Like(given[0], _pattern(given[-1]), is_negated=False)

    def among(self, _meta: Any, given: list[Any]) -> commands.Expression:
        choices = tuple(each for each in given[1:] if each is not None and not isinstance(each, Token))
        return commands.In(given[0], choices, _is_negated(given))

    def sum(self, _meta: Any, given: list[Any]) -> commands.Expression:
        return _chained(given, str)

    def product(self, _meta: Any, given: list[Any]) -> commands.Expression:
        return _chained(given, str)

    def power(self, _meta: Any, given: list[Any]) -> commands.Expression:
        return _chained(given, lambda _: "^")

    def signed(self, _meta: Any, given: list[Any]) -> commands.Expression:
        return given[1] if given[0] == "+" else commands.Operation("-", (commands.NumberLiteral(0), given[1]))

    def text(self, _meta: Any, given: list[Token]) -> commands.Expression:
        return commands.TextLiteral(_unquoted(given[0]))

    def number(self, _meta: Any, given: list[Token]) -> commands.Expression:
        return commands.NumberLiteral(float(given[0]))

    def period(self, _meta: Any, given: list[Token]) -> commands.Expression:
        return _period(given[0])

    def function(self, _meta: Any, given: list[Any]) -> commands.Expression:
        values = tuple(commands.Star() if isinstance(each, Token) else each for each in given[1:] if each is not None)
        return commands.InsightsCall(given[0][:-1].strip().lower(), values)

    def name(self, _meta: Any, given: list[Token]) -> commands.FieldName:
        return commands.FieldName(given[0].strip("`"))

    subject = name  # a rule of its own: what follows one may be a regular expression, and after any other a division


def _chained(given: list[Any], operator: Any) -> commands.Expression:
    """Operands with tokens between them, from the left."""
    operands = [each for each in given if not isinstance(each, Token)]
    between = [each for each in given if isinstance(each, Token)]
    found: commands.Expression = operands[0]
    for token, operand in zip_longest(between, operands[1:]):
        found = commands.Operation(operator(token), (found, operand))
    return found


def _is_negated(given: list[Any]) -> bool:
    return any(isinstance(each, Token) and each.type == "NOT" for each in given)


def _pattern(token: Token) -> commands.TextLiteral | commands.Regex:
    if token.type == "STRING":
        return commands.TextLiteral(_unquoted(token))
    pattern = token[1:-1].replace("\\/", "/")
    if _BEYOND_RE2.search(pattern):
        raise _wrong(f"/{pattern}/ has look-around or references, which are not offered here")
    return commands.Regex(re.sub(r"\(\?<(?=[A-Za-z])", "(?P<", pattern))


def _unquoted(token: Token) -> str:
    return re.sub(r"\\(.)", r"\1", token[1:-1], flags=re.DOTALL)


def _period(text: str) -> commands.Period:
    count, unit = int(re.match(r"\d+", text)[0]), re.sub(r"[\d\s]", "", text).lower()  # type: ignore[index]
    if not 1 <= count <= LONGEST_PERIOD:
        raise _wrong(f"{text} is no period: its number is between 1 and {LONGEST_PERIOD}")
    if unit.startswith(("ms", "milli")):
        return commands.Period(milliseconds=count)
    if unit.startswith("mo"):
        return commands.Period(months=count)
    if unit[0] in _MONTHS:
        return commands.Period(months=count * _MONTHS[unit[0]])
    return commands.Period(milliseconds=count * _PERIODS[unit[0]])


def _wrong(why: str) -> TelemetryRefusedError:
    return TelemetryRefusedError(MALFORMED, f"The query cannot be read: {why}.")
