"""PostgreSQL for the ledger and the metadata databases: embedded on a unix socket, or an external one by URL.

`up` starts or adopts the embedded server. It returns a `Cluster`, the value that says how to reach the server, which
`databases` works on. The server is no child of ours and outlives us. Passwords go by file or over the socket, never by
argv or environment.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import time
from pathlib import Path

import psutil
import psycopg

from aerodrome import errors, private_files
from aerodrome.services import accounts, clusters, folders, postgres_conf, postgres_programs, processes
from aerodrome.services.clusters import Cluster
from aerodrome.settings import Paths
from aerodrome.unix_users import UnixUser

MAJOR = 18
"""The major version whose files we keep; another one needs pg_upgrade and a folder of its own."""

PROGRAMS = accounts.installation(MAJOR) / "bin"

SERVER = "postgres"
"""The name of the server's program, which all its processes have."""

SUPERUSER = "postgres"

ENVIRONMENTS = 10
"""How many a server is made for, where nobody says: the quota's default."""

START_TIMEOUT = 300
"""Seconds for a start, which after a crash replays the write-ahead log first."""

STOP_TIMEOUT = 30
"""Seconds for a fast stop before an immediate one, which the next start repairs."""

ANSWER_TIMEOUT = 30
"""Seconds until a living server must answer; while it starts or stops it refuses for a moment."""

POLL = 0.02
"""Seconds between two looks."""

ORPHAN_PATIENCE = 5.0
"""Seconds that processes may take to end after an orderly stop."""


def up(paths: Paths, *, environments: int = ENVIRONMENTS) -> Cluster:
    """Start the embedded server for so many environments, or adopt the one that runs; returns when it answers.

    Raises:
        BrokenError: it cannot be made or started; the log's last lines are in `tail`.
    """
    account = accounts.postgres()
    folders.make(paths.data)
    folders.make(paths.keys, folders.PRIVATE)
    folders.make(paths.postgres)
    with folders.locked(paths.postgres / "lock", timeout=START_TIMEOUT):
        password = _password(paths)
        if not _data(paths).exists():
            _initialise(paths, account, password)
        cluster = _cluster(paths, password)
        _serve(paths, account, cluster, environments)
        return cluster


def cluster_if_up(paths: Paths) -> Cluster | None:
    """How to reach the embedded server, or None when it does not run. Starts nothing."""
    if _postmaster(paths) is None or not _password_file(paths).exists():
        return None
    return _cluster(paths, _password(paths))


def watched(paths: Paths) -> int | None:
    """A descriptor that becomes readable as soon as the server is dead; the caller closes it. None = there is none.

    There is none when the server does not run, and where the system has no such descriptors.
    """
    process = _postmaster(paths)
    if process is None or not hasattr(os, "pidfd_open"):
        return None
    with contextlib.suppress(ProcessLookupError):
        return os.pidfd_open(process.pid)
    return None


def down(paths: Paths) -> None:
    """Stop the embedded server: fast, then immediately, then by force. Idempotent."""
    if not paths.postgres.exists():
        return
    with folders.locked(paths.postgres / "lock", timeout=START_TIMEOUT):
        for mode in ("fast", "immediate"):
            if _postmaster(paths) is None:
                break
            with contextlib.suppress(errors.BrokenError):
                _stop(paths, mode)
        _end_leftovers(paths, patience=0.0 if _postmaster(paths) else ORPHAN_PATIENCE)


def log_files(paths: Paths) -> tuple[Path, ...]:
    """The server's logs, oldest first."""
    return tuple(sorted((_data(paths) / "log").glob("postgresql-*.log")))


def _data(paths: Paths) -> Path:
    return paths.postgres / str(MAJOR)


def _password_file(paths: Paths) -> Path:
    return paths.keys / "postgres"


def _password(paths: Paths) -> str:
    file = _password_file(paths)
    if not file.exists():
        private_files.write(file, secrets.token_urlsafe(32), durable=True)
    return file.read_text(encoding="utf-8")


def _cluster(paths: Paths, password: str) -> Cluster:
    return Cluster(host=str(_sockets(paths)), user=SUPERUSER, password=password)


def _sockets(paths: Paths) -> Path:
    return paths.run / "pg"


def _initialise(paths: Paths, account: UnixUser | None, password: str) -> None:
    """Make the data folder whole or not at all: under another name first, then under its own."""
    aside = paths.postgres / f"{MAJOR}.new"
    password_file = paths.postgres / "initial-password"
    shutil.rmtree(aside, ignore_errors=True)
    if account is not None:
        accounts.open_programs(PROGRAMS.parent)
        accounts.open_way_to(aside)
    folders.make(aside, folders.PRIVATE)
    private_files.write(password_file, password, durable=True)
    try:
        _give(account, aside, password_file)
        postgres_programs.run(
            account,
            PROGRAMS / "initdb",
            *postgres_conf.INITDB,
            "-U",
            SUPERUSER,
            f"--pwfile={password_file}",
            "-D",
            aside,
        )
    finally:
        password_file.unlink()
    aside.rename(_data(paths))


