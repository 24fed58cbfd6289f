"""What metrics cost: to the sidecar and the store while 1,000 DAGs say theirs, and the store after a week of them."""

from __future__ import annotations

import itertools
import json
import random
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console

from aerodrome.telemetry import launch
from aerodrome.telemetry.metrics import periods, points
from aerodrome.telemetry.metrics.catalogue import Datum, Metric, MetricCatalogue
from aerodrome.telemetry.metrics.periods import MINUTE, SPANS
from aerodrome.telemetry.metrics.store import FILE
from aerodrome.unix_http import UnixHttpConnection
from benchmarks.consumption import pss, spent
from benchmarks.ours import Installation, wait_for
from benchmarks.table import Row

NAME = "metrics"

DAGS = 1000
PARSED_EVERY = 30
"""DAGs, each in a file of its own that Airflow looks at so often (seconds), as it does by default.

One of them runs each second, so each runs every 17 minutes.
"""

SECONDS = 120
"""How long that is watched: twice the minute for which metrics are summed up."""

OF_A_PACKET = 10
"""Lines that are sent at once."""

ENVIRONMENTS, METRICS, DAYS = 10, 60, 7
"""What a week of metrics is: so many environments, each with so many metrics a minute."""

BATCH = 1000
"""Points of one PutMetricData, which takes no more."""

MINUTES = 60
"""The last of the week, which are sent to the store; what it has of those before is written in advance."""

TARGET = "GraniteServiceVersion20100801"

NAMESPACE, UNIT, CALLER = "AmazonMWAA", "Milliseconds", "BENCHMARK"


def metrics(ours: Installation, console: Console) -> list[Row]:
    """The processors' time for metrics of 1,000 DAGs, and the store's memory with a week of metrics."""
    return [*_of_many_dags(ours, console), *_week(ours, console)]


def _of_many_dags(ours: Installation, console: Console) -> list[Row]:
    """What sidecar and store spend, and what of it they spend for an environment that says nothing."""
    ours.create(NAME)
    identifier = ours.status(NAME)["identifier"]
    target = ours.settings.paths.run / identifier / "metrics.sock"
    status = ours.settings.paths.run / identifier / "sidecar.status.json"
    sidecar = ours.sidecar(NAME)
    store = psutil.Process(json.loads((ours.settings.paths.run / "log-store.pid").read_text())["pid"])
    watched = (sidecar, store)
    _say(target, seconds=PARSED_EVERY)  # what is new costs more than what is known
    with _watching(watched) as used:
        _say(target, seconds=SECONDS)
    wait_for(lambda: json.loads(status.read_text())["metrics"]["behind_since"] is None)
    dropped = json.loads(status.read_text())["metrics"]["dropped"]
    assert dropped == 0, f"{dropped} metrics were dropped"
    with _watching(watched) as idle:
        time.sleep(SECONDS)
    ours.delete(NAME)
    for name, busy, quiet in zip(("sidecar", "store"), used, idle, strict=True):
        console.print(f"  {name}: {busy:.2f} % with the metrics of {DAGS} DAGs, {quiet:.2f} % without")
    what = f"metrics of {DAGS:,} DAGs: CPU of sidecar and store, share of a core"
    return [Row(what=what, ours=sum(used) - sum(idle), stock=None, unit="%", bar=2.0)]


@contextmanager
def _watching(processes: tuple[psutil.Process, ...]) -> Iterator[list[float]]:
    """The share of a core that each takes, in per cent, once the block has ended."""
    found: list[float] = []
    before, began = [spent(each) for each in processes], time.monotonic()
    yield found
    took = time.monotonic() - began
    found += [100 * (spent(each) - then) / took for each, then in zip(processes, before, strict=True)]


def _say(target: Path, *, seconds: int) -> None:
    """Send what Airflow's processes send: each file that was parsed, each run and its task, and all the files' ages."""
    began = time.monotonic()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sending:
        for second in range(seconds):
            time.sleep(max(0.0, began + second - time.monotonic()))
            lines = list(_lines(second))
            for first in range(0, len(lines), OF_A_PACKET):
                sending.sendto("\n".join(lines[first : first + OF_A_PACKET]).encode(), str(target))


