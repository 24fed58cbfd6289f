"""All listeners read heads in the same way: what one refuses, all refuse."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

import malformed
from aerodrome.listening import heads

GET = b"GET /x HTTP/1.1\r\nHost: h\r\n"


@pytest.mark.parametrize("name", malformed.CASES)
def test_a_head_that_is_none(name):
    raw = malformed.CASES[name].replace(b"HOST", b"h")
    with pytest.raises(heads.BadHeadError):
        heads.read(raw)


@pytest.mark.parametrize(
    ("line", "target"),
    [
        (b"GET /", b"/"),
        (b"GET /a%20b//c?x=%2F&y", b"/a%20b//c?x=%2F&y"),
        (b"GET //a", b"//a"),
        (b"GET /?", b"/?"),
        (b'GET /a|b"c<d>^`{}\\', b'/a|b"c<d>^`{}\\'),
        (b"PUT http://h/a?b", b"/a?b"),
        (b"GET HTTP://H", b"/"),
        (b"GET https://h?x", b"/?x"),
    ],
)
def test_targets_pass_byte_for_byte(line, target):
    assert heads.read(line + b" HTTP/1.1\r\nHost: h\r\n\r\n").target == target


def test_what_clients_send_passes():
    head = heads.read(
        b"PUT /a HTTP/1.1\r\nHost: h\r\nX-Amz-Meta-Note: gr\xc3\xb6\xc3\x9fe\tx\r\nTransfer-Encoding: Chunked\r\n"
        b"Empty:\r\nConnection: keep-alive\r\n\r\n"
    )
    assert (head.method, head.version) == (b"PUT", "1.1")
    assert (b"x-amz-meta-note", "größe\tx".encode()) in head.headers
    assert heads.read(b"GET / HTTP/1.0\r\n\r\n").version == "1.0"


@given(noise=st.binary(max_size=300))
def test_no_bytes_break_the_reader(noise):
    for raw in (noise, GET + noise, GET + noise + b"\r\n\r\n"):
        try:
            found = heads.read(raw)
        except heads.BadHeadError:
            continue
        assert found.target.startswith(b"/")
        assert all(b"\n" not in value and b"\0" not in value for _, value in found.headers)
