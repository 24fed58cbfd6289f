"""What tests of several rooms share: short folders, and one PostgreSQL for those that need a real one."""

from __future__ import annotations

import contextlib
import gc
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

import disk
import lines
import tiers
from aerodrome.services import clusters, databases, postgres
from aerodrome.settings import Paths
from product import VERSIONS, Product, Shared, SharedEnvironments, started

# A deadline would make a busy machine fail a test that has nothing to do with time.
settings.register_profile("untimed", settings.get_profile("default"), deadline=None)
settings.load_profile("untimed")

disk.wait_for_no_disk()

for _name in [name for name in os.environ if name.startswith(("AWS_", "AERODROME_"))]:
    if not _name.startswith("AERODROME_TEST_"):
        del os.environ[_name]  # what a developer's shell is set to must not reach a test


@pytest.hookimpl(trylast=True)  # after pytest-randomly has shuffled them
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest first, or one process would work alone at the end."""
    items.sort(key=lambda item: tiers.order(item.nodeid))


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Let the garbage collector rest: thousands of tests come into being, and none of them goes."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


def pytest_collection_finish() -> None:
    """Keep the garbage collector from looking through thousands of tests again and again: they stay to the end."""
    gc.collect()
    gc.freeze()


def pytest_unconfigure(config: pytest.Config) -> None:
    """Leave nothing; the process that started others is the last one to end."""
    gc.unfreeze()
    if not hasattr(config, "workerinput"):
        disk.remove_templates()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> tiers.FilesTogether | None:
    """`--dist loadfile` as `make test` has it, and files that share something in one process."""
    return tiers.FilesTogether(config, log) if config.getoption("dist") == "loadfile" else None


@pytest.hookimpl(wrapper=True, tryfirst=True)  # around pytest-timeout
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Before the first test that needs Airflow, install it: on a fresh machine that takes longer than a test may."""
    if _needs_airflow(item):
        VERSIONS.mkdir(exist_ok=True)
        disk.prepare(VERSIONS)
    return (yield)


def _needs_airflow(item: pytest.Item) -> bool:
    """Whether a test asks for installed versions, and not for the backend in memory."""
    chosen = [*item.callspec.params.values()] if hasattr(item, "callspec") else []
    return "versions" in getattr(item, "fixturenames", ()) and "memory" not in chosen


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What each tier counted and took, above pytest's closing line."""
    ended = [
        (outcome, report)
        for outcome in ("", *tiers.OUTCOMES)
        for report in terminalreporter.getreports(outcome)
        if isinstance(report, pytest.TestReport)
    ]
    if ended:
        terminalreporter.section("tiers, in seconds of all processes together")
    for line in tiers.lines(ended):
        terminalreporter.line(line)


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
    """The folder of installed Airflow versions; the main lines' are there (`pytest_runtest_protocol`)."""
    return VERSIONS


_of_this_unit = contextlib.ExitStack()


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """End what the tests of a unit shared; idle environments would use a processor to the end of the run."""
    if nextitem is None or tiers.unit_of(nextitem.nodeid) != tiers.unit_of(item.nodeid):
        _of_this_unit.close()


@pytest.fixture(scope="session")
def until_unit_ends() -> Iterator[contextlib.ExitStack]:
    """Ends what is entered into it with the last test of the files that are named together in `tiers.SHARED`."""
    yield _of_this_unit
    _of_this_unit.close()


@pytest.fixture(scope="session")
def product(versions: Path, until_unit_ends: contextlib.ExitStack) -> Product:
    """One Aerodrome for all tests that leave it as they found it. Its workers leave soon when there is little to do."""
    return until_unit_ends.enter_context(started(versions, AERODROME_SCALE_IN_AFTER="3"))


@pytest.fixture(scope="session")
def changing_product(versions: Path, until_unit_ends: contextlib.ExitStack) -> Product:
    """Another for tests whose environments are their own, and which bring it down and up."""
    return until_unit_ends.enter_context(started(versions, AERODROME_SCALE_IN_AFTER="3"))


@pytest.fixture(scope="session")
def mortal_product(versions: Path, until_unit_ends: contextlib.ExitStack) -> Product:
    """Another for all tests that kill it; each leaves it running. It has little time to prime an Airflow version."""
    return until_unit_ends.enter_context(started(versions, AERODROME_PRIMED="off"))


@pytest.fixture(scope="session")
def shared_environments(product: Product, until_unit_ends: contextlib.ExitStack) -> SharedEnvironments:
    """The environments that tests of several files leave as they found them."""
    found = SharedEnvironments(product)
    until_unit_ends.callback(found.forget)
    return found


@pytest.fixture(scope="session", params=lines.WITH_REST)
def shared_environment(request: pytest.FixtureRequest, shared_environments: SharedEnvironments) -> Iterator[Shared]:
    """Such an environment of each line, which ends when it is the next line's turn."""
    yield shared_environments.of(request.param)
    shared_environments.end(request.param)


@pytest.fixture
def empty_database(cluster: clusters.Cluster, request: pytest.FixtureRequest) -> Iterator[str]:
    """The name of a database made for one test."""
    name = f"test_{abs(hash(request.node.nodeid)) % 10**10}"
    databases.ensure_role(cluster, name, "test")
    databases.ensure_database(cluster, name, name)
    yield name
    databases.drop_database(cluster, name)
    databases.drop_role(cluster, name)
