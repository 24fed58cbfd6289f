"""Releases built on this machine, and the Airflow versions installed for them; fulfils `contract.Releases`."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from typing import Protocol

import structlog

from aerodrome.airflow import versions as airflow_versions
from aerodrome.backends.control_plane import ControlPlane
from aerodrome.backends.jobs import Job, Jobs
from aerodrome.backends.releases import building
from aerodrome.backends.releases.installing import Installer
from aerodrome.backends.releases.trials import Candidate, TrialEnvironments, Trials
from aerodrome.errors import BrokenError, CallerError
from aerodrome.model.environment import Failure
from aerodrome.model.observed import ReleasesSeen, Work
from aerodrome.model.orders import Build, Install, Rebuild, ReleaseOrder
from aerodrome.model.release import Deployed, Patch
from aerodrome.model.spec import Spec
from aerodrome.model.tenant import Tenant
from aerodrome.release import built_releases, collect, install, locks
from aerodrome.release.installation import Installation

REBUILD_PAUSE = 60.0
"""Seconds between two attempts to build a lost release again."""

log = structlog.get_logger("aerodrome.backends")


class VersionUser(Protocol):
    """A part of a backend that keeps something for each installed version, such as a template."""

    def versions_in_use(self) -> Collection[tuple[str, str]]:
        """The versions that run, each with its lock's SHA-256."""

    def version_installed(self, installed: Installation) -> None:
        """Make what belongs to an installed version, unless it exists."""

    def version_removed(self, identifier: str) -> None:
        """Remove what belongs to the installation of that name, which is being removed."""


class BuiltReleases:
    """The releases of all environments."""

    def __init__(
        self,
        control_plane: ControlPlane,
        installer: Installer,
        jobs: Jobs,
        *,
        environments: TrialEnvironments,
        import_errors: Callable[[Tenant, str], frozenset[str]],
        users: Sequence[VersionUser],
    ) -> None:
        """`import_errors` gives the DAG files that an environment with that Airflow version reports as failing."""
        self._control_plane = control_plane
        self._paths = control_plane.settings.paths
        self._installer = installer
        self._jobs = jobs
        self._environments = environments
        self._import_errors = import_errors
        self._users = users
        self._rebuilt: dict[str, float] = {}
        """When the last attempt to build each environment's lost release again ended."""

    def look(self, tenant: Tenant, *, revision: int, version: str, lock: str, running: Deployed | None) -> ReleasesSeen:
        if not lock:
            present = locks.of(version)
            version, lock = present.version, present.sha256
        return ReleasesSeen(
            version=version,
            lock=lock,
            installation=self._installer.progress(version, lock),
            is_lost=self._is_lost(running),
            patch=_patch(running),
            work=self._work(tenant, revision),
        )

    def carry_out(self, tenant: Tenant, order: ReleaseOrder) -> None:
        match order:
            case Install():
                self._installer.ensure(order.version, self._finish)
            case Build():
                self._jobs.begin(tenant.identifier, order.revision, Build, lambda job: self._build(job, tenant, order))
            case Rebuild() if order.deployed.content is not None:
                wanted = order.deployed.content
                self._jobs.begin(
                    tenant.identifier, order.revision, Rebuild, lambda job: self._rebuild(job, tenant, order, wanted)
                )

    def collect(self, used: Collection[str], versions: Collection[tuple[str, str]], now: datetime) -> None:
        for identifier in collect.collect(self._paths.releases, used, now=now):
            log.info("release removed", content=identifier)
        self._collect_versions(versions, now)

    def close(self) -> None:
        """End the installations that run in this process."""
        self._installer.cancel()

    def _work(self, tenant: Tenant, revision: int) -> Work | None:
        """The work under way or done; a failed rebuild is forgotten after a pause, so that it is tried again."""
        found = self._jobs.seen(tenant.identifier, revision, (Build, Rebuild))
        if found is None:
            self._rebuilt.pop(tenant.identifier, None)
        if found is None or found.trouble is None:
            return found
        if time.monotonic() - self._rebuilt.get(tenant.identifier, -math.inf) > REBUILD_PAUSE:
            self._jobs.cancel(tenant.identifier)
            return None
        return found

    def _is_lost(self, running: Deployed | None) -> bool:
        wanted = running.content if running is not None else None
        return wanted is not None and not built_releases.is_whole(wanted, self._paths.releases)

    def _finish(self, installed: Installation) -> None:
        for each in self._users:
            each.version_installed(installed)

    def _build(self, job: Job, tenant: Tenant, order: Build) -> Work:
        wanted = self._candidate(order.spec, order.version, order.lock)
        before = None
        if order.before is not None:
            spec, running = order.before
            before = (self._candidate(spec, running.version, running.lock), running)

        def broken() -> frozenset[str]:
            return self._import_errors(tenant, before[1].version) if before is not None else frozenset()

        return building.build(self._trials(job, tenant, order.spec, order.version), tenant, wanted, before, broken)

    def _rebuild(self, job: Job, tenant: Tenant, order: Rebuild, wanted: str) -> Work:
        running = order.deployed
        try:
            trials = self._trials(job, tenant, order.spec, running.version)
            return building.rebuild(trials, tenant, self._candidate(order.spec, running.version, running.lock), wanted)
        except BrokenError as error:
            trouble = Failure(code=error.code, message=str(error), tail=error.tail)
            return Work(order=Rebuild, done=True, trouble=trouble)
        finally:
            self._rebuilt[tenant.identifier] = time.monotonic()

    def _candidate(self, spec: Spec, version: str, lock: str) -> Candidate:
        return Candidate(spec=spec, installation=self._installer.installed(version, lock))

    def _trials(self, job: Job, tenant: Tenant, wanted: Spec, version: str) -> Trials:
        return Trials(
            job=job,
            around=self._environments.trial_environment(tenant, version),
            releases=self._paths.releases,
            s3=lambda: self._control_plane.s3(tenant, wanted.execution_role_arn),
        )

    def _collect_versions(self, used: Collection[tuple[str, str]], now: datetime) -> None:
        folder = self._paths.versions
        if folder.is_symlink():
            return  # several installations of Aerodrome share the folder: others may use what we do not
        names = {locks.PROGRAMS.identifier}  # all versions use them
        for version, lock in {*used, *(each for user in self._users for each in user.versions_in_use())}:
            with contextlib.suppress(CallerError):  # no longer offered, so it has no present lock
                names.add(locks.identifier(version, lock or locks.of(version).sha256))
        for identifier in collect.idle_versions(folder, names, now=now):
            with install.alone_at_once(identifier, folder) as ours:
                if ours:
                    for user in self._users:
                        user.version_removed(identifier)
                    install.remove(folder.resolve() / identifier)
                    log.info("installed version removed", version=identifier)


def _patch(running: Deployed | None) -> Patch | None:
    """What Aerodrome would install today for the minor version that runs; None = what runs."""
    if running is None:
        return None
    newest = locks.of(airflow_versions.newest_patch(running.version))
    if (newest.version, newest.sha256) == (running.version, running.lock):
        return None
    return Patch(version=newest.version, lock=newest.sha256)
