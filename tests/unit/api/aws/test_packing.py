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


# Named, because packed bytes hold the time at which they were packed: as a test's name
# they would be another name in every process.
@pytest.mark.parametrize(
    "packed",
    [
        pytest.param(gzip.compress(bytes(101)), id="longer-than-allowed"),
        pytest.param(_lying(gzip.compress(bytes(2**20)), 10), id="far-longer-than-it-says"),
        pytest.param(_lying(gzip.compress(b"a"), 50), id="shorter-than-it-says"),
        pytest.param(gzip.compress(b"a") + gzip.compress(bytes(2**20)), id="two-bodies"),
        pytest.param(gzip.compress(b"a") + b"more", id="more-behind-it"),
        pytest.param(gzip.compress(b"a")[:-1], id="cut-off"),
        pytest.param(b"\x1f", id="a-byte"),
        pytest.param(b"", id="nothing"),
    ],
)
def test_a_body_that_is_longer_than_it_says_or_than_is_allowed_is_refused(packed):
    with pytest.raises(UnclearError):
        packing.plain(PACKED, packed, longest=100)
