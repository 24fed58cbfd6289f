"""A unit and its companion: two users, of whom one holds the secrets, forked from one process."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

import uids
from integration.cell import harness

if TYPE_CHECKING:
    from typing import Any

SECRET = uids.block()
CODE = SECRET + 1

UNIT = """
import json, os, socket, sys
companion = socket.socket(fileno=int(os.environ.pop("AERODROME_COMPANION_FD")))
secret = open(os.environ["SECRET"]).read()
companion.send(b"begin")
told = json.loads(companion.recv(65536))
told["signalled"] = True
try:
    os.kill(told["pid"], 0)
except PermissionError:
    told["signalled"] = False
told["unit"] = [os.getresuid(), os.getgid(), os.getsid(0), "wave" in sys.modules, secret]
print(json.dumps(told), flush=True)
companion.recv(1)
"""

COMPANION = """
import json, os, socket, sys
def refused(do):
    try:
        do()
    except OSError:
        return True
    return False
channel = socket.socket(fileno=int(os.environ["AERODROME_COMPANION_FD"]))
channel.recv(5)  # before, the unit may still be about to become its user
unit = os.getppid()
told = {
    "pid": os.getpid(), "uids": os.getresuid(), "gid": os.getgid(), "session": os.getsid(0),
    "forked": "wave" in sys.modules, "variables": sorted(os.environ), "descriptors": [
        number for number in range(64) if not refused(lambda: os.fstat(number))
    ],
    "refused": [
        refused(lambda: open(os.environ["SECRET"])),
        refused(lambda: open("/proc/%d/mem" % unit)),
        refused(lambda: open("/proc/%d/environ" % unit, "rb").read()),
        refused(lambda: os.kill(unit, 0)),
        refused(lambda: os.setresuid(*3 * [int(os.environ["OTHER"])])),
    ],
}
channel.send(json.dumps(told).encode())
"""

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root has other users to be")


def pair(cell: harness.Cell) -> dict[str, Any]:
    """A unit with a companion of another user, and a file that the unit alone may read."""
    cell.folder.chmod(0o711)
    secret = cell.folder / "secret"
    secret.write_text("s")
    secret.chmod(0o600)
    os.chown(secret, SECRET, CODE)
    env = {**harness.BASE_ENV, "SECRET": str(secret)}
    companion = cell.unit("beside", COMPANION, uid=CODE, gid=CODE, cwd="/", env={**env, "OTHER": str(SECRET)})
    return cell.unit("one", UNIT, uid=SECRET, gid=CODE, cwd="/", env=env, companion=companion)


@pytest.mark.parametrize("nursery", [True, False])
def test_a_companion_is_another_user_and_knows_nothing_of_its_unit(cell, nursery) -> None:
    if nursery:
        cell.prelude = cell.unit("nursery", "import wave", uid=SECRET, saved_uid=CODE, gid=CODE, cwd="/")
    cell.start(pair(cell))
    [told] = [json.loads(harness.until(lambda: cell.text("one"), "what both say").splitlines()[0])]
    ids, gid, session, forked, secret = told["unit"]
    assert (ids, gid, secret) == ([SECRET] * 3, CODE, "s")
    assert (told["uids"], told["gid"], told["session"]) == ([CODE] * 3, CODE, session)
    assert told["forked"] == forked == nursery
    assert told["refused"] == [True] * 5
    assert not told["signalled"]
    assert told["descriptors"] == [0, 1, 2, 5]
    assert "AERODROME_NOTIFY_FD" not in told["variables"]


def test_a_nursery_forks_for_nobody_whom_it_may_not_become(one_cell) -> None:
    one_cell.prelude = one_cell.unit("nursery", "import wave", uid=SECRET, saved_uid=CODE, gid=CODE, cwd="/")
    said = "import os, sys\nprint(os.getuid(), 'wave' in sys.modules, flush=True)\n"
    for number, uid in enumerate((SECRET, CODE, CODE + 1)):
        one_cell.folder.chmod(0o711)
        unit = one_cell.unit(f"unit{number}", said, uid=uid, gid=CODE, cwd="/")
        one_cell.start(unit) if number == 0 else one_cell.ask("apply", units=[unit])
        expected = f"{uid} {uid <= CODE}"
        harness.until(lambda name=f"unit{number}": one_cell.text(name), "what the unit says")
        assert one_cell.text(f"unit{number}").splitlines()[0] == expected


def test_in_a_folder_without_links_nobody_is_led_elsewhere(one_cell) -> None:
    shown, expected = one_cell.folder / "shown", one_cell.folder / "expected"
    for folder in (shown, expected):
        folder.mkdir()
    (shown / "link").symlink_to("/etc/hostname")
    one_cell.views = [[str(shown), str(expected)]]
    one_cell.linkless = [str(expected)]
    path = str(expected / "link")
    script = f"import os\nprint(os.readlink({path!r}), flush=True)\ntry:\n  open({path!r})\nexcept OSError as error:\n"
    one_cell.start(one_cell.unit("looker", script + "  print(error.strerror, flush=True)\n"))
    harness.until(lambda: "\n" in one_cell.text("looker"), "what the unit sees")
    assert one_cell.text("looker").splitlines()[:2] == ["/etc/hostname", "Too many levels of symbolic links"]
