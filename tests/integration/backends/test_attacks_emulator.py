"""The embedded AWS emulator as a hostile process: what its user reaches of an installation that runs as root."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import stat
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import psutil
import pytest

from aerodrome import private_files, trees
from aerodrome.api.aws.spool import Spool
from aerodrome.aws import clients, credentials
from aerodrome.aws.clients import Endpoint
from aerodrome.backends.local import environment_folders, groups
from aerodrome.backends.local import paths as local_paths
from aerodrome.backends.local.emulator_place import EmulatorPlace
from aerodrome.backends.local.users import Users
from aerodrome.cell import cgroups
from aerodrome.emulator import launch
from aerodrome.emulator.own_address import OwnAddress
from aerodrome.emulator.redshift import warehouses
from aerodrome.emulator.redshift.warehouses import REQUEST, WAY_IN, Access, Warehouse
from aerodrome.identity import key_files
from aerodrome.identity.payloads import Unsigned
from aerodrome.keeper import Keeper
from aerodrome.services import daemon, folders, uid_register
from aerodrome.services.clusters import external
from aerodrome.services.uid_ranges import UidRanges
from aerodrome.settings import Settings
from aerodrome.unix_users import UnixUser
from waiting import wait_for

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="the emulator has a user of its own only as root")

REACHED = """
import os, sys
for path in sys.stdin.read().split("\\0"):
    kinds = "".join(name for name, mode in (("r", os.R_OK), ("w", os.W_OK)) if os.access(path, mode))
    if kinds:
        print(kinds, path)
