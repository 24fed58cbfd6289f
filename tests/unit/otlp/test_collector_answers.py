"""What is sent to a collector, and how long it may answer."""

from __future__ import annotations

import socket
import threading

import pytest

from aerodrome.otlp import collector
from aerodrome.otlp.addresses import CollectorAddress
from aerodrome.otlp.collector import Collector, CollectorAwayError

HEAD = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n"


@pytest.mark.parametrize("connection", [b"close", b"keep-alive"])
def test_an_answer_that_trickles_is_cut_off(monkeypatch, connection):
    monkeypatch.setattr(collector, "LONGEST", 0.3, raising=False)
    ended = threading.Event()

    def trickle(listener: socket.socket) -> None:
        taken, _ = listener.accept()
        with taken:
            # It ends by itself, so that a client who waits gets a whole answer.
            for byte in HEAD.replace(b"close", connection) + b"X-Slow: " + b"y" * 40 + b"\r\n\r\nok":
                try:
                    taken.sendall(bytes([byte]))
                except OSError:
                    return
                ended.wait(0.02)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=trickle, args=(listener,))
        thread.start()
        try:
            client = Collector(CollectorAddress(f"http://127.0.0.1:{listener.getsockname()[1]}", None), "/v1/metrics")
            with pytest.raises(CollectorAwayError, match="does not answer"):
                client.post(b"body")
        finally:
            ended.set()
            thread.join()
