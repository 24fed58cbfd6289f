"""The gateway's settings."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from aerodrome.settings import Settings, split_address


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("127.0.0.1:4562", ("127.0.0.1", 4562)),
        ("[::1]:0", ("::1", 0)),
        ("192.0.2.1:443", ("192.0.2.1", 443)),
        ("gateway.example:1", ("gateway.example", 1)),
    ],
)
def test_addresses(text, found):
    assert split_address(text) == found


@pytest.mark.parametrize(
    "text", ["", "127.0.0.1", ":4562", "4562", "::1:4562", "x:-1", "x:65536", "x:٤", "x:", "[::1]"]
)
def test_what_is_no_address(text):
    with pytest.raises(ValidationError, match="gateway_public"):
        Settings(gateway_public=text)


def test_the_domain():
    assert Settings(region="eu-west-1").domain == "eu-west-1.airflow.localhost"
    assert Settings(gateway_domain="Airflow.Example.COM.").domain == "airflow.example.com"
    for wrong in ("a b", "*.example.com", "-a.example", "a..b", "x:1", "/"):
        with pytest.raises(ValidationError, match="gateway_domain"):
            Settings(gateway_domain=wrong)
