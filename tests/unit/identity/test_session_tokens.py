"""Temporary credentials say who they are, cannot be forged or changed, and end."""

from __future__ import annotations

import base64
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aerodrome.identity.errors import AuthenticationError, PackedPolicyTooLargeError
from aerodrome.identity.session_tokens import MAX_POLICIES, MAX_POLICY, MAX_TOKEN, SessionTokens
from unit.identity.memory_store import ADA, SESSION, document, statement

NOW = datetime(2024, 5, 1, 12, 0, 0, 250000, tzinfo=UTC)
HOUR = timedelta(hours=1)
TOKENS = SessionTokens(b"a key of the control plane")


def refused(key_id: str, token: str, *, now: datetime = NOW, tokens: SessionTokens = TOKENS) -> str:
    with pytest.raises(AuthenticationError) as refusal:
        tokens.open(key_id, token, now)
    return refusal.value.code


@pytest.mark.parametrize("principal", [SESSION, ADA, replace(SESSION, session_policies=(document(statement()),) * 2)])
def test_a_token_says_who_it_was_issued_for(principal):
    issued = TOKENS.issue(principal, now=NOW, duration=HOUR)
    secret, found = TOKENS.open(issued.access_key_id, issued.session_token, NOW)
    assert secret == issued.secret_access_key
    assert found == replace(principal, issued_at=NOW, expires_at=NOW + HOUR) == issued.principal
    assert issued.access_key_id.startswith("ASIA")
    assert (len(issued.access_key_id), len(issued.secret_access_key)) == (20, 40)
    assert issued.expiration == NOW + HOUR
    assert 0 < issued.packed_size < 20


def test_every_session_has_keys_of_its_own_and_shows_no_secret():
    one, two = (TOKENS.issue(SESSION, now=NOW, duration=HOUR) for _ in range(2))
    assert one.access_key_id != two.access_key_id
    assert one.secret_access_key != two.secret_access_key
    assert one.secret_access_key not in repr(one)
    assert one.session_token not in repr(one)
    assert SESSION.name.encode() not in base64.b64decode(one.session_token)


def test_a_token_ends_at_its_time():
    issued = TOKENS.issue(SESSION, now=NOW, duration=HOUR)
    TOKENS.open(issued.access_key_id, issued.session_token, NOW + HOUR - timedelta(seconds=1))
    assert refused(issued.access_key_id, issued.session_token, now=NOW + HOUR) == "ExpiredToken"


def test_a_token_holds_for_its_access_key_and_control_plane_alone():
    one, two = (TOKENS.issue(SESSION, now=NOW, duration=HOUR) for _ in range(2))
    assert refused(two.access_key_id, one.session_token) == "InvalidClientTokenId"
    assert refused(one.access_key_id, one.session_token, tokens=SessionTokens(b"other")) == "InvalidClientTokenId"


@given(st.data())
def test_a_changed_token_is_refused(data):
    issued = TOKENS.issue(SESSION, now=NOW, duration=HOUR)
    raw = bytearray(base64.b64decode(issued.session_token))
    place = data.draw(st.integers(0, len(raw) - 1))
    raw[place] ^= data.draw(st.integers(1, 255))
    assert refused(issued.access_key_id, base64.b64encode(raw).decode()) == "InvalidClientTokenId"


@given(
    st.text(max_size=30), st.text(max_size=80) | st.binary(max_size=80).map(lambda raw: base64.b64encode(raw).decode())
)
def test_nothing_but_a_token_is_a_token(key_id, token):
    assert refused(key_id, token) == "InvalidClientTokenId"
    assert refused("ASIA" + "A" * 16, token) == "InvalidClientTokenId"


def test_a_token_of_any_size_is_refused_at_once():
    assert refused("ASIA" + "A" * 16, "A" * (MAX_TOKEN + 1)) == "InvalidClientTokenId"


def test_policies_and_tags_that_do_not_fit_are_refused():
    noise = "".join(chr(33 + number * number % 89) for number in range(MAX_POLICY))
    for large in (
        replace(SESSION, session_policies=(noise + "x",)),
        replace(SESSION, session_policies=("{}",) * (MAX_POLICIES + 1)),
        replace(SESSION, session_policies=tuple(noise[number:] + str(number**9) * 300 for number in range(8))),
        replace(SESSION, tags={f"key{number}": "x" for number in range(51)}),
    ):
        with pytest.raises(PackedPolicyTooLargeError, match=r"[Gg]ive fewer"):
            TOKENS.issue(large, now=NOW, duration=HOUR)
    fits = TOKENS.issue(replace(SESSION, session_policies=(noise,)), now=NOW, duration=HOUR)
    assert fits.packed_size <= 100
