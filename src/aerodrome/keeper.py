"""Keeps the services that all environments share: PostgreSQL, the AWS emulator, its door and log store, or twins.

It starts or adopts them (of our own programs, those of this version), looks every second whether they live (it sees
PostgreSQL's death at once), starts them again if they do not, and stops them for `down`. It also makes the databases
that the emulator asks for and must not make itself. It must outlive every failure of a service, and decides nothing
about environments.
"""

from __future__ import annotations

import os
import selectors
import sys
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import structlog
from botocore.exceptions import BotoCoreError, ClientError

from aerodrome.aws import clients
from aerodrome.aws.credentials import Credentials
from aerodrome.emulator import launch, rules
from aerodrome.emulator.own_address import OwnAddress
from aerodrome.emulator.redshift import warehouses
from aerodrome.errors import AerodromeError
from aerodrome.identity import key_files
from aerodrome.ledger.principals import control_plane_access_key
from aerodrome.services import clusters, daemon, databases, folders, heartbeat, postgres, program
from aerodrome.services.clusters import Cluster
from aerodrome.settings import AWS, EMBEDDED, Settings
from aerodrome.telemetry import launch as log_store
from aerodrome.threads import SupervisedThread
from aerodrome.unix_users import UnixUser

RHYTHM = 1.0
"""Seconds between two looks at the services."""

STOPPED_LOOKS = 10
"""For how many looks in a row the emulator may be stopped by a signal."""

PATIENCE = 600.0
"""Seconds that a look may take: PostgreSQL may have minutes of work to replay when it starts after a crash."""

LOGS = ("aws-door.log", "aws-emulator.log", "control-plane.log", "log-store.log")
"""What our own processes write to for as long as they live, in the folder of logs."""

log = structlog.get_logger("keeper")


class EmulatorHost(Protocol):
    """What knows where the embedded emulator may run."""

    @property
    def user(self) -> UnixUser | None:
        """Whom it runs as; None = as ourselves."""

    def prepared(self) -> daemon.Confinement:
        """Make its folders while none runs; returns what to start it under."""


