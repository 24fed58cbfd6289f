from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aerodrome.telemetry.metrics import expressions
from aerodrome.telemetry.metrics.expressions import ExpressionError, Series, World


def series(label, *values):
    return Series(label, {60 * at: float(value) for at, value in enumerate(values) if value is not None}, 60)


KNOWN = {
    "a": series("a", 1, 2, None, 4),
    "b": series("b", 0, 2, 3, 4),
    "up": series("up", 1, 2, 3, 4),
    "empty": series("empty"),
    "both": [series("x", 1, 1, 1, 1), series("y", 2, None, 2, 2)],
}
WORLD = World(
    of=lambda name: KNOWN[name],
    metrics=lambda text: [KNOWN[name] for name in ("a", "b", "up") if text in name],
    search=lambda text, statistic, period: [series(f"{text} {statistic} {period}", 7)],
    times=lambda period: range(0, 240, period),
    period=60,
)


def value(text):
    found = expressions.work_out(expressions.read(text), WORLD)
    if isinstance(found, list):
        return [list(each.points.values()) for each in found]
    return found.points if isinstance(found, Series) else found


def at(*values):
    return series("", *values).points


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1 + 2 * 3 - 4 / 2", 5.0),
        ("(1 + 2) * -3", -9.0),
        ("-2 ^ 2", -4.0),
        ("a + b", at(1, 4, None, 8)),
        ("a / b", at(None, 1, None, 1)),
        ("100 * a", at(100, 200, None, 400)),
        ("a > 1 AND b < 4", at(0, 1, None, 0)),
        ("a == 2 || b == 4", at(0, 1, None, 1)),
        ("SUM(a)", 7.0),
        ("AVG(b)", 2.25),
        ("MIN(b) + MAX(b)", 4.0),
        ("SUM(METRICS())", at(2, 6, 6, 12)),
        ("AVG([b, up])", at(0.5, 2, 3, 4)),
        ("MAX(METRICS('u'))", at(1, 2, 3, 4)),
        ("SUM(both)", at(3, 1, 3, 3)),
        ("both * 10", [[10, 10, 10, 10], [20, 20, 20]]),
        ("METRIC_COUNT(both)", 2.0),
        ("FILL(a, 0)", at(1, 2, 0, 4)),
        ("FILL(a, REPEAT)", at(1, 2, 2, 4)),
        ("FILL(a, LINEAR)", at(1, 2, 3, 4)),
        ("FILL(a, b)", at(1, 2, 3, 4)),
        ("FILL(both, 0)", [[1, 1, 1, 1], [2, 0, 2, 2]]),
        ("FILL(empty, 0)", at(0, 0, 0, 0)),
        ("RATE(up) * 60", at(None, 1, 1, 1)),
        ("DIFF(up)", at(None, 1, 1, 1)),
        ("RUNNING_SUM(up)", at(1, 3, 6, 10)),
        ("IF(a > 1, a, 0)", at(0, 2, None, 4)),
        ("IF(a > 1, b)", at(None, 2, None, 4)),
        ("IF(1 < 2, a, b)", at(1, 2, None, 4)),
        ("PERIOD(a)", 60.0),
        ("TIME_SERIES(3)", at(3, 3, 3, 3)),
        ("CEIL(a / 3)", at(1, 1, None, 2)),
        ("SORT(both, SUM, DESC, 1)", [[2, 2, 2]]),
        ("FIRST(both)", at(1, 1, 1, 1)),
        ("SEARCH('{N,D} x', 'Sum', 300)", [[7]]),
        ("REMOVE_EMPTY([a, empty])", [[1, 2, 4]]),
    ],
)
def test_what_expressions_are(text, expected):
    assert value(text) == expected


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a +", "ends too early"),
        ("a b", "where nothing is expected"),
        ("(a", r"where '\)' is expected"),
        ("a ; b", "cannot be read"),
        ("ANOMALY_DETECTION_BAND(a)", "not offered"),
        ("SLICE(both, AVG(empty))", "number is expected"),
        ("SLICE(both, 0, 1e400)", "1e400 is too large"),
        ("TIME_SERIES(1e400)", "1e400 is too large"),
        ("FILL(a)", "too much, too little"),
        ("FILL(a, SUM)", "REPEAT or LINEAR"),
        ("'a' + 1", "given a text"),
        ("(" * 2000, "within each other"),
        ("-" * 2000 + "1", "within each other"),
        ("SUM(" * 500 + "a" + ")" * 500, "within each other"),
    ],
)
def test_what_is_wrong_is_told(text, told):
    with pytest.raises(ExpressionError, match=told):
        value(text)


@pytest.mark.parametrize(
    "number", ["AVG(empty)", "STDDEV(empty)", "1 / 0", "10 ^ 400", "SUM(a) / MIN(b)", "SUM(up * 4e307)"]
)
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a - {}", {}),
        ("a > {} || 1", {}),
        ("TIME_SERIES(ABS({} + 1))", {}),
        ("IF({} > 1, a, b)", {}),
        ("IF(a > 1, {}, b)", at(0)),
        ("FILL(a, {})", at(1, 2, None, 4)),
        ("TIME_SERIES(MAX(1, {}))", {}),
    ],
)
def test_where_a_number_is_none_there_is_no_point(text, expected, number):
    assert value(text.format(number)) == expected


@given(st.text(alphabet="ab+-*/^<>=&|()[],' 019.SUMIFEL", max_size=60))
def test_whatever_is_sent_has_a_value_or_a_sentence(text):
    with contextlib.suppress(ExpressionError, KeyError):  # a query that is not there is a KeyError here
        value(text)


def test_a_long_sum_is_worked_out_or_refused_and_exhausts_nothing():
    most = expressions.MOST_SIGNS
    assert value("1+" * most + "1") == most + 1
    with pytest.raises(ExpressionError, match="signs"):
        value("1+" * 1000 + "1")
