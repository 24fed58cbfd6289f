"""The compiled checksums are MiniStack's own, of which two are slow."""

from __future__ import annotations

import mmap
import tempfile
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ministack.services import s3

from aerodrome.emulator import checksums

OURS = SimpleNamespace()
checksums.correct(OURS)


@pytest.mark.parametrize("name", ["_crc32c", "_crc64nvme"])
@given(body=st.binary(max_size=300))
def test_they_are_the_same(name, body):
    assert getattr(OURS, name)(body) == getattr(s3, name)(body)


@pytest.mark.parametrize(("name", "expected"), [("_crc32c", 0xE3069283), ("_crc64nvme", 0xAE8B14860A799888)])
def test_they_have_the_value_by_which_each_is_known(name, expected):
    with tempfile.TemporaryFile() as file:
        file.write(b"123456789")
        file.flush()
        part = mmap.mmap(file.fileno(), 9, access=mmap.ACCESS_READ)
        assert getattr(OURS, name)(part) == getattr(OURS, name)(b"123456789") == expected
        part.close()
