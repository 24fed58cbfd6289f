"""The listeners under uvicorn take no head of the table, and read nothing behind one."""

from __future__ import annotations

import socket
from contextlib import suppress

import pytest

import malformed
from protocol.api import raw
from protocol.api.serving import served


@pytest.fixture(scope="module")
def seen():
    return []


@pytest.fixture(scope="module")
def port(seen):
    async def application(scope, receive, send):
        seen.append(scope["path"])
        while (await receive()).get("more_body"):
            pass
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})

    with served(application, lifespan="off") as found:
        yield found


@pytest.mark.parametrize("name", malformed.CASES)
def test_a_head_that_is_none_is_refused_and_nothing_behind_it_is_read(port, seen, name):
    seen.clear()
    answer = raw.send(port, malformed.smuggled(name, f"127.0.0.1:{port}"))

    assert malformed.is_refused(answer)
    assert seen == []


def test_a_head_that_is_one_is_taken(port, seen):
    answer = raw.send(port, malformed.GET.replace(b"HOST", b"h") + b"Connection: close\r\n\r\n")

    assert answer.startswith(b"HTTP/1.1 200 ")
    assert seen[-1] == "/x"


def test_a_pipeline_without_end_is_cut_off(port, seen):
    seen.clear()
    with socket.create_connection(("127.0.0.1", port), timeout=30) as client, suppress(ConnectionError):
        client.sendall(malformed.GET.replace(b"HOST", b"h") + b"\r\n")
        assert client.recv(4096)
        client.sendall((malformed.GET.replace(b"HOST", b"h") + b"\r\n") * 2000)
        while client.recv(65536):
            pass
    assert len(seen) < 2000


@pytest.mark.parametrize(
    "begin",
    [b"X-Trailer: ", b"1;extension="],
    ids=["a trailer", "an extension of a chunk"],
)
def test_what_stands_between_pieces_of_a_body_is_bounded(port, begin):
    begin = b"0\r\n" + begin if begin.startswith(b"X") else begin
    taken = 0
    with socket.create_connection(("127.0.0.1", port), timeout=30) as client, suppress(ConnectionError):
        client.sendall(malformed.POST.replace(b"HOST", b"h") + b"Transfer-Encoding: chunked\r\n\r\n" + begin)
        while taken < 64 * 2**20:
            client.sendall(b"x" * 65536)
            taken += 65536
    assert taken < 32 * 2**20
