"""Packed bodies say how long they are, and nothing else is believed."""

from __future__ import annotations

import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aerodrome.api.aws import packing
from aerodrome.api.aws.requested import OnwardHead, UnclearError

PACKED = OnwardHead(method="POST", path="/", query={}, headers={"content-encoding": "gzip"})


@given(st.binary(max_size=200))
def test_what_was_packed_comes_back(body):
    packed = gzip.compress(body)
    assert packing.unpacked_length(packed) == len(body)
    assert packing.plain(PACKED, packed, longest=200) == body


def _lying(body, length):
    return body[:-4] + length.to_bytes(4, "little")


@pytest.mark.parametrize(
    "packed",
    [
        gzip.compress(bytes(101)),
        _lying(gzip.compress(bytes(2**20)), 10),
        _lying(gzip.compress(b"a"), 50),
        gzip.compress(b"a") + gzip.compress(bytes(2**20)),
        gzip.compress(b"a") + b"more",
        gzip.compress(b"a")[:-1],
        b"\x1f",
        b"",
    ],
)
def test_a_body_that_is_longer_than_it_says_or_than_is_allowed_is_refused(packed):
    with pytest.raises(UnclearError):
        packing.plain(PACKED, packed, longest=100)
