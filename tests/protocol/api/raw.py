"""HTTP by hand, for what a well-behaved client never sends."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from unittest import mock

from botocore import auth
from botocore.auth import SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from protocol.api.memory import Key


@dataclass(frozen=True)
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> str | None:
        return self.headers["x-amzn-errortype"]


ADMIN = Key("AKIA00000000000ADMIN", "secret of admin")
"""The administrator's; clients sign with it when nothing else is said."""

REGION = "us-east-1"


def signature(service: str) -> str:
    """An Authorization header whose scope names `service`, for requests that are passed on and not verified here."""
    scope = f"Credential=AKIDEXAMPLE/20261123/us-east-1/{service}/aws4_request"
    return f"AWS4-HMAC-SHA256 {scope}, SignedHeaders=host, Signature=00"


def signed(
    method: str,
    target: str,
    body: bytes | None,
    headers: Mapping[str, str],
    *,
    key: Key = ADMIN,
    service: str = "airflow",
    at: datetime | None = None,
    token: str | None = None,
) -> dict[str, str]:
    """The headers of a request with botocore's signature; `headers` must name the host, which is signed with the rest.

    botocore signs the path as the client library sends it, so a target in absolute form is signed for its path alone.
    """
    path = target.partition("://")[2].partition("/")[2] if "://" in target else target.removeprefix("/")
    request = AWSRequest(method, f"http://{headers['Host']}/{path}", dict(headers), body or b"")
    signer = SigV4Auth(Credentials(key.access_key_id, key.secret, token), service, REGION)
    with moment(at):
        signer.add_auth(request)
    return {name: str(value) for name, value in request.headers.items()}


def presigned(method: str, target: str, host: str, *, key: Key = ADMIN, seconds: int = 60) -> str:
    """The target of a request whose signature is in its query."""
    request = AWSRequest(method, f"http://{host}{target}", {"Host": host}, b"")
    SigV4QueryAuth(Credentials(key.access_key_id, key.secret), "airflow", REGION, seconds).add_auth(request)
    return str(request.url).partition(host)[2]


@contextmanager
def moment(at: datetime | None) -> Iterator[None]:
    """Within it botocore signs as if it were `at`."""
    if at is None:
        yield
        return
    with mock.patch.object(auth, "get_current_datetime", return_value=at.replace(tzinfo=None)):
        yield


def ask(
    port: int,
    method: str,
    target: str,
    *,
    body: bytes | None = None,
    service: str | None = "airflow",
    key: Key = ADMIN,
    **headers: Any,
) -> Answer:
    """One request with its target as it stands; header names take `_` for `-`.

    Requests for MWAA are really signed; others only name the service they are for.
    """
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    if service == "airflow":
        plain = {"Host": f"127.0.0.1:{port}", **{name: str(value) for name, value in given.items()}}
        given = signed(method, target, None if "Transfer-Encoding" in given else body, plain, key=key)
    elif service:
        given["Authorization"] = signature(service)
    return exchange(port, method, target, body, given)


def exchange(port: int, method: str, target: str, body: bytes | None, given: Mapping[str, Any]) -> Answer:
    """One request with the headers as they stand, and its answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.putrequest(method, target, skip_host="Host" in given, skip_accept_encoding=True)
        if body is not None and "Transfer-Encoding" not in given:
            connection.putheader("Content-Length", str(len(body)))
        for name, value in given.items():
            connection.putheader(name, value)
        connection.endheaders(body)
        response = connection.getresponse()
        return Answer(response.status, response.headers, response.read())
    finally:
        connection.close()


def send(port: int, data: bytes) -> bytes:
    """Everything that comes back until the server closes, or resets the connection on what it did not read."""
    found = b""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection, suppress(ConnectionError):
        connection.sendall(data)
        while chunk := connection.recv(65536):
            found += chunk
    return found