"""
"""Prints whatever its user may read or write, of all paths that there are, however it learned of them."""


@pytest.fixture
def data(monkeypatch):
    path = Path(tempfile.mkdtemp(prefix="aero-"))
    path.chmod(0o711)
    monkeypatch.setitem(uid_register.claim.__kwdefaults__, "folder", path / "register")
    yield path / "data"
    trees.remove(path)


@pytest.fixture
def settings(data):
    found = Settings(data=data, aws_port=0)
    folders.make(found.paths.run)
    return found


@pytest.fixture
def place(settings):
    claim = uid_register.claim(settings.paths, lowest=settings.first_uid)
    yield EmulatorPlace(settings.paths, claim.own)
    wait_for("the groups are removed", lambda: groups.remove_all(settings.paths))


@pytest.fixture
def keeper(settings, place):
    """One that has started the emulator, and nothing else."""
    found = Keeper(settings)
    found._host = place
    found._start_emulator()
    yield found
    daemon.stop(found._daemon(found._emulator()))


def running(keeper: Keeper) -> psutil.Process:
    found = daemon.find(keeper._daemon(keeper._emulator()))
    assert found is not None
    return psutil.Process(found.pid)


def as_user(user: UnixUser, *command: str, told: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, user=user.uid, group=user.gid, extra_groups=[], capture_output=True, text=True, check=False, cwd="/",
        input=told,
    )  # fmt: skip


def reached(user: UnixUser, *tops: Path) -> set[tuple[str, str]]:
    paths = "\0".join(str(path) for top in tops for path in (top, *top.rglob("*")))
    done = as_user(user, sys.executable, "-I", "-S", "-c", REACHED, told=paths)
    assert not done.stderr, done.stderr
    return {(line.split(" ", 1)[0], line.split(" ", 1)[1]) for line in done.stdout.splitlines()}


def test_it_runs_as_nobody_else_in_a_group_of_its_own_and_gains_no_rights(keeper, place, settings):
    process = running(keeper)
    status = Path(f"/proc/{process.pid}/status").read_text()
    assert (process.uids().real, process.gids().real) == (place.user.uid, place.user.gid)
    assert "NoNewPrivs:\t1" in status
    assert "CapEff:\t0000000000000000" in status
    assert "Groups:\t \n" in status
    assert Path(f"/proc/{process.pid}/mem").stat().st_uid == 0  # nobody of its own user traces it
    top = groups.known(settings.paths)
    if top is not None:
        assert cgroups.holds(groups._of_emulator(top), process.pid)


@pytest.mark.usefixtures("keeper")
def test_its_user_reads_no_credentials_and_no_environments_files(place, settings):
    paths = settings.paths
    folders.make(paths.keys, folders.PRIVATE)
    folders.make(paths.user_databases, folders.PRIVATE)
    key_files.ledger_password(paths.keys)
    key_files.service_key(paths.keys)
    for secret in (paths.keys / "postgres", paths.user_databases / "mine", paths.credentials):
        private_files.write(secret, "secret")
    environment = local_paths.of(paths, "etl", "00000001")
    environment_folders.prepare(environment, Users(settings).owner_of(1))
    private_files.write(paths.environments / "etl" / "dags" / "mine.py", "secret", mode=0o644)
    with socket.socket(socket.AF_UNIX) as operators:
        before = os.umask(0o177)
        operators.bind(str(paths.operator_socket))
        os.umask(before)
        found = reached(place.user, paths.data, paths.run)

    own = [paths.aws / name for name in ("objects", "state", "tmp", "redshift/requests")]
    ours = {path for kinds, path in found if not any(Path(path).is_relative_to(folder) for folder in own)}
    assert ours <= {str(paths.aws / "port"), str(paths.aws_socket), str(paths.aws / "redshift")}
    assert ("r", str(paths.aws / "redshift")) in found  # to list it, and not to put anything there
    assert {("rw", str(folder)) for folder in own} <= found  # the walk sees what there is to be seen


@pytest.mark.usefixtures("keeper")
def test_nobody_elses_user_reaches_what_it_has(settings):
    stranger = UnixUser(59_999, 59_999)
    assert reached(stranger, settings.paths.aws, settings.paths.aws_socket) == set()


@pytest.mark.usefixtures("keeper")
def test_its_user_reads_a_body_that_the_door_leaves_and_cannot_lead_the_door_elsewhere(place, settings):
    spool = launch.spool_folder(settings.paths.aws)
    spooled = Spool(spool)

    async def one():
        yield b"body"

    async def take() -> str:
        async with spooled.taken(one(), Unsigned()) as name:
            return as_user(place.user, "/bin/cat", str(spool / name)).stdout

    assert asyncio.run(take()) == "body"
    moved = as_user(place.user, "/bin/mv", str(spool), f"{spool}-mine")
    made = as_user(place.user, "/bin/ln", "-s", str(settings.paths.keys), str(spool / "x"))
    assert moved.returncode != 0
    assert made.returncode != 0


@pytest.mark.usefixtures("keeper")
def test_a_way_in_that_its_user_writes_is_not_believed(place, settings):
    """Else the keeper would give any role, that of the ledger too, the password that stands there."""
    folder = launch.redshift_folder(settings.paths.aws)
    asked = Warehouse(endpoint="cluster/one", database="dev")
    forged = Access(warehouse=asked, host="h", port=1, name="aerodrome", password="mine").text()
    requests = warehouses.requests(folder)
    for target in (folder, requests):
        as_user(place.user, "/bin/sh", "-c", f"printf '%s' '{forged}' > {target}/{asked.key}{WAY_IN}")
    request = json.dumps({"endpoint": asked.endpoint, "database": asked.database})
    for command in (
        f"printf '%s' '{request}' > {requests}/{asked.key}{REQUEST}",
        f"mkfifo {requests}/a{REQUEST}",
        f"ln -s /dev/zero {requests}/b{REQUEST}",
        f"mkdir {requests}/c{REQUEST}",
        f"ln -s {settings.paths.uids} {requests}/d{REQUEST}",
    ):
        assert as_user(place.user, "/bin/sh", "-c", command).returncode == 0
    made: list[str] = []
    server = external("postgresql://u:p@h/db")
    warehouses.provide(warehouses.Arrivals(folder), server, lambda name, _: made.append(name), place.user)
    [name] = made
    assert name.startswith(warehouses.PREFIX)
    way = folder / f"{asked.key}{WAY_IN}"
    assert (stat.S_IMODE(way.stat().st_mode), way.stat().st_uid) == (0o640, 0)
    assert as_user(place.user, "/bin/cat", str(way)).stdout == way.read_text()
    assert as_user(place.user, "/bin/sh", "-c", f"echo x >> {way}").returncode != 0


def test_a_folder_of_before_goes_on(settings, place):
    """A version without a user of its own has left root's files, and runs."""
    old, new = Keeper(settings), Keeper(settings)
    new._host = place
    (settings.paths.aws / "tmp").mkdir(parents=True)
    old._start_emulator()
    try:
        s3 = client(settings)
        s3.create_bucket(Bucket="kept")
        s3.put_object(Bucket="kept", Key="a/b", Body=b"kept")
        assert running(old).uids().real == 0
        new._start_emulator()
        assert running(new).uids().real == place.user.uid
        assert s3.get_object(Bucket="kept", Key="a/b")["Body"].read() == b"kept"
        s3.put_object(Bucket="kept", Key="a/b", Body=b"changed")
        owners = {path.stat().st_uid for path in (settings.paths.aws / "objects").rglob("*")}
        assert owners == {place.user.uid}
    finally:
        daemon.stop(new._daemon(new._emulator()))


