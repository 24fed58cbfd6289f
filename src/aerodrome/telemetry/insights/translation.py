"""Makes one query of SQL of the commands of Insights. Pure.

Each command wraps what is before it in a further layer, so commands do what they say in the order in which they stand.
The innermost layer reads the table `events`, which `search` makes, and finds the fields of events that are JSON. What a
query says (texts, numbers, expressions, paths) is a parameter or a number; names of columns are our own.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from aerodrome.telemetry.insights import commands, functions, grammar
from aerodrome.telemetry.insights.functions import AGGREGATES, SCALARS, Kind, Value, called, number, text, truth, wrong

MOST_FIELDS = 200
"""That one query names; AWS discovers so many in one event."""

TIE = "moment DESC, number DESC"
"""The order of events, the newest first, in which two of one time have the order in which they came in."""

OF_EVENTS = {
    "@timestamp": Value("moment", Kind.TIME),
    "@ingestionTime": Value("ingested", Kind.TIME),
    "@message": Value("message"),
    "@logStream": Value("stream_name"),
    "@log": Value("group_name"),
    "@ptr": Value("base64(encode(concat_ws('.', group_id, moment, number)))"),
}
"""Fields that every event has."""

_MEANT = {"=": "=", "!=": "<>", "<": "<", "<=": "<=", ">": ">", ">=": ">="}


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the result."""

    name: str
    kind: Kind


@dataclass(frozen=True, slots=True)
class Translated:
    """A query, ready for DuckDB."""

    sql: str
    """Rows of the result; `events` is what it reads."""
    matched: str
    """How many events there are before some become rows of statistics, or are left out."""
    parameters: dict[str, str | float]
    columns: tuple[Column, ...]
    reads_streams: bool
    """Whether it needs the names of log streams."""


def of_text(query: str, *, most_rows: int, now: float) -> Translated:
    """The SQL of a query that is text.

    Raises:
        TelemetryRefusedError: it is none, or a command cannot be carried out.
    """
    return translate(grammar.read(query), most_rows=most_rows, now=now)


def translate(given: Sequence[commands.Command], *, most_rows: int, now: float) -> Translated:
    """The SQL; `now` is in seconds since 1970.

    Raises:
        TelemetryRefusedError: a command cannot be carried out.
    """
    try:
        return _Translation(now=now, most_rows=most_rows).of(given)
    except RecursionError:
        raise wrong("it is too involved") from None


