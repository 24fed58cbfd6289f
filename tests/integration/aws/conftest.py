"""A real emulator for the package's tests, and one of its own for a test that ends it; nothing is left running."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from aerodrome.emulator import launch
from aerodrome.emulator.redshift import warehouses
from aerodrome.services import databases
from aerodrome.services.clusters import Cluster
from tools import own_emulator
from tools.own_emulator import OwnEmulator


@dataclass(frozen=True)
class Warehouses:
    """An emulator whose requests for databases a keeper answers, as the control plane does every second."""

    service: OwnEmulator
    cluster: Cluster
    folder: Path
    keeping: threading.Event
    """Cleared: the keeper rests."""

    def client(self) -> Any:
        return self.service.client("redshift-data")


@contextlib.contextmanager
def kept(service: OwnEmulator, cluster: Cluster) -> Iterator[Warehouses]:
    folder = launch.redshift_folder(service.folder)
    warehouses.requests(folder).mkdir(mode=0o700, parents=True, exist_ok=True)
    found = Warehouses(service, cluster, folder, threading.Event())
    found.keeping.set()
    leaving = threading.Event()
    make = partial(databases.ensure_own, cluster, connection_limit=warehouses.MOST_CONNECTIONS)

    def keep() -> None:
        while not leaving.wait(0.05):
            if found.keeping.is_set():
                warehouses.provide(warehouses.Arrivals(folder), cluster, make)

    keeper = threading.Thread(target=keep)
    keeper.start()
    yield found
    leaving.set()
    keeper.join()
    for name in databases.databases(cluster, warehouses.PREFIX):
        databases.drop_database(cluster, name)
        databases.drop_role(cluster, name)


@pytest.fixture(scope="session")
def warehouse_keeper(service: OwnEmulator, cluster: Cluster, until_unit_ends: contextlib.ExitStack) -> Warehouses:
    return until_unit_ends.enter_context(kept(service, cluster))


@pytest.fixture
def own_keeper(own_service: OwnEmulator, cluster: Cluster) -> Iterator[Warehouses]:
    with kept(own_service, cluster) as found:
        yield found


@pytest.fixture(scope="session")
def service(until_unit_ends: contextlib.ExitStack) -> OwnEmulator:
    return until_unit_ends.enter_context(own_emulator.running())


@pytest.fixture
def own_service() -> Iterator[OwnEmulator]:
    with own_emulator.running() as found:
        yield found
