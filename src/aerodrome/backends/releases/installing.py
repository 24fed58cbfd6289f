"""Installs Airflow versions in the background: each version once, however many environments wait for it."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

import structlog

from aerodrome import errors
from aerodrome.model.observed import InstallationProgress
from aerodrome.release import install, installation, interpreters
from aerodrome.release.installation import Installation
from aerodrome.settings import Settings

log = structlog.get_logger("aerodrome.backends")

_WORDS = {
    "wait": "Another process installs Airflow {version}.",
    "interpreter": "Looking for Python for Airflow {version}.",
    "resolve": "Reading the lock of Airflow {version}.",
    "download": "Downloading Airflow {version}: {done} of {total} KiB.",
    "install": "Installing Airflow {version}: {done} of {total} packages.",
    "compile": "Compiling Airflow {version}: {done} of {total} files.",
    "done": "Airflow {version} is installed.",
}


class Installer:
    """Installs versions in threads of its own, and tells how far each has come."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._jobs: dict[str, _Job] = {}
        self._lock = threading.Lock()
        self._cancelled = threading.Event()

    def find(self, version: str) -> Installation | None:
        """The version, if it is installed completely."""
        with self._lock:
            if version in self._jobs:
                return None
        return installation.find(version, self._settings.paths.versions)

    def installed(self, version: str, lock: str) -> Installation:
        """The version installed by that lock or, if that installation is gone, by the present lock.

        Raises:
            RetryError: the version is not installed yet.
        """
        found = installation.at(version, lock, self._settings.paths.versions) or self.find(version)
        if found is None:
            raise errors.RetryError(f"Airflow {version} is not installed yet")
        return found

    def progress(self, version: str, lock: str) -> InstallationProgress:
        """How far the installation by that lock is or, if that one is gone, the installation by the present lock.

        Raises the error that ended the installation. Only one call raises it, so that the installation can begin again.
        """
        with self._lock:
            job = self._jobs.get(version)
            if job is not None and job.error is not None:
                del self._jobs[version]
                raise job.error
            if job is not None:
                return job.progress
        is_there = installation.at(version, lock, self._settings.paths.versions) is not None
        return InstallationProgress(done=is_there or self.find(version) is not None)

    def ensure(self, version: str, finish: Callable[[Installation], None]) -> None:
        """Start the installation unless it is under way or done.

        After the packages, the same thread calls `finish`, which makes what else belongs to an installed version.
        """
        with self._lock:
            if version in self._jobs or self._cancelled.is_set():
                return
            job = self._jobs[version] = _Job()
            threading.Thread(
                target=self._run, args=(version, job, finish), name=f"install-{version}", daemon=True
            ).start()

    def cancel(self) -> None:
        """End every installation; nothing unfinished is left."""
        self._cancelled.set()

    def ensure_programs(self) -> None:
        """Start to install the programs beside the versions, if an earlier Aerodrome has installed versions without."""
        if not installation.has_programs(self._settings.paths.versions):
            threading.Thread(target=self._try_programs, name="install-programs", daemon=True).start()

    def _try_programs(self) -> None:
        try:
            self._install_programs(lambda _phase, _done, _total: None)
        except errors.AerodromeError as error:
            log.warning("programs_not_installed", reason=str(error))

    def _install_programs(self, report: install.Report) -> None:
        install.programs(
            self._settings.paths.versions,
            environ=os.environ,
            folders=interpreters.named_folders(self._settings.python_folders),
            report=report,
            cancelled=self._cancelled.is_set,
        )

    def _run(self, version: str, job: _Job, finish: Callable[[Installation], None]) -> None:
        def report(phase: str, done: int, total: int) -> None:
            fraction = done / total if total else None
            detail = _WORDS[phase].format(version=version, done=done, total=total)
            job.progress = InstallationProgress(done=False, detail=detail, fraction=fraction)

        try:
            installed = install.install(
                version,
                self._settings.paths.versions,
                environ=os.environ,
                folders=interpreters.named_folders(self._settings.python_folders),
                report=report,
                cancelled=self._cancelled.is_set,
            )
            self._install_programs(report)
            job.progress = InstallationProgress(
                done=False, detail=f"Preparing the database template of Airflow {version}."
            )
            finish(installed)
        except errors.AerodromeError as error:
            job.error = error
        except BaseException as error:  # noqa: BLE001 - nobody catches a thread's error; environments must see it
            message = f"Airflow {version} could not be installed: {error}"
            job.error = errors.BrokenError(message, code="VERSION_INSTALL_FAILED")
        else:
            with self._lock:
                del self._jobs[version]


class _Job:
    """One installation under way."""

    def __init__(self) -> None:
        self.progress = InstallationProgress(done=False, detail="Installing Airflow.")
        self.error: errors.AerodromeError | None = None
