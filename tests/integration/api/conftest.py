"""The front door before a real AWS emulator; names below localhost resolve for every client."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

from aerodrome.api.app import create_app
from aerodrome.settings import Settings
from protocol.api import raw
from protocol.api.behind import Behind
from protocol.api.serving import served
from tools import own_emulator


@pytest.fixture(scope="package")
def endpoint_url() -> Iterator[str]:
    """The embedded emulator's own address."""
    with own_emulator.running() as emulator:
        yield emulator.described.address.url


@pytest.fixture(scope="package")
def front(endpoint_url: str) -> Iterator[int]:
    """The port of the front door."""
    deps = replace(Behind().deps(Settings(data=Path("/nonexistent"))), aws_endpoint_url=endpoint_url)
    with served(create_app(deps)) as port:
        yield port


@pytest.fixture
def names_below_localhost(monkeypatch: pytest.MonkeyPatch) -> None:
    """As systemd-resolved does it, for machines without it."""
    real = socket.getaddrinfo

    def resolved(host: Any, *rest: Any, **more: Any) -> Any:
        return real("127.0.0.1" if str(host).endswith("localhost") else host, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", resolved)


@pytest.fixture(scope="package")
def session() -> Any:
    return boto3.Session(raw.ADMIN.access_key_id, raw.ADMIN.secret, region_name="us-east-1")


@pytest.fixture
def client_of(session: Any, front: int, names_below_localhost: None) -> Iterator[Callable[..., Any]]:
    """Makes boto3 clients of the front door: (service, configuration) → client."""
    del names_below_localhost
    with ExitStack() as stack:

        def make(service: str, **configuration: Any) -> Any:
            config = Config(retries={"total_max_attempts": 1}, **configuration)
            client = session.client(service, endpoint_url=f"http://localhost:{front}", config=config)
            stack.callback(client.close)
            return client

        yield make
