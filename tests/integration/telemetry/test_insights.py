"""Queries of Insights on real files, and what plain Python says of the same events."""

# ruff: noqa: E501 - a query and its oracle stand in one line each

from __future__ import annotations

import json
import math
import re
import sqlite3
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from aerodrome.telemetry import parts
from aerodrome.telemetry.acceptance import DAY, LogEvent
from aerodrome.telemetry.catalogue import Catalogue
from aerodrome.telemetry.engine import StorePaths
from aerodrome.telemetry.insights import grammar, search, translation
from aerodrome.telemetry.insights.search import Question, Searched
from aerodrome.telemetry.keeping import Write
from aerodrome.telemetry.refusals import TelemetryRefusedError

BASE = 20_000 * DAY + 12 * 3_600_000
NOW = BASE + 3_600_000
StoredEvent = dict[str, str]


@dataclass
class Said:
    """One event, as Python sees it."""

    moment: int
    number: int
    message: str
    stream: str
    json: dict[str, str] = field(default_factory=dict)

    def __getitem__(self, name: str) -> str | None:
        return {"@message": self.message, "@logStream": self.stream, "@timestamp": shown_time(self.moment)}.get(
            name, self.json.get(name)
        )

    def num(self, name: str) -> float | None:
        return num(self[name])


def num(text: str | None) -> float | None:
    try:
        return float(text) if text is not None else None
    except ValueError:
        return None


def shown(value: float | None) -> str | None:
    if value is None:
        return None
    return re.sub(r"\.?0+$", "", f"{value:.4f}")


def shown_time(moment: int) -> str:
    day, rest = divmod(moment, DAY)
    date = 719_528 + day  # days from year 0, for a calendar of our own
    year = next(year for year in range(1970, 3000) if _days(year + 1) > date)
    months = [31, 29 if _is_leap(year) else 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
    left, month = date - _days(year), 0
    while left >= months[month]:
        left -= months[month]
        month += 1
    hour, minute, second = rest // 3_600_000, rest // 60_000 % 60, rest // 1000 % 60
    return f"{year}-{month + 1:02}-{left + 1:02} {hour:02}:{minute:02}:{second:02}.{rest % 1000:03}"


def _is_leap(year: int) -> bool:
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)


def _days(year: int) -> int:
    past = year - 1
    return 365 * year + past // 4 - past // 100 + past // 400 + 1


