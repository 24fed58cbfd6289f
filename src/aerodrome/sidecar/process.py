"""The sidecar's process: reads the configuration, wires the rooms together, and goes on until SIGTERM.

Started by `__main__`, which the cell runs as a unit. It answers for credentials from its first moment, says READY
after the first round (whether the bucket answered or not: an environment comes up without it), and ends on SIGTERM at
once. Every file it writes is replaced in one step, so there is nothing to finish.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import FrameType

import structlog

from aerodrome import clock, log
from aerodrome.errors import AerodromeError
from aerodrome.otlp.addresses import AddressFile
from aerodrome.sidecar import assume_role, config, endpoint
from aerodrome.sidecar.announcements import Announcements
from aerodrome.sidecar.bucket import Bucket
from aerodrome.sidecar.config import SidecarConfig
from aerodrome.sidecar.credentials import RefreshableCredentials, RoleCredentials
from aerodrome.sidecar.dags_folder import DagsFolder
from aerodrome.sidecar.listing import ListingReader
from aerodrome.sidecar.logs.cloudwatch import CloudWatch
from aerodrome.sidecar.logs.positions import Positions
from aerodrome.sidecar.logs.shipping import Shipper
from aerodrome.sidecar.metrics import measuring
from aerodrome.sidecar.metrics.aggregation import Aggregation
from aerodrome.sidecar.metrics.listening import Listening
from aerodrome.sidecar.metrics.measuring import Measuring
from aerodrome.sidecar.metrics.publishing import Measure, MetricsEndpoint, Publisher
from aerodrome.sidecar.notify import CellPipe
from aerodrome.sidecar.parsing import PriorityParsing
from aerodrome.sidecar.rounds import Rounds, Telling
from aerodrome.sidecar.signed_http import AwayError, AwsEndpoint
from aerodrome.sidecar.status import StatusFile
from aerodrome.sidecar.sync import Syncer
from aerodrome.sidecar.traces import Forwarding
from aerodrome.threads import SupervisedThread

CHINA = "cn-"
"""Regions of the partition whose host names end in .cn."""

LAST_METRICS = 2.0
"""Seconds that what was measured last has to be published when the process ends; its cell waits for five."""

LAST_SPANS = 1.0
"""Seconds that the last spans have after that."""

LOGS_TIMEOUT = 30.0
"""Seconds for CloudWatch Logs to answer: a batch that was taken, but too slowly for us, is sent again."""


def main() -> int:
    """Run until SIGTERM; returns the exit status."""
    parser = argparse.ArgumentParser(prog="aerodrome.sidecar", description=__doc__)
    parser.add_argument("--config", type=Path, required=True, help="the JSON file, mode 0600")
    cell = CellPipe(os.environ)
    signal.signal(signal.SIGTERM, _leave)
    signal.signal(signal.SIGINT, _leave)
    log.configure()
    try:
        _serve(config.load(parser.parse_args().config), cell)
    except AerodromeError as error:
        structlog.get_logger("sidecar").error("the sidecar cannot start", error=str(error))
        return 1
    return 0


def _serve(settings: SidecarConfig, cell: CellPipe) -> None:
    structlog.contextvars.bind_contextvars(environment=settings.environment)
    role = _role(settings)
    token = endpoint.TokenFile(settings.credentials_token_file)

    def decide(head: bytes) -> endpoint.Answer:
        return endpoint.answer(head, token=token.read(), credentials=role.current(), trouble=role.error)

    shipper = _shipper(settings, role)
    taking, publisher = _metrics(settings, role)
    forwarding = Forwarding(settings.environment, AddressFile(settings.collector), monotonic=time.monotonic)
    rounds = _rounds(settings, role, shipper, publisher, forwarding)
    listener = endpoint.CredentialsEndpoint(
        endpoint.listener(settings.credentials_port, os.environ),
        decide=decide,
        users=settings.credentials_users,
        take=forwarding.take,
    )
    threads: list[SupervisedThread] = []
    if taking is not None and publisher is not None:  # before any unit begins
        threads += [SupervisedThread("metrics", lambda: taking.run(threads[0].beat)),
                   SupervisedThread("publishing", lambda: publisher.run(threads[1].beat))]  # fmt: skip
        for thread in threads:
            thread.start()
    listener.start()
    cell.watch(listener.is_sound)
    try:
        rounds.once()
        away = rounds.status.error
        cell.ready(f"the bucket is away: {away}" if away else f"{rounds.status.objects} files synchronised")
        if shipper is not None:
            shipping = SupervisedThread("logs", lambda: shipper.run(shipping.beat))
            shipping.start()
        if settings.task_logs is not None:
            task_logs = settings.task_logs
            keeping = SupervisedThread("room", lambda: task_logs.run(keeping.beat))
            keeping.start()
        with _announcements(settings) as rest:
            rounds.run(settings.interval, rest)
    finally:
        if publisher is not None:
            publisher.leave()
            threads[-1].join(LAST_METRICS)
        listener.stop()
        forwarding.close(LAST_SPANS)
        rounds.close()


@contextlib.contextmanager
def _announcements(settings: SidecarConfig) -> Iterator[Callable[[float], None]]:
    """How to wait for the next round."""
    if settings.announced_at is None:
        yield time.sleep
        return
    heard = Announcements(settings.announced_at, bucket=settings.bucket, prefix=settings.dag_prefix)
    with contextlib.closing(heard):
        yield heard.wait


def _role(settings: SidecarConfig) -> RefreshableCredentials:
    sts = AwsEndpoint(settings.sts_endpoint_url or _url(settings, "sts"), region=settings.region, service="sts")
    if settings.source is None:
        source = assume_role.ambient()
    else:
        fixed = settings.source

        def source() -> config.AccessKeys:
            return fixed

    def assumed() -> RoleCredentials:
        return assume_role.role(sts, role_arn=settings.role_arn, session_name=settings.session_name, source=source())

    return RefreshableCredentials(assumed, clock=clock.now, monotonic=time.monotonic)


def _rounds(
    settings: SidecarConfig,
    role: RefreshableCredentials,
    shipper: Shipper | None,
    publisher: Publisher | None,
    forwarding: Forwarding,
) -> Rounds:
    s3 = AwsEndpoint(_url(settings, "s3"), region=settings.region, service="s3")
    bucket = Bucket(s3, name=settings.bucket, prefix=settings.dag_prefix, signer=role)
    syncer = Syncer(
        source=bucket,
        reader=ListingReader(bucket.page),
        tree=DagsFolder(settings.dags_dir),
        monotonic=time.monotonic,
        most_bytes=settings.dags_bytes,
    )
    syncer.prepare()
    table = None
    if settings.database is not None and settings.priority_parse is not None:
        table = PriorityParsing(settings.database, settings.priority_parse, monotonic=time.monotonic)
    return Rounds(
        environment=settings.environment,
        syncer=syncer,
        role=role,
        telling=Telling(table, settings.priority_parse, settings.dags_seen_at),
        logs=lambda: shipper.status if shipper is not None else None,
        metrics=lambda: publisher.status if publisher is not None else None,
        traces=lambda: forwarding.status,
        status_file=StatusFile(settings.status_file),
        clock=clock.now,
        monotonic=time.monotonic,
    )


def _shipper(settings: SidecarConfig, role: RefreshableCredentials) -> Shipper | None:
    if settings.logs is None:
        return None
    service = AwsEndpoint(_url(settings, "logs"), region=settings.region, service="logs", timeout=LOGS_TIMEOUT)
    return Shipper(
        environment=settings.environment,
        config=settings.logs,
        cloudwatch=CloudWatch(service, partial(_keys, role), role.reject),
        positions=Positions.load(settings.logs.positions, now=time.time()),
        clock=clock.now,
    )


def _metrics(settings: SidecarConfig, role: RefreshableCredentials) -> tuple[Listening, Publisher] | tuple[None, None]:
    if settings.metrics is None:
        return None, None
    taking = Listening(settings.metrics.socket, settings.metrics.group, Aggregation(settings.metrics.line))
    service = AwsEndpoint(
        _url(settings, "monitoring"), region=settings.region, service="monitoring", timeout=LOGS_TIMEOUT
    )
    publisher = Publisher(
        environment=settings.environment,
        finished=taking.finished,
        cloudwatch=MetricsEndpoint(service, partial(_keys, role), role.reject),
        as_service=None if settings.source is None else MetricsEndpoint(service, partial(_source, settings.source)),
        clock=clock.now,
        every=settings.metrics.every,
        measure=_measuring(settings),
    )
    return taking, publisher


def _measuring(settings: SidecarConfig) -> Measure:
    wanted = settings.metrics.measured if settings.metrics is not None else None
    if wanted is None:
        return lambda _now: []
    return Measuring(
        partial(measuring.usage, wanted.memory),
        measuring.asks(wanted, settings.database),
        processors=os.cpu_count() or 1,
        machine=partial(measuring.machine, settings.database),
    )


def _source(fixed: config.AccessKeys) -> config.AccessKeys:
    """The environment's own keys, which DAG code does not have."""
    return fixed


def _keys(role: RefreshableCredentials) -> config.AccessKeys:
    """The role's keys, for another thread than the one that renews them.

    Raises:
        AwayError: there are none now.
    """
    held = role.current()
    if held is None:
        raise AwayError(role.error or "there are no credentials of the execution role yet")
    return held.keys


def _url(settings: SidecarConfig, service: str) -> str:
    if settings.aws_endpoint_url is not None:
        return settings.aws_endpoint_url
    suffix = "amazonaws.com.cn" if settings.region.startswith(CHINA) else "amazonaws.com"
    return f"https://{service}.{settings.region}.{suffix}"


def _leave(_number: int, _frame: FrameType | None) -> None:
    """End from wherever the main thread is, also in the middle of a read that would take ten seconds."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise SystemExit(0)
