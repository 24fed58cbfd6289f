"""Installing through the real uv: whole or not at all, once, whatever goes wrong."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest

from aerodrome import errors
from aerodrome.release import install, installation, uv_process
from waiting import wait_for

pytestmark = pytest.mark.usefixtures("lock")

VERSION = "0.0.1"
PYTHONS = (Path(sys.base_prefix) / "bin",)

INSTALLER = """
import json, sys
from datetime import date
from pathlib import Path
from aerodrome.release import install, locks
folder, version, line, versions, environ, pythons = json.load(sys.stdin)
locks.FOLDER = Path(folder)
locks.LOCKS[version] = locks.Lock(version=version, python=line, cutoff=date(2026, 1, 1))
report = lambda phase, done, total: print(phase, flush=True)
install.install(version, Path(versions), environ=environ, folders=[Path(p) for p in pythons], report=report)
"""


@pytest.fixture
def versions(tmp_path):
    return tmp_path / "versions"


@pytest.fixture
def silent_index(environ):
    """The environment of a machine whose index accepts connections and never answers; and the socket that does so."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/simple"
        kept = {name: value for name, value in environ.items() if name not in {"UV_NO_INDEX", "UV_FIND_LINKS"}}
        yield {**kept, "UV_DEFAULT_INDEX": url}, server


def children():
    return psutil.Process().children(recursive=True)


def synchronises(process):
    """Whether this is the uv that installs packages (not one that has just ended)."""
    try:
        return "sync" in process.cmdline()
    except psutil.Error:
        return False


def leftovers(versions):
    return [path.name for path in versions.iterdir() if path.name != "python" and not path.name.endswith(".lock")]


def test_a_version_is_installed_compiled_and_runs(lock, environ, versions):
    seen = []
    made = install.install(
        VERSION, versions, environ=environ, folders=PYTHONS, report=lambda phase, *_: seen.append(phase)
    )
    assert made == installation.find(VERSION, versions)
    assert made.folder == versions / lock.identifier
    answer = subprocess.run([made.python, "-c", "import tiny; print(tiny.answer, tiny.__cached__)"],
                            env={}, capture_output=True, text=True, check=True)  # fmt: skip
    word, cached = answer.stdout.split()
    assert word == "42"
    assert Path(cached).is_file()
    assert list(dict.fromkeys(seen)) == ["interpreter", "resolve", "download", "install", "compile", "done"]


def test_programs_beside_the_versions_are_installed_once_and_see_no_release(environ, versions, tmp_path):
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "tiny.py").write_text("raise AssertionError\n")
    made = install.install(VERSION, versions, environ=environ, folders=PYTHONS)
    assert not installation.has_programs(versions)
    for known in (environ, {}):
        install.programs(versions, environ=known, folders=PYTHONS)
        assert installation.has_programs(versions)
    assert [each.name for each in made.programs.iterdir()] == ["aws"]
    assert made.path == (made.python.parent, made.programs)
    answer = subprocess.run([made.programs / "aws"], env={"AERODROME_PATH": str(tmp_path / "site")},
                            capture_output=True, text=True, check=True)  # fmt: skip
    assert answer.stdout == "42\n"


def test_a_version_of_an_earlier_aerodrome_gets_the_hook(environ, versions):
    made = install.install(VERSION, versions, environ=environ, folders=PYTHONS)
    [pth] = made.venv.glob("lib/python3*/site-packages/aerodrome.pth")
    pth.unlink()
    assert installation.find(VERSION, versions) == made
    assert pth.read_text() == "import aerodrome_path\n"


def test_what_is_installed_needs_neither_uv_nor_an_index_again(environ, versions):
    first = install.install(VERSION, versions, environ=environ, folders=PYTHONS)
    assert install.install(VERSION, versions, environ={}) == first


def test_a_strict_umask_keeps_nobody_from_reading(environ, versions):
    before = os.umask(0o077)
    try:
        made = install.install(VERSION, versions, environ=environ, folders=PYTHONS)
    finally:
        os.umask(before)
    everything = [versions, made.folder, *(path for path in made.folder.rglob("*") if not path.is_symlink())]
    closed = [path for path in everything if path.stat().st_mode & 0o004 == 0]
    assert not closed


