"""Clients that send slowly, or much, or never, take neither places nor memory from clients that sign."""

from __future__ import annotations

import asyncio
import http.client
import socket
import threading
from collections.abc import Iterator
from contextlib import AsyncExitStack, ExitStack, suppress
from typing import Any

import boto3
import pytest
from botocore.config import Config

from aerodrome.api import bodies
from aerodrome.listening import crowd, protocol
from aerodrome.listening.crowd import ConnectionLimits
from protocol.api import raw
from protocol.api.alone import Alone, started
from protocol.api.attackers import dripping
from protocol.api.serving import served
from waiting import LIMIT, wait_for

MEBI = 2**20
LONG = 1_000_000_000


@pytest.fixture(scope="module")
def upstream() -> Iterator[str]:
    """An AWS endpoint that reads whatever it is sent."""

    async def endpoint(_scope: Any, receive: Any, send: Any) -> None:
        while (message := await receive()).get("more_body"):
            pass
        if message["type"] == "http.request":
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
            await send({"type": "http.response.body", "body": b""})

    with served(
        endpoint, lifespan="off", limits=ConnectionLimits(total=1000, each_peer=1000, bodies_each_peer=1000)
    ) as port:
        yield f"http://127.0.0.1:{port}"


@pytest.fixture(scope="module")
def alone(upstream: str) -> Iterator[Alone]:
    with started(upstream) as found:
        yield found


def head(method: str, target: str, length: int, **headers: str) -> bytes:
    lines = [f"{method} {target} HTTP/1.1", "Host: 127.0.0.1", f"Content-Length: {length}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode()


FORM = "application/x-www-form-urlencoded"


def known(target: str, length: int) -> bytes:
    """A head whose signature is right but for the body that never comes."""
    signed = raw.signed("PUT", target, b"{}", {"Host": "127.0.0.1"})
    signed.pop("Host", None)
    return head("PUT", target, length, **{name.replace("-", "_"): value for name, value in signed.items()})


SLOW = {
    "heads": b"GET / HTTP/1.1\r\nX-A: ",
    "unsigned uploads": head("PUT", "/bucket/key", LONG),
    "uploads of an unknown key": head("PUT", "/bucket/key", LONG, Authorization=raw.signature("s3")),
    "unsigned forms": head("POST", "/", 60_000, Content_Type=FORM),
    "requests to MWAA of a known key": known("/environments/a", 1_000_000),
}


@pytest.fixture(scope="module")
def clients(alone: Alone) -> Iterator[dict[str, Any]]:
    """Clients as people have them, which try again when they are told to."""
    session = boto3.Session(raw.ADMIN.access_key_id, raw.ADMIN.secret, region_name="us-east-1")
    config = Config(
        inject_host_prefix=False, s3={"addressing_style": "path"}, retries={"mode": "legacy", "total_max_attempts": 12}
    )
    url = f"http://127.0.0.1:{alone.port}"
    made = {name: session.client(name, endpoint_url=url, config=config) for name in ("mwaa", "iam", "sts", "s3")}
    yield made
    for each in made.values():
        each.close()


@pytest.mark.parametrize("attack", SLOW)
def test_while_six_hundred_drip_mwaa_iam_sts_and_s3_answer(alone: Alone, clients: Any, attack: str) -> None:
    with dripping(alone.port, SLOW[attack], number=600):
        for _ in range(2):
            assert clients["mwaa"].list_environments()["Environments"] == []
            assert clients["sts"].get_caller_identity()["Account"] == "000000000000"
            with pytest.raises(clients["iam"].exceptions.NoSuchEntityException):
                clients["iam"].get_user(UserName="nobody")
            clients["s3"].put_object(Bucket="bucket", Key="key", Body=b"x" * 200_000)


def test_four_hundred_unsigned_megabytes_are_not_held(alone: Alone) -> None:
    before = alone.memory
    most = before
    with ExitStack() as stack:
        for number in range(400):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", alone.port), timeout=LIMIT))
            target, kind = [("/", FORM), ("/environments", "application/json"), ("/", "text/plain")][number % 3]
            with suppress(OSError):  # it may be refused before all has been sent
                client.sendall(head("POST", target, MEBI + 1, Content_Type=kind))
                client.sendall(b"x" * MEBI)
            most = max(most, alone.memory)
    assert most - before < 100 * MEBI


@pytest.mark.parametrize(
    ("method", "target", "headers"),
    [
        ("POST", "/", {"Content_Type": FORM}),
        ("PUT", "/environments/a", {}),
        ("PUT", "/environments/a", {"Authorization": raw.signature("airflow")}),
        ("POST", "/", {"Authorization": raw.signature("iam")}),
        ("POST", "/", {"Authorization": raw.signature("sts")}),
        ("PUT", "/bucket/key", {}),
        ("PUT", "/bucket/key", {"Expect": "100-continue"}),
    ],
)
def test_what_nobody_known_signed_is_refused_before_its_body_is_read(
    alone: Alone, method: str, target: str, headers: dict[str, str]
) -> None:
    with socket.create_connection(("127.0.0.1", alone.port), timeout=LIMIT) as client:
        client.sendall(head(method, target, LONG, **headers))
        assert client.recv(4096).startswith((b"HTTP/1.1 403 ", b"HTTP/1.1 400 "))


def test_chunks_without_end_are_no_way_around_it(alone: Alone) -> None:
    begin = b"Host: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n"
    chunk = b"4000\r\n" + b"x" * 0x4000 + b"\r\n"
    for line in (b"PUT /bucket/key", b"PUT /environments/a", b"POST /"):
        kind = b"Content-Type: " + FORM.encode() + b"\r\n" if line == b"POST /" else b""
        with socket.create_connection(("127.0.0.1", alone.port), timeout=LIMIT) as client:
            client.sendall(line + b" HTTP/1.1\r\n" + begin + kind + b"\r\n" + chunk * 5)
            assert client.recv(4096).startswith(b"HTTP/1.1 403 ")


def test_a_large_upload_in_one_piece_passes_while_others_drip(alone: Alone, clients: Any) -> None:
    with dripping(alone.port, SLOW["uploads of an unknown key"], number=600):
        clients["s3"].put_object(Bucket="bucket", Key="key", Body=b"x" * (30 * MEBI))


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crowd, "WINDOW_SECONDS", 0.3)


