from __future__ import annotations

import hashlib
import hmac
from datetime import UTC, datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aerodrome.identity import payloads, sigv4
from aerodrome.identity.errors import AuthenticationError
from aerodrome.identity.sigv4 import Presented

SECRET = "secret"
PRESENTED = Presented(
    access_key_id="AKIA",
    date="20260101",
    region="us-east-1",
    service="s3",
    signed_headers=("host",),
    signature="0" * 64,
    stamp="20260101T000000Z",
    timestamp=datetime(2026, 1, 1, tzinfo=UTC),
    expires=None,
    session_token=None,
    is_presigned=False,
)
EMPTY = hashlib.sha256(b"").hexdigest()


def signed(chunks: list[bytes], trailer: bytes | None = None) -> bytes:
    """A body as an SDK signs it, chunk by chunk."""
    key, about, last = sigv4.signing_key(SECRET, PRESENTED), f"{PRESENTED.stamp}\n{PRESENTED.scope}", "0" * 64

    def signature(kind: str, covered: str) -> str:
        return hmac.digest(key, f"AWS4-HMAC-SHA256-{kind}\n{about}\n{last}\n{covered}".encode(), "sha256").hex()

    body = b""
    for chunk in [*chunks, b""]:
        last = signature("PAYLOAD", f"{EMPTY}\n{hashlib.sha256(chunk).hexdigest()}")
        body += f"{len(chunk):x};chunk-signature={last}\r\n".encode() + (chunk + b"\r\n" if chunk else b"")
    if trailer is not None:
        last = signature("TRAILER", hashlib.sha256(trailer + b"\n").hexdigest())
        body += trailer + f"\r\nx-amz-trailer-signature:{last}\r\n".encode()
    return body + b"\r\n"


def unsigned(chunks: list[bytes]) -> bytes:
    return (
        b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\nx-amz-checksum-crc32:AA==\r\n\r\n"
    )


def taken(declared: str, body: bytes, cuts: list[int] | None = None) -> None:
    payload = payloads.expected(declared, PRESENTED, SECRET)
    places = [0, *sorted(cut % (len(body) + 1) for cut in cuts or []), len(body)]
    for begin, end in pairwise(places):
        payload.feed(body[begin:end])
    payload.finish()


CHUNKS = st.lists(st.binary(min_size=1, max_size=40), max_size=4)


@given(chunks=CHUNKS, cuts=st.lists(st.integers(0, 1000), max_size=6))
def test_a_body_is_taken_wherever_it_is_cut(chunks, cuts):
    taken(payloads.SIGNED_CHUNKS, signed(chunks), cuts)
    taken(payloads.SIGNED_TRAILER, signed(chunks, b"x-amz-checksum-crc32:AA=="), cuts)
    taken(payloads.UNSIGNED_TRAILER, unsigned(chunks), cuts)
    whole = b"".join(chunks)
    taken(hashlib.sha256(whole).hexdigest(), whole, cuts)
    taken(sigv4.UNSIGNED, whole, cuts)


@given(
    chunks=CHUNKS,
    place=st.integers(0, 10_000),
    byte=st.integers(1, 255),
    cuts=st.lists(st.integers(0, 1000), max_size=3),
)
def test_no_byte_of_a_signed_body_can_be_changed(chunks, place, byte, cuts):
    body = bytearray(signed(chunks))
    before = body[place % len(body)]
    changed = before ^ byte
    if bytes([before]).lower() == bytes([changed]).lower():
        return  # the case of a digit of a chunk's size
    body[place % len(body)] = changed
    with pytest.raises(AuthenticationError):
        taken(payloads.SIGNED_CHUNKS, bytes(body), cuts)


@given(chunks=CHUNKS, length=st.integers(0, 10_000))
def test_no_end_of_a_signed_body_can_be_left_out(chunks, length):
    body = signed(chunks, b"x-amz-checksum-crc32:AA==")
    with pytest.raises(AuthenticationError):
        taken(payloads.SIGNED_TRAILER, body[: length % len(body)])


def test_chunks_cannot_change_places_or_be_said_twice():
    body = signed([b"a", b"b"])
    pieces = body.split(b"\r\n")
    a, b = b"\r\n".join(pieces[:2]) + b"\r\n", b"\r\n".join(pieces[2:4]) + b"\r\n"
    rest = body.removeprefix(a + b)
    assert body == a + b + rest
    for other in (b + a + rest, a + a + b + rest, a + rest):
        with pytest.raises(AuthenticationError):
            taken(payloads.SIGNED_CHUNKS, other)


def test_nothing_that_no_signature_covers_may_stand_behind_signed_chunks():
    body = signed([b"a"]).removesuffix(b"\r\n") + b"x-amz-acl:public-read\r\n\r\n"
    with pytest.raises(AuthenticationError):
        taken(payloads.SIGNED_CHUNKS, body)


@given(body=st.binary(max_size=200))
def test_no_bytes_do_anything_but_fail_to_be_taken(body):
    for declared in (payloads.SIGNED_CHUNKS, payloads.SIGNED_TRAILER, payloads.UNSIGNED_TRAILER, EMPTY):
        try:
            taken(declared, body)
        except AuthenticationError:
            continue
        assert body == b"" or declared == payloads.UNSIGNED_TRAILER
