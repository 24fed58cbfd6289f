"""What the credentials endpoint answers, request by request, without a socket."""

from __future__ import annotations

import os
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

import malformed
from aerodrome.sidecar import endpoint
from aerodrome.sidecar.config import AccessKeys
from aerodrome.sidecar.credentials import RoleCredentials

TOKEN = b"0123456789abcdef-of-blue"
HELD = RoleCredentials(
    AccessKeys("ASIA1", "the-secret", "the-token"), datetime(2026, 11, 23, 13, tzinfo=UTC), "arn:role"
)
GOOD = b"GET /credentials HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: " + TOKEN + b"\r\n\r\n"


def answer(
    head: bytes, *, token: bytes | None = TOKEN, held: RoleCredentials | None = HELD, trouble: str | None = None
):
    status, document = endpoint.answer(head, token=token, credentials=held, trouble=trouble)
    return status.value, document


def test_the_right_token_gets_the_keys():
    assert answer(GOOD) == (
        200,
        {
            "AccessKeyId": "ASIA1",
            "SecretAccessKey": "the-secret",
            "Token": "the-token",
            "Expiration": "2026-11-23T13:00:00Z",
            "RoleArn": "arn:role",
        },
    )


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (GOOD.replace(TOKEN, TOKEN[:-1]), 403),
        (GOOD.replace(TOKEN, TOKEN + b"x"), 403),
        (GOOD.replace(TOKEN, b""), 403),
        (GOOD.replace(TOKEN, b"\xff\xfe"), 403),
        (GOOD.replace(b"\r\n\r\n", b"\r\nAuthorization: other\r\n\r\n"), 403),
        (GOOD.replace(b"Authorization", b"authoriZATION"), 200),
        (GOOD.replace(b"Authorization", b"X-Other"), 401),
        (GOOD.replace(b"GET", b"POST"), 405),
        (GOOD.replace(b"/credentials", b"/"), 404),
        (GOOD.replace(b"/credentials", b"/credentials/../x"), 404),
        (GOOD.replace(b" HTTP/1.1", b""), 400),
        (b"\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\r\n\r\n", 400),
    ],
)
def test_each_request_has_its_answer(head, status):
    assert answer(head)[0] == status


@pytest.mark.parametrize("name", malformed.CASES)
def test_a_head_that_is_none_is_refused(name):
    head = malformed.CASES[name].replace(b"Host: HOST", b"Host: h\r\nAuthorization: " + TOKEN)
    assert answer(head)[0] == 400


def test_without_a_token_nobody_is_let_in():
    assert answer(GOOD, token=None)[0] == 403
    assert answer(GOOD.replace(TOKEN, b""), token=None)[0] == 403


def test_without_credentials_there_is_a_sentence():
    assert answer(GOOD, held=None, trouble="sts is away") == (
        503,
        {"code": "ServiceUnavailable", "message": "sts is away"},
    )
    assert answer(GOOD, held=None)[1]["message"]


@given(st.binary())
def test_no_bytes_whatever_get_in_or_break_it(noise):
    status, document = answer(noise + b"\r\n\r\n")
    assert status in {400, 401, 403}
    assert "SecretAccessKey" not in document


def test_the_token_file_is_read_again_when_it_changes(tmp_path):
    path = tmp_path / "token"
    file = endpoint.TokenFile(path)
    assert file.read() is None
    path.write_bytes(TOKEN + b"\n")
    assert file.read() == TOKEN
    path.write_bytes(b"another token of this environment")
    assert file.read() == b"another token of this environment"
    other = tmp_path / "other"
    other.write_bytes(b"another TOKEN of this environment")
    os.utime(other, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
    other.replace(path)
    assert file.read() == b"another TOKEN of this environment"
    path.unlink()
    assert file.read() is None


@pytest.mark.parametrize("content", [b"", b"short", b"x" * 5000])
def test_an_implausible_token_opens_nothing(tmp_path, content):
    path = tmp_path / "token"
    path.write_bytes(content)
    assert endpoint.TokenFile(path).read() is None