@pytest.mark.usefixtures("quick")
def test_a_body_that_drips_is_closed_and_one_that_waits_for_us_is_not() -> None:
    go_on = threading.Event()
    ends: list[str] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/held":
            while not go_on.is_set():  # noqa: ASYNC110 - it is set from another thread
                await asyncio.sleep(0.01)
        while (message := await receive()).get("more_body"):
            pass
        ends.append(message["type"])
        if message["type"] == "http.request":
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
            await send({"type": "http.response.body", "body": b""})

    with served(application, lifespan="off") as port:
        with socket.create_connection(("127.0.0.1", port), timeout=LIMIT) as client:
            client.sendall(head("PUT", "/slow", LONG) + b"x")
            assert client.recv(4096).startswith(b"HTTP/1.1 408 ")
            assert client.recv(4096) == b""
        held = threading.Thread(target=lambda: ends.append(str(_put(port, "/held", 20 * MEBI))))
        held.start()
        # Longer than the window; the pace of another upload says when it is over.
        with socket.create_connection(("127.0.0.1", port), timeout=LIMIT) as client:
            client.sendall(head("PUT", "/slow", LONG) + b"x")
            assert client.recv(4096).startswith(b"HTTP/1.1 408 ")
        go_on.set()
        held.join(LIMIT)
        assert not held.is_alive()
        wait_for("the application has seen each end", lambda: len(ends) == 4)
    assert sorted(ends) == ["200", "http.disconnect", "http.disconnect", "http.request"]


def _put(port: int, target: str, size: int) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=LIMIT)
    try:
        connection.request("PUT", target, b"x" * size)
        return connection.getresponse().status
    finally:
        connection.close()


def test_a_request_for_which_there_is_no_room_is_told_when_to_come_again(port: int, deps: Any) -> None:
    async def while_full() -> tuple[raw.Answer, raw.Answer]:
        async with AsyncExitStack() as stack:
            for number in range(bodies.TOTAL // bodies.EACH):
                await stack.enter_async_context(deps.bodies.share(bodies.EACH, str(number)))
            large = raw.ask(port, "PUT", "/environments/a", body=b" " * (bodies.SMALL + 1))
            return large, raw.ask(port, "GET", "/environments")

    large, small = asyncio.run(while_full())
    assert (large.status, large.headers["retry-after"]) == (503, "1")
    assert "try again" in large.json["message"]
    assert small.status == 200
    assert raw.ask(port, "PUT", "/environments/a", body=b" " * (bodies.SMALL + 1)).status == 400


def test_what_is_passed_on_leaves_places_for_mwaa(monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests whose bodies have arrived wait for another server, and cannot be slow."""
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 60.0)
    answered, waiting = threading.Event(), threading.Semaphore(0)

    async def application(scope: Any, _receive: Any, send: Any) -> None:
        status = 200
        if scope["path"] == "/other":
            status = 200 if protocol.may_pass_on(scope) else 503
            if status == 200:
                waiting.release()
                while not answered.is_set():  # noqa: ASYNC110 - it is set from another thread
                    await asyncio.sleep(0.01)
        await send({"type": "http.response.start", "status": status, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})

    limits = ConnectionLimits(total=8, each_peer=8, bodies_each_peer=8, passed_on=4, passed_on_each_peer=4)
    with served(application, lifespan="off", limits=limits) as port, ExitStack() as stack:
        for _ in range(4):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=LIMIT))
            client.sendall(b"GET /other HTTP/1.1\r\nHost: h\r\n\r\n")
            assert waiting.acquire(timeout=LIMIT)
        assert raw.exchange(port, "GET", "/other", None, {}).status == 503
        assert raw.exchange(port, "GET", "/ours", None, {}).status == 200
        answered.set()