@dataclass(slots=True)
class _Translation:
    now: float
    most_rows: int
    layers: list[tuple[str, str]] = field(default_factory=list)
    """Around each other: what each selects of the one before, and which and how many rows."""
    scope: dict[str, Value] = field(default_factory=lambda: dict(OF_EVENTS))
    found: dict[str, str] = field(default_factory=dict)
    """SQL of a field that is found in JSON → its column."""
    shown: list[str] = field(default_factory=list)
    parameters: dict[str, str | float] = field(default_factory=dict)
    order: str = TIE
    is_of_events: bool = True
    """Whether a row is an event still."""
    in_stats: bool = False
    count_after: int | None = None
    """After so many layers, rows are no longer all the events that match."""
    made: int = 0

    def of(self, given: Sequence[commands.Command]) -> Translated:
        for command in given:
            self._carry_out(command)
        names = self.shown or (["@timestamp", "@message"] if self.is_of_events else [])
        if self.is_of_events and "@ptr" not in names:
            names = [*names, "@ptr"]
        values = [(name, self._field(name)) for name in dict.fromkeys(names)]
        columns = ", ".join(value.sql for _, value in values)
        inner = self._wrapped(len(self.layers))
        matched = self._wrapped(len(self.layers) if self.count_after is None else self.count_after)
        return Translated(
            sql=f"SELECT {columns} FROM {inner} ORDER BY {self.order} LIMIT {self.most_rows:d}",  # noqa: S608 - our words
            matched=f"SELECT count(*) FROM {matched}",  # noqa: S608 - as above
            parameters=self.parameters,
            columns=tuple(Column(name, value.kind) for name, value in values),
            reads_streams="stream_name" in f"{columns} {inner}",
        )

    def _carry_out(self, command: commands.Command) -> None:
        match command:
            case commands.FieldsCommand(columns, is_only):
                self._fields(columns, is_only=is_only)
            case commands.FilterCommand(condition):
                self._layer(rest=f"WHERE {truth(self._value(condition))}")
            case commands.ParseCommand():
                self._parse(command)
            case commands.StatsCommand(columns, by):
                self._stats(columns, by)
            case commands.SortCommand(keys):
                ordered = [
                    f"{each} {key.direction} NULLS LAST"
                    for key in keys
                    for each in _sorted_by(self._named_value(key.column))
                ]
                self.order = ", ".join([*ordered, *([TIE] if self.is_of_events else [])])
            case commands.LimitCommand(rows):
                self._count_here()
                self._layer(rest=f"ORDER BY {self.order} LIMIT {rows:d}")
            case commands.DedupCommand(names):
                self._dedup(names)

    def _fields(self, columns: Sequence[commands.Named], *, is_only: bool) -> None:
        made = self._columns(columns)
        self.shown = [*([] if is_only else self.shown), *(each.name for each in columns)]
        if made:
            listed = ", ".join(f"{value.sql} AS {column}" for _, value, column in made)
            self._layer(f"*, {listed}")
        self.scope |= {name: Value(column, value.kind) for name, value, column in made}

    def _columns(self, columns: Sequence[commands.Named]) -> list[tuple[str, Value, str]]:
        """Name, value and column of those that are not there already."""
        return [
            (each.name, self._value(each.expression), self._column())
            for each in columns
            if each.expression != commands.FieldName(each.name) and not self._is_there(each)
        ]

    def _is_there(self, column: commands.Named) -> bool:
        """Whether an expression is what a column is called already, as `count(*)` after `stats count(*)`."""
        return not column.is_alias and column.name in self.scope

    def _named_value(self, column: commands.Named) -> Value:
        return self.scope[column.name] if self._is_there(column) else self._value(column.expression)

    def _parse(self, command: commands.ParseCommand) -> None:
        subject = text(self._field(command.subject.name))
        if isinstance(command.pattern, commands.TextLiteral):
            pattern, names = _of_glob(command.pattern.value), list(command.names)
            groups = list(range(1, command.pattern.value.count("*") + 1))
        else:
            pattern = command.pattern.pattern
            captures = _captures(pattern)
            groups = [number for number, name in enumerate(captures, start=1) if name or command.names]
            names = list(command.names) or [name for name in captures if name]
        if len(names) != len(groups) or not names:
            raise wrong(f"parse has {len(groups)} parts to find, and {len(names)} names for them")
        wanted = self._parameter(pattern)
        made = [(name, group, self._column()) for name, group in zip(names, groups, strict=True)]
        parts, listed = self._column(), ", ".join(f"'g{group}'" for group in range(1, max(groups) + 1))
        self._layer(
            f"*, CASE WHEN regexp_matches({subject}, {wanted}) "
            f"THEN regexp_extract({subject}, {wanted}, [{listed}]) END AS {parts}"
        )
        self._layer(f"*, {', '.join(f'{parts}.g{group:d} AS {column}' for _, group, column in made)}")
        self.scope |= {name: Value(column) for name, _, column in made}
        self.shown = [*(self.shown or ["@timestamp", "@message"]), *names]

    def _stats(self, columns: Sequence[commands.Named], by: Sequence[commands.Named]) -> None:
        self._count_here()
        groups = [(each.name, self._value(each.expression), self._column()) for each in by]
        self.in_stats = True
        made = [(each.name, self._value(each.expression), self._column()) for each in columns]
        self.in_stats = False
        if groups:
            self._layer(f"*, {', '.join(f'{value.sql} AS {column}' for _, value, column in groups)}")
        listed = ", ".join(
            [column for *_, column in groups] + [f"{value.sql} AS {column}" for _, value, column in made]
        )
        self._layer(listed, f"GROUP BY {', '.join(column for *_, column in groups)}" if groups else "")
        self.scope = {name: Value(column, value.kind) for name, value, column in [*groups, *made]}
        self.shown = list(self.scope)
        self.is_of_events = False
        by_groups = [each for _, value, column in groups for each in _sorted_by(Value(column, value.kind))]
        self.order = ", ".join(f"{each} NULLS LAST" for each in by_groups) or "1"

    def _dedup(self, names: Sequence[commands.FieldName]) -> None:
        self._count_here()
        fields = [text(self._field(each.name)) for each in names]
        column = self._column()
        window = f"row_number() OVER (PARTITION BY {', '.join(fields)} ORDER BY {self.order})"
        self._layer(f"*, {window} AS {column}")
        absent = " OR ".join(f"{each} IS NULL" for each in fields)
        self._layer(rest=f"WHERE {column} = 1 OR {absent}")  # AWS keeps events that lack a field

    def _count_here(self) -> None:
        if self.count_after is None:
            self.count_after = len(self.layers)

    def _layer(self, columns: str = "*", rest: str = "") -> None:
        self.layers.append((columns, rest))

    def _wrapped(self, count: int) -> str:
        """The first layers, as a table."""
        fields = "".join(f", {sql} AS {column}" for sql, column in self.found.items())
        found = f"(SELECT *{fields} FROM events)"  # noqa: S608 - made of our own words
        for columns, rest in self.layers[:count]:
            found = f"(SELECT {columns} FROM {found} {rest})"  # noqa: S608 - as above
        return found

    def _column(self) -> str:
        self.made += 1
        return f"c{self.made}"

    def _parameter(self, value: str | float) -> str:
        name = f"p{len(self.parameters)}"
        self.parameters[name] = value
        return f"${name}"

    def _field(self, name: str) -> Value:
        """A column that a command has made, what every event has, or a field of an event that is JSON."""
        if name in self.scope:
            return self.scope[name]
        if not self.is_of_events or name.startswith("@"):
            return Value("CAST(NULL AS VARCHAR)")
        if len(self.found) >= MOST_FIELDS:
            raise wrong(f"it names more than {MOST_FIELDS} fields")
        column = f"j{len(self.found)}"
        leaves = ", ".join(_LEAF.format(self._parameter(path)) for path in _paths(name))
        is_json = "starts_with(ltrim(message), '{') AND json_valid(message)"
        self.found[f"CASE WHEN {is_json} THEN coalesce({leaves}) END"] = column
        self.scope[name] = Value(column)
        return self.scope[name]

    def _value(self, expression: commands.Expression) -> Value:  # noqa: PLR0911 - a table of kinds
        match expression:
            case commands.FieldName(name):
                return self._named(name)
            case commands.TextLiteral(said):
                return Value(f"CAST({self._parameter(said)} AS VARCHAR)")
            case commands.NumberLiteral(given):
                return Value(f"CAST({self._parameter(given)} AS DOUBLE)", Kind.NUMBER)
            case commands.InsightsCall(function, given):
                return self._call(function, given)
            case commands.Operation(operator, given):
                return self._operation(operator, given)
            case commands.Like(subject, wanted, is_negated):
                return self._like(self._value(subject), wanted, is_negated=is_negated)
            case commands.In(subject, choices, is_negated):
                found = _among(self._value(subject), [self._value(each) for each in choices])
                return Value(f"({'NOT ' if is_negated else ''}({found}))", Kind.BOOLEAN)
            case _:
                raise wrong("a period of time, or a *, stands where it means nothing")

    def _named(self, name: str) -> Value:
        if name in {"true", "false"} and name not in self.scope:
            return Value(name, Kind.BOOLEAN)
        return self._field(name)

    def _operation(self, operator: str, given: Sequence[commands.Expression]) -> Value:
        values = [self._value(each) for each in given]
        if operator == "not":
            return Value(f"(NOT {truth(values[0])})", Kind.BOOLEAN)
        left, right = values
        if operator in {"and", "or"}:
            return Value(f"({truth(left)} {operator.upper()} {truth(right)})", Kind.BOOLEAN)
        if operator in _MEANT:
            return Value(_compared(_MEANT[operator], left, right), Kind.BOOLEAN)
        if operator == "^":
            return Value(f"TRY(pow({number(left)}, {number(right)}))", Kind.NUMBER)
        divisor = f"nullif({number(right)}, 0)" if operator in "/%" else number(right)
        return Value(f"({number(left)} {operator} {divisor})", Kind.NUMBER)

    def _like(self, subject: Value, wanted: commands.TextLiteral | commands.Regex, *, is_negated: bool) -> Value:
        if isinstance(wanted, commands.TextLiteral):
            found = f"contains({text(subject)}, {self._parameter(wanted.value)})"
        else:
            found = f"regexp_matches({text(subject)}, {self._parameter(wanted.pattern)})"
        return Value(f"coalesce({'NOT ' if is_negated else ''}{found}, false)", Kind.BOOLEAN)

    def _call(self, function: str, given: Sequence[commands.Expression]) -> Value:
        if function in {"bin", "datefloor", "dateceil"}:
            return self._period(function, given)
        if function == "now" and not given:
            return Value(f"CAST({self._parameter(float(int(self.now)))} AS DOUBLE)", Kind.NUMBER)
        if function in SCALARS:
            return called(function, SCALARS[function], [self._value(each) for each in given])
        if function not in {*AGGREGATES, "count", "pct", "median", "earliest", "latest"}:
            raise wrong(f"the function {function}() is not offered here")
        if not self.in_stats:
            raise wrong(f"{function}() stands outside of stats")
        self.in_stats = False  # none within another
        try:
            return self._aggregate(function, given)
        finally:
            self.in_stats = True

    def _aggregate(self, function: str, given: Sequence[commands.Expression]) -> Value:
        if function == "count":
            counted = "*" if not given or isinstance(given[0], commands.Star) else text(self._value(given[0]))
            return Value(f"CAST(count({counted}) AS DOUBLE)", Kind.NUMBER)
        values = [self._value(each) for each in given]
        if function in {"pct", "median"}:
            return _percentile(function, given, values)
        if function in {"earliest", "latest"}:
            if not self.is_of_events or len(values) != 1:
                raise wrong(f"{function}() takes one field of events")
            sql = f"{'arg_min' if function == 'earliest' else 'arg_max'}({values[0].sql}, (moment, number))"
            return Value(sql, values[0].kind)
        return called(function, AGGREGATES[function], values)

    def _period(self, function: str, given: Sequence[commands.Expression]) -> Value:
        given = [commands.FieldName("@timestamp"), *given] if function == "bin" else given
        if len(given) != 2 or not isinstance(given[1], commands.Period):  # noqa: PLR2004 - a time and a period
            raise wrong(f"{function}() takes a period such as 5m")
        moment = functions.time(self._value(given[0]))
        return (functions.ceiled if function == "dateceil" else functions.floored)(moment, given[1])


