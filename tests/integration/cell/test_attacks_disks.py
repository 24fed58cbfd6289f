"""What code of a unit fills is its own disk image: the kernel refuses more, and nothing is left when all have ended."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import uids
from aerodrome.backends.local import disk_images, disk_reserve
from aerodrome.backends.local.paths import EnvironmentPaths
from aerodrome.cell import images, landlock, mounts
from aerodrome.services import folders
from aerodrome.unix_users import UnixUser
from integration.cell import harness

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

OURS = uids.block()
OWNER = UnixUser(OURS, OURS)
CONTROL = UnixUser(OURS + 1, OURS)
REVISION = 3
MIB = 2**20
SIZE = 24 * MIB

pytestmark = pytest.mark.skipif(bool(disk_images.trouble()), reason=f"no disk images: {disk_images.trouble()}")

FILL = """
import ctypes, errno, json, os, sys, time

def filled(folder, *, unlinked=False, by_files=False):
    got, made = 0, 0
    try:
        while got < 80 * 2**20 and made < 20000:
            made += 1
            path = os.path.join(folder, "x%d-%d" % (os.getpid(), made))
            with open(path, "wb", 0) as file:
                held.append(os.dup(file.fileno())) if unlinked else None
                os.unlink(path) if unlinked else None
                while not by_files and file.tell() < 8 * 2**20:
                    got += file.write(b"x" * 2**16)
    except OSError as error:
        return [errno.errorcode[error.errno], got, made]
    return ["", got, made]

def created(folder):
    try:
        open(os.path.join(folder, "file"), "w").close()
    except OSError as error:
        return errno.errorcode[error.errno]
    return ""

held, told = [], {}
for name, keywords in json.loads(os.environ["FILLS"]):
    told[name] = filled(name, **keywords)
    for each in held:
        os.close(each)
    del held[:]
    for each in os.listdir(name):
        if each.startswith("x"):
            os.unlink(os.path.join(name, each))
told["created"] = {folder: created(folder) for folder in json.loads(os.environ["OTHERS"])}
os.makedirs(os.environ["TMPDIR"] + "/deep", exist_ok=True)
open(os.environ["TMPDIR"] + "/a", "w").close()
os.rename(os.environ["TMPDIR"] + "/a", os.environ["TMPDIR"] + "/deep/b")
library = ctypes.CDLL(None, use_errno=True)
far = ctypes.c_long(2**30)
told["ahead"] = library.fallocate(1, 1, ctypes.c_long(0), far) == 0
told["home"] = sorted(os.listdir(os.environ["PLACE"]))
if told["created"]:
    open(os.environ["TMPDIR"] + "/kept", "w").close()
    told["last"] = filled(os.environ["TMPDIR"])
print(json.dumps(told), flush=True)
time.sleep(600)
"""


@pytest.fixture
def paths(one_cell: harness.Cell) -> Iterator[EnvironmentPaths]:
    """An environment's folders, which are not below /tmp, for that is its own; all of it is unmounted afterwards."""
    data = Path(tempfile.mkdtemp(prefix="disks-", dir="/run"))
    data.chmod(0o711)
    found = EnvironmentPaths(data / "home", data / "run")
    one_cell.folder.chmod(0o711)
    for whole in (found.home, found.run, found.airflow_homes, found.airflow_home(REVISION)):
        folders.make(whole, 0o711)
    found.airflow_home(REVISION).chmod(0o1770)
    os.chown(found.airflow_home(REVISION), 0, OURS)
    (found.airflow_home(REVISION) / "dags").mkdir()
    (found.airflow_home(REVISION) / "link").symlink_to("/nowhere")
    for theirs in (found.logs, found.temporary, found.unit_sockets, found.redis_files):
        folders.make(theirs, 0o700)
        os.chown(theirs, OURS, OURS)
    for secret in (found.control, found.control_temporary, found.control_home(REVISION)):
        folders.make(secret, 0o700)
        os.chown(secret, CONTROL.uid, OURS)
    folders.make(found.private, 0o700)
    yield found
    one_cell.clean()
    harness.until(lambda: not devices(found), "an end of all loop devices")
    shutil.rmtree(data)


def devices(paths: EnvironmentPaths) -> list[str]:
    """The loop devices with a file below the environment's folder, also with one that was removed."""
    every = Path("/sys/block").glob("loop*/loop/backing_file")
    return [each.parent.parent.name for each in every if str(paths.home) in each.read_text()]


def shown(cell: harness.Cell, paths: EnvironmentPaths) -> None:
    """Prepares the cell as the local backend does."""
    disk_images.prepare_logs(paths, SIZE)
    disk_images.prepare_temporary(paths, REVISION, SIZE)
    cell.images = disk_images.of_cell(paths, REVISION, OWNER, CONTROL)
    cell.private = paths.private
    cell.writable = disk_images.writable(cell.images, paths)