def leaves(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, each in value.items():
            yield from leaves(each, f"{name}.{key}" if name else key)
    elif isinstance(value, list):
        for number, each in enumerate(value):
            yield from leaves(each, f"{name}.{number}")
    elif isinstance(value, bool):
        yield name, str(int(value))
    elif value is not None:
        yield name, value if isinstance(value, str) else json.dumps(value)


def row(**columns: str | None) -> StoredEvent:
    return {name: value for name, value in columns.items() if value is not None}


def rows(events: Iterable[Said], *names: str) -> list[StoredEvent]:
    return [row(**{name: each[name] for name in names}) for each in events]


def of(*conditions: Callable[[Said], Any]) -> Callable[[list[Said]], list[StoredEvent]]:
    """The messages of events for which these hold."""
    return lambda events: rows([each for each in events if all(test(each) for test in conditions)], "@message")


def grouped(events: Iterable[Said], key: Callable[[Said], Any]) -> dict[Any, list[Said]]:
    found: dict[Any, list[Said]] = defaultdict(list)
    for each in events:
        found[key(each)].append(each)
    return found


def numbers(events: Iterable[Said], name: str) -> list[float]:
    return [value for each in events if (value := each.num(name)) is not None]


def mean(values: list[float]) -> float | None:
    return math.fsum(values) / len(values) if values else None


def percentile(values: list[float], share: float) -> float | None:
    if not values:
        return None
    ordered, place = sorted(values), share * (len(values) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def natural(text: str | None) -> tuple[Any, ...]:
    """The order of texts: those that are no numbers first, absent ones last."""
    if text is None:
        return (2,)
    value = num(text)
    return (0, text) if value is None else (1, value, text)


def took(each: Said) -> re.Match[str] | None:
    return re.search(r"user=(.*?) took (.*?) ms", each.message)


def by_level(make: Callable[[list[Said]], StoredEvent]) -> Callable[[list[Said]], list[StoredEvent]]:
    return lambda events: [
        row(level=level) | make(some) for level, some in grouped(events, lambda e: e["level"]).items()
    ]


def binned(length: int) -> Callable[[list[Said]], list[StoredEvent]]:
    return lambda events: [
        {"t": shown_time(start), "n": str(len(some))}
        for start, some in sorted(grouped(events, lambda e: e.moment // length * length).items())
    ]


def deduplicated(events: list[Said], *names: str) -> list[Said]:
    seen, kept = set(), []
    for each in events:
        key = tuple(each[name] for name in names)
        if None in key or key not in seen:
            kept.append(each)
        seen.add(key)
    return kept


M = "fields @message | "
QUERIES: list[tuple[str, Callable[[list[Said]], list[StoredEvent]]]] = [
    ("fields @timestamp, @message", lambda es: rows(es, "@timestamp", "@message")),
    ("", lambda _: []),
    ("fields @logStream, level", lambda es: rows(es, "@logStream", "level")),
    ("fields @message | limit 3", lambda es: rows(es[:3], "@message")),
    ("fields @message | sort @timestamp asc | limit 3", lambda es: rows(sorted(es, key=lambda e: (e.moment, -e.number))[:3], "@message")),
    (M + 'filter level = "error"', of(lambda e: e["level"] == "error")),
    (M + "filter level != 'error'", of(lambda e: e["level"] is not None, lambda e: e["level"] != "error")),
    (M + 'filter level in ["error", "warn"]', of(lambda e: e["level"] in ("error", "warn"))),
    (M + 'filter level not in ["error"]', of(lambda e: e["level"] != "error")),
    (M + "filter n in [5, '2', 'x', m, gone, 2.5]", of(lambda e: e["n"] is not None and (e.num("n") in (5, 2.5) or e["n"] in ("2", e["m"])))),
    (M + "filter n + 1 in ['6', 3, gone]", of(lambda e: e.num("n") in (5, 2))),
    (M + "filter n > 5", of(lambda e: (e.num("n") or 0) > 5)),
    (M + "filter n <= 5 and n >= 2", of(lambda e: 2 <= (e.num("n") if e.num("n") is not None else 99) <= 5)),
    (M + "filter n = 5 or who.name = 'ann'", of(lambda e: e.num("n") == 5 or e["who.name"] == "ann")),
    (M + "filter not (n > 5)", of(lambda e: not (e.num("n") or 0) > 5)),
    (M + 'filter @message like "took"', of(lambda e: "took" in e.message)),
    (M + 'filter @message not like "took"', of(lambda e: "took" not in e.message)),
    (M + "filter @message like /(?i)ERR|slow/", of(lambda e: re.search("err|slow", e.message, re.IGNORECASE))),
    (M + r"filter @message =~ /user=\w+b/", of(lambda e: re.search(r"user=\w+b", e.message))),
    (M + "filter isPresent(who.name)", of(lambda e: e["who.name"] is not None)),
    (M + "filter not ispresent(who.name) and isBlank(gone)", of(lambda e: e["who.name"] is None)),
    (M + "filter ok = 1", of(lambda e: e["ok"] == "1")),
    (M + "filter tags.1 = 'y'", of(lambda e: e["tags.1"] == "y")),
    (M + "filter n < m", of(lambda e: e["n"] is not None and e["m"] is not None and (e.num("n") or 0) < (e.num("m") or 0))),
    (M + "filter strcontains(@message, 'slow') | filter strlen(@message) > 20", of(lambda e: "slow" in e.message, lambda e: len(e.message) > 20)),
    (M + "filter @timestamp >= " + str(BASE + 60_000), of(lambda e: e.moment >= BASE + 60_000)),
    ("fields strlen(@message) as l, toupper(level) as u, n * 2 + 1 as d", lambda es: [row(l=str(len(e.message)), u=(e["level"] or "").upper() or None, d=shown(e.num("n") * 2 + 1) if e.num("n") is not None else None) for e in es]),
    ("fields n / m as q, n % 3 as r, n - m as s", lambda es: [row(
        q=shown(e.num("n") / e.num("m")) if None not in (e.num("n"), e.num("m")) and e.num("m") else None,
        r=shown(math.fmod(e.num("n"), 3)) if e.num("n") is not None else None,
        s=shown(e.num("n") - e.num("m")) if None not in (e.num("n"), e.num("m")) else None) for e in es]),
    ("fields concat(level, '-', n) as c, coalesce(who.name, level, 'none') as f", lambda es: [row(c=f"{e['level'] or ''}-{e['n'] or ''}", f=e["who.name"] or e["level"] or "none") for e in es]),
    ("fields substr(@message, 2, 3) as a, replace(@message, 'e', 'E') as b, trim('  x ') as c", lambda es: [row(a=e.message[2:5], b=e.message.replace("e", "E"), c="x") for e in es]),
    ("fields abs(0 - n) as a, ceil(n / 2) as c, floor(n / 2) as f, greatest(n, 5) as g", lambda es: [row(**({} if (v := e.num("n")) is None else {"a": shown(abs(v)), "c": shown(math.ceil(v / 2)), "f": shown(math.floor(v / 2)), "g": shown(max(v, 5))}), **({"g": "5"} if e.num("n") is None else {})) for e in es]),
    ("fields n > 5 as big | display big", lambda es: [{"big": str(int((e.num("n") or 0) > 5))} for e in es]),
    ("fields datefloor(@timestamp, 1h) as h, bin(1d) as d", lambda es: [{"h": shown_time(e.moment // 3_600_000 * 3_600_000), "d": shown_time(e.moment // DAY * DAY)} for e in es]),
    ("parse @message 'user=* took * ms' as @user, took | display @user, took", lambda es: [row(**({"@user": m[1], "took": m[2]} if (m := took(e)) else {})) for e in es]),
    (r"parse @message /user=(?<user>\w+) took (?<ms>\d+)/ | filter ms > 50 | display user", lambda es: [{"user": m[1]} for e in es if (m := re.search(r"user=(\w+) took (\d+)", e.message)) and float(m[2]) > 50]),
    ("stats count(*)", lambda es: [{"count(*)": str(len(es))}]),
    ("stats count(*) as c, count(level) as l, count_distinct(level) as d", lambda es: [{"c": str(len(es)), "l": str(sum(e["level"] is not None for e in es)), "d": str(len({e["level"] for e in es} - {None}))}]),
    ("stats count(*) as n by bin(5m) as t", binned(300_000)),
    ("stats count(*) as n by bin(30s) as t", binned(30_000)),
    ("stats count(*) as c by level", by_level(lambda some: {"c": str(len(some))})),
    ("stats sum(n) as s, avg(n) as a, min(n) as i, max(n) as x by level", by_level(lambda some: row(s=shown(math.fsum(v)) if (v := numbers(some, "n")) else None, a=shown(mean(v)), i=shown(min(v, default=None)), x=shown(max(v, default=None))))),
    ("stats pct(n, 90) as p, median(n) as m by level", by_level(lambda some: row(p=shown(percentile(numbers(some, "n"), 0.9)), m=shown(percentile(numbers(some, "n"), 0.5))))),
    ("stats earliest(@message) as e, latest(@message) as l by level", by_level(lambda some: {"e": min(some, key=lambda e: (e.moment, e.number)).message, "l": max(some, key=lambda e: (e.moment, e.number)).message})),
    ("stats sum(n) / count(*) as r by level", by_level(lambda some: row(r=shown(math.fsum(v) / len(some)) if (v := numbers(some, "n")) else None))),
    ("stats max(@timestamp) as last by @logStream", lambda es: [{"@logStream": stream, "last": str(max(e.moment for e in some))} for stream, some in grouped(es, lambda e: e.stream).items()]),
    ("filter ispresent(level) | stats count(*) by level | sort count(*) desc, level | limit 2", lambda es: [{"level": level, "count(*)": str(len(some))} for level, some in sorted(((k, v) for k, v in grouped(es, lambda e: e["level"]).items() if k), key=lambda each: (-len(each[1]), natural(each[0])))[:2]]),
    ("stats count(*) as c by level, ok | filter c > 1 | stats sum(c) as s", lambda es: [row(s=shown(sum(v)) if (v := [len(some) for some in grouped(es, lambda e: (e["level"], e["ok"])).values() if len(some) > 1]) else None)]),
    ("fields n | sort n desc, @timestamp", lambda es: rows(sorted(sorted(sorted(es, key=lambda e: (-e.moment, -e.number)), key=lambda e: e.moment), key=lambda e: natural(e["n"])[1:2] and -(e.num("n") if e.num("n") is not None else -1e9) if e["n"] is not None else 2e9), "n")),
    ("fields @message | dedup level", lambda es: rows(deduplicated(es, "level"), "@message")),
    ("fields @message | sort @timestamp asc | dedup level, ok", lambda es: rows(deduplicated(sorted(es, key=lambda e: (e.moment, -e.number)), "level", "ok"), "@message")),
    ('# all of it\nfields @message # the text\n| filter `who.name` = "bob"', of(lambda e: e["who.name"] == "bob")),
]  # fmt: skip

LEVELS = st.sampled_from(["error", "warn", "info", "7"])

MESSAGES = st.one_of(
    st.builds("{} user={} took {} ms".format, LEVELS, st.sampled_from(["ann", "bob", ""]), st.integers(0, 100)),
    st.sampled_from(["slow \x00 ünï 'quoted'\n  second line", '{"broken": ', "[1, 2]", "ERR {0}", "  "]),
    st.fixed_dictionaries(
        {"level": LEVELS},
        optional={
            "n": st.one_of(st.integers(0, 9), st.sampled_from([2.5, "5", "0.125"])),
            "m": st.integers(0, 4),
            "who": st.fixed_dictionaries({"name": st.sampled_from(["ann", "bob"])}),
            "tags": st.sampled_from([[], ["x"], ["x", "y"]]),
            "ok": st.booleans(),
            "gone": st.none(),
        },
    ).map(json.dumps),
)

EVENTS = st.lists(st.tuples(st.integers(0, 3_600_000), MESSAGES, st.sampled_from("st")), min_size=1, max_size=30)


def fields_of(message: str) -> dict[str, str]:
    try:
        found = json.loads(message)
    except ValueError:
        return {}
    return dict(leaves(found)) if isinstance(found, dict) else {}


@contextmanager
def stored(given: list[tuple[int, str, str]], moved: int) -> Iterator[tuple[StorePaths, list[Said]]]:
    """A store that has these events, the first of them in a file; and the events, the newest first."""
    with tempfile.TemporaryDirectory() as folder:
        place = StorePaths(Path(folder))
        place.parts.mkdir()
        place.temporary.mkdir()
        catalogue = Catalogue(place.catalogue)
        try:
            catalogue.create_group("g", now=BASE, kind="STANDARD", tags={}, is_protected=False)
            group = catalogue.group("g")
            for name in "st":
                catalogue.create_stream("g", name, now=BASE)
            said = []
            for number, (after, message, stream) in enumerate(given, start=1):
                event = LogEvent(BASE + after, message)
                catalogue.append(group, catalogue.stream(group, stream), [event], now=BASE)
                said.append(Said(event.moment, number, message, stream, fields_of(message)))
                if number == moved:
                    move(catalogue, place)
            yield place, sorted(said, key=lambda each: (-each.moment, -each.number))
        finally:
            catalogue.close()


def move(catalogue: Catalogue, place: StorePaths) -> None:
    for fresh in catalogue.fresh():
        write = Write(group=fresh.group, day=fresh.day, up_to=fresh.last_number)
        catalogue.commit(write, parts.write(place, write, 0))


def answered(place: StorePaths, query: str, **more: Any) -> list[StoredEvent]:
    translated = translation.translate(grammar.read(query), most_rows=more.pop("most_rows", 10_000), now=NOW / 1000)
    groups = (Searched(identifier=1, name="0:g", start=more.pop("start", BASE)),)
    ticket, target = place.temporary / "ticket", place.temporary / "rows"
    ticket.touch()
    search.run(place, Question(groups=groups, end=BASE + 2 * DAY, translated=translated), ticket, target)
    return [dict(json.loads(line)) for line in target.read_text().splitlines()]


@settings(max_examples=5, suppress_health_check=list(HealthCheck), phases=[Phase.explicit, Phase.generate])
@given(EVENTS, st.integers(0, 30))
def test_queries_answer_what_plain_python_does(given, moved):
    assert len(QUERIES) > 40
    with stored(given, moved) as (place, events):
        for query, oracle in QUERIES:
            if not query:
                continue
            found = [{name: value for name, value in each.items() if name != "@ptr"} for each in answered(place, query)]
            wanted = oracle(events)
            if "stats" in query and "sort" not in query:
                found, wanted = sorted(found, key=str), sorted([dict(sorted(each.items())) for each in wanted], key=str)
                found = sorted([dict(sorted(each.items())) for each in found], key=str)
            assert found == wanted, query


def test_whatever_a_query_says_it_is_carried_out_or_refused():
    refused = {
        "": "empty",
        "fields": "ends too early",
        "filter level = ": "ends too early",
        "fields @message | frobnicate": "not expected",
        "filter @message like /(a/": "",
        "filter @message like /(?=a)/": "look-around",
        "stats nope(n)": "nope",
        "fields count(*)": "outside of stats",
        "stats sum(count(*))": "outside of stats",
        "stats pct(n)": "percentage",
        "stats pct(n, 101)": "percentage",
        "parse @message 'a*b*' as x": "2 parts to find, and 1 names",
        "filter `a\\b` = 1": "backslash",
        "filter `a.*` = 1": "is a *",
        'filter `a"b` = 1': "quotation mark",
        "fields strlen()": "takes 1 to 1 values",
        "limit 0": "between 1",
        "fields bin(n)": "period",
        "SOURCE logGroups(namePrefix: ['other']) | fields @message": "source",
        "fields " + "(" * 50 + "1" + ")" * 50: "within each other",
        "filter " + "not " * 500 + "x": "within each other",
        "fields " + ", ".join(f"f{number}" for number in range(300)): "more than 200 fields",
    }
    with stored([(0, "a", "s")], 0) as (place, _):
        for query, told in refused.items():
            with pytest.raises(TelemetryRefusedError, match=f"(?i){re.escape(told)}"):
                answered(place, query)
        assert answered(place, "fields nothing, sqrt(0 - 1) as a, log(0 - 1) as b, 1 / 0 as c, @nope as d") == [
            {"@ptr": answered(place, "fields @ptr")[0]["@ptr"]}
        ]
        assert answered(place, "stats count(*)", start=BASE + 1) == [{"count(*)": "0"}]
        assert len(answered(place, "fields @message")) == 1


def test_parse_finds_many_parts_and_any_text():
    eleven = "a-b-c-d-e-f-g-h-i-j-k"
    names = [f"f{number}" for number in range(11)]
    wanted = dict(zip(names, eleven.split("-"), strict=True))
    with stored([(0, eleven, "s"), (1, "é → _x_ [1] \\ `y`", "s")], 0) as (place, _):
        listed = ", ".join(names)
        for pattern in ("'" + "-".join(["*"] * 11) + "'", "/" + "-".join([r"(\w)"] * 11) + "/"):
            found = answered(place, f"parse @message {pattern} as {listed} | filter ispresent(f0) | display {listed}")
            assert [{name: value for name, value in each.items() if name != "@ptr"} for each in found] == [wanted]
        named = "-".join(r"(\w)" if number % 2 else rf"(?<f{number}>\w)" for number in range(11))
        (found,) = answered(place, f"parse @message /{named}/ | filter ispresent(f0) | display f0, f10")
        assert (found["f0"], found["f10"]) == ("a", "k")
        (found,) = answered(
            place, r"parse @message 'é → _*_ [*] \\ `*`' as x, y, z | filter ispresent(x) | display x, y, z"
        )
        assert (found["x"], found["y"], found["z"]) == ("x", "1", "y")


def test_a_query_reads_no_deleted_stream_and_no_other_file():
    with stored([(0, "a", "s"), (1, "b", "t")], 2) as (place, _):
        catalogue = Catalogue(place.catalogue)
        catalogue.delete_stream("g", "t")
        catalogue.close()
        assert [each["@message"] for each in answered(place, "fields @message")] == ["a"]
        attacks = ["x' OR 1=1 --", '"; DROP TABLE groups; --', "$p0", "{}", f"read_text('{place.catalogue}')"]
        for text in attacks:
            quoted = json.dumps(text)
            assert answered(place, f"filter @message = {quoted}") == []
            assert answered(place, f"fields @message as `{text.replace('`', '')}` | limit 1")
            if '"' not in text:
                assert answered(place, f"filter `{text}` = 1") == []
        with sqlite3.connect(place.catalogue) as left:
            assert left.execute("SELECT count(*) FROM groups").fetchone() == (1,)
        left.close()


@settings(max_examples=200)
@given(
    st.text(max_size=80),
    st.sampled_from(
        [
            "{}",
            "filter {}",
            "fields {} as x",
            "stats count(*) by {}",
            "parse @message '{}' as x",
            "filter @message like /{}/",
        ]
    ),
)
def test_no_text_of_a_query_becomes_sql(text, form):
    try:
        found = translation.translate(grammar.read(form.format(text)), most_rows=10, now=0)
    except TelemetryRefusedError:
        return
    assert set(found.sql) <= set(
        " abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_(),.:%$=<>!'\\*+-/[]{\t\r\n"
    )
    assert set(re.findall(r"\$p\d+", found.sql)) <= {f"${name}" for name in found.parameters}
    for name in found.parameters.values():
        assert not isinstance(name, str) or len(name) < 8 or name not in found.sql