_LEAF = (
    "CASE json_type(message, {0}) WHEN 'OBJECT' THEN NULL WHEN 'ARRAY' THEN NULL WHEN 'BOOLEAN' THEN "
    "CAST(CAST(json_extract_string(message, {0}) = 'true' AS INTEGER) AS VARCHAR) "
    "ELSE json_extract_string(message, {0}) END"
)


def _paths(name: str) -> list[str]:
    """Where a field may stand in JSON: within others, in lists, or under a name that has dots itself."""
    steps = name.split(".")
    if re.search(r'["\\]', name) or "*" in steps:
        raise wrong(f"the field {name} cannot be looked for: it has a quotation mark or a backslash, or is a *")
    within = "$" + "".join(f".{_quoted(each)}" for each in steps)
    in_lists = "$" + "".join(
        f"[{int(each)}]" if re.fullmatch(r"\d{1,6}", each) else f".{_quoted(each)}" for each in steps
    )
    return list(dict.fromkeys([within, in_lists, f"$.{_quoted(name)}"]))


def _quoted(name: str) -> str:
    return f'"{name}"'


def _compared(operator: str, left: Value, right: Value) -> str:
    """A comparison that is never NULL: of numbers where one side is one, and of texts that are both numbers."""
    if Kind.TEXT is not left.kind or Kind.TEXT is not right.kind:
        return f"coalesce({number(left)} {operator} {number(right)}, false)"
    if operator in {"=", "<>"}:
        return f"coalesce({left.sql} {operator} {right.sql}, false)"
    return f"coalesce({number(left)} {operator} {number(right)}, {left.sql} {operator} {right.sql}, false)"


