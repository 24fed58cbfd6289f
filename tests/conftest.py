"""What tests of several rooms share: short folders, and one PostgreSQL for those that need a real one."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from aerodrome.services import clusters, databases, postgres
from aerodrome.settings import Paths
from product import VERSIONS, Product, started

# A deadline would make a busy machine fail a test that has nothing to do with time.
settings.register_profile("untimed", settings.get_profile("default"), deadline=None)
settings.load_profile("untimed")

for _name in [name for name in os.environ if name.startswith(("AWS_", "AERODROME_"))]:
    if not _name.startswith("AERODROME_TEST_"):
        del os.environ[_name]  # what a developer's shell is set to must not reach a test


LONG = ("acceptance", "faults", "browser", "contract")
"""Folders of tests that start whole environments."""


@pytest.hookimpl(trylast=True)  # after pytest-randomly has shuffled them
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The long ones first, or one process would work alone at the end."""
    items.sort(key=lambda item: item.path.relative_to(item.config.rootpath / "tests").parts[0] not in LONG)


@pytest.fixture(scope="session")
def short_folder() -> Iterator[Path]:
    """A folder whose path leaves room for sockets; pytest's own are too deep."""
    folder = Path(tempfile.mkdtemp(prefix="aero-"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def cluster(short_folder: Path) -> Iterator[clusters.Cluster]:
    """An embedded PostgreSQL for the whole run."""
    paths = Paths(short_folder / "pg")
    yield postgres.up(paths)
    postgres.down(paths)


@pytest.fixture(scope="session")
def versions() -> Path:
    """The folder of installed Airflow versions."""
    VERSIONS.mkdir(exist_ok=True)
    return VERSIONS


@pytest.fixture(scope="session")
def product(versions: Path) -> Iterator[Product]:
    """One Aerodrome for all tests that leave it as they found it."""
    with started(versions) as running:
        yield running


@pytest.fixture(scope="module")
def own_product(versions: Path) -> Iterator[Product]:
    """An Aerodrome for tests that kill it."""
    with started(versions) as running:
        yield running


@pytest.fixture
def empty_database(cluster: clusters.Cluster, request: pytest.FixtureRequest) -> Iterator[str]:
    """The name of a database made for one test."""
    name = f"test_{abs(hash(request.node.nodeid)) % 10**10}"
    databases.ensure_role(cluster, name, "test")
    databases.ensure_database(cluster, name, name)
    yield name
    databases.drop_database(cluster, name)
    databases.drop_role(cluster, name)
