"""Clients of the API that say nothing, or never come to an end: they are cut off, and others are answered."""

from __future__ import annotations

import http.client
import socket
import time
from contextlib import ExitStack

import pytest

from aerodrome.listening import protocol
from aerodrome.listening.crowd import ConnectionLimits
from protocol.api.serving import served
from waiting import wait_for


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 0.3)


async def hello(scope, _receive, send):
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})


@pytest.fixture
def port(quick):  # noqa: ARG001 - set before the server starts
    with served(hello, lifespan="off", limits=ConnectionLimits(total=8, each_peer=8, bodies_each_peer=8)) as found:
        yield found


def still_serves(port):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", "/")
        return connection.getresponse().status == 200
    finally:
        connection.close()


def ended_after(client):
    """Seconds until the server closes."""
    begun = time.monotonic()
    client.settimeout(10)
    try:
        while client.recv(4096):
            pass
    except ConnectionError:
        pass
    return time.monotonic() - begun


@pytest.mark.parametrize(
    "said",
    [b"", b"G", b"GET / HTTP/1.1\r\nHost: x\r\nX-A", b"GET / HTTP/1.1\r\nHost: x\r\n\r\nGET / HT"],
    ids=["nothing", "a letter", "half a head", "half of a second head"],
)
def test_a_head_that_does_not_come_is_not_waited_for(port, said):
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(said)

        assert ended_after(client) < 5
    assert still_serves(port)


def test_a_head_that_comes_in_drops_has_no_more_time_than_another(port):
    with socket.create_connection(("127.0.0.1", port)) as client, pytest.raises(ConnectionError):  # noqa: PT012
        client.settimeout(10)
        client.sendall(b"GET / HTTP/1.1\r\n")
        end = time.monotonic() + 5
        while time.monotonic() < end:
            client.sendall(b"x")
            time.sleep(0.01)  # the attack itself
    assert still_serves(port)


def test_many_idle_connections_keep_nobody_out(port, monkeypatch):
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 60.0)
    with ExitStack() as clients:
        held = [clients.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in range(50)]

        wait_for("an answer, for who tries again", lambda: still_serves(port))
        assert ended_after(held[0]) < 5


def test_rubbish_is_refused_without_a_word_in_the_log(port, capfd):
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(b"\x16\x03\x01rubbish\r\n\r\n")
        client.settimeout(10)
        assert client.recv(4096).startswith(b"HTTP/1.1 400 ")
    assert still_serves(port)
    assert capfd.readouterr().err == ""
