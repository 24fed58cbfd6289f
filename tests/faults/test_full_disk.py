"""A real full disk: Aerodrome says so, loses nothing, and goes on by itself when there is space again."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from faults.test_deaths import SLOW
from matrices import EVERY_FAULT
from product import Product, started, wait_for

NAME = "brimful"
pytestmark = EVERY_FAULT

SIZE = "900m"
CHUNK = 2**20

FULL_FOR = 12
"""Looks at the status while the disk is full; each does work that fails."""


@pytest.fixture(scope="module")
def small_disk() -> Iterator[Path]:
    """A file system of its own, too small for much."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a file system to fill")
    folder = Path(tempfile.mkdtemp(prefix="fd-", dir="/tmp"))
    mounted = subprocess.run(
        ["/bin/mount", "-t", "tmpfs", "-o", f"size={SIZE},mode=711", "tmpfs", str(folder)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if mounted.returncode != 0:
        folder.rmdir()
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["/bin/umount", "-l", str(folder)], check=True)
    folder.rmdir()


@pytest.fixture(scope="module")
def brimful(small_disk: Path, versions: Path) -> Iterator[Product]:
    before = tempfile.tempdir
    tempfile.tempdir = str(small_disk)
    try:
        with started(versions) as product:
            tempfile.tempdir = before
            product.create(NAME)
            product.wait_until(NAME, "AVAILABLE")
            yield product
    finally:
        tempfile.tempdir = before


@contextlib.contextmanager
def full(folder: Path) -> Iterator[None]:
    """Not a byte is free meanwhile, whatever is removed."""
    filler = folder / "filler"
    with filler.open("wb") as file:
        for size in (CHUNK, 4096, 1):
            with contextlib.suppress(OSError):
                while True:
                    os.write(file.fileno(), bytes(size))
    try:
        yield
    finally:
        filler.unlink()


def test_a_full_disk_is_told_and_ends_by_itself(brimful: Product, small_disk: Path) -> None:
    brimful.put_dag("brim", SLOW.format(dag="brim", seconds=20))
    run = brimful.trigger(NAME, "brim")
    wait_for("the task runs", lambda: brimful.task(NAME, "brim", run, "slow")["state"] == "running")
    with full(small_disk):
        for _ in range(FULL_FOR):
            with contextlib.suppress(Exception):
                brimful.put_dag("late", "x = 1\n")
            with contextlib.suppress(Exception):
                brimful.update(NAME, WeeklyMaintenanceWindowStart="MON:03:30")
            told = brimful.run("status", check=False).stdout
            assert "is full" in told, told
        assert shutil.disk_usage(small_disk).free < CHUNK
        assert "disk" in {each["subject"] for each in failures(brimful)}
    # PostgreSQL may have ended of it, and is started again once a second.
    wait_for("the API answers", lambda: answers(brimful))
    brimful.wait_until(NAME, "AVAILABLE", "UPDATING", "UNAVAILABLE")
    brimful.wait_until(NAME, "AVAILABLE")
    assert "is full" not in brimful.run("status").stdout
    assert brimful.finished(NAME, "brim", run) == "success"
    brimful.put_dag("after", SLOW.format(dag="after", seconds=0))
    again = brimful.trigger(NAME, "after")
    assert brimful.finished(NAME, "after", again) == "success"
    brimful.update(NAME, WeeklyMaintenanceWindowStart="TUE:03:30")
    brimful.wait_until(NAME, "AVAILABLE")
    assert brimful.get(NAME)["WeeklyMaintenanceWindowStart"] == "TUE:03:30"


def answers(product: Product) -> bool:
    with contextlib.suppress(product.mwaa.exceptions.InternalServerException):
        return bool(product.get(NAME))
    return False


def failures(product: Product) -> list[dict[str, str]]:
    """What doctor calls a fail."""
    found = json.loads(product.run("doctor", "--json", check=False).stdout)
    return [each for each in found if each["level"] == "fail"]
