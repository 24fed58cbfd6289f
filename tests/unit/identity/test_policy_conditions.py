"""Every operator, on present, missing and several values, with IfExists and with the set operators."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aerodrome.identity.policy import comparisons, conditions, patterns

KEY = "aws:Key"


def holds(operator: str, wanted, found, *, allows: bool = True, **others: str) -> bool:
    wanted = (wanted,) if isinstance(wanted, str) else tuple(wanted)
    context = {f"aws:{key}": (value,) for key, value in others.items()}
    if found is not None:
        context[KEY.lower()] = (found,) if isinstance(found, str) else tuple(found)
    return conditions.parse(operator, KEY, wanted, variables=True).holds(context, allows=allows)


# operator, the policy's values, the request's value, whether it compares
COMPARED = [
    ("StringEquals", "data", "data", True),
    ("StringEquals", "data", "Data", False),
    ("StringEquals", "da*", "data", False),
    ("StringEquals", "da*", "da*", True),
    ("StringEquals", ["a", "data"], "data", True),
    ("StringEquals", "${aws:username}", "ada", True),
    ("StringEquals", "${aws:nothing}", "ada", False),
    ("StringEquals", "${aws:nothing, 'ada'}", "ada", True),
    ("StringEquals", "", "", True),
    ("StringEqualsIgnoreCase", "data", "DATA", True),
    ("StringEqualsIgnoreCase", "data", "dat", False),
    ("StringLike", "da*", "data", True),
    ("StringLike", "d?ta", "data", True),
    ("StringLike", "d?ta", "daata", False),
    ("StringLike", "D*", "data", False),
    ("StringLike", "${aws:username}-*", "ada-1", True),
    ("StringLike", "da${*}", "data", False),
    ("NumericEquals", "10", "10.0", True),
    ("NumericEquals", "10", "11", False),
    ("NumericEquals", "10", "ten", False),
    ("NumericEquals", "10", "1e1", False),
    ("NumericLessThan", "10", "9.99", True),
    ("NumericLessThan", "10", "10", False),
    ("NumericLessThan", "10", "-20", True),
    ("NumericLessThanEquals", "10", "10", True),
    ("NumericLessThanEquals", "10", "10.1", False),
    ("NumericGreaterThan", "10", "11", True),
    ("NumericGreaterThan", "10", "10", False),
    ("NumericGreaterThan", "10", "nan", False),
    ("NumericGreaterThanEquals", "10", "10", True),
    ("NumericGreaterThanEquals", "10", "9", False),
    ("DateEquals", "2024-05-01", "2024-05-01T00:00:00Z", True),
    ("DateEquals", "2024-05-01T02:00:00+02:00", "2024-05-01T00:00:00Z", True),
    ("DateEquals", "1714521600", "2024-05-01T00:00:00Z", True),
    ("DateEquals", "2024", "2024-01-01T00:00Z", True),
    ("DateEquals", "2024-05-01", "2024-05-02", False),
    ("DateEquals", "2024-05-01", "never", False),
    ("DateEquals", "2024-05-01", "2024-99-99", False),
    ("DateLessThan", "2024-05-01", "2024-04-30T23:59:59Z", True),
    ("DateLessThan", "2024-05-01", "2024-05-01", False),
    ("DateLessThanEquals", "2024-05-01", "2024-05-01", True),
    ("DateLessThanEquals", "2024-05-01", "2024-05-02", False),
    ("DateGreaterThan", "2024-05-01", "1714521601", True),
    ("DateGreaterThan", "2024-05-01", "2024-05-01", False),
    ("DateGreaterThanEquals", "2024-05-01", "2024-05-01", True),
    ("DateGreaterThanEquals", "2024-05-01", "2024-04-30", False),
    ("Bool", "true", "true", True),
    ("Bool", "True", "true", True),
    ("Bool", "true", "false", False),
    ("Bool", "false", "0", False),
    ("BinaryEquals", "QmluYXJ5", "QmluYXJ5", True),
    ("BinaryEquals", "QmluYXJ5", "QmluYXJ4", False),
    ("BinaryEquals", "QmluYXJ5", "not base64", False),
    ("IpAddress", "203.0.113.0/24", "203.0.113.9", True),
    ("IpAddress", "203.0.113.7/24", "203.0.113.9", True),
    ("IpAddress", "203.0.113.9", "203.0.113.9", True),
    ("IpAddress", "203.0.113.0/24", "203.0.114.9", False),
    ("IpAddress", "203.0.113.0/24", "::ffff:203.0.113.9", True),
    ("IpAddress", "::ffff:203.0.113.0/120", "203.0.113.9", True),
    ("IpAddress", "2001:db8::/32", "2001:db8:1::1", True),
    ("IpAddress", "2001:db8::/32", "203.0.113.9", False),
    ("IpAddress", "0.0.0.0/0", "somewhere", False),
    ("IpAddress", "0.0.0.0/0", "10.0.0.0/8", False),
    ("ArnEquals", "arn:aws:iam::1:role/Eng*", "arn:aws:iam::1:role/Engineer", True),
    ("ArnEquals", "arn:aws:iam::1:role/Engineer", "arn:aws:iam::1:role/engineer", False),
    ("ArnLike", "arn:aws:iam::*:role/*", "arn:aws:iam::1:role/Engineer", True),
    ("ArnLike", "arn:aws:iam::*:role/*", "arn:aws:iam::1:user/ada", False),
    ("ArnLike", "arn:aws:iam::1*:user/x", "arn:aws:iam::1:a:user/x", False),
    ("ArnLike", "*", "arn:aws:iam::1:user/ada", True),
    ("ArnLike", "arn:aws:iam::1:user/${aws:username}", "arn:aws:iam::1:user/ada", True),
]
OPPOSITES = {
    "StringEquals": "StringNotEquals",
    "StringEqualsIgnoreCase": "StringNotEqualsIgnoreCase",
    "StringLike": "StringNotLike",
    "NumericEquals": "NumericNotEquals",
    "DateEquals": "DateNotEquals",
    "IpAddress": "NotIpAddress",
    "ArnEquals": "ArnNotEquals",
    "ArnLike": "ArnNotLike",
}


def test_the_table_covers_every_operator():
    assert {operator for operator, *_ in COMPARED} == set(comparisons.POSITIVE)
    assert set(OPPOSITES.values()) == set(comparisons.NEGATED)


@pytest.mark.parametrize(("operator", "wanted", "found", "same"), COMPARED)
def test_values_compare_by_the_operator(operator, wanted, found, same):
    assert holds(operator, wanted, found, username="ada") is same
    assert holds(f"{operator}IfExists", wanted, found, username="ada") is same
    if found:
        assert holds(f"ForAnyValue:{operator}", wanted, found, username="ada") is same
        assert holds(f"ForAllValues:{operator}", wanted, found, username="ada") is same


@pytest.mark.parametrize(("operator", "wanted", "found", "same"), COMPARED)
def test_a_negated_operator_says_the_opposite(operator, wanted, found, same):
    if operator in OPPOSITES and "nothing}" not in str(wanted):
        assert holds(OPPOSITES[operator], wanted, found, username="ada") is not same


def usable(operator: str) -> str:
    kind = {**comparisons.POSITIVE, **comparisons.NEGATED}[operator]
    return next(text for text in ("1", "2024-01-01", "true", "10.0.0.0/8", "arn:aws:iam::1:x") if kind.usable(text))


@pytest.mark.parametrize("operator", [*comparisons.POSITIVE, *comparisons.NEGATED])
def test_a_missing_key_meets_only_what_asks_for_no_equality(operator):
    wanted = usable(operator)
    assert holds(operator, wanted, None) is (operator in comparisons.NEGATED)
    assert holds(f"{operator}IfExists", wanted, None)
    assert holds(f"ForAllValues:{operator}", wanted, None)
    assert holds(f"ForAllValues:{operator}IfExists", wanted, None)
    assert not holds(f"ForAnyValue:{operator}", wanted, None)
    assert holds(f"ForAnyValue:{operator}IfExists", wanted, None)


@pytest.mark.parametrize("operator", [*comparisons.POSITIVE, *comparisons.NEGATED])
@pytest.mark.parametrize("nothing", [(), ("",), ("", "")])
def test_a_set_of_nothing_is_an_empty_set(operator, nothing):
    assert holds(f"ForAllValues:{operator}", usable(operator), nothing)
    assert not holds(f"ForAnyValue:{operator}", usable(operator), nothing)


@pytest.mark.parametrize(
    ("wanted", "found", "met"),
    [
        ("true", None, True),
        ("true", (), True),
        ("true", "x", False),
        ("false", None, False),
        ("false", (), False),
        ("false", "x", True),
        (["true", "false"], None, True),
        (["true", "false"], "x", True),
    ],
)
def test_null_asks_whether_a_key_is_missing(wanted, found, met):
    assert holds("Null", wanted, found) is met


@pytest.mark.parametrize(
    ("operator", "wanted", "found", "met"),
    [
        ("ForAllValues:StringEquals", ["a", "b"], ["a"], True),
        ("ForAllValues:StringEquals", ["a", "b"], ["a", "b", "a"], True),
        ("ForAllValues:StringEquals", ["a", "b"], ["a", "c"], False),
        ("ForAnyValue:StringEquals", ["a", "b"], ["c", "b"], True),
        ("ForAnyValue:StringEquals", ["a", "b"], ["c", "d"], False),
        ("ForAllValues:StringNotEquals", ["a", "b"], ["c", "d"], True),
        ("ForAllValues:StringNotEquals", ["a", "b"], ["c", "a"], False),
        ("ForAnyValue:StringNotEquals", ["a", "b"], ["c", "a"], True),
        ("ForAnyValue:StringNotEquals", ["a", "b"], ["b", "a"], False),
        ("ForAllValues:StringLike", ["a*"], ["a1", "a2"], True),
        ("ForAllValues:StringLike", ["a*"], ["a1", "b2"], False),
        ("StringEquals", ["a"], ["b", "a"], True),
        ("StringNotEquals", ["a"], ["b", "a"], False),
        ("StringNotEquals", ["a", "b"], "c", True),
        ("StringNotEquals", ["a", "b"], "b", False),
    ],
)
def test_several_values_are_compared_as_sets(operator, wanted, found, met):
    assert holds(operator, wanted, found) is met


def test_a_variable_without_a_value_lets_nothing_through():
    unknown = "${aws:PrincipalTag/team}"
    assert not holds("StringEquals", unknown, "x", allows=True)
    assert not holds("StringNotEquals", unknown, "x", allows=True)
    assert holds("StringNotEquals", unknown, "x", allows=False)
    assert not holds("ForAllValues:StringNotEquals", unknown, ["x"], allows=True)


def test_a_principal_cannot_widen_a_pattern_by_its_own_tag():
    assert not holds("StringLike", "${aws:username}", "bob", username="*")
    assert not holds("ArnLike", "arn:aws:iam::1:role/${aws:username}", "arn:aws:iam::1:role/Admin", username="*")


VALUES = st.lists(st.sampled_from(["a", "b", "c"]), max_size=3)


@given(VALUES.filter(bool), VALUES)
def test_the_set_operators_are_those_of_sets(wanted, found):
    assert holds("ForAllValues:StringEquals", wanted, found) is (set(found) <= set(wanted))
    assert holds("ForAnyValue:StringEquals", wanted, found) is bool(set(found) & set(wanted))
    assert holds("ForAllValues:StringNotEquals", wanted, found) is not (set(found) & set(wanted) != set())
    assert holds("ForAnyValue:StringNotEquals", wanted, found) is bool(set(found) - set(wanted))


@given(st.sampled_from([*comparisons.POSITIVE, *comparisons.NEGATED]), st.lists(st.text(max_size=20), max_size=3))
def test_no_value_of_a_request_breaks_a_comparison(operator, found):
    assert holds(operator, usable(operator), found) in {True, False}


@pytest.mark.parametrize("operator", ["StringEquals", "StringNotEquals", "StringEqualsIfExists", "Null",
                                      "ForAllValues:StringEquals", "ForAnyValue:StringNotLike"])  # fmt: skip
def test_what_nobody_can_tell_meets_every_deny_and_no_allow(operator: str):
    values = ("true",) if operator == "Null" else ("x",)
    context = {KEY.lower(): patterns.UNKNOWN}
    asked = conditions.parse(operator, KEY, values, variables=True)
    assert asked.holds(context, allows=False)
    assert not asked.holds(context, allows=True)
    if operator != "Null":
        by_variable = conditions.parse(operator, "aws:Other", ("${aws:Key}",), variables=True)
        assert by_variable.holds({**context, "aws:other": ("x",)}, allows=False)
        assert not by_variable.holds({**context, "aws:other": ("x",)}, allows=True)
