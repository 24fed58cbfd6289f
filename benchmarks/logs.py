"""What logs cost: to be shipped, to the task that says them, and to be stored and looked through."""

from __future__ import annotations

import asyncio
import secrets
import statistics
import subprocess
import sys
import time
from datetime import timedelta
from functools import partial
from pathlib import Path
from threading import Event, Thread
from typing import Any

import boto3
import psutil
from rich.console import Console

from aerodrome import clock
from aerodrome.emulator import launch
from aerodrome.emulator.own_address import OwnAddress
from aerodrome.identity import credentials_file
from aerodrome.telemetry import keeping, patterns
from aerodrome.telemetry.acceptance import DAY, LogEvent
from aerodrome.telemetry.catalogue import Catalogue
from aerodrome.telemetry.keeping import StoreLimits
from aerodrome.telemetry.pages import Asked
from aerodrome.telemetry.store import Store
from benchmarks import chains, log_shippers, stock
from benchmarks.consumption import families, pss, spent
from benchmarks.log_levels import log_levels
from benchmarks.ours import Installation, wait_for
from benchmarks.table import Row

SHIPPED = 50_000
"""Lines that each side ships."""

SAID = 10_000
"""Lines of the task that says much."""

PACED = 100_000
PACED_SECONDS = 60
"""Lines of the task that goes on saying much, and in how many seconds."""

ROUNDS = 3

STORED = 10_000_000
DAYS = 5
BATCH = 10_000
"""Lines that are looked through, on so many days, and how many come in at once."""

LOUD = """
import logging
from datetime import datetime
from airflow.sdk import DAG, task
with DAG("loud", start_date=datetime(2024, 1, 1), schedule=None):
    @task
    def say():
        log = logging.getLogger("airflow.task")
        for number in range({lines}):
            log.info("processed batch %d of customers in region eu-central-1, 250 rows, 0 rejected", number)
    say()
"""


STEADY = """
import logging
import time
from datetime import datetime
from airflow.sdk import DAG, task
with DAG("steady", start_date=datetime(2024, 1, 1), schedule=None):
    @task
    def say():
        log = logging.getLogger("airflow.task")
        began = time.monotonic()
        for number in range({lines}):
            log.info("processed batch %d of customers in region eu-central-1, 250 rows, 0 rejected", number)
            if number % 100 == 0:
                time.sleep(max(0, began + number * {seconds} / {lines} - time.monotonic()))
    say()
"""


def logs(ours: Installation, console: Console) -> list[Row]:
    """Lines shipped, tasks that say many, another level, and ten million lines in the store."""
    folder = ours.folder / "log-store"
    folder.mkdir(mode=0o700)
    return [
        *_shipped(ours, console),
        *_said(ours, console),
        *log_levels(ours, _client(ours)[0], console),
        *asyncio.run(_stored(folder, console)),
    ]


def _shipped(ours: Installation, console: Console) -> list[Row]:
    client, url, key = _client(ours)
    costs: dict[str, list[tuple[float, float]]] = {"ours": [], "watchtower": []}
    for number in range(ROUNDS):
        for which, seconds in costs.items():
            environment = f"bench-{which}-{number}"
            folder = ours.folder / environment
            folder.mkdir()
            client.create_log_group(logGroupName=f"airflow-{environment}-Task")
            client.create_log_stream(logGroupName=f"airflow-{environment}-Task", logStreamName=log_shippers.STREAM)
            command = [sys.executable, "-m", "benchmarks.log_shippers", which, str(folder), url, *key, environment]
            done = subprocess.run([*command, str(SHIPPED)], check=True, capture_output=True, text=True)
            alone, everything = map(float, done.stdout.split())
            seconds.append((alone, everything))
            _all_arrived(client, f"airflow-{environment}-Task", SHIPPED)
        console.print("  " + ", ".join(f"{which} {seconds[-1]} s" for which, seconds in costs.items()))
    mine, theirs = (
        [1e6 * statistics.median(each) / SHIPPED for each in zip(*seconds, strict=True)] for seconds in costs.values()
    )
    return [
        Row(
            what="CPU to ship a logged line to CloudWatch Logs / the same with watchtower",
            ours=mine[0],
            stock=theirs[0],
            unit="µs",
            bar=1 / 3,
        ),
        Row(what="the same with logging it (ours: to a file)", ours=mine[1], stock=theirs[1], unit="µs", bar=None),
    ]