def _start(paths: Paths, account: UnixUser | None, environments: int) -> None:
    data, sockets = _data(paths), _sockets(paths)
    folders.make(paths.run)
    _remove_stale(paths)
    _make_sockets_folder(sockets, account)
    if account is not None:
        accounts.open_programs(PROGRAMS.parent)
        accounts.open_way_to(data)
        accounts.open_way_to(sockets)
    _write_configuration(data, sockets, account, environments)
    try:
        postgres_programs.run(
            account,
            PROGRAMS / "pg_ctl",
            "start",
            "-w",
            "-s",
            "-t",
            str(START_TIMEOUT),
            "-l",
            data / "start.log",
            "-D",
            data,
        )
    except errors.BrokenError as error:
        raise errors.BrokenError(
            f"cannot start PostgreSQL; see {data / 'log'}", code="POSTGRES_NOT_STARTED", tail=_last_lines(paths)
        ) from error


def _stop(paths: Paths, mode: str) -> None:
    options = ("-w", "-t", str(STOP_TIMEOUT), "-m", mode)
    postgres_programs.run(accounts.postgres(), PROGRAMS / "pg_ctl", "stop", *options, "-D", _data(paths))


def _make_sockets_folder(sockets: Path, account: UnixUser | None) -> None:
    """The folder is PostgreSQL's own; environments with users of their own pass through it to the socket."""
    if not sockets.exists():
        sockets.mkdir(mode=folders.house_mode())
    sockets.chmod(folders.house_mode())
    _give(account, sockets)


def _write_configuration(data: Path, sockets: Path, account: UnixUser | None, environments: int) -> None:
    shared = account is not None
    for name, text in (
        ("postgresql.conf", postgres_conf.server(sockets, shared=shared, environments=environments)),
        ("pg_hba.conf", postgres_conf.host_based_authentication()),
    ):
        file = data / name
        # Writing the same text again would cost a wait for the disk, while everybody waits after a crash.
        if not file.exists() or file.read_text(encoding="utf-8") != text:
            private_files.write(file, text, durable=True)
        _give(account, file)


def _give(account: UnixUser | None, *paths: Path) -> None:
    if account is not None:
        for path in paths:
            os.chown(path, account.uid, account.gid, follow_symlinks=False)


def _postmaster(paths: Paths) -> psutil.Process | None:
    """The living server of this data folder; another process with a dead server's id does not count."""
    pid = _noted_pid(paths)
    if pid is None:
        return None
    try:
        process = psutil.Process(pid)
    except psutil.NoSuchProcess:
        return None
    return process if processes.works_in(process, _data(paths).resolve(), SERVER) else None


def _noted_pid(paths: Paths) -> int | None:
    try:
        return int((_data(paths) / "postmaster.pid").read_text(encoding="utf-8").split("\n", 1)[0])
    except (FileNotFoundError, ValueError):
        return None


def _remove_stale(paths: Paths) -> None:
    """Clear what a killed server left, once none of its backends can touch the data any more.

    PostgreSQL refuses to start while the id in its pid file or socket lock belongs to any living process.
    """
    _end_leftovers(paths, patience=0.0)  # their work is lost anyway, and one that computes does not notice the signal
    (_data(paths) / "postmaster.pid").unlink(missing_ok=True)
    for left in _sockets(paths).glob(".s.PGSQL.*"):
        left.unlink(missing_ok=True)


def _end_leftovers(paths: Paths, *, patience: float) -> None:
    deadline = time.monotonic() + patience
    while left := processes.working_in(_data(paths).resolve(), SERVER):
        if time.monotonic() > deadline:
            for process in left:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.send_signal(signal.SIGKILL)
        time.sleep(POLL)


def _serve(paths: Paths, account: UnixUser | None, cluster: Cluster, environments: int) -> None:
    """Start the server unless it lives, and once more if the one that we found was ending; return when it answers."""
    deadline = time.monotonic() + ANSWER_TIMEOUT
    while True:
        if _postmaster(paths) is None:
            _start(paths, account, environments)
        try:
            _shut_to_others(cluster)
        except psycopg.OperationalError as error:
            if time.monotonic() > deadline or "password authentication failed" in str(error):
                raise errors.BrokenError(
                    f"PostgreSQL runs but refuses us: {error}; is {_password_file(paths)} the key of {_data(paths)}?",
                    code="POSTGRES_UNREACHABLE",
                    tail=_last_lines(paths),
                ) from error
            time.sleep(POLL)
        else:
            return


def _shut_to_others(cluster: Cluster) -> None:
    with clusters.connect(cluster) as connection:
        connection.execute("REVOKE CONNECT, TEMPORARY ON DATABASE postgres, template1 FROM PUBLIC")


def _last_lines(paths: Paths, lines: int = 20) -> tuple[str, ...]:
    last = [_data(paths) / "start.log", *log_files(paths)[-1:]]
    text = "\n".join(file.read_text(encoding="utf-8", errors="replace") for file in last if file.exists())
    return tuple(text.splitlines()[-lines:])
