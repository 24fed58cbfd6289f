"""The lengths of a real Redis's queue, and what hostile code may put in its place."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis as client

from aerodrome.services import queue_lengths, redis
from aerodrome.services.queue_lengths import Lengths, QueueLengths
from product import wait_for

HOSTS = ["worker-1.3", "worker-2.3"]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], Path, int]]:
    """A Redis that listens on a unix socket and on loopback."""
    path = Path(f"/tmp/aero-lengths-{os.getpid()}.sock")  # noqa: S108 - socket paths must be short
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [
            str(redis.find_program()),
            "--port",
            str(port),
            "--unixsocket",
            str(path),
            "--save",
            "",
            "--dir",
            str(tmp_path),
        ],
        stdout=subprocess.DEVNULL,
    )
    wait_for("Redis listens", path.exists)
    yield process, path, port
    process.send_signal(signal.SIGCONT)
    process.terminate()
    process.wait()
    path.unlink(missing_ok=True)


def fill(path: Path, prefix: str = "") -> None:
    with client.Redis(unix_socket_path=str(path)) as found:
        found.rpush(prefix + "default", "a", "b", "c")
        found.hset(prefix + "unacked.worker-2.3", "tag", "message")


def test_what_waits_and_what_each_worker_has_taken(server):
    _, path, port = server
    lengths = QueueLengths(None)
    assert lengths.of("one", path, HOSTS) == Lengths(0, {"worker-1.3": 0, "worker-2.3": 0})
    fill(path)
    assert lengths.of("one", path, HOSTS) == Lengths(3, {"worker-1.3": 0, "worker-2.3": 1})
    assert lengths.of("one", path, []) == Lengths(3, {})
    shared = QueueLengths(f"redis://127.0.0.1:{port}/0")
    assert shared.of("one", path, HOSTS) == Lengths(0, {"worker-1.3": 0, "worker-2.3": 0})
    fill(path, "aerodrome:one:")
    assert shared.of("one", path, HOSTS) == Lengths(3, {"worker-1.3": 0, "worker-2.3": 1})


def test_a_frozen_redis_is_not_waited_for_at_every_look(server, monkeypatch):
    process, path, _ = server
    lengths = QueueLengths(None)
    process.send_signal(signal.SIGSTOP)
    assert lengths.of("one", path, HOSTS) is None
    began = time.monotonic()
    assert [lengths.of("one", path, HOSTS) for _ in range(20)] == [None] * 20
    assert time.monotonic() - began < 10 * queue_lengths.SECONDS  # had each waited, it were twenty
    assert lengths.of("gone", path.with_suffix(".none"), HOSTS) is None
    process.send_signal(signal.SIGCONT)
    monkeypatch.setattr(queue_lengths, "REST", 0.0)
    assert QueueLengths(None).of("one", path, HOSTS) == Lengths(0, {"worker-1.3": 0, "worker-2.3": 0})


@pytest.mark.parametrize(
    "answer",
    [b"", b"$1000000000\r\n", b"-ERR\r\n" * 3, b":1\r\n:-1\r\n:1\r\n", b":1\r\n:x\r\n:1\r\n", b"x" * 10_000_000, None],
    ids=["ends", "bulk", "error", "negative", "letters", "endless", "silent"],
)
def test_something_else_in_its_place_tells_nothing(tmp_path, answer):
    path = tmp_path / "redis.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def serve() -> None:
            connection, _ = listener.accept()
            with connection, contextlib.suppress(OSError):
                if answer is None:
                    connection.recv(1000)
                    connection.recv(1000)  # until the other side gives up
                else:
                    connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        assert QueueLengths(None).of("one", path, HOSTS) is None
        thread.join()


def test_a_link_in_its_place_is_not_followed(server, tmp_path):
    _, path, _ = server
    link = tmp_path / "redis.sock"
    link.symlink_to(path)
    assert QueueLengths(None).of("one", link, HOSTS) is None