def _lines(second: int) -> Iterator[str]:
    for number in range(second % PARSED_EVERY, DAGS, PARSED_EVERY):
        took = random.uniform(20, 400)  # noqa: S311 - no secret
        yield f"airflow.dag_processing.last_duration,file_name=dag_{number}:{took:.3f}|ms"
    if second % PARSED_EVERY == 0:
        for number in range(DAGS):
            yield f"airflow.dag_processing.last_run.seconds_ago,file_name=dag_{number}:{number % PARSED_EVERY}|g"
        yield from ("airflow.dagbag_size:1000|g", "airflow.dag_processing.import_errors:0|g")
    dag = f"dag_id=dag_{second % DAGS}"
    task = f"{dag},task_id=only"
    yield f"airflow.dagrun.schedule_delay,{dag}:80.1|ms"
    yield f"airflow.dagrun.first_task_scheduling_delay,{dag}:90.2|ms"
    yield f"airflow.task.scheduled_duration,{task}:110.3|ms"
    yield f"airflow.task.queued_duration,{task}:120.4|ms"
    yield f"airflow.ti.start,{task}:1|c"
    yield f"airflow.task.duration,{task}:1800.5|ms"
    yield f"airflow.ti.finish,{task},state=success:1|c"
    yield f"airflow.dagrun.dependency-check,{dag}:5.6|ms"
    yield f"airflow.dagrun.duration.success,{dag}:2500.7|ms"
    yield f"airflow.scheduler.scheduler_loop_duration:{random.uniform(20, 60):.3f}|ms"  # noqa: S311 - no secret
    yield "airflow.scheduler_heartbeat:1|c"


def _week(ours: Installation, console: Console) -> list[Row]:
    """A store of its own that has a week of points: it is sent the last hour of it, then asked for a day."""
    folder = ours.folder / "metric-store"
    folder.mkdir(mode=0o700)
    end = datetime.now(UTC).replace(second=0, microsecond=0)
    moments = [int((end - timedelta(minutes=number)).timestamp()) for number in range(DAYS * 24 * 60, 0, -1)]
    filled = _filled(folder / FILE, moments[:-MINUTES])
    store = launch.describe(
        folder,
        socket=folder / "s",
        region=ours.settings.region,
        account_id=ours.settings.account_id,
        most_bytes=2**30,
        longest_days=30,
        most_metrics_bytes=2**32,
        sns=folder / "none",
    )
    with subprocess.Popen(store.argv, env=store.env, cwd=store.cwd) as process:
        try:
            wait_for(lambda: launch.answers(store))
            held = psutil.Process(process.pid)
            before, spent_before = pss([held]), spent(held)
            sent = _sent(store.socket, moments[-MINUTES:])
            took = spent(held) - spent_before
            answered = _asked_for_a_day(store.socket)
            after, peak = pss([held]), _peak(process.pid)
        finally:
            process.terminate()
    size = sum(path.stat().st_size for path in folder.glob(f"{FILE}*")) / 2**20
    known = len(moments[:-MINUTES]) * ENVIRONMENTS * METRICS
    console.print(
        f"  {known} points written in {1e6 * filled / known:.1f} µs of CPU each, "
        f"{sent} sent in {1e6 * took / sent:.1f}; "
        f"{size:.0f} MiB on disk; {before:.0f} MB of memory before they were sent, {after:.0f} MB after, at most "
        f"{peak:.0f} MB; a day of {METRICS} metrics in {answered:.2f} s"
    )
    what = f"memory of the store with a week of {METRICS} metrics a minute in {ENVIRONMENTS} environments, at most"
    return [Row(what=what, ours=peak, stock=None, unit="MB", bar=None)]


