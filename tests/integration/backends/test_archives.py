"""Archives of real databases: what was dumped is restored, and a control plane that is killed leaves nothing of it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import psutil
import psycopg
import pytest

from aerodrome.backends.databases import archives
from aerodrome.errors import BrokenError
from aerodrome.services import databases
from aerodrome.services.clusters import Cluster
from product import wait_for

NAMES = ("archived", "refilled")
PASSWORD = "with: a colon, and a \\ too"

DUMPER = """
import sys
from pathlib import Path
from aerodrome.backends.databases import archives
from aerodrome.services.clusters import Cluster
archives.dump(Cluster(**eval(sys.argv[1])), "archived", "archived", sys.argv[2], Path(sys.argv[3]), lambda: None)
"""


@pytest.fixture
def databases_of_one(cluster: Cluster) -> Iterator[None]:
    databases.ensure_role(cluster, NAMES[0], PASSWORD)
    for name in NAMES:
        databases.ensure_database(cluster, name, NAMES[0])
    yield
    for name in NAMES:
        databases.drop_database(cluster, name)
    databases.drop_role(cluster, NAMES[0])


@pytest.fixture
def theirs(cluster: Cluster, databases_of_one: None) -> Iterator[psycopg.Connection]:
    del databases_of_one
    with psycopg.connect(cluster.dsn(NAMES[0], NAMES[0], PASSWORD), autocommit=True) as connection:
        connection.execute("CREATE TABLE kept AS SELECT generate_series(1, 1000) AS value")
        yield connection


@pytest.mark.usefixtures("theirs")
def test_what_was_dumped_is_restored(cluster: Cluster, tmp_path):
    target = tmp_path / "1.dump"
    assert archives.dump(cluster, NAMES[0], NAMES[0], PASSWORD, target, lambda: None) == target.stat().st_size
    assert target.stat().st_mode & 0o777 == 0o600
    archives.restore(cluster, NAMES[1], NAMES[0], PASSWORD, target, lambda: None)
    with psycopg.connect(cluster.dsn(NAMES[1], NAMES[0], PASSWORD)) as other:
        assert other.execute("SELECT sum(value) FROM kept").fetchone() == (500500,)
    archives.remove(target)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("theirs")
def test_a_failure_is_told_with_its_last_lines(cluster: Cluster, tmp_path):
    with pytest.raises(BrokenError, match="pg_dump ended with exit code 1") as caught:
        archives.dump(cluster, NAMES[0], NAMES[0], "wrong", tmp_path / "1.dump", lambda: None)
    assert caught.value.code == "ARCHIVE_FAILED"
    assert any("password authentication failed" in line for line in caught.value.tail)
    assert list(tmp_path.iterdir()) == []


def test_whoever_gives_up_leaves_nothing(cluster: Cluster, theirs, tmp_path):
    def give_up() -> None:
        if list(tmp_path.iterdir()):
            raise KeyboardInterrupt

    with theirs.transaction():
        theirs.execute("LOCK TABLE kept")
        with pytest.raises(KeyboardInterrupt):
            archives.dump(cluster, NAMES[0], NAMES[0], PASSWORD, tmp_path / "1.dump", give_up)
    assert list(tmp_path.iterdir()) == []


def test_nothing_outlives_a_killed_control_plane(cluster: Cluster, theirs, tmp_path: Path):
    """Neither a program that reads the database, nor the password on any disk, in an environment or a command line."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    target = tmp_path / "1.dump"
    with theirs.transaction():
        theirs.execute("LOCK TABLE kept")  # so that the dump lasts
        command = [sys.executable, "-c", DUMPER, repr(asdict(cluster)), PASSWORD, str(target)]
        with subprocess.Popen(command, env={**os.environ, "TMPDIR": str(scratch)}) as killed:
            try:
                began = wait_for("it dumps", lambda: waiting(killed.pid))
                for each in began:
                    assert PASSWORD not in " ".join([*each.cmdline(), *each.environ().values()])
                assert list(scratch.iterdir()) == []
            finally:
                os.kill(killed.pid, signal.SIGKILL)
        wait_for("nothing runs", lambda: not any(is_alive(each) for each in began), limit=30)
        assert list(scratch.iterdir()) == []
    archives.remove(target)
    assert list(tmp_path.iterdir()) == [scratch]


def waiting(pid: int) -> list[psutil.Process]:
    """What a process began, once pg_dump is among it and has read its password."""
    found = psutil.Process(pid).children(recursive=True)
    with contextlib.suppress(psutil.Error):
        if any(each.name() == "pg_dump" and each.net_connections("unix") for each in found):
            return found
    return []


def is_alive(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False
