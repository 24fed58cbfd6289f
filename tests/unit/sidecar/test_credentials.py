"""When the role's credentials are renewed, and what is served meanwhile."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aerodrome.sidecar import credentials
from aerodrome.sidecar.config import AccessKeys
from aerodrome.sidecar.credentials import RefreshableCredentials, RoleCredentials
from aerodrome.sidecar.signed_http import AwayError, RefusalError

START = datetime(2026, 11, 23, 12, tzinfo=UTC)
MOMENTS = st.datetimes(datetime(2026, 1, 1), datetime(2027, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - given a zone


class Service:
    """STS and both clocks."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.asked = 0
        self.error: Exception | None = None
        self.lifetime = timedelta(hours=1)

    def assume(self) -> RoleCredentials:
        self.asked += 1
        if self.error:
            raise self.error
        return RoleCredentials(AccessKeys(f"ASIA{self.asked}", "secret", "token"), self.clock() + self.lifetime, "arn")

    def clock(self) -> datetime:
        return START + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        return self.seconds


@pytest.fixture
def service():
    return Service()


@pytest.fixture
def role(service):
    return RefreshableCredentials(service.assume, clock=service.clock, monotonic=service.monotonic)


@given(MOMENTS, MOMENTS)
def test_renewal_is_due_half_an_hour_before_the_end_and_never_in_the_past(now, expiration):
    due = credentials.when_to_refresh(now, expiration)
    assert due >= now
    assert (due == now) == (expiration - now <= timedelta(minutes=30))


def test_without_credentials_renewal_is_due_now():
    assert credentials.when_to_refresh(START, None) == START


def test_half_an_idle_hour_asks_once_and_the_next_minute_once_more(service, role):
    for _ in range(29 * 60):
        role.keep_fresh()
        service.seconds += 1
    assert service.asked == 1
    for _ in range(2 * 60):
        role.keep_fresh()
        service.seconds += 1
    assert service.asked == 2
    assert role.keys().access_key_id == "ASIA2"


def test_whenever_sts_goes_away_there_are_credentials_for_half_an_hour(service, role):
    for leaves in range(0, 2 * 3600, 60):
        while service.seconds < leaves:
            role.keep_fresh()
            service.seconds += 10
        role.keep_fresh()
        held = role.current()
        assert held.expiration - service.clock() >= timedelta(minutes=30) - timedelta(seconds=10)


def test_old_credentials_are_served_until_their_end_while_sts_is_away(service, role):
    role.keep_fresh()
    service.error = AwayError("sts is away")
    service.seconds = 3599
    assert role.keys().access_key_id == "ASIA1"
    assert role.error == "sts is away"
    service.seconds = 3600
    assert role.current() is None
    with pytest.raises(AwayError, match="sts is away"):
        role.keys()


def test_a_denied_role_is_tried_with_patience_and_comes_back(service, role):
    service.error = RefusalError("denied", code="AccessDenied")
    for _ in range(100):
        role.keep_fresh()
        service.seconds += 1
    assert 10 <= service.asked <= 15
    service.error = None
    service.seconds += 10
    assert role.keys()
    assert role.error is None


def test_rejected_credentials_are_renewed_but_not_in_a_storm(service, role):
    for _ in range(120):
        role.keep_fresh()
        role.reject()
        service.seconds += 1
    assert service.asked == 2


def test_short_lived_credentials_make_no_storm(service, role):
    service.lifetime = timedelta(minutes=10)
    for _ in range(600):
        role.keep_fresh()
        service.seconds += 1
    assert service.asked == 10


def test_keys_never_show_themselves():
    shown = repr(RoleCredentials(AccessKeys("ASIA", "the-secret", "the-token"), START, "arn"))
    assert "the-secret" not in shown
    assert "the-token" not in shown
