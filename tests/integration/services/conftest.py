"""Real services in folders with short paths, as unix sockets need them; nothing is left running or lying about."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from aerodrome.services import postgres
from aerodrome.services.clusters import Cluster
from aerodrome.settings import Paths


@pytest.fixture
def paths() -> Iterator[Paths]:
    folder = Path(tempfile.mkdtemp(prefix="aero-"))
    found = Paths(folder)
    yield found
    postgres.down(found)
    shutil.rmtree(folder)


@pytest.fixture(scope="package")
def cluster() -> Iterator[Cluster]:
    folder = Path(tempfile.mkdtemp(prefix="aero-"))
    yield postgres.up(Paths(folder))
    postgres.down(Paths(folder))
    shutil.rmtree(folder)


def connect(cluster: Cluster, database: str, user: str, password: str) -> psycopg.Connection:
    return psycopg.connect(cluster.dsn(database, user, password), autocommit=True)
