"""What a context refuses and hides."""

from __future__ import annotations

import pytest


def test_the_representation_shows_no_secret(make_context, secrets):
    text = repr(make_context(options={"smtp.smtp_password": "option-secret"}, broker_url="redis://:broker-secret@r/0"))
    assert not any(secret in text for secret in [*secrets.values(), "option-secret"])


def test_a_short_signing_key_is_refused(make_context):
    with pytest.raises(ValueError, match="64 bytes"):
        make_context(jwt_secret="short")


@pytest.mark.parametrize("name", ["fernet_key", "secret_key"])
def test_an_empty_key_is_refused(make_context, name):
    with pytest.raises(ValueError, match="must not be empty"):
        make_context(**{name: ""})
