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


OFFERS = {
    "HTTP/2": b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n",
    "WebSocket": b"Connection: Upgrade\r\nUpgrade: websocket\r\n",
}


@pytest.mark.parametrize("offer", OFFERS)
@pytest.mark.parametrize("size", [None, 1, 4096])
def test_an_offer_to_speak_another_protocol_is_ignored(port, seen, offer, size):
    """Java's HttpClient and `curl --http2` make one; the body behind it is a body, and no second request."""
    inner = malformed.GET.replace(b"/x", malformed.MARK) + b"\r\n"
    bodies = {
        b"": b"",
        b"Content-Length: 0\r\n": b"",
        b"Content-Length: %d\r\n" % len(inner): inner,
        b"Transfer-Encoding: chunked\r\n": b"%x\r\n%b\r\n0\r\n\r\n" % (len(inner), inner),
    }
    requests = [
        method.replace(b"HOST", b"h") + OFFERS[offer] + framing + b"\r\n" + body
        for method in (malformed.GET, malformed.POST)
        for framing, body in bodies.items()
    ]
    last = malformed.GET.replace(b"HOST", b"h").replace(b"/x", b"/last") + b"Connection: close\r\n\r\n"
    whole = b"".join([*requests, last])
    seen.clear()
    with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for begin in range(0, len(whole), size or len(whole)):
            client.sendall(whole[begin : begin + (size or len(whole))])
        answers = b""
        while more := client.recv(65536):
            answers += more
    assert answers.count(b"HTTP/1.1 200 ") == len(requests) + 1
    assert seen == ["/x"] * len(requests) + ["/last"]


def test_what_follows_an_offer_is_read_as_strictly(port, seen):
    seen.clear()
    head = malformed.POST.replace(b"HOST", b"h") + OFFERS["HTTP/2"]
    for more in (b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", b"Content-Length: 1\r\nContent-Length: 2\r\n"):
        assert malformed.is_refused(raw.send(port, head + more + b"\r\n0\r\n\r\n"))
    assert seen == []
