"""HTTP by hand, for what a well-behaved client never sends."""

from __future__ import annotations

import http.client
import json
import socket
from contextlib import suppress
from dataclasses import dataclass
from typing import Any


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


def signature(service: str = "airflow") -> str:
    """An Authorization header whose scope names `service`; the signature is not looked at."""
    scope = f"Credential=AKIDEXAMPLE/20261123/us-east-1/{service}/aws4_request"
    return f"AWS4-HMAC-SHA256 {scope}, SignedHeaders=host, Signature=00"


def ask(
    port: int,
    method: str,
    target: str,
    *,
    body: bytes | None = None,
    service: str | None = "airflow",
    **headers: Any,
) -> Answer:
    """One request with its target as it stands; header names take `_` for `-`."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    if service:
        given["Authorization"] = signature(service)
    try:
        connection.putrequest(method, target, skip_host="Host" in given, skip_accept_encoding=True)
        if body is not None and "Transfer-Encoding" not in given:
            given["Content-Length"] = str(len(body))
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
