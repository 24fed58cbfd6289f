"""Two installations on one machine, both as root: neither ends, reads or writes anything of the other."""

from __future__ import annotations

import json
import os
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from aerodrome import trees
from aerodrome.backends.local import environment_folders, leftovers, moves
from aerodrome.backends.local import paths as local_paths
from aerodrome.backends.local.users import Users
from aerodrome.errors import BrokenError
from aerodrome.services import uid_register
from aerodrome.services.uid_ranges import SIZE
from aerodrome.settings import Settings
from aerodrome.unix_users import UnixUser

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="environments have uids of their own only as root")

CONNECT = "import socket, sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1])"


@pytest.fixture
def folder():
    path = Path(tempfile.mkdtemp(prefix="aero-"))
    path.chmod(0o711)
    yield path
    trees.remove(path)


@pytest.fixture(autouse=True)
def register(folder, monkeypatch):
    """A machine of its own."""
    own = folder / "register"
    for function in (uid_register.claim, uid_register.extend, uid_register.sweep, uid_register.discard_copied_run):
        monkeypatch.setitem(function.__kwdefaults__, "folder", own)
    return own


def installed(data: Path, environment: str = "etl") -> tuple[Settings, UnixUser]:
    """An installation that has started, with its first environment."""
    settings = Settings(data=data)
    owner = Users(settings).owner_of(1)
    assert owner is not None
    environment_folders.prepare(local_paths.of(settings.paths, environment, "00000001"), owner)
    return settings, owner


def run_as(owner: UnixUser, *command: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command, user=owner.uid, group=owner.gid, extra_groups=[], stderr=subprocess.DEVNULL)


def test_the_end_of_an_environment_ends_nothing_of_another_installation(folder):
    (_, ours), (_, theirs) = installed(folder / "a"), installed(folder / "b")
    running = run_as(theirs, "sleep", "60")
    try:
        leftovers.end([], ours)
        assert running.poll() is None
        leftovers.end([], theirs)
        running.wait(10)
    finally:
        running.kill()


def test_a_task_opens_no_queue_of_another_installation(folder):
    (_, ours), (settings, theirs) = installed(folder / "a"), installed(folder / "b")
    path = local_paths.of(settings.paths, "etl", "00000001").redis_socket
    with socket.socket(socket.AF_UNIX) as redis:
        redis.bind(str(path))
        os.chown(path, theirs.uid, theirs.gid)
        redis.listen()
        assert run_as(theirs, sys.executable, "-c", CONNECT, str(path)).wait(20) == 0
        assert run_as(ours, sys.executable, "-c", CONNECT, str(path)).wait(20) != 0


def test_many_that_start_at_once_get_uids_of_their_own(folder):
    folders = [folder / str(number) for number in range(8)]
    with ThreadPoolExecutor(8) as threads:
        claims = list(threads.map(lambda data: uid_register.claim(Settings(data=data).paths, lowest=30_000), folders))
    firsts = [first for claim in claims if claim for first in claim.own.firsts]
    assert len(firsts) == len({*firsts}) == 8


def test_a_copy_of_a_data_folder_has_uids_of_its_own_for_its_files_and_believes_no_process_id_of_the_original(folder):
    original, ours = installed(folder / "a")
    files = local_paths.of(original.paths, "etl", "00000001").redis_files
    (files / "appendonly.aof").write_text("queued")
    os.chown(files / "appendonly.aof", ours.uid, ours.gid)
    running = run_as(ours, "sleep", "60")
    (original.paths.run / "control-plane.pid").write_text(json.dumps({"pid": running.pid}))
    try:
        subprocess.run(["/bin/cp", "-a", folder / "a", folder / "b"], check=True)
        uid_register.discard_copied_run(Settings(data=folder / "b").paths)  # as `up` and `down` do first
        assert not (folder / "b" / "run").exists()
        (folder / "b" / "run").mkdir()
        (folder / "b" / "run" / "control-plane.pid").write_text("of the copy's own control plane, which claims now")
        copy, theirs = Settings(data=folder / "b"), Users(Settings(data=folder / "b")).owner_of(1)
        assert theirs is not None
        assert abs(theirs.uid - ours.uid) >= SIZE
        assert "copy's own" in (copy.paths.run / "control-plane.pid").read_text()
        copied = local_paths.of(copy.paths, "etl", "00000001")
        for path in (copied.redis_files, copied.redis_files / "appendonly.aof", copied.logs):
            assert (path.stat().st_uid, path.stat().st_gid) == (theirs.uid, theirs.gid)
        assert (copied.home.stat().st_uid, copied.home.stat().st_gid) == (0, theirs.gid)
        assert files.stat().st_uid == ours.uid
        assert running.poll() is None
        assert Users(original).owner_of(1) == ours
    finally:
        running.kill()
        running.wait()


