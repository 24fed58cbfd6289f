from __future__ import annotations

import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from aerodrome.services import daemon, folders, redis
from aerodrome.services.daemon import Daemon


@pytest.fixture
def server() -> Iterator[tuple[Daemon, Path]]:
    """The unit that a cell would run, with a space in its path."""
    folder = Path(tempfile.mkdtemp(prefix="aero- "))
    path, files, config = folder / "redis.sock", folder / "files", folder / "redis.conf"
    folders.make(files, folders.PRIVATE)
    config.write_text(redis.configuration(socket=path, folder=files))
    unit = redis.unit(program=redis.find_program(), config=config, socket=path, folder=files, log=folder / "redis.log")
    one = Daemon(
        name="Redis",
        argv=tuple(unit["argv"]),
        env=unit["env"],
        cwd=Path(unit["cwd"]),
        log=Path(unit["log"]),
        pid_file=folder / "pid",
    )
    start(one, path)
    yield one, path
    daemon.stop(one)
    shutil.rmtree(folder)


def start(one: Daemon, path: Path) -> None:
    daemon.start(one)
    daemon.wait_until(one, lambda: answers(path))


def answers(path: Path) -> bool:
    try:
        return ask(path, "PING") == b"+PONG\r\n"
    except OSError:
        return False


def ask(path: Path, *words: str) -> bytes:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(5)
        client.connect(str(path))
        client.sendall(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w.encode()) for w in words))
        return client.recv(4096)


def test_it_listens_on_a_private_socket_only(server):
    one, path = server
    running = daemon.find(one)
    assert running is not None
    assert psutil.Process(running.pid).net_connections("inet") == []
    assert path.stat().st_mode & 0o777 == 0o700


def test_a_queued_task_survives_a_stop(server):
    one, path = server
    assert ask(path, "LPUSH", "celery", "task") == b":1\r\n"
    daemon.stop(one)
    start(one, path)
    assert ask(path, "LLEN", "celery") == b":1\r\n"
