"""Install an Airflow version from its lock into an immutable folder of its own, once for all environments.

`installation.finish` writes the marker last. A folder without the marker is an installation that was broken off, and is
made anew. The backends call this module from a thread. It starts no Airflow.
"""

from __future__ import annotations

import errno
import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from aerodrome import errors, file_locks
from aerodrome.release import installation, interpreter_hook, interpreters, locks, uv_environment, uv_output, uv_process
from aerodrome.release.installation import Installation
from aerodrome.release.locks import Lock

_PROGRAMS = ("aws",)
_FOLDER_MODE = 0o755

_COMPILE_RHYTHM = 1.0
"""Seconds between two counts of the compiled files: more often, and the counting would slow the compiling."""

Report = Callable[[str, int, int], None]
"""Called with (phase, done, total) as things go on; the unit depends on the phase, total 0 = not known.

Phases in order: `wait` (another process installs the same), `interpreter`, `resolve`, `download` (KiB), `install`
(packages), `compile` (files), `done`.
"""


def install(
    version: str,
    versions: Path,
    *,
    environ: Mapping[str, str],
    folders: Sequence[Path] = (),
    report: Report = lambda _phase, _done, _total: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> Installation:
    """Install the version unless it is there; safe to call from several processes at once.

    Args:
        version: the Airflow version.
        versions: `Paths.versions`.
        environ: the control plane's environment, of which an allow-list reaches uv.
        folders: more folders with Pythons.
        report: told how far it is, from this thread.
        cancelled: asked several times a second; True stops uv and removes what it made.

    Raises:
        CallerError: the version is not on offer.
        RetryError: the package index cannot be reached, or (uv_process.UvCancelledError) the caller asked to stop.
        BrokenError: a person must act: no Python, no space, or a package that cannot be installed.
    """
    present = installation.find(version, versions)
    if present is not None:
        installation.mark_used(present)
        return present
    job = _InstallJob(locks.of(version), versions, environ, folders, report, cancelled)
    made = _made(job, lambda: installation.find(version, versions))
    report("done", 1, 1)
    return made


def programs(
    versions: Path,
    *,
    environ: Mapping[str, str],
    folders: Sequence[Path] = (),
    report: Report = lambda _phase, _done, _total: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> None:
    """Install the programs beside all versions unless they are there; as `install`."""
    if installation.has_programs(versions):
        return
    job = _InstallJob(locks.PROGRAMS, versions, environ, folders, report, cancelled)
    _made(job, lambda: job.made if installation.has_programs(versions) else None)
    report("done", 1, 1)


def _made(job: _InstallJob, find: Callable[[], Installation | None]) -> Installation:
    try:
        _make_folder(job.versions)
        with _alone(job) as descriptor:
            return find() or _install(job, descriptor)
    except OSError as error:
        raise _disk_failure(job, error) from error


def alone_at_once(identifier: str, versions: Path) -> AbstractContextManager[bool]:
    """Hold the lock of an installation's folder; False when another process has it."""
    return file_locks.held_at_once(_lock(identifier, versions))


def remove(folder: Path) -> None:
    """Remove an installation's folder, whatever is left of it; its caller holds the lock."""
    # Renamed first, so that a removal that is itself broken off leaves nothing under the real name.
    if not folder.exists():
        return
    grave = folder.with_name(f".{folder.name}.removed")
    shutil.rmtree(grave, ignore_errors=True)
    folder.rename(grave)
    shutil.rmtree(grave, ignore_errors=True)


@dataclass(frozen=True)
class _InstallJob:
    lock: Lock
    versions: Path
    environ: Mapping[str, str]
    folders: Sequence[Path]
    report: Report
    cancelled: Callable[[], bool]

    @property
    def folder(self) -> Path:
        return installation.folder(self.lock, self.versions)

    @property
    def failing(self) -> str:
        """How a sentence about a failure begins."""
        return f"{self.lock.title} could not be installed"

    @property
    def made(self) -> Installation:
        """What it makes."""
        return Installation(self.lock.version, self.folder, self.lock.sha256)

    def check(self) -> None:
        if self.cancelled():
            raise uv_process.UvCancelledError(f"the installation of {self.lock.title} was cancelled")


def _alone(job: _InstallJob) -> AbstractContextManager[int]:
    """Hold the lock of the folder, as a descriptor. Waits for another installer, if the caller allows it."""

    def waiting() -> None:
        job.check()
        job.report("wait", 0, 0)

    return file_locks.held(_lock(job.lock.identifier, job.versions), waiting)


def _lock(identifier: str, versions: Path) -> Path:
    return versions / f".{identifier}.lock"


def _install(job: _InstallJob, descriptor: int) -> Installation:
    job.check()
    job.report("interpreter", 0, 0)
    places = interpreters.places(job.versions, job.environ, job.folders)
    python = interpreters.find(job.lock.python, places, for_others=os.geteuid() == 0, tick=job.check)
    remove(job.folder)
    try:
        _make_folder(job.folder)
        _fill(job, python, descriptor)
        if job.lock is locks.PROGRAMS:
            _offer(job.folder)
        else:
            interpreter_hook.add(job.folder / installation.VENV)
        return installation.finish(job.lock, job.versions, python)
    except BaseException:
        remove(job.folder)
        raise


def _fill(job: _InstallJob, python: interpreters.Interpreter, descriptor: int) -> None:
    # In its final place from the start: the scripts of a virtual environment name their interpreter absolutely.
    venv = job.folder / installation.VENV
    environ = uv_environment.scrubbed(job.environ, uv_environment.pip_settings(job.environ))
    environ["VIRTUAL_ENV"] = str(venv)
    gauge = _Gauge(job, venv)
    for arguments in (
        ["venv", "--no-project", f"--python={python.path}", f"--prompt=aerodrome-{job.lock.version}", str(venv)],
        _sync_arguments(job.lock, environ),
    ):
        uv_process.run(
            arguments,
            what=job.failing,
            environ=environ,
            cwd=job.folder,
            on_line=gauge.line,
            tick=gauge.tick,
            # If we die, our lock lives as long as this uv: nobody removes the folder while it works there.
            hold=[descriptor],
        )


def _offer(folder: Path) -> None:
    """Give the programs a folder of their own for PATH, because the virtual environment's `bin` has a Python too."""
    binaries = folder / installation.PROGRAMS
    _make_folder(binaries)
    for name in _PROGRAMS:
        (binaries / name).symlink_to(folder / installation.VENV / "bin" / name)


def _sync_arguments(lock: Lock, environ: Mapping[str, str]) -> list[str]:
    arguments = [
        "pip",
        "sync",
        "--require-hashes",
        "--compile-bytecode",
        # The lock's own setuptools builds from source, not whatever version came out today.
        f"--build-constraints={lock.path}",
        str(lock.path),
    ]
    # Where the file system can, a clone: it shares disk blocks with uv's cache, but no later change to either.
    return arguments if "UV_LINK_MODE" in environ else [*arguments, "--link-mode=clone"]


class _Gauge:
    """Turns uv's lines into reports, and the growing folder too while compilation says nothing."""

    def __init__(self, job: _InstallJob, venv: Path) -> None:
        self._job = job
        self._venv = venv
        self._progress = uv_output.UvProgress()
        self._sources = 0
        self._next_count = 0.0

    def line(self, line: str) -> None:
        self._progress = uv_output.advance(self._progress, line)
        self._report(self._progress.done, self._progress.total)

    def tick(self) -> None:
        self._job.check()
        now = time.monotonic()
        if self._progress.phase != "compile" or self._progress.total or now < self._next_count:
            return
        self._next_count = now + _COMPILE_RHYTHM
        self._sources = self._sources or _count(self._venv, ".py")
        self._report(min(_count(self._venv, ".pyc"), self._sources), self._sources)

    def _report(self, done: int, total: int) -> None:
        self._job.report(self._progress.phase, done, total)


def _count(folder: Path, suffix: str) -> int:
    return sum(name.endswith(suffix) for _, _, names in os.walk(folder) for name in names)


def _make_folder(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(_FOLDER_MODE)  # whatever our umask is: it holds no secret, and units may have a uid of their own


def _disk_failure(job: _InstallJob, error: OSError) -> errors.BrokenError:
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return errors.BrokenError(f"{job.failing}: no space is left on the disk; free about 1 GB", code=uv_output.CODE)
    where = f" ({error.filename})" if error.filename else ""
    return errors.BrokenError(f"{job.failing}: {error.strerror or error}{where}", code=uv_output.CODE)
