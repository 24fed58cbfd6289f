"""A real emulator for the package's tests, and one of its own for a test that ends it; nothing is left running."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from aerodrome.aws import clients, credentials, emulator
from aerodrome.aws.clients import Endpoint
from aerodrome.aws.emulator import Emulator
from aerodrome.services import daemon
from aerodrome.services.daemon import Daemon


@dataclass(frozen=True)
class Service:
    """The emulator as a higher room runs it."""

    described: Emulator
    process: Daemon

    @property
    def folder(self) -> Path:
        return self.described.cwd

    @property
    def pid(self) -> int:
        running = daemon.find(self.process)
        assert running is not None
        return running.pid

    @property
    def endpoint(self) -> Endpoint:
        return Endpoint(region="us-east-1", url=self.described.endpoint_url, credentials=credentials.EMULATOR)

    def client(self, name: str) -> Any:
        return clients.client(self.endpoint, name)

    def start(self) -> None:
        daemon.start(self.process)
        daemon.wait_until(self.process, lambda: emulator.answers(self.described))

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        wait_for(lambda: not daemon.is_running(self.process))


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def started() -> Iterator[Service]:
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
    service = Service(described, process)
    service.start()
    yield service
    daemon.stop(process)
    shutil.rmtree(folder)


@pytest.fixture(scope="package")
def service() -> Iterator[Service]:
    yield from started()


@pytest.fixture
def own_service() -> Iterator[Service]:
    yield from started()