def test_two_installers_at_once_make_one_installation(environ, versions):
    made, phases = [], []

    def work():
        made.append(
            install.install(
                VERSION, versions, environ=environ, folders=PYTHONS, report=lambda phase, *_: phases.append(phase)
            )
        )

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 3
    assert len(set(made)) == 1
    assert phases.count("interpreter") == 1


def test_a_half_made_folder_is_made_anew(lock, environ, versions):
    rubbish = versions / lock.identifier / "venv" / "lib" / "rubbish.py"
    rubbish.parent.mkdir(parents=True)
    rubbish.write_text("")
    made = install.install(VERSION, versions, environ=environ, folders=PYTHONS)
    assert made.python.exists()
    assert not rubbish.exists()
    assert leftovers(versions) == [lock.identifier]


def test_cancelling_stops_uv_and_leaves_nothing(silent_index, versions):
    environ, _ = silent_index
    with pytest.raises(uv_process.UvCancelledError, match=r"the installation of Airflow 0\.0\.1 was cancelled"):
        install.install(
            VERSION,
            versions,
            environ=environ,
            folders=PYTHONS,
            # as soon as uv waits for the index
            cancelled=lambda: any(synchronises(child) for child in children()),
        )
    assert leftovers(versions) == []
    assert not any(synchronises(child) for child in children())


def test_cancelling_ends_the_wait_for_another_installer(silent_index, versions):
    environ, _ = silent_index
    stop, running = threading.Event(), threading.Event()

    def first():
        with pytest.raises(uv_process.UvCancelledError):
            install.install(
                VERSION,
                versions,
                environ=environ,
                folders=PYTHONS,
                report=lambda *_: running.set(),
                cancelled=stop.is_set,
            )

    thread = threading.Thread(target=first)
    thread.start()
    try:
        assert running.wait(60)
        waited = []
        with pytest.raises(uv_process.UvCancelledError):
            install.install(
                VERSION,
                versions,
                environ=environ,
                folders=PYTHONS,
                report=lambda phase, *_: waited.append(phase),
                cancelled=lambda: "wait" in waited,
            )
    finally:
        stop.set()
        thread.join()
    assert set(waited) == {"wait"}


def test_an_index_that_cannot_be_reached_is_worth_another_try(silent_index, versions):
    environ, server = silent_index
    server.close()
    with pytest.raises(errors.RetryError, match="the download server cannot be reached"):
        install.install(VERSION, versions, environ=environ, folders=PYTHONS)
    assert leftovers(versions) == []


def test_other_bytes_than_locked_are_refused(lock, environ, versions):
    lock.path.write_text(f"tiny==1.0 --hash=sha256:{'0' * 64}\n")
    with pytest.raises(errors.BrokenError) as caught:
        install.install(VERSION, versions, environ=environ, folders=PYTHONS)
    assert caught.value.code == "VERSION_INSTALL_FAILED"
    assert caught.value.tail
    assert leftovers(versions) == []


def test_a_folder_that_cannot_be_written_is_named(environ, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(errors.BrokenError, match=r"Airflow 0\.0\.1 could not be installed: .*file"):
        install.install(VERSION, tmp_path / "file" / "versions", environ=environ, folders=PYTHONS)


def test_a_killed_installer_is_taken_over_when_its_uv_has_ended(lock, environ, silent_index, versions):
    hanging, _ = silent_index
    request = [str(lock.path.parent), VERSION, lock.python, str(versions), hanging, [str(path) for path in PYTHONS]]
    with subprocess.Popen([sys.executable, "-c", INSTALLER], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as victim:
        assert victim.stdin is not None
        victim.stdin.write(json.dumps(request).encode())
        victim.stdin.close()
        inner = psutil.Process(victim.pid)
        wait_for("uv was not started", lambda: any(synchronises(child) for child in inner.children()))
        orphan = next(child for child in inner.children() if synchronises(child))
        victim.kill()
    seen = []

    def report(phase, *_):
        seen.append(phase)
        if phase == "wait" and orphan.is_running():
            orphan.send_signal(signal.SIGKILL)

    made = install.install(VERSION, versions, environ=environ, folders=PYTHONS, report=report)
    assert "wait" in seen
    assert made.python.exists()
    assert leftovers(versions) == [lock.identifier]