def test_groups_that_somebody_is_in_can_be_removed_later(settings, place):
    lists = place.prepared().groups
    if not lists:
        pytest.skip("there are no control groups here")
    with subprocess.Popen(["/bin/sleep", "600"]) as guest:
        for each in lists:
            each.write_text(str(guest.pid))
        assert not groups.remove_all(settings.paths)
        guest.kill()
    wait_for("the groups are removed", lambda: groups.remove_all(settings.paths))
    assert not any(each.exists() for each in lists)


def test_what_was_lost_or_brought_back_as_root_is_its_users_again(settings, place):
    place.prepared()
    kept, lost, *_ = launch.written_folders(settings.paths.aws)
    object_of = kept / "an object"
    object_of.write_bytes(b"x")
    lost.rmdir()
    os.chown(kept, 0, 0)
    place.prepared()
    assert {path.lstat().st_uid for path in (object_of, *launch.written_folders(settings.paths.aws))} == {
        place.user.uid
    }


def test_a_folder_that_gets_other_uids_is_its_new_users_alone(settings, place):
    """As a copy of a data folder does; a kill in between costs a repetition."""
    place.prepared()
    top, old = settings.paths.aws, place.user
    way = launch.redshift_folder(top) / f"a{WAY_IN}"
    private_files.write(way, "{}", owner=UnixUser(0, old.gid), mode=0o640)
    for path in (top / "objects" / "a", launch.redshift_folder(top) / f"b{REQUEST}"):
        path.write_text("x")
        os.chown(path, old.uid, old.gid)
    moved = UidRanges("other", str(settings.paths.data), (2_000_300_000,))
    new = EmulatorPlace(settings.paths, moved)
    for _ in range(2):
        assert new.prepared().user == new.user != old
        (top / "owner").unlink()
    assert (top / "objects" / "a").stat().st_uid == new.user.uid
    assert ("r", str(way)) in reached(new.user, top)
    assert reached(old, top) == set()
    assert not list(launch.redshift_folder(top).glob(f"*{REQUEST}"))  # where a version before this one had them


def client(settings: Settings) -> Any:
    """One that reaches the emulator as root."""
    address = OwnAddress(socket=settings.paths.aws_socket)
    endpoint = Endpoint(region=settings.region, url=address.url, credentials=credentials.EMULATOR)
    return address.lead(clients.client(endpoint, "s3"))
