"""Tokens to Airflow are used again, but never near their end, nor for anybody else."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from aerodrome.gateway.airflow_tokens import MOST_KEPT, Tokens

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Counting:
    def __init__(self):
        self.minted = []

    def mint(self, **claims):
        self.minted.append(claims)
        return str(len(self.minted))


def test_a_token_is_used_again_for_half_of_its_life():
    minter = Counting()
    tokens = Tokens(minter)
    ask = {"environment": "one", "subject": "user/ada", "role": "Admin"}
    found = [tokens.get(**ask, now=NOW + timedelta(seconds=each)) for each in (0, 29, 30, 59, 60)]
    assert found == ["1", "1", "2", "2", "3"]
    assert tokens.get(**ask, now=NOW - timedelta(seconds=1)) == "4"  # the clock was put back


def test_a_token_is_one_person_s_in_one_role_and_environment():
    tokens = Tokens(Counting())
    asked = [("one", "a", "Admin"), ("two", "a", "Admin"), ("one", "b", "Admin"), ("one", "a", "Viewer")]
    found = [tokens.get(environment=each[0], subject=each[1], role=each[2], now=NOW) for each in asked]
    assert len(set(found)) == 4


def test_tokens_do_not_gather():
    tokens = Tokens(Counting())
    for number in range(MOST_KEPT + 10):
        tokens.get(environment="one", subject=str(number), role="Admin", now=NOW)
    assert len(tokens._kept) == MOST_KEPT
