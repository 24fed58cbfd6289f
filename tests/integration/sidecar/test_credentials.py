"""The credentials endpoint of a real sidecar: a real SDK finds its keys there, and nobody else does."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from subprocess import PIPE

import pytest

from waiting import wait_for

WHO_AM_I = """
import boto3, json
session = boto3.session.Session()
keys = session.get_credentials().get_frozen_credentials()
arn = session.client("sts").get_caller_identity()["Arn"]
print(json.dumps([keys.access_key, session.get_credentials().method, arn]))
"""


def ask(sidecar, *, method="GET", path="/credentials", headers=None):
    connection = http.client.HTTPConnection("127.0.0.1", sidecar.config["credentials_port"], timeout=10)
    connection.request(method, path, headers={"Authorization": sidecar.token} if headers is None else headers)
    response = connection.getresponse()
    answer = response.status, json.loads(response.read())
    connection.close()
    return answer


def test_a_real_session_finds_the_roles_keys(tmp_path, door, sidecar):
    sidecar.start()
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"http://127.0.0.1:{sidecar.config['credentials_port']}/credentials",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": sidecar.config["credentials_token_file"],
        "AWS_ENDPOINT_URL": door.url,
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    done = subprocess.run(
        [sys.executable, "-I", "-c", WHO_AM_I], env=environment, check=True, capture_output=True, timeout=60
    )
    access_key, method, arn = json.loads(done.stdout)
    assert (access_key[:4], method) == ("ASIA", "container-role")
    assert arn == "arn:aws:sts::000000000000:assumed-role/execution/AmazonMWAA-airflow"


def test_the_answer_is_what_sdks_read(sidecar):
    sidecar.start()
    status, document = ask(sidecar)
    assert status == 200
    assert set(document) == {"AccessKeyId", "SecretAccessKey", "Token", "Expiration", "RoleArn"}
    assert document["RoleArn"] == sidecar.config["role_arn"]
    left = datetime.fromisoformat(document["Expiration"]) - datetime.now(UTC)
    assert timedelta(minutes=50) < left <= timedelta(hours=1)


@pytest.mark.parametrize(
    ("request_parts", "expected"),
    [
        ({"headers": {}}, 401),
        ({"headers": {"Authorization": "another environment's token"}}, 403),
        ({"method": "POST"}, 405),
        ({"path": "/"}, 404),
        ({"headers": {"Padding": "x" * 20_000}}, 400),
    ],
)
def test_everything_else_is_turned_away(sidecar, request_parts, expected):
    sidecar.start()
    status, document = ask(sidecar, **request_parts)
    assert status == expected
    assert "SecretAccessKey" not in document


def test_a_new_token_counts_at_once_and_the_old_one_no_more(sidecar):
    sidecar.start()
    old, sidecar.token = sidecar.token, "a new token for this environment"
    with open(sidecar.config["credentials_token_file"], "w") as file:  # noqa: PTH123 - the path is a text here
        file.write(sidecar.token)
    assert ask(sidecar)[0] == 200
    assert ask(sidecar, headers={"Authorization": old})[0] == 403


def test_without_sts_there_is_a_sentence_and_then_there_are_keys(sidecar, door):
    door.fault = lambda _path: 503
    sidecar.start()
    status, document = ask(sidecar)
    assert (status, document["code"]) == (503, "ServiceUnavailable")
    assert "sts answers 503" in document["message"]
    door.fault = lambda _path: None
    wait_for("credentials come when STS does", lambda: ask(sidecar)[0] == 200)


def test_old_keys_are_served_while_sts_is_away(sidecar, door):
    sidecar.start()
    door.fault = lambda _path: 503
    wait_for("the sidecar has noticed", lambda: sidecar.status["away_since"])
    assert ask(sidecar)[0] == 200


def test_idle_connections_neither_block_nor_last(sidecar):
    sidecar.start()
    address = ("127.0.0.1", sidecar.config["credentials_port"])
    idle = [socket.create_connection(address, timeout=30) for _ in range(20)]
    try:
        idle[0].sendall(b"GET /credentials HTTP/1.1\r\n")
        assert ask(sidecar)[0] == 200
        assert all(end_of(connection) == b"" for connection in idle)
    finally:
        for connection in idle:
            connection.close()


OWN, STRANGER = 47_001, 47_002

HOLD = """
import socket, sys
held = []
for _ in range(200):
    held.append(socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=60))
    try:
        held[-1].sendall(b"GET /credentials HTTP/1.1\\r\\n")
    except OSError:
        pass  # it was closed already
print("held", flush=True)
sys.stdin.read()
"""

ASK = """
import http.client, sys
for _ in range(20):
    connection = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]), timeout=60)
    connection.request("GET", "/credentials", headers={"Authorization": sys.argv[2]})
    print(connection.getresponse().status)
    connection.close()
"""


@contextlib.contextmanager
def holding(sidecar, uid):
    """Somebody who has opened two hundred connections, sent the beginning of a request on each, and waits."""
    command = [sys.executable, "-I", "-c", HOLD, str(sidecar.config["credentials_port"])]
    with subprocess.Popen(command, user=uid, group=uid, extra_groups=[], stdin=PIPE, stdout=PIPE, text=True) as held:
        try:
            assert held.stdout.readline() == "held\n"
            yield
        finally:
            held.kill()


def answers(sidecar, uid) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", "-c", ASK, str(sidecar.config["credentials_port"]), sidecar.token]
    return subprocess.run(
        command, user=uid, group=uid, extra_groups=[], capture_output=True, text=True, check=False, timeout=120
    )


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become somebody else")
def test_another_environments_connections_take_no_place_and_get_no_answer(sidecar):
    sidecar.config["credentials_users"] = [OWN]
    sidecar.start()
    with holding(sidecar, STRANGER):
        assert answers(sidecar, OWN).stdout.split() == ["200"] * 20
        assert ask(sidecar)[0] == 200
    stolen = answers(sidecar, STRANGER)  # with the right token
    assert (stolen.stdout, stolen.returncode) == ("", 1)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become somebody else")
def test_an_environments_own_idle_connections_make_room_for_those_that_ask(sidecar):
    sidecar.config["credentials_users"] = [OWN]
    sidecar.start()
    with holding(sidecar, OWN):
        assert answers(sidecar, OWN).stdout.split() == ["200"] * 20
        assert ask(sidecar)[0] == 200


def end_of(connection) -> bytes:
    try:
        return connection.recv(100)
    except ConnectionResetError:
        return b""


def test_a_second_sidecar_says_why_it_cannot_start(sidecar, tmp_path):
    sidecar.start()
    done = subprocess.run(
        [sys.executable, "-I", "-m", "aerodrome.sidecar", "--config", str(tmp_path / "sidecar.json")],
        env={"PATH": os.environ["PATH"]},
        check=False,
        capture_output=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert b"cannot listen on 127.0.0.1" in done.stderr


def test_sigterm_ends_it_in_the_middle_of_a_request(sidecar, door):
    sidecar.start()
    door.seen.clear()
    door.fault = lambda _path: "hang"
    wait_for("a request hangs", lambda: door.seen)
    assert sidecar.stop() == 0
    assert not door.released.is_set()


@pytest.mark.parametrize("away", [False, True])
def test_sigterm_ends_it_in_order(sidecar, door, away):
    door.fault = lambda _path: 503 if away else None
    sidecar.start()
    assert sidecar.stop() == 0