def _filled(path: Path, moments: Sequence[int]) -> float:
    """Write points as the store itself does, span by span: taken, and moved when it is time; seconds of CPU.

    To send millions of points takes much longer, and leaves the same points in the file.
    """
    began = time.process_time()
    with closing(MetricCatalogue(path)) as catalogue:
        for _, span in itertools.groupby(moments, lambda moment: periods.aligned(moment, SPANS[MINUTE])):
            minutes = list(span)
            for environment in range(ENVIRONMENTS):
                dimensions = tuple(sorted((each["Name"], each["Value"]) for each in _dimensions(environment)))
                catalogue.add(
                    [
                        Datum(
                            Metric(NAMESPACE, f"Metric{metric}", dimensions),
                            UNIT,
                            moment,
                            points.of({_value(moment, metric): 1.0}),
                        )
                        for metric in range(METRICS)
                        for moment in minutes
                    ],
                    CALLER,
                )
            due = min(minutes[-1] + MINUTE, periods.rolled_before(time.time()))
            while catalogue.roll(due):
                pass
    return time.process_time() - began


def _sent(target: Path, moments: Sequence[int]) -> int:
    """Send points, the oldest first, as many at once as the store takes; how many there were."""
    data = [
        {
            "MetricName": f"Metric{metric}",
            "Dimensions": _dimensions(environment),
            "Timestamp": moment,
            "Values": [_value(moment, metric)],
            "Counts": [1],
            "Unit": UNIT,
        }
        for moment in moments
        for environment, metric in itertools.product(range(ENVIRONMENTS), range(METRICS))
    ]
    with closing(UnixHttpConnection(str(target), timeout=60)) as connection:
        for first in range(0, len(data), BATCH):
            _call(connection, "PutMetricData", {"Namespace": NAMESPACE, "MetricData": data[first : first + BATCH]})
    return len(data)


def _value(moment: int, metric: int) -> float:
    return moment // 60 * 7919 % 1009 / 10 + metric


def _asked_for_a_day(target: Path) -> float:
    """Seconds of one GetMetricData, as a page of charts asks it."""
    end = time.time()
    queries = [
        {
            "Id": f"m{metric}",
            "MetricStat": {
                "Metric": {
                    "Namespace": NAMESPACE,
                    "MetricName": f"Metric{metric}",
                    "Dimensions": _dimensions(0),
                },
                "Period": 60,
                "Stat": "Average",
            },
        }
        for metric in range(METRICS)
    ]
    began = time.monotonic()
    connection = UnixHttpConnection(str(target), timeout=60)
    found = _call(
        connection, "GetMetricData", {"StartTime": end - 86_400, "EndTime": end, "MetricDataQueries": queries}
    )
    connection.close()
    points = sum(len(each["Values"]) for each in found["MetricDataResults"])
    assert points > METRICS * 1400 or found.get("NextToken"), points
    return time.monotonic() - began


def _dimensions(environment: int) -> list[dict[str, str]]:
    return [{"Name": "Function", "Value": "Scheduler"}, {"Name": "Environment", "Value": f"env-{environment}"}]


def _call(connection: UnixHttpConnection, operation: str, body: dict[str, Any]) -> dict[str, Any]:
    """Ask the store as the AWS door does, which has verified who asks."""
    headers = {
        "Authorization": f"AWS4-HMAC-SHA256 Credential={CALLER}/20260101/us-east-1/monitoring/aws4_request",
        "Content-Type": "application/x-amz-json-1.0",
        "X-Amz-Target": f"{TARGET}.{operation}",
    }
    connection.request("POST", "/", json.dumps(body), headers)
    answer = connection.getresponse()
    document = answer.read()
    assert answer.status == 200, document
    return dict(json.loads(document or b"{}"))


def _peak(pid: int) -> float:
    """The most memory that a process has had at once (resident), in MB."""
    [line] = [each for each in Path(f"/proc/{pid}/status").read_text().splitlines() if each.startswith("VmHWM:")]
    return int(line.split()[1]) / 1024
