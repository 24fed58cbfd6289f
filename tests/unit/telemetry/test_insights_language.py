"""Queries of Insights that are refused, or not, before any event is read."""

from __future__ import annotations

import pytest

from aerodrome.telemetry.insights import functions, translation
from aerodrome.telemetry.insights.translation import Translated
from aerodrome.telemetry.refusals import MALFORMED, TelemetryRefusedError


def translated(query: str) -> Translated:
    return translation.of_text(query, most_rows=10, now=0)


@pytest.mark.parametrize(
    "query",
    [
        "filter @message like /error|join failed/",
        "filter @message like 'a | source b'",
        "fields @message # | unmask is a word here\n| limit 1",
        "filter @message = '" + "not " * 50 + "(((((" * 20 + "'",
        "filter " + " and ".join(["not a"] * 50),
        "filter id = 123456789012345678901234567890",
        "fields a - -1, - - 2",
        "fields index as filter | stats count(*) by filter",
    ],
)
def test_words_and_signs_within_texts_mean_nothing(query: str) -> None:
    translated(query)


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("fields a | join b", "the command join is not offered"),
        ("fields a|UNMASK b", "the command UNMASK is not offered"),
        (" source logGroups()", "the command source is not offered"),
        ("fields a | filterindex b = 1", "the command filterindex is not offered"),
        ("filterindex >= 5", "the command filterindex is not offered"),
        ("fields a | pattern @message", "the command pattern is not offered"),
        ("filter a = join b", "'b' is not expected"),
        ("fieldsx", "'fieldsx' is not expected"),
    ],
)
def test_other_commands_are_named(query: str, told: str) -> None:
    with pytest.raises(TelemetryRefusedError, match=told):
        translated(query)


@pytest.mark.parametrize(
    "query",
    [
        "filter a = " + "-" * 5_000 + "1",
        "filter a = " + "- " * 2_000 + "1",
        "filter " + "not " * 2_000 + "a",
        "filter " + "(- " * 39 + "-" * 39 + "1" + ")" * 39,
        "filter @message like ')))))' and " + "abs(" * 1_300 + "1" + ")" * 1_300,
        "fields " + ")" * 100 + "(" * 100,
        "fields a" + " + a" * 2_400,
        "filter a" + " or a" * 1_900,
        "filter a in [" + "(" * 60 + "1" + ")" * 60 + "]",
        "limit " + "9" * 5_000,
        "fields bin(" + "9" * 5_000 + "m)",
        "fields bin(" + "9" * 15 + "m)",
        "filter a = " + "9" * 5_000,
    ],
)
def test_what_is_beyond_a_bound_is_a_malformed_query(query: str) -> None:
    with pytest.raises(TelemetryRefusedError) as error:
        translated(query)
    assert error.value.code == MALFORMED


def test_a_subject_with_many_choices_is_said_twice_at_most() -> None:
    subject = f"concat({', '.join(['@message'] * 50)})"
    found = translated(f"filter {subject} in [{', '.join(['1', repr('a')] * 500)}]")
    assert len(found.sql) < functions.LONGEST_SQL
    assert found.sql.count("concat(") == 2
