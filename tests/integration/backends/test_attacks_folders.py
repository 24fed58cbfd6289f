"""The code of one environment sees nothing of another, even if it knows every name."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from aerodrome import private_files
from aerodrome.backends import ownership
from aerodrome.backends.local import environment_folders
from aerodrome.backends.local import paths as local_paths
from aerodrome.release import airflow_home
from aerodrome.release.airflow_home import Parts
from aerodrome.settings import Settings
from aerodrome.unix_users import UnixUser

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="environments have uids of their own only as root")

OURS, THEIRS = UnixUser(30001, 30001), UnixUser(30002, 30002)

READ = """
import os, sys
for path in sys.argv[1:]:
    try:
        os.listdir(path) if os.path.isdir(path) else open(path).read()
    except PermissionError:
        print("refused")
    else:
        print("read")
"""


@pytest.fixture
def paths():
    with tempfile.TemporaryDirectory(prefix="aero-") as folder:
        data = Path(folder)
        data.chmod(0o711)
        yield Settings(data=data).paths


def read_as(owner, *wanted):
    """What a process of that owner can do with each path."""
    command = [sys.executable, "-I", "-c", READ, *map(str, wanted)]
    run = subprocess.run(
        command, user=owner.uid, group=owner.gid, extra_groups=[], capture_output=True, text=True, check=True
    )
    return run.stdout.split()


def test_an_environment_reads_its_own_dags_and_nobody_elses(paths):
    ours, theirs = local_paths.of(paths, "ours", "00000001"), local_paths.of(paths, "theirs", "00000002")
    for each, owner in ((ours, OURS), (theirs, THEIRS)):
        for _ in range(2):  # doing it again mends, and breaks nothing
            environment_folders.prepare(each, owner)
        (each.dags / "dag.py").write_text("password = 'secret'")
        (each.dags / "dag.py").chmod(0o644)
    private_files.write(ours.credentials_token, "a token", owner=OURS)
    wanted = [(each.dags, each.dags / "dag.py", each.plugins) for each in (ours, theirs)]

    assert read_as(OURS, *wanted[0], ours.credentials_token, ours.unit_sockets, ours.temporary) == ["read"] * 6
    assert read_as(OURS, *wanted[1]) == ["refused"] * 3
    assert read_as(THEIRS, *wanted[0], ours.credentials_token, ours.temporary) == ["refused"] * 5
    assert read_as(OURS, ours.unit_logs, ours.run, ours.home) == ["refused"] * 3


def test_no_unit_replaces_the_keys_that_its_web_server_believes(paths):
    """With a key of its own a task would be Admin in the UI from the next request on."""
    ours = local_paths.of(paths, "ours", "00000001")
    environment_folders.prepare(ours, OURS)
    # As `service_files.write` does it, which needs a whole environment.
    private_files.write(ours.key_set, "the gateway's", mode=ownership.READABLE)

    assert read_as(OURS, ours.key_set) == ["read"]
    for attack in ("open(path, 'w')", "os.unlink(path)", "os.rename(path, path + '~')", "os.chmod(path, 0o666)"):
        code = f"import os, sys; path = sys.argv[1]; {attack}"
        command = [sys.executable, "-I", "-c", code, str(ours.key_set)]
        run = subprocess.run(
            command, user=OURS.uid, group=OURS.gid, extra_groups=[], capture_output=True, text=True, check=False
        )
        assert "PermissionError" in run.stderr
    assert ours.key_set.read_text() == "the gateway's"


def test_folders_without_end_do_not_keep_an_environment_from_going(paths, monkeypatch):
    ours = local_paths.of(paths, "ours", "00000001")
    environment_folders.prepare(ours, OURS)
    monkeypatch.chdir(ours.logs)
    for _ in range(3000):
        Path("deeper").mkdir()
        os.chdir("deeper")
    Path("linked").symlink_to(paths.data)
    monkeypatch.undo()

    environment_folders.remove(ours)

    assert environment_folders.are_gone(ours)
    assert paths.data.is_dir()


def test_an_environment_finds_its_own_airflow_home_and_nobody_elses(paths):
    homes = []
    for number, owner in enumerate((OURS, THEIRS)):
        ours = local_paths.of(paths, f"e{number}", f"0000000{number}")
        environment_folders.prepare(ours, owner)
        ours.airflow_homes.rmdir()  # as an earlier Aerodrome left it
        environment_folders.prepare_cell(ours, 1, owner)
        startup = paths.data / "startup.sh"
        startup.write_text("export SECRET=1")
        airflow_home.lay_out(ours.airflow_home(1), Parts(startup=startup), owner)
        homes.append(ours.airflow_home(1))
    own, other = homes
    for home, expected in ((own, "read"), (other, "refused")):
        assert read_as(OURS, home, home / "startup" / "startup.sh") == [expected, expected]
    environment_folders.remove_cell(local_paths.of(paths, "e0", "00000000"), 1)
    assert not own.exists()


CONTROL = UnixUser(OURS.uid + 1, OURS.gid)


def test_of_two_users_each_has_what_is_its_own_and_both_have_the_logs(paths):
    ours = local_paths.of(paths, "ours", "00000001")
    environment_folders.prepare(ours, OURS, CONTROL)
    environment_folders.prepare_cell(ours, 1, OURS, CONTROL)
    configuration = ours.configuration / "1"
    private_files.write(configuration / "control.cfg", "keys", owner=CONTROL)
    private_files.write(configuration / "worker.cfg", "none", owner=CONTROL, mode=ownership.GROUP_READABLE)
    secret = (configuration / "control.cfg", ours.control, ours.control_temporary, ours.control_home(1))
    assert read_as(CONTROL, *secret) == ["read"] * 4
    assert read_as(OURS, *secret, configuration) == ["refused"] * 5
    assert read_as(OURS, configuration / "worker.cfg") == read_as(CONTROL, configuration / "worker.cfg") == ["read"]
    assert read_as(OURS, ours.logs) == read_as(CONTROL, ours.logs) == ["read"]
    assert read_as(CONTROL, ours.temporary, ours.redis_files) == ["refused"] * 2
    assert read_as(THEIRS, ours.logs, configuration / "worker.cfg") == ["refused"] * 2


def test_logs_of_an_earlier_aerodrome_are_for_both_users(paths):
    ours = local_paths.of(paths, "ours", "00000001")
    environment_folders.prepare(ours, OURS)
    folder = ours.logs / "dag_id=d"
    folder.mkdir(mode=0o700)
    (folder / "attempt=1.log").touch(mode=0o600)
    (folder / "link").symlink_to(paths.data / "elsewhere")
    (paths.data / "elsewhere").touch(mode=0o600)
    for each in (folder, folder / "attempt=1.log"):
        os.chown(each, OURS.uid, OURS.gid)
    assert read_as(CONTROL, folder / "attempt=1.log") == ["refused"]
    environment_folders.prepare(ours, OURS, CONTROL)
    assert read_as(CONTROL, folder / "attempt=1.log", folder) == ["read"] * 2
    assert (paths.data / "elsewhere").stat().st_mode & 0o777 == 0o600
