"""A detached process: started once, found again after its starter has died, stopped in order.

The control plane itself, the warm processes and the AWS emulator run this way. They are in a session of their own and
are no children of whoever started them, so the death of the control plane ends nothing. This module does not know what
it runs.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from aerodrome import errors, private_files
from aerodrome.services import folders, processes
from aerodrome.unix_users import UnixUser

DETACH = Path(__file__).with_name("detach.py")

LOG_LIMIT = 10 * 2**20
"""Bytes; a longer log is moved aside at the next start, or by `shorten`; one generation is kept. Arbitrary."""

TAIL_LIMIT = 64 * 2**10
"""Bytes of a log that `tail` reads at most."""

POLL = 0.02
"""Seconds between two looks at a process or a condition."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Confinement:
    """What a daemon is kept from; as it stands here it has all our rights."""

    user: UnixUser | None = None
    """Whom it runs as, where we are root; None = as ourselves."""
    groups: tuple[Path, ...] = ()
    """The `cgroup.procs` of control groups that it is put into; one that refuses it is passed over."""
    processes: int | None = None
    """Processes and threads of the user, if it is not ourselves; None = as many as the machine gives."""
    oom_score: int | None = None
    """How soon the kernel ends it where memory is short, from 0 to 1000; None = as soon as ourselves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Daemon:
    """What to run, and where its pid file and log are."""

    name: str
    """The name for a person: `AWS emulator`."""
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(repr=False)
    """The whole environment; nothing is inherited."""
    cwd: Path
    log: Path
    """Standard output and error, appended; mode 0600."""
    pid_file: Path
    grace: float = 10.0
    """Seconds between SIGTERM and SIGKILL."""
    confinement: Confinement | None = None
    """None = it has all our rights; otherwise no program that it runs gains any."""
    socket: Path | None = None
    """A unix socket that it finds bound, as descriptor 3 (sd_listen_fds(3)). We make it anew at each start, so nobody
    with less rights than ours chooses where the path leads; only its user and we may connect."""
    code: str | None = None
    """What it runs (`program.code`), so that `is_of_other_code` can tell after an update; None = nobody asks."""


@dataclass(frozen=True, slots=True)
class Running:
    """A process that was found alive; a later process with the same id is another one."""

    pid: int
    mark: str


def start(daemon: Daemon) -> Running:
    """Start it, or adopt the one that runs already. It returns before the process is ready: see `wait_until`.

    Raises:
        BrokenError: the command could not be run.
    """
    folders.make(daemon.pid_file.parent)
    folders.make(daemon.log.parent)
    with folders.locked(_lock_file(daemon)):
        running = find(daemon)
        if running is not None:
            return running
        pid = _launch(daemon)
        mark = processes.mark(pid)
        if mark is None:
            raise ended(daemon)
        note = {"pid": pid, "mark": mark, "code": daemon.code}
        private_files.write(daemon.pid_file, json.dumps(note), durable=True)
        return Running(pid, mark)


def find(daemon: Daemon) -> Running | None:
    """The living process that an earlier `start` (of this or a dead starter) left, or None."""
    found = _found(daemon)
    return found[0] if found is not None else None


def is_running(daemon: Daemon) -> bool:
    """Whether it lives; a zombie does not."""
    return find(daemon) is not None


def is_stopped(daemon: Daemon) -> bool:
    """Whether it lives and a signal has stopped it: it answers nobody, and does not go on by itself."""
    running = find(daemon)
    return running is not None and processes.is_stopped(running.pid)


def is_of_other_code(daemon: Daemon) -> bool:
    """Whether it lives and was started by another version than would start it now."""
    found = _found(daemon)
    return daemon.code is not None and found is not None and found[1] != daemon.code


def is_of_another_user(daemon: Daemon) -> bool:
    """Whether it lives and runs under another user than it would be started under now."""
    running = find(daemon)
    if running is None:
        return False
    user = daemon.confinement.user if daemon.confinement else None
    try:
        return bool(psutil.Process(running.pid).uids().real != (user.uid if user else os.geteuid()))
    except psutil.NoSuchProcess:
        return False


def stop(daemon: Daemon) -> None:
    """SIGTERM to its main process only, and after the grace SIGKILL to its whole process group. Idempotent."""
    if not daemon.pid_file.exists():
        return
    with folders.locked(_lock_file(daemon), timeout=daemon.grace + 60):
        running = find(daemon)
        if running is not None:
            _end(running, daemon.grace)
        daemon.pid_file.unlink(missing_ok=True)


def wait_until(daemon: Daemon, ready: Callable[[], bool], *, timeout: float = 30.0) -> None:
    """Return as soon as `ready()` holds.

    Raises:
        BrokenError: the process ended first, or `timeout` seconds passed; the log's last lines are in `tail`.
    """
    deadline = time.monotonic() + timeout
    while not ready():
        if not is_running(daemon):
            raise ended(daemon)
        if time.monotonic() > deadline:
            raise errors.BrokenError(
                f"{daemon.name} was not ready after {timeout:.0f} s; see {daemon.log}",
                code="SERVICE_NOT_READY",
                tail=tail(daemon.log),
            )
        time.sleep(POLL)


def ended(daemon: Daemon) -> errors.BrokenError:
    """The error for a process that ended by itself, with the last lines of its log."""
    last = tail(daemon.log)
    reason = f": {last[-1]}" if last else ""
    return errors.BrokenError(
        f"{daemon.name} ended right after its start; see {daemon.log}{reason}", code="SERVICE_ENDED", tail=last
    )


def tail(log: Path, lines: int = 20) -> tuple[str, ...]:
    """The last lines of a log; none when there is no log. Reads a bounded part of it."""
    try:
        with log.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - TAIL_LIMIT))
            text = file.read().decode("utf-8", errors="replace")
    except FileNotFoundError:
        return ()
    return tuple(text.splitlines()[-lines:])


def shorten(log: Path) -> None:
    """Move what a running process has written aside, if it is much; the process goes on writing to the same file.

    That is copied and cut, as logrotate's copytruncate does it: what is written between the two is lost. So is all of
    it where the disk has no room for the copy, for then it must be cut all the more.
    """
    with contextlib.suppress(FileNotFoundError):
        size = log.stat().st_size
        if size <= LOG_LIMIT:
            return
        with log.open("r+b") as file:
            file.seek(max(0, size - 2 * LOG_LIMIT))
            with contextlib.suppress(OSError):
                private_files.write(_aside(log), file.read(2 * LOG_LIMIT))
            file.truncate(0)


def _aside(log: Path) -> Path:
    return log.with_name(f"{log.name}.1")


def _found(daemon: Daemon) -> tuple[Running, str | None] | None:
    """The living process, and its code; earlier versions did not note that."""
    try:
        note = json.loads(daemon.pid_file.read_text(encoding="utf-8"))
        running, code = Running(int(note["pid"]), str(note["mark"])), note.get("code")
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None
    return (running, code) if processes.mark(running.pid) == running.mark else None


def _lock_file(daemon: Daemon) -> Path:
    return daemon.pid_file.with_name(f"{daemon.pid_file.name}.lock")


def _launch(daemon: Daemon) -> int:
    """Run the command detached; returns its process id."""
    log = _open_log(daemon.log)
    try:
        with _listener(daemon) as listener:
            launcher = subprocess.run(
                [sys.executable, "-I", "-S", str(DETACH), json.dumps(_wanted(daemon, listener)), *daemon.argv],
                env=dict(daemon.env),
                cwd=daemon.cwd,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                check=False,
                umask=0o077,
                pass_fds=() if listener is None else (listener,),
            )
    finally:
        os.close(log)
    if launcher.returncode != 0:
        raise ended(daemon)
    return int(launcher.stdout)


def _wanted(daemon: Daemon, listener: int | None) -> dict[str, object]:
    """What `detach` is to do before it runs the command."""
    found = daemon.confinement
    if found is None:
        return {"listener": listener}
    user = found.user
    return {
        "listener": listener,
        "confined": True,
        "groups": [str(file) for file in found.groups],
        "oom_score": found.oom_score,
        "processes": found.processes if user else None,
        "user": [user.uid, user.gid] if user else None,
    }


@contextmanager
def _listener(daemon: Daemon) -> Iterator[int | None]:
    """The descriptor of its socket, bound in the place of an older one; None = it has none."""
    if daemon.socket is None:
        yield None
        return
    user = daemon.confinement.user if daemon.confinement else None
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as made:
        daemon.socket.unlink(missing_ok=True)
        before = os.umask(0o177)
        try:
            made.bind(str(daemon.socket))
        finally:
            os.umask(before)
        if user is not None:
            os.chown(daemon.socket, user.uid, user.gid, follow_symlinks=False)
        yield made.fileno()


def _open_log(log: Path) -> int:
    if log.exists() and log.stat().st_size > LOG_LIMIT:
        log.replace(_aside(log))
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.open(log, flags, private_files.MODE)


def _end(running: Running, grace: float) -> None:
    """SIGTERM, and once the grace is over SIGKILL; returns when it is gone."""
    _signal(os.kill, running.pid, signal.SIGTERM)
    deadline = time.monotonic() + grace
    while processes.mark(running.pid) == running.mark:
        if time.monotonic() > deadline:
            _signal(os.killpg, running.pid, signal.SIGKILL)
            deadline += grace
        time.sleep(POLL)


def _signal(send: Callable[[int, int], None], target: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        send(target, number)
