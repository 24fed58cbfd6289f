"""An AWS emulator of one's own, for tests and benchmarks: without a door before it, and gone afterwards."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from aerodrome.aws import clients, credentials
from aerodrome.aws.clients import Endpoint
from aerodrome.emulator import launch
from aerodrome.emulator.launch import Emulator
from aerodrome.emulator.own_address import OwnAddress
from aerodrome.services import daemon
from aerodrome.services.daemon import Daemon
from aerodrome.settings import Settings


@dataclass(frozen=True)
class OwnEmulator:
    """The emulator as the keeper runs it."""

    described: Emulator
    process: Daemon
    region: str

    @property
    def folder(self) -> Path:
        """The folder of its files."""
        return self.described.cwd

    @property
    def pid(self) -> int:
        """Of its process. ProcessLookupError: it does not run."""
        found = daemon.find(self.process)
        if found is None:
            raise ProcessLookupError(f"{self.process.name} does not run")
        return found.pid

    @property
    def endpoint(self) -> Endpoint:
        """Where it is reached; on a unix socket no client of ours reaches it."""
        return Endpoint(region=self.region, url=self.described.address.url, credentials=credentials.EMULATOR)

    def client(self, name: str) -> Any:
        """A client of one of its services."""
        return clients.client(self.endpoint, name)

    def start(self) -> None:
        """Start it; returns when it answers."""
        daemon.start(self.process)
        daemon.wait_until(self.process, lambda: launch.answers(self.described))

    def kill(self) -> None:
        """End it by SIGKILL; returns when it is gone."""
        process = psutil.Process(self.pid)
        os.kill(process.pid, signal.SIGKILL)
        process.wait(timeout=60)


@contextmanager
def running(
    *, on_socket: bool = False, domain: str = "pages.localhost", settings: Settings | None = None
) -> Iterator[OwnEmulator]:
    """An emulator in a folder of its own, on a free loopback port or on a unix socket.

    Region and account are those of `settings`, by default those of an Aerodrome without any.
    """
    folder = Path(tempfile.mkdtemp(prefix="aero-"))
    (folder / "tmp").mkdir()
    given = settings or Settings(data=folder)
    address = OwnAddress(socket=folder / "aws.sock") if on_socket else OwnAddress(port=launch.choose_port(folder, 0))
    described = launch.describe(
        folder, address=address, region=given.region, account_id=given.account_id, domain=domain
    )
    process = Daemon(
        name="AWS emulator",
        argv=described.argv,
        env=described.env,
        cwd=described.cwd,
        log=folder / "emulator.log",
        pid_file=folder / "pid",
    )
    try:
        found = OwnEmulator(described, process, given.region)
        found.start()
        yield found
    finally:
        daemon.stop(process)
        shutil.rmtree(folder)
