"""The file with a collector's headers."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aerodrome.errors import CallerError
from aerodrome.otlp.headers import LIMIT, HeadersFile, parse

HERE = Path("/etc/collector-headers")


def test_a_header_a_line():
    content = b"# of the collector\n\nAuthorization: Bearer abc:def==\r\nX-Team:\tdata \n"
    assert parse(content, HERE) == {"Authorization": "Bearer abc:def==", "X-Team": "data"}


@pytest.mark.parametrize("line", ["the-secret", "a b: the-secret", ": the-secret", "X-Key:", "X-Key: the-sec\x00ret"])
def test_a_line_that_is_no_header_is_named_by_its_number_alone(line):
    with pytest.raises(CallerError, match="Line 2 ") as raised:
        parse(f"X-Team: data\n{line}".encode(), HERE)
    assert "the-sec" not in str(raised.value)


@pytest.mark.parametrize("name", ["Host", "content-length", "Transfer-Encoding"])
def test_what_http_needs_is_not_set_by_the_file(name):
    with pytest.raises(CallerError, match=name):
        parse(f"{name}: 1".encode(), HERE)


@given(st.binary(max_size=200))
def test_whatever_is_in_the_file_what_comes_out_are_headers(content):
    try:
        found = parse(content, HERE)
    except CallerError:
        return
    assert all("\n" not in name + value and "\r" not in name + value for name, value in found.items())


def test_a_file_for_everybody_is_refused_and_a_changed_one_read_again(tmp_path):
    path = tmp_path / "headers"
    file = HeadersFile(path)
    with pytest.raises(CallerError, match="cannot be read"):
        file.read()
    path.write_text("X-Key: one")
    path.chmod(0o640)
    with pytest.raises(CallerError, match="mode 0600"):
        file.read()
    path.chmod(0o600)
    assert file.read() == {"X-Key": "one"}
    other = tmp_path / "other"
    other.write_text("X-Key: two")
    other.chmod(0o600)
    other.replace(path)
    assert file.read() == {"X-Key": "two"}
    path.write_bytes(b"x" * (LIMIT + 1))
    with pytest.raises(CallerError, match="longer"):
        file.read()


def test_what_a_caller_does_with_headers_is_not_remembered(tmp_path):
    path = tmp_path / "headers"
    path.touch(0o600)
    file = HeadersFile(path)
    file.read()["X-Other"] = "1"
    assert file.read() == HeadersFile(None).read() == {}


def test_a_pipe_holds_nobody_up(tmp_path):
    path = tmp_path / "headers"
    os.mkfifo(path, 0o600)
    # Whoever waits for a writer gets one, so that a mistake here fails and does not hang.
    writer = threading.Thread(target=lambda: path.open("wb").close())
    writer.start()
    try:
        with pytest.raises(CallerError, match="not a regular file"):
            HeadersFile(path).read()
    finally:
        both = os.open(path, os.O_RDWR | os.O_NONBLOCK)
        writer.join()
        os.close(both)


def test_a_file_of_another_user_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "headers"
    path.write_text("X-Key: one")
    path.chmod(0o600)
    real = path.stat()
    with monkeypatch.context() as patched:
        patched.setattr(os, "fstat", lambda _: os.stat_result((*real[:4], 12345, *real[5:10])))
        with pytest.raises(CallerError, match="uid 12345"):
            HeadersFile(path).read()