class Keeper:
    """The shared services of one installation."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._cluster: Cluster | None = None
        self._host: EmulatorHost | None = None
        self._owned_buckets: Callable[[], Iterable[str]] = list
        self._stop = threading.Event()
        self._woken, self._wake = os.pipe()
        self._stopped: dict[str, int] = {}
        self._silence = heartbeat.Silence()
        """The door's."""
        self._requests = warehouses.Arrivals(launch.redshift_folder(settings.paths.aws))
        self._has_ledger = False
        self._is_asserted = True
        """Whether the buckets' settings were asserted since the emulator's start; else the next look asserts them."""
        self.thread = SupervisedThread("keeper", self._keep, patience=PATIENCE)

    def start(self, host: EmulatorHost) -> None:
        """Start or adopt the services, and look after them from now on; `host` is where the emulator runs.

        Raises:
            AerodromeError: one cannot be started, or an external one cannot be used.
        """
        self._host = host
        self.cluster()
        if self._settings.aws_endpoint_url == EMBEDDED:
            self._start_emulator()
        if self._settings.guards_aws:
            self._start_logs()
        self.thread.start()

    def close(self) -> None:
        """Stop looking after them; they run on."""
        self._stop.set()
        os.close(self._wake)
        self.thread.join()
        os.close(self._woken)

    def stop(self) -> None:
        """Stop the services that are ours."""
        if self._settings.aws_endpoint_url == EMBEDDED and self._settings.paths.aws.exists():
            daemon.stop(self._door())
            daemon.stop(self._logs())
            for is_open in (False, True):
                daemon.stop(self._daemon(self._emulator(), is_open=is_open))
            daemon.stop(self._older(self._emulator()))
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
            return OwnAddress(port=self._aws_port()).url
        return None if self._settings.aws_endpoint_url == AWS else self._settings.aws_endpoint_url

    def s3(self) -> Any:
        """A client of S3, where the source buckets are."""
        return self._client("s3")

    def owns(self, owned_buckets: Callable[[], Iterable[str]]) -> None:
        """From now on, assert the settings of these buckets after every start of the emulator."""
        self._owned_buckets = owned_buckets
        self._has_ledger = True
        self._open_door()
        self._reassert()

    def report(self) -> list[dict[str, Any]]:
        """Name and state of each service, for a person."""
        found = [{"name": "PostgreSQL", "state": self._postgres_state()}]
        if self._settings.aws_endpoint_url == EMBEDDED:
            running = daemon.is_running(self._daemon(self._emulator()))
            found.append({"name": "AWS emulator", "state": "running" if running else "down"})
        if self._settings.guards_aws:
            running = daemon.is_running(self._door())
            found.append({"name": "AWS door", "state": "running" if running else "down"})
            running = daemon.is_running(self._logs())
            found.append({"name": "log store", "state": "running" if running else "down"})
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
        """Wait until the next look is due, or PostgreSQL is gone; returns whether to stop."""
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
            self._is_asserted = False
        if self._settings.guards_aws and not self._lives(self._logs()):
            log.warning("the log store is gone; starting it again")
            self._start_logs()
        if self._settings.guards_aws and self._has_ledger:
            self._end_if_it_hangs(self._door(), self._door_beat())
        if self._settings.guards_aws and self._has_ledger and not self._lives(self._door()):
            log.warning("the AWS door is gone; starting it again")
            self._open_door()
        self._shorten_logs()
        if self._settings.aws_endpoint_url == EMBEDDED:
            if not self._is_asserted:
                self._reassert()
            self._provide_warehouses()

    def _shorten_logs(self) -> None:
        for name in LOGS:
            daemon.shorten(self._settings.paths.logs / name)

    def _provide_warehouses(self) -> None:
        """Make the databases that the emulator asks for."""
        cluster = self.cluster()
        make = partial(databases.ensure_own, cluster, connection_limit=warehouses.MOST_CONNECTIONS)
        warehouses.provide(self._requests, cluster, make, self._emulators_user())

    def _emulator_works(self) -> bool:
        return self._lives(self._daemon(self._emulator()))

    def _lives(self, process: daemon.Daemon) -> bool:
        """Whether it runs. One that a signal has stopped for long is ended."""
        count = self._stopped.get(process.name, 0) + 1 if daemon.is_stopped(process) else 0
        self._stopped[process.name] = count
        if count >= STOPPED_LOOKS:
            log.warning("a service is stopped by a signal; ending it", service=process.name)
            daemon.stop(process)
        return daemon.is_running(process)

    def _end_if_it_hangs(self, process: daemon.Daemon, beat: Path) -> None:
        """End what runs and has been silent for long."""
        if self._silence.hangs(heartbeat.silent(beat) if daemon.is_running(process) else 0.0):
            log.warning("a service hangs; ending it", service=process.name)
            beat.unlink(missing_ok=True)
            daemon.stop(process)

    def _start_emulator(self) -> None:
        if not self._settings.paths.aws.exists():
            folders.make(self._settings.paths.aws, folders.PRIVATE)
        described = self._emulator()
        # An emulator that started before the setting changed, or under a version without a door, would go on answering.
        daemon.stop(self._older(described))
        daemon.stop(self._daemon(described, is_open=self._settings.guards_aws))
        if not self._settings.guards_aws:
            log.warning("AERODROME_IAM is off: the AWS services believe everybody who reaches their port")
            daemon.stop(self._door())
            daemon.stop(self._logs())
        process = self._daemon(described)
        if daemon.is_of_another_user(process):
            daemon.stop(process)
        _end_if_earlier(process)
        if self._host is not None and not daemon.is_running(process):
            process = replace(process, confinement=self._host.prepared())
        daemon.start(process)
        daemon.wait_until(process, lambda: launch.answers(described))

    def _emulators_user(self) -> UnixUser | None:
        return self._host.user if self._host else None

    def _start_logs(self) -> None:
        """Start the log store or adopt it; it answers for CloudWatch Logs behind the door."""
        folders.make(self._settings.paths.telemetry, folders.PRIVATE)
        process, described = self._logs(), self._log_store()
        _end_if_earlier(process)
        daemon.start(process)
        daemon.wait_until(process, lambda: log_store.answers(described))

    def _open_door(self) -> None:
        """Start the door or adopt it; it reads the ledger, so that comes first."""
        if not self._settings.guards_aws:
            return
        door, address = self._door(), OwnAddress(port=self._aws_port())
        identity = launch.identity(self._settings.paths.aws)
        _end_if_earlier(door)
        if not daemon.is_running(door):
            self._door_beat().unlink(missing_ok=True)  # of one before it, whose silence would count as this one's
        daemon.start(door)
        daemon.wait_until(door, lambda: launch.told(address, rules.DOOR_HEALTH).get("door") == identity)

    def _reassert(self) -> None:
        if self._settings.aws_endpoint_url != EMBEDDED:
            return
        try:
            launch.reassert(self.s3(), sorted(set(self._owned_buckets())))
            self._is_asserted = True
        except (BotoCoreError, ClientError) as error:
            log.warning("bucket settings could not be asserted", reason=str(error))

    def _aws_port(self) -> int:
        return launch.choose_port(self._settings.paths.aws, self._settings.aws_port)

    def _emulator(self) -> launch.Emulator:
        settings = self._settings
        guarded = settings.guards_aws
        return launch.describe(
            settings.paths.aws,
            address=OwnAddress(socket=settings.paths.aws_socket) if guarded else OwnAddress(port=self._aws_port()),
            port=self._aws_port(),
            region=settings.region,
            account_id=settings.account_id,
            domain=settings.domain,
        )

    def _daemon(self, described: launch.Emulator, *, is_open: bool | None = None) -> daemon.Daemon:
        """The emulator as a process; `is_open`: as it is without a door, by default as the settings say."""
        paths = self._settings.paths
        without_door = not self._settings.guards_aws if is_open is None else is_open
        return daemon.Daemon(
            name="AWS emulator",
            argv=described.argv,
            env=described.env,
            cwd=described.cwd,
            log=paths.logs / "aws-emulator.log",
            pid_file=paths.run / ("aws-emulator-open.pid" if without_door else "aws-emulator-guarded.pid"),
            confinement=daemon.Confinement(user=self._emulators_user()),
            socket=described.address.socket,
            code=program.code(),
        )

    def _older(self, described: launch.Emulator) -> daemon.Daemon:
        """The emulator as versions without a door started it."""
        return replace(self._daemon(described), pid_file=self._settings.paths.run / "aws-emulator.pid")

    def _door_beat(self) -> Path:
        return self._settings.paths.run / "aws-door.beat"

    def _door(self) -> daemon.Daemon:
        """The door before the emulator, as a process of its own."""
        settings, paths = self._settings, self._settings.paths
        return daemon.Daemon(
            name="AWS door",
            argv=(
                sys.executable,
                "-I",
                "-m",
                "aerodrome.aws_door",
                f"--port={self._aws_port()}",
                f"--identity={launch.identity(paths.aws)}",
                f"--emulator={paths.aws_socket}",
                f"--beat={self._door_beat()}",
                f"--logs={paths.logs_socket}",
            ),
            env={
                **_certificates(),  # it fetches keys of OpenID Connect issuers, as the control plane does
                "PATH": os.defpath,
                "LC_ALL": "C.UTF-8",
                "HOME": str(paths.data),
                **settings.variables(),
            },
            cwd=paths.data,
            log=paths.logs / "aws-door.log",
            pid_file=paths.run / "aws-door.pid",
            code=program.code(),
        )

    def _log_store(self) -> log_store.LogStore:
        settings = self._settings
        return log_store.describe(
            settings.paths.telemetry,
            socket=settings.paths.logs_socket,
            region=settings.region,
            account_id=settings.account_id,
            most_bytes=settings.logs_bytes,
            longest_days=settings.logs_days,
            most_metrics_bytes=settings.metrics_bytes,
            sns=settings.paths.aws_socket,
        )

    def _logs(self) -> daemon.Daemon:
        """The log store as a process."""
        described, paths = self._log_store(), self._settings.paths
        return daemon.Daemon(
            name="log store",
            argv=described.argv,
            env=described.env,
            cwd=described.cwd,
            log=paths.logs / "log-store.log",
            pid_file=paths.run / "log-store.pid",
            code=program.code(),
        )

    def _client(self, service: str) -> Any:
        settings = self._settings
        endpoint = clients.configured(settings, self.aws_endpoint_url())
        if settings.guards_aws:
            key_id, secret = control_plane_access_key(key_files.service_key(settings.paths.keys))
            endpoint = replace(endpoint, credentials=Credentials(access_key_id=key_id, secret_access_key=secret))
        return clients.client(endpoint, service)

    def _postgres_state(self) -> str:
        if self._settings.database_url != EMBEDDED:
            return "external"
        return "running" if postgres.cluster_if_up(self._settings.paths) is not None else "down"


def _end_if_earlier(process: daemon.Daemon) -> None:
    """End what another version of us has started, so that it is started anew; environments do not end with it."""
    if daemon.is_of_other_code(process):
        log.info("a service is of another version; replacing it", service=process.name)
        daemon.stop(process)


def _certificates() -> dict[str, str]:
    """Where OpenSSL finds the certificates of authorities that this machine trusts, if somebody has said so."""
    return {name: os.environ[name] for name in ("SSL_CERT_FILE", "SSL_CERT_DIR") if name in os.environ}