def _client(ours: Installation) -> tuple[Any, str, tuple[str, str]]:
    """Of CloudWatch Logs at our endpoint; its URL, and the key."""
    settings = ours.settings
    url = OwnAddress(port=launch.choose_port(settings.paths.aws, settings.aws_port)).url
    key = credentials_file.read(settings.paths.credentials)
    client: Any = boto3.client(
        "logs", region_name=settings.region, endpoint_url=url, aws_access_key_id=key[0], aws_secret_access_key=key[1]
    )
    return client, url, key


def _all_arrived(client: Any, group: str, count: int) -> None:
    """So many lines of ours are in the group, as soon as all that was said may be there."""

    def ended() -> Any:
        now = int(time.time())
        query = client.start_query(
            logGroupName=group,
            startTime=now - 3600,
            endTime=now + 3600,
            queryString="filter @message like /processed batch/ | stats count(*) as lines",
        )["queryId"]
        found = wait_for(partial(_complete, client, query))
        lines = int(found[0][0]["value"])
        assert lines <= count, lines
        return lines == count

    wait_for(ended, every=1.0)


def _complete(client: Any, query: str) -> Any:
    """The rows of a query that counts; None: it still runs."""
    found = client.get_query_results(queryId=query)
    return found["results"] or [[{"value": "0"}]] if found["status"] == "Complete" else None


def _said(ours: Installation, console: Console) -> list[Row]:
    dag = LOUD.format(lines=SAID)
    with stock.Separate(ours, {"loud": dag}, name="loud") as theirs:
        stock_seconds = [_duration(theirs.rest) for _ in range(ROUNDS)]
    ours.create("loud", LoggingConfiguration={"TaskLogs": {"Enabled": True, "LogLevel": "INFO"}})
    ours.put_dag("loud", dag)
    our_seconds = [_duration(lambda *call: ours.rest("loud", *call)) for _ in range(ROUNDS)]
    console.print(f"  a task of {SAID} lines: {our_seconds} s against {stock_seconds} s")
    memory = _paced(ours, console)
    ours.delete("loud")
    what = f"a task that logs {SAID:,} lines"
    mine, theirs_ = statistics.median(our_seconds), statistics.median(stock_seconds)
    return [Row(what=what, ours=mine, stock=theirs_, unit="s", bar=1.05), memory]


def _paced(ours: Installation, console: Console) -> Row:
    """The sidecar while a task logs steadily for a minute: the most of some looks at its memory."""
    ours.put_dag("steady", STEADY.format(lines=PACED, seconds=PACED_SECONDS))
    sidecar = ours.sidecar("loud")
    looks, ended = [pss([sidecar])], Event()

    def look() -> None:
        while not ended.wait(1.0):
            looks.append(pss([sidecar]))

    looking = Thread(target=look)
    looking.start()
    try:
        before, began = spent(sidecar), time.monotonic()
        took = _duration(lambda *call: ours.rest("loud", *call), dag="steady")
        _all_arrived(_client(ours)[0], "airflow-loud-Task", ROUNDS * SAID + PACED)
        share = 100 * (spent(sidecar) - before) / (time.monotonic() - began)
    finally:
        ended.set()
        looking.join()
    console.print(
        f"  {PACED} lines in {took:.0f} s: the sidecar has {looks[0]:.0f} MB before and {max(looks):.0f} MB at most, "
        f"and takes {share:.1f} % of a core"
    )
    what = f"sidecar memory at {PACED:,} lines a minute, at most"
    return Row(what=what, ours=max(looks), stock=None, unit="MB", bar=None)


