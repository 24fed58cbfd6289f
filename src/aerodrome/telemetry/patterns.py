"""CloudWatch's filter patterns as conditions on the column `message` of a DuckDB query. Pure.

Terms (`ERROR "exit code" -DEBUG ?a ?b`), regular expressions (`%4[0-9]+%`) and JSON (`{ $.a = "b" && $.n > 1 }`) are
understood; patterns of space-delimited fields (`[ip, user, …]`) are refused. What a pattern says never becomes SQL
text: values are parameters.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from aerodrome.telemetry.refusals import TelemetryRefusedError, invalid

MOST_TERMS = 100
DEEPEST = 20
"""Parentheses within each other."""

_TERM = re.compile(r'\s*([?-]?)(?:"((?:[^"\\]|\\.)*)"|%([^%]*)%|([^\s"%]+))')

_TOKEN = re.compile(
    r"""\s*(?:
    (?P<path>\$(?:\.?\[\s*'[^'"\\]*'\s*\]|\.[\w@-]+|\[\d{1,6}\])+)
    |(?P<word>(?:IS|NOT|EXISTS)\b)
    |(?P<operator>&&|\|\||!=|>=|<=|=|>|<|\(|\))
    |"(?P<quoted>(?:[^"\\]|\\.)*)"
    |%(?P<regex>[^%]*)%
    |(?P<bare>[^\s()&|=<>!"%]+)
    )""",
    re.VERBOSE,
)

_STEP = re.compile(r"\.?\[\s*'([^'\"\\]*)'\s*\]|\.([\w@-]+)|\[(\d+)\]")

_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?")

_JSON_TYPE = "CASE WHEN json_valid(message) THEN json_type(message, ?) END"

_JSON_TEXT = "CASE WHEN json_valid(message) THEN json_extract_string(message, ?) END"


@dataclass(frozen=True, slots=True)
class SqlCondition:
    """A condition of SQL with its parameters."""

    sql: str
    parameters: tuple[str | float, ...] = ()


EVERYTHING = SqlCondition("true")


def read(pattern: str) -> SqlCondition:
    """The condition for a filter pattern; an empty one lets everything pass.

    Raises:
        TelemetryRefusedError: it is no pattern, or one that is not offered.
    """
    text = pattern.strip()
    if not text:
        return EVERYTHING
    if text.startswith("["):
        raise invalid("Invalid filter pattern: patterns of space-delimited fields ([a, b]) are not offered here.")
    if text.startswith("{"):
        if not text.endswith("}"):
            raise _wrong("it has no closing brace")
        return _Json(text[1:-1]).read()
    return _terms(text)


def _terms(text: str) -> SqlCondition:
    needed: list[SqlCondition] = []
    excluded: list[SqlCondition] = []
    optional: list[SqlCondition] = []
    place = 0
    while place < len(text):
        found = _TERM.match(text, place)
        if found is None:
            if not text[place:].strip():
                break
            raise _wrong(f"it cannot be read from {text[place : place + 20]!r} on")
        place = found.end()
        sign, quoted, regex, bare = found.groups()
        one = (
            _regex("message", regex) if regex is not None
            else SqlCondition("contains(message, ?)", (_unescaped(quoted) if quoted is not None else bare,))
        )  # fmt: skip
        {"-": excluded, "?": optional, "": needed}[sign].append(one)
    if len(needed) + len(excluded) + len(optional) > MOST_TERMS:
        raise _wrong(f"it has more than {MOST_TERMS} terms")
    kept = [*needed, *(_not(each) for each in excluded)]
    # AWS disregards optional terms beside others.
    return _joined(" AND ", kept) if needed or not optional else _joined(" AND ", [_joined(" OR ", optional), *kept])


class _Json:
    """A pattern within braces: comparisons, `&&`, `||` and parentheses."""

    def __init__(self, text: str) -> None:
        self._tokens = list(self._split(text))
        self._place = 0

    @staticmethod
    def _split(text: str) -> Iterator[tuple[str, str]]:
        place = 0
        while text[place:].strip():
            found = _TOKEN.match(text, place)
            if found is None or found.lastgroup is None:
                raise _wrong(f"it cannot be read from {text[place : place + 20]!r} on")
            yield found.lastgroup, found[found.lastgroup]
            place = found.end()

    def read(self) -> SqlCondition:
        """The whole condition."""
        if len(self._tokens) > 10 * MOST_TERMS:
            raise _wrong("it is too long")
        found = self._either(0)
        if self._place < len(self._tokens):
            raise _wrong(f"{self._tokens[self._place][1]!r} stands where nothing may follow")
        return found

    def _either(self, depth: int) -> SqlCondition:
        found = [self._both(depth)]
        while self._takes("||"):
            found.append(self._both(depth))
        return _joined(" OR ", found)

    def _both(self, depth: int) -> SqlCondition:
        found = [self._one(depth)]
        while self._takes("&&"):
            found.append(self._one(depth))
        return _joined(" AND ", found)

    def _one(self, depth: int) -> SqlCondition:
        if depth > DEEPEST:
            raise _wrong(f"it has more than {DEEPEST} parentheses within each other")
        if self._takes("("):
            found = self._either(depth + 1)
            if not self._takes(")"):
                raise _wrong("a closing parenthesis is missing")
            return found
        kind, text = self._next()
        if kind != "path":
            raise _wrong(f"{text!r} stands where a property such as $.level is expected")
        path = _path(text)
        if self._takes("NOT"):
            self._require("EXISTS")
            return SqlCondition(f"json_valid(message) AND ({_JSON_TYPE}) IS NULL", (path,))
        if self._takes("IS"):
            _, word = self._next()
            if word.upper() == "NULL":
                return SqlCondition(f"coalesce(({_JSON_TYPE}) = 'NULL', false)", (path,))
            if word.upper() in {"TRUE", "FALSE"}:
                is_boolean = f"coalesce(({_JSON_TYPE}) = 'BOOLEAN' AND ({_JSON_TEXT}) = ?, false)"
                return SqlCondition(is_boolean, (path, path, word.lower()))
            raise _wrong("IS is followed by TRUE, FALSE or NULL")
        _, operator = self._next()
        if operator not in {"=", "!=", ">", "<", ">=", "<="}:
            raise _wrong(f"{operator!r} is no comparison")
        return self._compared(path, operator)

    def _compared(self, path: str, operator: str) -> SqlCondition:
        kind, value = self._next()
        if kind == "regex" and operator in {"=", "!="}:
            matches = _regex(f"({_JSON_TEXT})", value, negated=operator == "!=")
            return SqlCondition(matches.sql, (path, *matches.parameters))
        if kind == "bare" and _NUMBER.fullmatch(value):
            sql = f"coalesce(TRY_CAST(({_JSON_TEXT}) AS DOUBLE) {operator} ?::DOUBLE, false)"
            return SqlCondition(sql, (path, float(value)))
        if kind not in {"bare", "quoted"} or operator not in {"=", "!="}:
            raise _wrong(f"{operator} is followed by a number")
        negation = "NOT " if operator == "!=" else ""
        wanted = _unescaped(value) if kind == "quoted" else value
        if "*" in wanted:
            return SqlCondition(f"coalesce(({_JSON_TEXT}) {negation}LIKE ? ESCAPE '\\', false)", (path, _like(wanted)))
        return SqlCondition(f"coalesce(({_JSON_TEXT}) {operator} ?, false)", (path, wanted))

    def _next(self) -> tuple[str, str]:
        if self._place >= len(self._tokens):
            raise _wrong("it ends too early")
        self._place += 1
        return self._tokens[self._place - 1]

    def _takes(self, text: str) -> bool:
        """Whether the next token is this one, which is then taken."""
        is_next = self._place < len(self._tokens) and self._tokens[self._place] in {("operator", text), ("word", text)}
        self._place += is_next
        return is_next

    def _require(self, text: str) -> None:
        if not self._takes(text):
            raise _wrong(f"{text} is missing")


def _path(text: str) -> str:
    """A property in DuckDB's form, with every name quoted."""
    found = "$"
    for named, plain, index in _STEP.findall(text):
        found += f"[{index}]" if index else f'."{named or plain}"'
    return found


def _regex(subject: str, text: str, *, negated: bool = False) -> SqlCondition:
    """DuckDB's regular expressions are RE2's: their time is bounded by their length and the text's."""
    if not text or "(" in text or ")" in text:
        raise _wrong("a regular expression has neither parentheses nor nothing at all")
    return SqlCondition(f"coalesce({'NOT ' if negated else ''}regexp_matches({subject}, ?), false)", (text,))


def _like(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return escaped.replace("*", "%")


def _unescaped(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text, flags=re.DOTALL)


def _not(condition: SqlCondition) -> SqlCondition:
    return SqlCondition(f"NOT ({condition.sql})", condition.parameters)


def _joined(word: str, conditions: list[SqlCondition]) -> SqlCondition:
    if len(conditions) == 1:
        return conditions[0]
    parameters = tuple(value for each in conditions for value in each.parameters)
    return SqlCondition(word.join(f"({each.sql})" for each in conditions), parameters)


def _wrong(why: str) -> TelemetryRefusedError:
    return invalid(f"Invalid filter pattern: {why}.")