def hostile(cell: harness.Cell, paths: EnvironmentPaths, fills: list[Any], others: list[Path]) -> dict[str, Any]:
    env = {
        **harness.BASE_ENV,
        "FILLS": json.dumps(fills),
        "OTHERS": json.dumps([str(each) for each in others]),
        "TMPDIR": str(paths.temporary),
        "PLACE": str(paths.airflow_home(REVISION)),
    }
    return cell.unit("hostile", FILL, uid=OURS, gid=OURS, cwd="/", env=env, visible=True)


def full(cell: harness.Cell) -> set[str]:
    return {each["name"] for each in cell.ask("status")["images"] if each["full_at"]}


def told(cell: harness.Cell) -> dict[str, Any]:
    return json.loads(harness.until(lambda: cell.text("hostile").rpartition("\n")[0], "what it got"))


def test_a_unit_fills_its_own_disk_and_no_other(one_cell, paths) -> None:
    logged = paths.logs / "dag" / "old.log"
    logged.parent.mkdir()
    logged.write_text("from before")
    paths.log_positions.touch()
    shown(one_cell, paths)
    assert not (paths.logs / "dag").exists()
    assert not paths.log_positions.exists(), "the logs would be shipped twice"
    fills = [
        [str(paths.temporary), {}],
        [str(paths.temporary), {"unlinked": True}],
        [str(paths.temporary), {"by_files": True}],
        [mounts.SHARED[0], {}],
        [mounts.SHARED[1], {}],
        [str(paths.airflow_home(REVISION)), {}],
        [str(paths.logs), {}],
    ]
    others = [paths.unit_sockets, paths.redis_files]
    agent = one_cell.start(hostile(one_cell, paths, fills, others))
    got = told(one_cell)
    for place, _ in fills:
        refused, size, _ = got[place]
        assert (refused, size < SIZE) == ("ENOSPC", True), place
    if landlock.works():
        assert set(got["created"].values()) == {"EACCES"}
    assert got["ahead"] is False, "it took blocks behind the end of its log"
    assert {"dags", "link"} <= set(got["home"])
    # It was seen to be full, by name.
    harness.until(lambda: disk_images.TEMPORARY in full(one_cell), "an image that is said to be full")
    assert not any(paths.temporary.iterdir()), "the machine sees nothing of it"
    assert len(devices(paths)) == 2
    # A killed agent is followed by another one, which finds the same files.
    os.kill(agent, signal.SIGKILL)
    harness.until(lambda: harness.dead(agent), "the end of the agent")
    again = one_cell.start(hostile(one_cell, paths, [], []))
    assert len(devices(paths)) == 2
    kept = Path(f"/proc/{again}/root{paths.temporary}/kept")
    assert kept.exists()
    assert Path(f"/proc/{again}/root{paths.logs}/dag/old.log").read_text() == "from before"
    one_cell.shut_down(again)
    harness.until(lambda: not devices(paths), "an end of all loop devices")
    # The logs stay, the temporary files do not.
    shown(one_cell, paths)
    last = one_cell.start(hostile(one_cell, paths, [], []))
    assert Path(f"/proc/{last}/root{paths.logs}/dag/old.log").exists()
    assert not Path(f"/proc/{last}/root{paths.temporary}/kept").exists()


def test_images_leave_the_reserve_of_a_disk_that_is_short(one_cell, paths) -> None:
    shown(one_cell, paths)
    one_cell.start(hostile(one_cell, paths, [], []))
    found = disk_reserve.attached(paths.home)
    assert len(found) == 2
    short = disk_reserve.held_back(found, free=3 * MIB, reserve=2 * MIB)
    for name, clusters in short.items():
        (disk_reserve.FILE_SYSTEMS / name / "reserved_clusters").write_text(str(clusters))

    def is_short() -> bool:
        seen = [each["free"] for each in one_cell.ask("status")["images"]]
        return len(seen) == 2 and sum(seen) <= MIB

    harness.until(is_short, "images that give no more")


def test_an_image_that_nobody_has_is_made_sound(paths) -> None:
    disk_images.prepare_logs(paths, SIZE)
    is_clean = state(paths.logs_image)
    assert subprocess.run(["/sbin/debugfs", "-w", "-R", "ssv state 0", paths.logs_image], check=False).returncode == 0
    assert state(paths.logs_image) != is_clean
    disk_images.prepare_logs(paths, SIZE)
    assert state(paths.logs_image) == is_clean


def state(image: Path) -> bytes:
    """What ext4's superblock says of how it was unmounted."""
    with image.open("rb") as file:
        file.seek(1024 + 0x3A)
        return file.read(2)


def test_an_image_that_cannot_be_mended_is_made_anew(paths) -> None:
    disk_images.prepare_logs(paths, SIZE)
    with paths.logs_image.open("r+b") as file:
        file.write(bytes(MIB))
    disk_images.prepare_logs(paths, SIZE)
    assert state(paths.logs_image) != bytes(2)
    assert paths.logs_image.with_name("logs.img.unsound").exists()


def test_who_may_not_mount_is_told_why() -> None:
    assert images.parse([{"name": "x"}]) is None
    assert images.parse([]) == []