def test_of_two_older_installations_the_second_moves_and_gets_no_file_of_the_first_by_another_name(folder):
    shared = UnixUser(30_001, 30_001)
    older = [Settings(data=folder / name) for name in ("a", "b")]
    first, second = (local_paths.of(each.paths, "etl", "00000001") for each in older)
    for each in (first, second):
        environment_folders.prepare(each, shared)
    victim = first.redis_files / "appendonly.aof"
    victim.write_text("theirs")
    os.chown(victim, shared.uid, shared.gid)
    os.link(victim, second.logs / "mine")  # while both had one uid, either could
    (second.logs / "passwd").symlink_to("/etc/passwd")
    os.chown(second.logs / "passwd", shared.uid, shared.gid, follow_symlinks=False)

    assert Users(older[0]).owner_of(1) == shared
    moved = Users(older[1]).owner_of(1)
    assert moved is not None
    assert moved != shared
    assert (victim.stat().st_uid, victim.stat().st_nlink) == (shared.uid, 1)
    mine = (second.logs / "mine").stat()
    assert (mine.st_uid, mine.st_nlink, (second.logs / "mine").read_text()) == (moved.uid, 1, "theirs")
    assert Path("/etc/passwd").stat().st_uid == 0
    assert (second.logs / "passwd").lstat().st_uid == moved.uid


def test_folders_without_end_keep_no_installation_from_its_move(folder):
    settings, ours = installed(folder / "a")
    top = local_paths.of(settings.paths, "etl", "00000001").logs
    below = os.open(top, os.O_RDONLY)
    for _ in range(2000):
        os.mkdir("d", dir_fd=below)
        deeper = os.open("d", os.O_RDONLY, dir_fd=below)
        os.close(below)
        below = deeper
    os.close(below)
    moves.give(top, {ours.uid: ours.uid + SIZE, ours.gid: ours.gid + SIZE})
    assert top.stat().st_uid == ours.uid + SIZE


def test_a_data_folder_that_is_gone_gives_its_uids_back(folder, register):
    installed(folder / "a")
    installed(folder / "b")
    shutil.rmtree(folder / "a")
    uid_register.sweep()
    document = json.loads((register / "register.json").read_text())
    assert [each["data"] for each in document["installations"]] == [str(folder / "b")]
    assert {stat.S_IMODE(path.stat().st_mode) for path in (register, register / "register.json")} == {0o700, 0o600}


def test_the_five_hundredth_environment_has_a_uid_of_its_own_too(folder):
    users = Users(Settings(data=folder / "a"))
    owners = [users.owner_of(number) for number in (1, 499, 500, 501, 1700)]
    assert len({owner.uid for owner in owners if owner}) == 5
    assert Users(Settings(data=folder / "a")).owner_of(1700) == owners[-1]


def test_a_register_that_cannot_be_read_stops_the_start_and_says_what_to_do(folder, register):
    installed(folder / "a")
    (register / "register.json").write_text("{")
    with pytest.raises(BrokenError, match="remove it") as refused:
        Users(Settings(data=folder / "b")).owner_of(1)
    assert refused.value.code == "UID_REGISTER_UNUSABLE"


def test_without_root_there_is_no_register_and_nobody_elses_record_is_read(folder, register, monkeypatch):
    installed(folder / "a")
    written = (register / "register.json").read_bytes()
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    other = Settings(data=folder / "b")
    assert uid_register.claim(other.paths, lowest=30_000) is None
    assert Users(other).owner_of(1) is None
    assert uid_register.recorded(Settings(data=folder / "a").paths) is None
    uid_register.sweep()
    assert (register / "register.json").read_bytes() == written


def test_an_older_environments_user_is_nobodys_second_user_now(folder):
    settings = Settings(data=folder / "a")
    older = {1: UnixUser(30_001, 30_001), 501: UnixUser(30_501, 30_501)}  # 30501 is the first one's control user now
    found = {number: local_paths.of(settings.paths, f"env{number}", f"{number:08}") for number in older}
    for number, owner in older.items():
        environment_folders.prepare(found[number], owner)
    users = Users(settings)
    owners = {number: users.owner_of(number) for number in older}
    for number, owner in owners.items():
        assert owner is not None
        assert owner not in older.values()
        assert found[number].redis_files.stat().st_uid == owner.uid
    assert {user.uid for number in older if (user := users.control_of(number))} & {30_001, 30_501} == set()
    assert Users(settings).owner_of(501) == owners[501]