def _duration(rest: chains.Rest, dag: str = "loud") -> float:
    """Seconds of the task, as Airflow recorded them."""
    run = chains.begin(rest, dag)
    path = f"/dags/{dag}/dagRuns/{run}/taskInstances/say"

    def ended() -> Any:
        found = rest("GET", path)[1]
        return found if found and found.get("state") in {"success", "failed"} else None

    found = wait_for(ended, every=0.5)
    assert found["state"] == "success", found
    return float(found["duration"])


async def _stored(folder: Path, console: Console) -> list[Row]:
    """Bytes of a line in the store, and a search through all for what few of them say."""
    noon = clock.now().replace(hour=12, minute=0, second=0, microsecond=0)
    late_by = timedelta()
    limits = StoreLimits(total_bytes=2**40, longest_days=90)
    store = await Store(folder, limits=limits, clock=lambda: noon + late_by).open()
    try:
        await store.ask(Catalogue.create_group, "g", now=store.now, kind="STANDARD", tags={}, is_protected=False)
        await store.ask(Catalogue.create_stream, "g", "s", now=store.now)
        group = await store.ask(Catalogue.group, "g")
        stream = await store.ask(Catalogue.stream, group, "s")
        raw = 0
        for number in range(STORED // BATCH):
            start = store.now - (number % DAYS) * DAY + number
            events = [LogEvent(start, _line(number, each)) for each in range(BATCH)]
            raw += sum(event.size for event in events)
            await store.append(group, stream, events, now=store.now)
            if number % 10 == 0:
                await store.keep_once()
        late_by = timedelta(milliseconds=keeping.FLUSHED_AGE)
        while (await store.keep_once()).writes:
            pass
        parts = await store.ask(Catalogue.parts)
        rows, size = sum(part.rows for part in parts), sum(part.size for part in parts)
        assert rows == STORED, rows
        console.print(f"  {rows} lines of {raw / rows:.0f} bytes in {len(parts)} files of {size / 2**20:.0f} MiB")
        searches = [await _search(store, "disk quota exceeded") for _ in range(ROUNDS + 1)][1:]
        console.print(
            "  searches: " + ", ".join(f"{took:.2f} s ({used:.2f} s of processors)" for took, used in searches)
        )
        seconds, processors = (statistics.median(each) for each in zip(*searches, strict=True))
    finally:
        await store.close()
    return [
        Row(
            what="bytes of a line in the log store / as it came", ours=size / rows, stock=raw / rows, unit="B", bar=None
        ),
        Row(what="a search through 10 million lines", ours=seconds, stock=None, unit="s", bar=2.0),
        Row(what="seconds of processors for it", ours=processors, stock=None, unit="s", bar=None),
    ]


def _line(batch: int, number: int) -> str:
    if batch % 100 == 0 and number == 0:
        return "ERROR - disk quota exceeded on /data"
    return (
        f"[2026-11-30T10:00:{number % 60:02}.{number % 1000:03}+0000] {{orders.py:{number % 300}}} INFO - order "
        f"{secrets.token_hex(4)} of customer {number * 7919 % 100_000} in region eu-central-{number % 3}: "
        f"{number % 97} rows"
    )


async def _search(store: Store, words: str) -> tuple[float, float]:
    """Seconds until all pages of a search have come, and seconds of processors for them."""
    condition = patterns.read(f'"{words}"')
    began, used, found, after = time.perf_counter(), _used(), 0, None
    while True:
        asked = Asked(
            group=1, streams=None, start=0, end=2**53, after=after, limit=10_000, most_bytes=2**20, condition=condition
        )
        page = await store.page(asked, caller="bench")
        found += len(page.rows)
        after = page.resume
        if after is None:
            break
    assert found == -(-STORED // BATCH // 100), found
    return time.perf_counter() - began, _used() - used


def _used() -> float:
    """Seconds of processors of this process and the store's workers."""
    return sum(spent(each) for each in families([psutil.Process()]))
