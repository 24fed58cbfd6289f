"""What is announced of objects."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from aerodrome.model import announcements

BUCKETS = st.text("abc.-0", min_size=3, max_size=63)
KEYS = st.text(max_size=300).filter(lambda key: key.isprintable())


@given(BUCKETS, KEYS, st.integers(0, 300))
def test_an_announcement_concerns_whoever_has_the_bucket_and_a_prefix_of_the_key(bucket, key, length):
    sent = announcements.message(bucket, key)
    assert announcements.concerns(sent, bucket, key[:length])
    assert not announcements.concerns(sent, bucket + "x", "")
    assert not announcements.concerns(sent, bucket, key + "/")
    assert len(sent) <= announcements.LONGEST


@given(BUCKETS)
def test_a_socket_is_found_by_its_bucket_and_has_a_short_name(bucket):
    path = announcements.socket(Path("/run"), bucket, "01234567")
    assert path.name.startswith(announcements.sockets_of(bucket))
    assert len(path.name) == len("01234567-01234567")
