"""The execution API's listener on loopback: a neighbour's code neither speaks to it nor exhausts it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn

import uids
from aerodrome.airflow.inside.aerodrome_unit import peers, sockets
from waiting import wait_for

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root has other users to be")

OURS = uids.block()
THEIRS = OURS + 1

FEW = 200

ASK = """
import socket, sys
with socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=20) as connection:
    try:
        connection.sendall(b"GET / HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n")
        print(b"".join(iter(lambda: connection.recv(4096), b"")).decode()[-2:])
    except ConnectionError:
        pass
"""

HOLD = """
import socket, sys, time
held = []
while True:
    try:
        held.append(socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=5))
    except OSError:
        pass
    if len(held) == 300:
        print("held", flush=True)
    if len(held) > 300:
        held.pop(0).close()
        time.sleep(0.002)
"""


async def app(scope, receive, send):
    del receive
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})


@pytest.fixture
def port() -> Iterator[int]:
    listener = sockets.loopback(0)
    server = uvicorn.Server(
        uvicorn.Config(app, http=peers.only_from({OURS}), lifespan="off", log_config=None, access_log=False)
    )
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    wait_for("the server", lambda: server.started)
    yield int(listener.getsockname()[1])
    server.should_exit = True
    thread.join()
    listener.close()


def begin(user: int, script: str, port: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-I", "-S", "-c", script, str(port)]
    return subprocess.Popen(command, user=user, group=user, extra_groups=[], stdout=subprocess.PIPE, text=True)


def asked(user: int, port: int) -> str:
    return begin(user, ASK, port).communicate(timeout=60)[0].strip()


def test_only_the_environments_own_users_are_answered(port: int) -> None:
    assert [asked(user, port) for user in (OURS, THEIRS, 0)] == ["ok", "", ""]


def test_whoever_is_refused_exhausts_nothing(port: int) -> None:
    attackers = [begin(THEIRS, HOLD, port) for _ in range(2)]
    try:
        for attacker in attackers:
            assert attacker.stdout is not None
            assert attacker.stdout.readline() == "held\n"
        assert [asked(OURS, port) for _ in range(3)] == ["ok"] * 3
        # Of the 600 connections that they hold, the server holds none.
        wait_for("few open connections", lambda: len(list(Path("/proc/self/fd").iterdir())) < FEW)
    finally:
        for attacker in attackers:
            attacker.kill()
            attacker.communicate()


def test_the_kernels_answer_is_also_in_its_list(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port)) as connection:
        theirs, ours = connection.getpeername(), connection.getsockname()
        assert peers.searched(ours, theirs) == os.geteuid()
        assert peers.searched((ours[0], 1), theirs) is None
