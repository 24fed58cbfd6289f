"""Login tokens and web sessions on a real PostgreSQL: once, in time, in the right place, and never readable."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from aerodrome.ledger import schema
from aerodrome.ledger.logins import SESSION_LIFETIME, TOKEN_LIFETIME, Logins, forget
from aerodrome.model.principals import Principal, PrincipalKind

NOW = datetime(2026, 1, 1, tzinfo=UTC)
MOMENT = timedelta(milliseconds=1)
ADA = Principal(
    kind=PrincipalKind.USER,
    account="000000000000",
    arn="arn:aws:iam::000000000000:user/ada",
    unique_id="AIDAADA",
    name="ada",
)
ENGINEER = Principal(
    kind=PrincipalKind.ASSUMED_ROLE,
    account="000000000000",
    arn="arn:aws:sts::000000000000:assumed-role/Engineer/grace",
    unique_id="AROAENGINEER:grace",
    name="Engineer",
    session_name="grace",
    role_arn="arn:aws:iam::000000000000:role/team/Engineer",
    session_policies=('{"Statement": []}',),
    tags={"team": "é"},
    issued_at=NOW - timedelta(minutes=5),
    expires_at=NOW + timedelta(minutes=10),
)


@pytest.fixture
def logins(engine):
    return Logins(engine)


@pytest.mark.parametrize("principal", [ADA, ENGINEER], ids=["user", "session of a role"])
def test_a_token_brings_its_principal_and_role_back(logins, principal):
    token = logins.issue("web", "one", "Viewer", principal, now=NOW)
    login = logins.redeem(token, "web", "one", now=NOW + TOKEN_LIFETIME - MOMENT)
    assert login is not None
    assert (login.role, login.principal, login.issued_at) == ("Viewer", principal, NOW)


def test_a_token_is_redeemed_once_by_one_of_many(logins):
    token = logins.issue("web", "one", "Admin", ADA, now=NOW)
    with ThreadPoolExecutor(12) as pool:
        found = list(pool.map(lambda _: logins.redeem(token, "web", "one", now=NOW), range(48)))
    assert sum(login is not None for login in found) == 1


@pytest.mark.parametrize(
    ("kind", "environment", "later"),
    [("cli", "one", 0), ("web", "two", 0), ("web", "one", 60), ("web", "ONE", 0)],
    ids=["another kind", "another environment", "late", "another case"],
)
def test_a_token_in_the_wrong_place_is_refused_and_spent(logins, kind, environment, later):
    token = logins.issue("web", "one", "Admin", ADA, now=NOW)
    assert logins.redeem(token, kind, environment, now=NOW + timedelta(seconds=later)) is None
    assert logins.redeem(token, "web", "one", now=NOW) is None


def test_tokens_that_were_never_issued_are_refused(logins):
    token = logins.issue("web", "one", "Admin", ADA, now=NOW)
    for forged in ("", token[:-1], token + "A", token.swapcase(), "\x00", "\udcff", "é" * 9999):
        assert logins.redeem(forged, "web", "one", now=NOW) is None
        assert logins.session(forged, "one", now=NOW) is None
    assert logins.redeem(token, "web", "one", now=NOW) is not None


def test_a_token_of_the_issuer_s_own_is_taken(logins):
    assert logins.issue("cli", "one", None, ADA, now=NOW, token="own") == "own"
    login = logins.redeem("own", "cli", "one", now=NOW)
    assert login is not None
    assert login.role is None


def test_nothing_outlives_the_principal_s_credentials(logins):
    end = ENGINEER.expires_at
    secret = logins.open_session("one", "User", ENGINEER, now=NOW)
    assert logins.session(secret, "one", now=end - MOMENT).principal == ENGINEER
    assert logins.session(secret, "one", now=end) is None
    late = end - timedelta(seconds=5)
    token = logins.issue("web", "one", "User", ENGINEER, now=late)
    assert logins.redeem(token, "web", "one", now=end) is None


def test_a_session_lasts_twelve_hours_in_its_environment(logins):
    secret = logins.open_session("one", "Op", ADA, now=NOW)
    login = logins.session(secret, "one", now=NOW + SESSION_LIFETIME - MOMENT)
    assert (login.role, login.principal, login.issued_at) == ("Op", ADA, NOW)
    assert login.expires_at == NOW + SESSION_LIFETIME
    assert logins.session(secret, "two", now=NOW) is None
    assert logins.session(secret, "one", now=NOW + SESSION_LIFETIME) is None


def test_sessions_are_closed_one_by_one_and_by_environment(logins, engine):
    first, second = (logins.open_session("one", "Op", ADA, now=NOW) for _ in range(2))
    other = logins.open_session("two", "Op", ADA, now=NOW)
    pending = logins.issue("web", "one", "Op", ADA, now=NOW)
    logins.close_session(first)
    logins.close_session("never opened")
    assert logins.session(first, "one", now=NOW) is None
    assert logins.session(second, "one", now=NOW) is not None
    with engine.begin() as connection:
        forget(connection, "one")
    assert logins.session(second, "one", now=NOW) is None
    assert logins.redeem(pending, "web", "one", now=NOW) is None
    assert logins.session(other, "two", now=NOW) is not None


def test_what_is_over_does_not_gather(logins, engine):
    for _ in range(3):
        logins.issue("web", "one", "Op", ADA, now=NOW)
        logins.open_session("one", "Op", ADA, now=NOW)
    later = NOW + SESSION_LIFETIME
    logins.issue("web", "one", "Op", ADA, now=later)
    logins.open_session("one", "Op", ADA, now=later)
    with engine.connect() as connection:
        for table in (schema.login_token, schema.web_session):
            assert connection.scalar(sa.select(sa.func.count()).select_from(table)) == 1


def test_the_ledger_holds_no_secret(logins, engine):
    token = logins.issue("web", "one", "Op", ADA, now=NOW)
    secret = logins.open_session("one", "Op", ADA, now=NOW)
    with engine.connect() as connection:
        rows = [connection.execute(sa.select(table)).all() for table in (schema.login_token, schema.web_session)]
    assert token not in repr(rows)
    assert secret not in repr(rows)
