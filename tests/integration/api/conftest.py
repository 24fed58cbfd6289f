"""The front door before a real AWS emulator; names below localhost resolve for every client."""

from __future__ import annotations

import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

from aerodrome import clock
from aerodrome.api.app import create_app
from aerodrome.api.doors import Doors
from aerodrome.aws import emulator
from aerodrome.model.environment import Environment
from aerodrome.services import daemon
from aerodrome.services.daemon import Daemon
from aerodrome.settings import Settings
from protocol.api.memory import MemoryEnvironments
from protocol.api.serving import served


@pytest.fixture(scope="package")
def endpoint_url() -> Iterator[str]:
    """The embedded emulator's own address."""
    folder = Path(tempfile.mkdtemp(prefix="aero-"))
    port = emulator.choose_port(folder, 0)
    described = emulator.describe(folder, port=port, region="us-east-1", account_id="000000000000")
    process = Daemon(
        name="AWS emulator",
        argv=described.argv,
        env=described.env,
        cwd=described.cwd,
        log=folder / "emulator.log",
        pid_file=folder / "pid",
    )
    daemon.start(process)
    try:
        daemon.wait_until(process, lambda: emulator.answers(described))
        yield described.endpoint_url
    finally:
        daemon.stop(process)
        shutil.rmtree(folder)


async def no_rest(_environment: Environment, _method: str, _path: str, _query: Any, _body: Any) -> tuple[int, Any]:
    raise NotImplementedError


@pytest.fixture(scope="package")
def front(endpoint_url: str) -> Iterator[int]:
    """The port of the front door."""
    doors = Doors(
        environments=MemoryEnvironments(),
        check_bucket=lambda _spec: None,
        new_secrets=lambda: b"sealed",
        offered_versions=("3.3.1",),
        latest_version="3.3.1",
        clock=clock.now,
        settings=Settings(data=Path("/nonexistent")),
        rest=no_rest,
        aws_endpoint_url=endpoint_url,
    )
    with served(create_app(doors)) as port:
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
    return boto3.Session(aws_access_key_id="test", aws_secret_access_key="test", region_name="us-east-1")


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
