"""A plugins.zip that attacks: a user who can do nothing else reads and unpacks it."""

import errno
import os
import stat
import tempfile
import zipfile
from pathlib import Path

import pytest

from aerodrome import trees
from aerodrome.release import airflow_home, confined, locks, plugins, sealing, user_files
from aerodrome.release.failures import ReleaseError
from aerodrome.release.sandbox import SandboxLimits
from aerodrome.release.user_files import UserFiles
from aerodrome.unix_users import UnixUser

AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root may become somebody else")
BUILDER = UnixUser(61321, 61321) if os.geteuid() == 0 else None


@pytest.fixture
def place(short_folder):
    """A folder that others pass through."""
    folder = Path(tempfile.mkdtemp(dir=short_folder))
    folder.chmod(0o711)
    yield folder
    trees.remove(folder)


@pytest.fixture
def archive(place):
    """Makes a plugins.zip that only we may read, as the one that is fetched from the bucket."""

    def make(*entries):
        path = place / "plugins.zip"
        with zipfile.ZipFile(path, "w") as file:
            for name, data, mode in entries:
                info = zipfile.ZipInfo(name)
                info.external_attr, info.compress_type = mode << 16, zipfile.ZIP_DEFLATED
                file.writestr(info, data)
        path.chmod(0o600)
        return path

    return make


def test_an_archive_is_unpacked_by_the_builder_and_becomes_ours(archive, place):
    source = archive(("a.py", "x = 1", 0o100644), ("bin/tool", "echo", 0o106777))
    target = place / "out"
    assert plugins.bring(source, target, BUILDER) == 2
    if BUILDER is not None:
        assert {path.stat().st_uid for path in [target, *target.rglob("*")]} == {BUILDER.uid}
    sealing.seal(target)
    assert {path.stat().st_uid for path in [target, *target.rglob("*")]} == {os.geteuid()}
    assert stat.S_IMODE((target / "bin/tool").stat().st_mode) == 0o755
    assert sorted(each.name for each in target.iterdir()) == ["a.py", "bin"]


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        (("../../outside.py", "", 0o100644), "leads out"),
        (("/outside.py", "", 0o100644), "leads out"),
        (("link", "/etc/shadow", 0o120777), "a link"),
        (("disk", "", 0o060660), "a device"),
        (("zeros", b"\0" * (50 << 20), 0o100644), "times its size"),
    ],
)
def test_what_attacks_is_refused_in_the_same_words_as_ever(archive, place, entry, words):
    with pytest.raises(ReleaseError, match=words) as refused:
        plugins.bring(archive(entry), place / "out", BUILDER)
    assert refused.value.code == "PLUGINS_ARCHIVE_INVALID"
    assert list(place.rglob("outside.py")) == []


def test_requirements_in_an_archive_are_read_as_the_builder_too(archive):
    source = archive(("wanted.txt", "cow==1.0\n", 0o100644))
    wanted = UserFiles(requirements=b"-r /usr/local/airflow/plugins/wanted.txt\n", plugins=source, user=BUILDER)
    assert user_files.file(wanted, "/usr/local/airflow/plugins/wanted.txt") == b"cow==1.0\n"
    assert user_files.file(wanted, "/usr/local/airflow/plugins/other.txt") is None
    assert user_files.inputs_of(wanted, next(iter(locks.LOCKS.values()))).requirements


REACHING = """
import json, os, pathlib, signal
won = []
def attempt(name, what):
    try:
        what()
    except OSError:
        return
    won.append(name)
def forge():
    for number in range(3, 64):
        if number != int(os.environ["AERODROME_CHANNEL"]):
            try:
                os.write(number, json.dumps({"code": 0, "why": "itself", "gone": True}).encode())
            except OSError:
                continue
attempt("read", lambda: pathlib.Path(PLACE, "secret").read_text())
attempt("write", lambda: pathlib.Path(PLACE, "open", "new").touch())
attempt("kill", lambda: os.kill(CONTROL, 0))
attempt("become root", lambda: os.setuid(0))
forge()
answer = {"won": won, "uid": os.getuid(), "environ": sorted(os.environ), "parent": open("/proc/self/status").read()}
"""


def within(code):
    """The code as an expression whose value is its `answer`: `eval` stands for a parser that somebody took over."""
    return f"(lambda names: exec({code!r}, names) or names['answer'])({{}})"


LIMITS = SandboxLimits(60)


@AS_ROOT
@pytest.mark.skipif(not airflow_home.can_be_shown(), reason="needs a kernel that lets root mount")
def test_a_parser_that_somebody_took_over_reaches_nothing(place):
    (place / "secret").write_text("sesame")
    (place / "secret").chmod(0o600)
    (place / "open").mkdir()
    (place / "open").chmod(0o777)
    code = f"PLACE, CONTROL = {str(place)!r}, {os.getpid()}\n{REACHING}"
    found = confined.call(eval, within(code), user=BUILDER, limits=LIMITS)
    assert found["won"] == []
    assert found["uid"] == BUILDER.uid
    assert set(found["environ"]) <= {"AERODROME_CHANNEL", "LC_CTYPE"}
    assert "NoNewPrivs:\t1" in found["parent"]


@pytest.mark.parametrize(
    ("code", "limits", "words"),
    [
        ("while True: pass", SandboxLimits(1.0), "took too long"),
        ("import os; os._exit(3)", LIMITS, "broke off"),
        ("answer = 'x' * (64 << 20)", LIMITS, "broke off"),
        ("answer = bytearray(300 << 20)", SandboxLimits(60, memory=200 << 20), "broke off"),
        ("answer = {1, 2}", LIMITS, "broke off"),
    ],
)
def test_one_that_breaks_off_is_told(code, limits, words):
    with pytest.raises(ReleaseError, match=words):
        confined.call(eval, within(code), user=BUILDER, limits=limits)


def test_a_full_disk_is_told_as_one():
    with pytest.raises(OSError, match="No space left") as error:
        confined.call(eval, within("raise OSError(28, 'No space left on device')"), user=BUILDER, limits=LIMITS)
    assert error.value.errno == errno.ENOSPC
