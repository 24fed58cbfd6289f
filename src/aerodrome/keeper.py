"""Keeps the services that all environments share: PostgreSQL and the AWS emulator, or their external twins.

It starts or adopts them, looks every second whether they live (PostgreSQL's death it sees at once), starts them again
when not, and stops them for `down`. It also makes the databases that the emulator asks for and must not make itself.
It must outlive any failure of theirs, and decides nothing about environments.
"""

from __future__ import annotations

import os
import selectors
import threading
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import structlog
from botocore.exceptions import BotoCoreError, ClientError

from aerodrome.aws import clients
from aerodrome.emulator import launch
from aerodrome.emulator.redshift import warehouses
from aerodrome.errors import AerodromeError
from aerodrome.services import clusters, daemon, databases, folders, postgres
from aerodrome.services.clusters import Cluster
from aerodrome.settings import AWS, EMBEDDED, Settings
from aerodrome.threads import SupervisedThread

RHYTHM = 1.0
"""Seconds between two looks at the services."""

STOPPED_LOOKS = 10
"""For how many looks in a row the emulator may be stopped by a signal."""

PATIENCE = 600.0
"""Seconds that a look may take: PostgreSQL may have minutes of work to replay when it starts after a crash."""

log = structlog.get_logger("keeper")


class Keeper:
    """The shared services of one installation."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._cluster: Cluster | None = None
        self._owned_buckets: Callable[[], Iterable[str]] = list
        self._stop = threading.Event()
        self._woken, self._wake = os.pipe()
        self._stopped = 0
        self.thread = SupervisedThread("keeper", self._keep, patience=PATIENCE)

    def start(self) -> None:
        """Start or adopt the services, and look after them from now on.

        Raises:
            AerodromeError: one cannot be started, or an external one cannot be used.
        """
        self.cluster()
        if self._settings.aws_endpoint_url == EMBEDDED:
            self._start_emulator()
        self.thread.start()

    def close(self) -> None:
        """Look after them no more; they go on."""
        self._stop.set()
        os.close(self._wake)
        self.thread.join()
        os.close(self._woken)

    def stop(self) -> None:
        """Stop the services that are ours."""
        if self._settings.aws_endpoint_url == EMBEDDED and self._settings.paths.aws.exists():
            daemon.stop(self._daemon(self._emulator()))
        if self._settings.database_url == EMBEDDED:
            postgres.down(self._settings.paths)

    def cluster(self) -> Cluster:
        """The PostgreSQL that ledger and metadata databases live in."""
        if self._cluster is None:
            if self._settings.database_url == EMBEDDED:
                self._cluster = postgres.up(self._settings.paths, environments=self._settings.quota_environments)
            else:
                found = clusters.external(self._settings.database_url)
                clusters.require(found)
                self._cluster = found
        return self._cluster

    def aws_endpoint_url(self) -> str | None:
        """Where the AWS services are; None = the real AWS."""
        if self._settings.aws_endpoint_url == EMBEDDED:
            return self._emulator().endpoint_url
        return None if self._settings.aws_endpoint_url == AWS else self._settings.aws_endpoint_url

    def s3(self) -> Any:
        """A client of S3, where the source buckets are."""
        return self._client("s3")

    def owns(self, owned_buckets: Callable[[], Iterable[str]]) -> None:
        """From now on the settings of these buckets are asserted again whenever the emulator has been started."""
        self._owned_buckets = owned_buckets
        self._reassert()

    def report(self) -> list[dict[str, Any]]:
        """Name and state of each service, for a person."""
        found = [{"name": "PostgreSQL", "state": self._postgres_state()}]
        if self._settings.aws_endpoint_url == EMBEDDED:
            running = daemon.is_running(self._daemon(self._emulator()))
            found.append({"name": "AWS emulator", "state": "running" if running else "down"})
        return found

    def _keep(self) -> None:
        while not self._rested():
            self.thread.beat()
            try:
                self._look()
            except AerodromeError as error:
                log.warning("service down", reason=str(error))
            except Exception:
                log.exception("fault")  # nobody else would start the services again

    def _rested(self) -> bool:
        """Wait until it is time for a look, or PostgreSQL is gone; whether to stop."""
        watched = postgres.watched(self._settings.paths) if self._settings.database_url == EMBEDDED else None
        with selectors.DefaultSelector() as selector:
            for source in (self._woken, watched):
                if source is not None:
                    selector.register(source, selectors.EVENT_READ)
            selector.select(RHYTHM)
        if watched is not None:
            os.close(watched)
        return self._stop.is_set()

    def _look(self) -> None:
        if self._settings.database_url == EMBEDDED and postgres.cluster_if_up(self._settings.paths) is None:
            log.warning("PostgreSQL is gone; starting it again")
            began = time.monotonic()
            self._cluster = postgres.up(self._settings.paths, environments=self._settings.quota_environments)
            log.info("PostgreSQL is back", seconds=round(time.monotonic() - began, 2))
        if self._settings.aws_endpoint_url == EMBEDDED and not self._emulator_works():
            log.warning("the AWS emulator is gone; starting it again")
            self._start_emulator()
            self._reassert()
        if self._settings.aws_endpoint_url == EMBEDDED:
            self._provide_warehouses()

    def _provide_warehouses(self) -> None:
        """Make the databases that the emulator asks for."""
        cluster = self.cluster()
        make = partial(databases.ensure_own, cluster, connection_limit=warehouses.MOST_CONNECTIONS)
        warehouses.provide(launch.redshift_folder(self._settings.paths.aws), cluster, make)

    def _emulator_works(self) -> bool:
        """Whether it runs; one that is stopped by a signal for long is ended."""
        process = self._daemon(self._emulator())
        self._stopped = self._stopped + 1 if daemon.is_stopped(process) else 0
        if self._stopped >= STOPPED_LOOKS:
            log.warning("the AWS emulator is stopped by a signal; ending it")
            daemon.stop(process)
        return daemon.is_running(process)

    def _start_emulator(self) -> None:
        folders.make(self._settings.paths.aws, folders.PRIVATE)
        folders.make(self._settings.paths.aws / "tmp", folders.PRIVATE)
        folders.make(launch.redshift_folder(self._settings.paths.aws), folders.PRIVATE)
        described = self._emulator()
        process = self._daemon(described)
        daemon.start(process)
        daemon.wait_until(process, lambda: launch.answers(described))

    def _reassert(self) -> None:
        if self._settings.aws_endpoint_url != EMBEDDED:
            return
        try:
            launch.reassert(self.s3(), sorted(set(self._owned_buckets())))
        except (BotoCoreError, ClientError) as error:
            log.warning("bucket settings could not be asserted", reason=str(error))

    def _emulator(self) -> launch.Emulator:
        settings = self._settings
        return launch.describe(
            settings.paths.aws,
            port=launch.choose_port(settings.paths.aws, settings.aws_port),
            region=settings.region,
            account_id=settings.account_id,
            domain=settings.domain,
        )

    def _daemon(self, described: launch.Emulator) -> daemon.Daemon:
        paths = self._settings.paths
        return daemon.Daemon(
            name="AWS emulator",
            argv=described.argv,
            env=described.env,
            cwd=described.cwd,
            log=paths.logs / "aws-emulator.log",
            pid_file=paths.run / "aws-emulator.pid",
        )

    def _client(self, service: str) -> Any:
        endpoint = clients.configured(self._settings, self.aws_endpoint_url())
        return clients.client(endpoint, service)

    def _postgres_state(self) -> str:
        if self._settings.database_url != EMBEDDED:
            return "external"
        return "running" if postgres.cluster_if_up(self._settings.paths) is not None else "down"
