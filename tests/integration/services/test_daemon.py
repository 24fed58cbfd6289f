from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from aerodrome import errors
from aerodrome.services import daemon, folders
from aerodrome.services.daemon import Confinement, Daemon
from aerodrome.unix_users import UnixUser

SERVE = """
import os, signal
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
print("serving", sorted(os.environ), flush=True)
signal.sigwait({signal.SIGTERM})
print("stopped in order", flush=True)
"""
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"
)


@pytest.fixture
def make() -> Iterator[Callable[..., Daemon]]:
    folder = Path(tempfile.mkdtemp(prefix="aero-"))
    made: list[Daemon] = []

    def describe(*argv: str, grace: float = 10.0, confinement: Confinement | None = None, listens: bool = False):
        made.append(
            Daemon(
                name="test service",
                argv=argv,
                env={"PATH": os.defpath, "ONLY": "this"},
                cwd=folder,
                log=folder / "service.log",
                pid_file=folder / "run" / "service.pid",
                grace=grace,
                confinement=confinement,
                socket=folder / "own.sock" if listens else None,
            )
        )
        return made[-1]

    yield describe
    for one in made:
        daemon.stop(one)
    shutil.rmtree(folder)


def python(code: str) -> tuple[str, ...]:
    return (sys.executable, "-I", "-c", code)


def says(one: Daemon, word: str) -> Callable[[], bool]:
    return lambda: any(word in line for line in daemon.tail(one.log))


def test_it_runs_detached_with_its_own_environment_and_private_files(make):
    one = make(*python(SERVE))
    running = daemon.start(one)
    daemon.wait_until(one, says(one, "serving"))
    process = psutil.Process(running.pid)
    assert process.ppid() != os.getpid()
    assert os.getsid(running.pid) == running.pid
    assert process.environ().keys() <= {"PATH", "ONLY", "LC_CTYPE"}
    assert Path(f"/proc/{running.pid}/fd/0").readlink() == Path(os.devnull)
    assert stat.S_IMODE(one.log.stat().st_mode) == 0o600
    assert stat.S_IMODE(one.pid_file.stat().st_mode) == 0o600


def test_a_second_start_adopts_the_first(make):
    one = make(*python(SERVE))
    assert daemon.start(one) == daemon.start(one) == daemon.find(one)


def test_it_is_found_by_another_process_and_outlives_its_starter(make):
    one = make(*python(SERVE))
    code = f"""
from pathlib import Path
from aerodrome.services import daemon
d = daemon.Daemon(name="n", argv={one.argv!r}, env={dict(one.env)!r}, cwd=Path({str(one.cwd)!r}),
                  log=Path({str(one.log)!r}), pid_file=Path({str(one.pid_file)!r}))
print(daemon.start(d).pid)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    found = daemon.find(one)
    assert found is not None
    assert found.pid == int(done.stdout)


def test_a_stop_lets_it_end_in_order(make):
    one = make(*python(SERVE))
    daemon.start(one)
    daemon.wait_until(one, says(one, "serving"))
    daemon.stop(one)
    assert not daemon.is_running(one)
    assert daemon.tail(one.log, 1) == ("stopped in order",)
    daemon.stop(one)


def test_what_does_not_listen_is_killed_after_the_grace(make):
    one = make(*python(STUBBORN), grace=0.1)
    running = daemon.start(one)
    daemon.wait_until(one, says(one, "deaf"))
    daemon.stop(one)
    assert not psutil.pid_exists(running.pid) or psutil.Process(running.pid).status() == psutil.STATUS_ZOMBIE


def test_after_a_kill_it_is_started_anew(make):
    one = make(*python(SERVE))
    first = daemon.start(one)
    os.kill(first.pid, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while daemon.is_running(one):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert daemon.start(one) != first
    assert daemon.is_running(one)


def test_the_bearer_of_a_dead_ones_process_id_is_neither_adopted_nor_stopped(make):
    one = make(*python(SERVE))
    folders.make(one.pid_file.parent)
    one.pid_file.write_text(json.dumps({"pid": os.getpid(), "mark": "another boot:1"}))
    assert not daemon.is_running(one)
    daemon.stop(one)
    assert not one.pid_file.exists()


@pytest.mark.parametrize("text", ["", "17", "{}", '{"pid": "x", "mark": 1}', "[]"])
def test_a_broken_pid_file_means_that_nothing_runs(make, text):
    one = make(*python(SERVE))
    folders.make(one.pid_file.parent)
    one.pid_file.write_text(text)
    assert not daemon.is_running(one)


def test_a_command_that_is_missing_is_named(make):
    with pytest.raises(errors.BrokenError, match="cannot run /no/such/program: No such file"):
        daemon.start(make("/no/such/program"))


def test_what_ends_at_once_is_told_with_its_last_words(make):
    one = make(*python("raise SystemExit('the port is taken')"))

    def start_and_wait() -> None:
        daemon.start(one)
        daemon.wait_until(one, lambda: False)

    with pytest.raises(errors.BrokenError, match="the port is taken") as caught:
        start_and_wait()
    assert caught.value.code == "SERVICE_ENDED"


def test_what_is_never_ready_is_told_after_the_timeout(make):
    one = make(*python(SERVE))
    daemon.start(one)
    with pytest.raises(errors.BrokenError, match="was not ready"):
        daemon.wait_until(one, lambda: False, timeout=0.1)


def test_a_long_log_is_moved_aside_at_the_next_start(make):
    one = make(*python(SERVE))
    with one.log.open("wb") as file:
        file.truncate(daemon.LOG_LIMIT + 1)
    daemon.start(one)
    assert one.log.stat().st_size < daemon.LOG_LIMIT
    assert one.log.with_name("service.log.1").exists()
    assert daemon.tail(one.log.with_name("absent")) == ()


def test_a_long_log_is_moved_aside_while_its_process_goes_on_writing(make):
    one = make(*python("import time\nwhile True: print('x' * 2**20, flush=True); time.sleep(0.01)"))
    daemon.start(one)
    daemon.wait_until(one, lambda: one.log.stat().st_size > daemon.LOG_LIMIT)
    daemon.shorten(one.log)
    aside = one.log.with_name("service.log.1")
    assert daemon.LOG_LIMIT < aside.stat().st_size <= 2 * daemon.LOG_LIMIT
    assert stat.S_IMODE(aside.stat().st_mode) == 0o600
    daemon.wait_until(one, lambda: one.log.stat().st_size > 0)
    with one.log.open("rb") as file:
        assert b"\0" not in file.read(1000)  # it goes on at the file's end, wherever that is
    daemon.stop(one)
    one.log.write_bytes(b"short")
    daemon.shorten(one.log)
    assert one.log.read_bytes() == b"short"
    daemon.shorten(one.log.with_name("absent"))


def test_a_long_log_is_cut_where_no_copy_finds_room(tmp_path, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "no space left on device")

    monkeypatch.setattr(daemon.private_files, "write", full)
    log = tmp_path / "a.log"
    log.write_bytes(b"x" * (daemon.LOG_LIMIT + 1))
    daemon.shorten(log)
    assert log.stat().st_size == 0


def test_a_folder_of_somebody_else_is_refused(make):
    one = make("true")
    link = one.cwd / "link"
    link.symlink_to("/tmp")  # noqa: S108 -- only as a place that others may write to
    with pytest.raises(errors.BrokenError, match="not a folder of the user"):
        folders.make(link)


def test_a_folder_that_all_share_is_not_locked_up(make):
    shared = make("true").cwd / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    with pytest.raises(errors.BrokenError, match="all users share it"):
        folders.make(shared)
    assert stat.S_IMODE(shared.stat().st_mode) == 0o1777


def test_a_lock_waits_for_its_holder_and_ends_with_it(make):
    lock = make("true").cwd / "lock"
    with (
        folders.locked(lock),
        pytest.raises(errors.RetryError, match="another process"),
        folders.locked(lock, timeout=0.05),
    ):
        pass
    with folders.locked(lock, timeout=0.05):
        pass


def test_one_that_is_stopped_by_a_signal_is_known_and_can_be_ended(make) -> None:
    described = make(*python(SERVE), grace=0.2)
    assert not daemon.is_stopped(described)
    running = daemon.start(described)
    daemon.wait_until(described, lambda: "serving" in described.log.read_text())
    assert not daemon.is_stopped(described)
    os.kill(running.pid, signal.SIGSTOP)
    daemon.wait_until(described, lambda: daemon.is_stopped(described))
    daemon.stop(described)
    assert not daemon.is_running(described)
    assert not daemon.is_stopped(described)


LISTENS = """
import os, socket
own = socket.socket(fileno=3)
own.listen()
print("serving", os.environ["LISTEN_FDS"], os.environ["LISTEN_PID"] == str(os.getpid()), flush=True)
while True:
    own.accept()[0].sendall(b"it is me")
