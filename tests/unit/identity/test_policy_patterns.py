"""Wildcards and variables: what they stand for, and that a hostile pattern costs no more than another."""

from __future__ import annotations

import fnmatch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aerodrome.identity.policy import patterns


def form(text: str, *, variables: bool = True, **context: str) -> str | None:
    values = {f"aws:{key}": (value,) for key, value in context.items()}
    return patterns.parse(text, variables=variables).form(values)


SHORT = st.text(st.sampled_from("ab:*?/\n"), max_size=12)


@given(SHORT, SHORT.map(lambda text: text.replace("*", "c").replace("?", "c")))
def test_wildcards_stand_for_any_text_and_for_one_letter(pattern, text):
    assert patterns.matches(form(pattern) or "", text) == fnmatch.fnmatchcase(text, pattern)


@pytest.mark.parametrize(
    ("pattern", "arn", "same"),
    [
        ("*", "anything", True),
        ("*", "*", True),
        ("arn:aws:airflow:*:*:environment/*", "*", False),
        ("arn:aws:airflow:*:*:*", "arn:aws:airflow:eu-west-1:1:environment/one", True),
        ("arn:aws:airflow", "arn:aws:airflow:eu-west-1:1:environment/one", True),
        ("arn:aws:airflow:*:environment/*", "arn:aws:airflow:eu-west-1:1:environment/one", False),
        ("arn:aws:airflow:eu-*:1:role/one/?dmin", "arn:aws:airflow:eu-west-1:1:role/one/Admin", True),
        ("arn:aws:airflow:eu-*:1:role/one/?dmin", "arn:aws:airflow:eu-west-1:1:role/one/admin2", False),
        ("arn:aws:airflow:*:1:role/one/Admin", "arn:aws:airflow:eu-west-1:1:role/one/admin", False),
        ("arn:aws:airflow:*:environment/one", "arn:aws:airflow:x:y:environment/one", False),
        ("arn:aws:logs:*:*:log-group:*:x", "arn:aws:logs:a:1:log-group:b:c:x", True),
        ("arn:*:airflow:*:*:*", "arn:aws-cn:airflow:cn-north-1:1:environment/one", True),
    ],
)
def test_arns_are_compared_segment_by_segment(pattern, arn, same):
    assert patterns.arn_matches(form(pattern) or "", arn) is same


def test_variables_are_replaced_by_their_values():
    assert form("a/${aws:username}/b", username="ada") == "a/ada/b"
    assert form("${aws:USERNAME}", username="ada") == "ada"
    assert form("${ aws:username , 'nobody' }") == "nobody"
    assert form("${aws:username, 'nobody'}", username="ada") == "ada"
    assert form("${aws:username, ''}x") == "x"
    assert form("a/${aws:username}") is None


def test_a_star_out_of_a_variable_is_a_star_and_nothing_more():
    found = form("x/${aws:username}", username="*")
    assert found is not None
    assert patterns.matches(found, "x/*")
    assert not patterns.matches(found, "x/ada")
    assert form("x/${aws:username}", username=patterns.ANY) is None
    escaped = form("${*}${?}${$}*")
    assert escaped is not None
    assert patterns.matches(escaped, "*?$ and more")
    assert not patterns.matches(escaped, "ab$ and more")


def test_a_key_with_several_values_is_no_variable():
    assert patterns.parse("${aws:tagkeys}", variables=True).form({"aws:tagkeys": ("a", "b")}) is None


def test_policies_of_2008_have_no_variables():
    assert form("${aws:username}", variables=False, username="ada") == "${aws:username}"


def test_a_pattern_of_many_stars_is_compared_in_no_time_worth_mentioning():
    hostile = form("*a" * 1000 + "*b") or ""
    # Naive backtracking would take longer than the universe has; the test's own time limit is its clock.
    assert not patterns.matches(hostile, "a" * 8000)
