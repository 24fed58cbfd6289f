"""What a unit sees of the machine: its own /tmp, its own processes, and nothing of anybody else there."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import uids
from aerodrome.cell import mounts
from integration.cell import harness

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

OURS = uids.block()
SECRET = OURS + 1
THEIRS = OURS + 2

TMP, VAR_TMP = mounts.SHARED
PLACES = (TMP, VAR_TMP, mounts.SHARED_MEMORY)

LOOK = """
import json, os, sys, time
child = os.fork()
if child == 0:
    time.sleep(60)
    os._exit(0)

def owners():
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            yield os.stat("/proc/" + pid).st_uid
        except FileNotFoundError:  # it has ended since
            pass

told = {
    "tmp": {place: sorted(os.listdir(place)) for place in ("/tmp", "/var/tmp", "/dev/shm")},
    "users": sorted(set(owners())),
    "child": os.path.exists("/proc/%d/stat" % child),
    "others": [pid for pid in os.environ["OTHERS"].split() if os.path.exists("/proc/%s/cmdline" % pid)],
    "machine": open("/proc/meminfo").readline().split()[0],
}
for place in told["tmp"]:
    open(os.path.join(place, "left-by-%d" % os.getuid()), "w").close()
print(json.dumps(told), flush=True)
os.kill(child, 9)
time.sleep(600)
"""

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives units views of their own")


@pytest.fixture
def neighbour() -> Iterator[int]:
    """A process of another environment's user; its number."""
    process = subprocess.Popen(["/bin/sleep", "600"], user=THEIRS, group=THEIRS, extra_groups=[])
    yield process.pid
    process.kill()
    process.wait()


def looker(cell: harness.Cell, name: str, others: list[int], **fields: Any) -> dict[str, Any]:
    env = {**harness.BASE_ENV, "OTHERS": " ".join(map(str, others))}
    return cell.unit(name, LOOK, **{"uid": OURS, "gid": OURS, "cwd": "/", "env": env, **fields})


def told(cell: harness.Cell, name: str) -> dict[str, Any]:
    return json.loads(harness.until(lambda: cell.text(name).partition("\n")[0], "what it sees"))


def test_a_unit_sees_no_file_and_no_process_of_anybody_else(one_cell, neighbour) -> None:
    one_cell.folder.chmod(0o711)
    one_cell.private = one_cell.folder / "p"
    one_cell.private.mkdir(mode=0o700)
    with tempfile.NamedTemporaryFile(prefix="theirs-") as theirs:  # of root's, but no folder
        others = [neighbour, os.getpid(), 1]
        control = looker(one_cell, "control", others, uid=SECRET)
        agent = one_cell.start(looker(one_cell, "worker", others, visible=True), control)
        worker, apart = told(one_cell, "worker"), told(one_cell, "control")
        assert Path(theirs.name).name not in worker["tmp"][TMP]
    assert one_cell.folder.name in worker["tmp"][TMP]  # root's folders are there: the run folder may be one
    # The other unit of the same environment may have been faster.
    assert [set(worker["tmp"][place]) - {f"left-by-{SECRET}"} for place in PLACES[1:]] == [set(), set()]
    assert (worker["users"], worker["child"], worker["others"]) == ([OURS], True, [])
    assert (apart["child"], apart["others"]) == (False, [])
    assert worker["machine"] == "MemTotal:"
    left = f"left-by-{OURS}"
    assert not any(Path(place, left).exists() for place in PLACES)
    # It is there again for the next cell, with nothing that somebody has put in the place of the run folder.
    assert (one_cell.private / ".shared-tmp" / left).exists()
    one_cell.shut_down(agent)
    (one_cell.private / ".shared-tmp" / one_cell.folder.name).rmdir()
    (one_cell.private / ".shared-tmp" / one_cell.folder.name).symlink_to("/etc")
    one_cell.start(looker(one_cell, "again", []))
    again = told(one_cell, "again")
    assert {left, one_cell.folder.name} <= set(again["tmp"][TMP])
    assert any(name.startswith(".moved-") for name in again["tmp"][TMP])
    assert Path("/etc/hostname").exists()


def test_units_without_such_a_folder_see_what_everybody_sees(one_cell, neighbour) -> None:
    one_cell.folder.chmod(0o711)
    one_cell.start(looker(one_cell, "open", [neighbour]))
    try:
        assert told(one_cell, "open")["others"] == [str(neighbour)]
    finally:
        for place in PLACES:
            Path(place, f"left-by-{OURS}").unlink(missing_ok=True)


def test_what_would_be_lost_is_known_before(tmp_path) -> None:
    with tempfile.TemporaryDirectory(dir=TMP) as ours, tempfile.TemporaryDirectory(dir=VAR_TMP) as theirs:
        os.chown(theirs, THEIRS, THEIRS)
        link = tmp_path / "link"
        link.symlink_to(theirs)
        lost = [TMP, theirs, theirs + "/run/pg", str(link), TMP + "/no-such-folder/x"]
        assert [mounts.would_lose(path) for path in lost] == [True] * len(lost)
        kept = [ours, ours + "/run/pg", "/run/postgresql", TMP + "files"]
        assert [mounts.would_lose(path) for path in kept] == [False] * len(kept)
        os.chown(theirs, 0, 0)