"""


def test_a_socket_of_its_own_is_bound_when_it_starts_and_anew_after_a_kill(make):
    service = make(*python(LISTENS), listens=True)
    for times in (1, 2):
        pid = daemon.start(service).pid
        daemon.wait_until(service, lambda times=times: daemon.tail(service.log).count("serving 1 True") == times)
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(service.socket))
            assert client.recv(100) == b"it is me"
        assert stat.S_IMODE(service.socket.stat().st_mode) == 0o600
        process = psutil.Process(pid)
        process.kill()
        process.wait(60)


CONFINED = """
import os, resource, time
fields = dict(line.split(":\\t", 1) for line in open("/proc/self/status").read().splitlines() if ":\\t" in line)
print("limits", fields["NoNewPrivs"], open("/proc/self/oom_score_adj").read().strip(), flush=True)
time.sleep(600)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="what confines is Linux's")
def test_a_confined_service_gains_no_rights_and_goes_before_others(make):
    service = make(*python(CONFINED), confinement=Confinement(groups=(Path("/nonexistent/group"),), oom_score=100))
    daemon.start(service)
    daemon.wait_until(service, says(service, "limits 1 100"))
    assert any("/nonexistent/group refuses" in line for line in daemon.tail(service.log))


def test_a_service_that_another_version_has_started_is_known_as_such(make):
    service = replace(make("/bin/sleep", "600"), code="a")
    assert not daemon.is_of_other_code(service)
    daemon.start(service)
    assert not daemon.is_of_other_code(service)
    assert daemon.is_of_other_code(replace(service, code="b"))
    assert not daemon.is_of_other_code(replace(service, code=None))
    note = json.loads(service.pid_file.read_text())
    service.pid_file.write_text(json.dumps({"pid": note["pid"], "mark": note["mark"]}))
    assert daemon.is_of_other_code(service), "it was started by a version that noted no code"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives another user")
def test_a_service_of_another_user_is_known_as_such(make):
    service = make("/bin/sleep", "600")
    other = replace(service, confinement=Confinement(user=UnixUser(59_998, 59_998), processes=8))
    daemon.start(service)
    assert daemon.is_of_another_user(other)
    assert not daemon.is_of_another_user(service)
    daemon.stop(service)
    found = psutil.Process(daemon.start(other).pid)
    assert not daemon.is_of_another_user(other)
    assert (found.uids().real, found.gids().real) == (59_998, 59_998)
    assert Path(f"/proc/{found.pid}/limits").read_text().split("Max processes")[1].split()[0] == "8"