def _among(value: Value, choices: Sequence[Value]) -> str:
    """Whether a value is one of several, as if it were compared with each; it is said twice at most."""
    as_texts = [each.sql for each in choices if value.kind is each.kind is Kind.TEXT]
    as_numbers = [number(each) for each in choices if not value.kind is each.kind is Kind.TEXT]
    found = [
        f"coalesce({sql} IN ({', '.join(among)}), false)"
        for sql, among in ((value.sql, as_texts), (number(value), as_numbers))
        if among
    ]
    return " OR ".join(found)


def _sorted_by(value: Value) -> list[str]:
    """Texts that are no numbers come before those that are, as on AWS."""
    if value.kind is not Kind.TEXT:
        return [value.sql]
    return [f"({value.sql} IS NOT NULL AND {number(value)} IS NOT NULL)", number(value), value.sql]


def _percentile(function: str, given: Sequence[commands.Expression], values: Sequence[Value]) -> Value:
    share = (
        50.0
        if function == "median"
        else given[1].value
        if len(given) > 1 and isinstance(given[1], commands.NumberLiteral)
        else -1
    )
    if not values or not 0 <= share <= 100:  # noqa: PLR2004 - percent
        raise wrong(f"{function}() takes a field and a percentage")
    return Value(f"quantile_cont({number(values[0])}, {share / 100!r})", Kind.NUMBER)


def _of_glob(glob: str) -> str:
    """The regular expression for a pattern whose stars are the parts to find."""
    pieces = [re.sub(r"([!-/:-@\[-^`{-~])", r"\\\1", each) for each in glob.split("*")]
    last = "(.*)" if glob.endswith("*") else "(.*?)"
    return "(?s)" + "(.*?)".join(pieces[:-1]) + (last if len(pieces) > 1 else "") + pieces[-1]


def _captures(pattern: str) -> list[str]:
    """The names of a regular expression's capturing groups in their order; empty for those without."""
    inner = re.sub(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]", "", pattern, flags=re.DOTALL)
    return [match[1] or "" for match in re.finditer(r"\((?:\?P<(\w+)>|(?!\?))", inner)]
