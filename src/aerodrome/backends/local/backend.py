"""The backend of this machine: cells, databases on PostgreSQL, and releases built here, put together."""

from __future__ import annotations

from dataclasses import dataclass

from aerodrome.backends.contract import Backend
from aerodrome.backends.control_plane import ControlPlane
from aerodrome.backends.databases.postgres import PostgresDatabases
from aerodrome.backends.jobs import Jobs
from aerodrome.backends.local.runtime import LocalRuntime
from aerodrome.backends.releases import trials
from aerodrome.backends.releases.built import BuiltReleases
from aerodrome.backends.releases.installing import Installer


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalBackend(Backend):
    """The three parts, which share the installer and the long work."""

    runtime: LocalRuntime
    databases: PostgresDatabases
    releases: BuiltReleases
    jobs: Jobs

    def close(self) -> None:
        """End what runs in this process; cells and warm processes go on."""
        self.releases.close()
        self.jobs.close()


def made(control_plane: ControlPlane) -> LocalBackend:
    """A new backend; it starts nothing, and removes what trials of a killed control plane have left."""
    trials.sweep()
    installer, jobs = Installer(control_plane.settings), Jobs()
    runtime = LocalRuntime(control_plane, installer, jobs)
    databases = PostgresDatabases(control_plane, installer, jobs, runtime)
    releases = BuiltReleases(
        control_plane,
        installer,
        jobs,
        environments=runtime,
        import_errors=databases.import_errors,
        users=(runtime, databases),
    )
    return LocalBackend(runtime=runtime, databases=databases, releases=releases, jobs=jobs)
