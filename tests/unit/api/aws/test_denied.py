"""How often IAM is read for those who are denied."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from aerodrome.api.aws import denied
from aerodrome.api.aws.denied import DeniedPrincipals


@given(st.lists(st.floats(0, 3), max_size=200))
def test_one_that_is_denied_all_the_time_has_it_read_once_a_second(pauses):
    known, now, reads = DeniedPrincipals(), 0.0, 0
    for pause in pauses:
        now += pause
        reads += known.is_worth_a_read("greedy", now)
    assert reads <= now / denied.SPACING + denied.AT_ONCE


def test_a_grant_is_seen_after_a_second_whatever_was_denied_before():
    known = DeniedPrincipals()
    assert [known.is_worth_a_read("greedy", 10.0) for _ in range(5)] == [True] * 3 + [False] * 2
    assert known.is_worth_a_read("another", 10.0)
    assert not known.is_worth_a_read("greedy", 10.9)
    assert known.is_worth_a_read("greedy", 11.0)


def test_what_counts_no_more_is_forgotten(monkeypatch):
    monkeypatch.setattr(denied, "MANY", 2)
    known = DeniedPrincipals()
    for number in range(100):
        assert known.is_worth_a_read(str(number), number * 10.0)
    assert len(known._until) <= 2
