"""A real emulator for the package's tests, and one of its own for a test that ends it; nothing is left running."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from aerodrome.aws import clients, credentials
from aerodrome.aws.clients import Endpoint
from aerodrome.emulator import launch
from aerodrome.emulator.launch import Emulator
from aerodrome.emulator.own_address import OwnAddress
from aerodrome.emulator.redshift import warehouses
from aerodrome.services import daemon, databases
from aerodrome.services.clusters import Cluster
from aerodrome.services.daemon import Daemon
from waiting import wait_for


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
        return Endpoint(region="us-east-1", url=self.described.address.url, credentials=credentials.EMULATOR)

    def client(self, name: str) -> Any:
        return clients.client(self.endpoint, name)

    def start(self) -> None:
        daemon.start(self.process)
        daemon.wait_until(self.process, lambda: launch.answers(self.described))

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        wait_for("its end", lambda: not daemon.is_running(self.process))


def started() -> Iterator[Service]:
    folder = Path(tempfile.mkdtemp(prefix="aero-"))
    port = launch.choose_port(folder, 0)
    described = launch.describe(
        folder, address=OwnAddress(port=port), region="us-east-1", account_id="000000000000", domain="pages.localhost"
    )
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


@dataclass(frozen=True)
class Warehouses:
    """An emulator whose requests for databases a keeper answers, as the control plane does every second."""

    service: Service
    cluster: Cluster
    folder: Path
    keeping: threading.Event
    """Cleared: the keeper rests."""

    def client(self) -> Any:
        return self.service.client("redshift-data")


@contextlib.contextmanager
def kept(service: Service, cluster: Cluster) -> Iterator[Warehouses]:
    folder = launch.redshift_folder(service.folder)
    folder.mkdir(mode=0o700, exist_ok=True)
    found = Warehouses(service, cluster, folder, threading.Event())
    found.keeping.set()
    leaving = threading.Event()
    make = partial(databases.ensure_own, cluster, connection_limit=warehouses.MOST_CONNECTIONS)

    def keep() -> None:
        while not leaving.wait(0.05):
            if found.keeping.is_set():
                warehouses.provide(folder, cluster, make)

    keeper = threading.Thread(target=keep)
    keeper.start()
    yield found
    leaving.set()
    keeper.join()
    for name in databases.databases(cluster, warehouses.PREFIX):
        databases.drop_database(cluster, name)
        databases.drop_role(cluster, name)


@pytest.fixture(scope="package")
def warehouse_keeper(service: Service, cluster: Cluster) -> Iterator[Warehouses]:
    with kept(service, cluster) as found:
        yield found


@pytest.fixture
def own_keeper(own_service: Service, cluster: Cluster) -> Iterator[Warehouses]:
    with kept(own_service, cluster) as found:
        yield found


@pytest.fixture(scope="package")
def service() -> Iterator[Service]:
    yield from started()


@pytest.fixture
def own_service() -> Iterator[Service]:
    yield from started()
