"""UpdateEnvironment on an environment that works: how long it takes, and what stood still meanwhile.

Three changes as a user makes them: another requirements.txt, whose wheel lies in plugins.zip; the same options again,
as a tool that applies its configuration once more does; and requirements that no installation can fulfil.

How long a change takes is measured with nothing else going on. What stands still is measured in a change of its own,
while a DAG of one task is triggered twice a second, and web UI and REST API are asked twenty times a second. Scheduler
and task execution are judged by their work: the longest time in which a run waited and no task was queued, and the
longest in which a task was queued and none began. The scheduler's heartbeats would not do: they come every five
seconds, and Airflow misses them after thirty only. How long a single run waited is printed beside it; that tells of a
full machine too.
"""

from __future__ import annotations

import asyncio
import io
import itertools
import math
import statistics
import time
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from rich.console import Console

from benchmarks import watching
from benchmarks.gateway import signed_in
from benchmarks.ours import Installation, wait_for
from benchmarks.table import Row

NAME = "updates"
REQUIREMENTS = f"{NAME}/requirements.txt"
PLUGINS = f"{NAME}/plugins.zip"
DAGS = f"{NAME}/dags"

ROUNDS = 3
"""Changes of a kind; the median counts."""

EVERY = 0.5
"""Seconds between two runs; what is absent may be so for as much longer than is measured."""

USUAL_SECONDS = 15.0
"""How long runs are triggered before the change, to know what is usual, and again after its last trace is gone."""

PAGE = 100
"""Airflow lists no more at once."""

OPTIONS = {"core.max_map_length": "100", "scheduler.max_tis_per_query": "8"}

TRICKLE = """
from datetime import datetime
from airflow.sdk import DAG, task
with DAG("trickle", start_date=datetime(2024, 1, 1), schedule=None, max_active_runs=1000, max_active_tasks=1000):
    @task
    def only(): ...
    only()
"""


def updates(ours: Installation, console: Console) -> list[Row]:
    """Changed requirements, options that are the same, and a conflict."""
    packages = [f"package_{number}" for number in range(ROUNDS + 2)]
    ours.put_dag("trickle", TRICKLE, DAGS)
    ours.put(PLUGINS, _plugins(packages))
    ours.put(REQUIREMENTS, _requirements(packages[0]))
    ours.create(
        NAME, folder=DAGS, RequirementsS3Path=REQUIREMENTS, PluginsS3Path=PLUGINS, AirflowConfigurationOptions=OPTIONS
    )
    try:
        wait_for(lambda: ours.rest(NAME, "PATCH", "/dags/trickle", {"is_paused": False})[0] == 200)
        changed = [_changed(ours, console, package) for package in packages[1 : ROUNDS + 1]]
        same = [_same(ours, console) for _ in range(ROUNDS)]
        conflict = [_conflict(ours, console, number) for number in range(ROUNDS)]
        watched = asyncio.run(_watched(ours, console, packages[-1]))
    finally:
        ours.delete(NAME)
    return [
        Row(
            what="update: changed requirements → AVAILABLE",
            ours=statistics.median(changed),
            stock=None,
            unit="s",
            bar=8,
        ),
        Row(what="during it, web UI and REST API refused", ours=watched.refused, stock=None, unit="s", bar=0),
        Row(
            what="during it, nothing was scheduled for at most",
            ours=watched.scheduler,
            stock=None,
            unit="s",
            bar=2,
        ),
        Row(
            what="during it, no queued task began for at most",
            ours=watched.workers,
            stock=None,
            unit="s",
            bar=None,
        ),
        Row(what="update: same options again → AVAILABLE", ours=statistics.median(same), stock=None, unit="s", bar=5),
        Row(
            what="update: conflicting requirements → told",
            ours=statistics.median(conflict),
            stock=None,
            unit="s",
            bar=10,
        ),
    ]


@dataclass(frozen=True)
class _Watched:
    """Seconds in which something stood still."""

    refused: float
    scheduler: float
    workers: float


@dataclass(frozen=True)
class Wait:
    """From one moment to another, in seconds since the epoch."""

    began: float
    ended: float

    @property
    def seconds(self) -> float:
        return self.ended - self.began


def standstill(waits: Sequence[Wait]) -> float:
    """The longest time in which somebody waited and nobody's wait ended."""
    longest, waiting_since = 0.0, math.inf
    last_first = sorted(waits, key=lambda wait: wait.ended, reverse=True)
    for wait, before in itertools.zip_longest(last_first, last_first[1:]):
        waiting_since = min(waiting_since, wait.began)
        longest = max(longest, wait.ended - max(waiting_since, before.ended if before else -math.inf))
    return longest


def _changed(ours: Installation, console: Console, package: str) -> float:
    """Seconds of an update to a requirements file that names another package."""
    version = ours.put(REQUIREMENTS, _requirements(package))
    seconds = ours.update(NAME, RequirementsS3ObjectVersion=version)
    console.print(f"  changed requirements: {seconds:.2f} s ({ours.phases(NAME)})")
    _settle(ours)
    return seconds


def _same(ours: Installation, console: Console) -> float:
    """Seconds of an update to the options that there are."""
    seconds = ours.update(NAME, AirflowConfigurationOptions=OPTIONS)
    console.print(f"  same options: {seconds:.2f} s ({ours.phases(NAME)})")
    _settle(ours)
    return seconds


def _conflict(ours: Installation, console: Console, number: int) -> float:
    """Seconds until GetEnvironment has the error of an update that cannot be."""
    content = _requirements("conflicting") + f"# {number}\n".encode()
    started = time.monotonic()
    ours.mwaa.update_environment(Name=NAME, RequirementsS3ObjectVersion=ours.put(REQUIREMENTS, content))
    error: Any = wait_for(lambda: ours.get(NAME)["LastUpdate"].get("Error"))
    told = time.monotonic() - started
    wait_for(lambda: ours.get(NAME)["Status"] == "UPDATE_FAILED")
    seconds = time.monotonic() - started
    assert error["ErrorCode"] == "REQUIREMENTS_CONFLICT", error
    console.print(f"  conflict: told after {told:.2f} s, UPDATE_FAILED after {seconds:.2f} s ({ours.phases(NAME)})")
    _settle(ours)
    return told


def _settle(ours: Installation) -> None:
    """Wait until the units that were replaced are gone."""
    wait_for(lambda: not ours.status(NAME)["other_cells"])


async def _watched(ours: Installation, console: Console, package: str) -> _Watched:
    """What stood still while the requirements were changed, until the last unit of before is gone."""
    async with signed_in(ours, NAME) as page:
        ui, rest = watching.Probe(page), watching.rest(ours, NAME)
        async with watching.alongside(ui.run, rest.run, lambda: _trickle(ours)):
            await asyncio.sleep(USUAL_SECONDS)
            began = time.time()
            await asyncio.to_thread(_changed, ours, console, package)
            await asyncio.sleep(USUAL_SECONDS)
    for name, probe in (("web UI", ui), ("REST API", rest)):
        console.print(
            f"  {name}: asked {probe.asked} times, refused for {probe.refused:.2f} s {probe.refusal}, "
            f"longest answer {probe.longest:.2f} s"
        )
    scheduler, workers = _waits(ours)
    return _Watched(
        refused=max(ui.refused, rest.refused),
        scheduler=_stood(console, "scheduler", scheduler, began),
        workers=_stood(console, "workers", workers, began),
    )


def _stood(console: Console, what: str, waits: Sequence[Wait], began: float) -> float:
    """The standstill since the change began."""
    before = [wait for wait in waits if wait.ended < began]
    since = [wait for wait in waits if wait.ended >= began]
    for when, some in (("before", before), ("since", since)):
        seconds = [wait.seconds for wait in some]
        console.print(
            f"  {what} {when} the change: stood still for {standstill(some):.2f} s; "
            f"{len(some)} waits, median {statistics.median(seconds):.2f} s, longest {max(seconds):.2f} s"
        )
    return standstill(since)


async def _trickle(ours: Installation) -> None:
    """Trigger runs without end."""
    while True:
        await asyncio.gather(asyncio.to_thread(_trigger, ours), asyncio.sleep(EVERY))


def _trigger(ours: Installation) -> None:
    status, run = ours.rest(NAME, "POST", "/dags/trickle/dagRuns", {"logical_date": None})
    assert status == 200, run


def _waits(ours: Installation) -> tuple[list[Wait], list[Wait]]:
    """Of every run: until its only task was queued, and from there until that ran. None may have failed."""
    unfinished = "/dags/trickle/dagRuns?state=queued&state=running"
    wait_for(lambda: not ours.rest(NAME, "GET", unfinished)[1]["total_entries"])
    found: list[Any] = []
    total = 1
    while len(found) < total:
        path = f"/dags/trickle/dagRuns/~/taskInstances?order_by=id&limit={PAGE}&offset={len(found)}"
        page = ours.rest(NAME, "GET", path)[1]
        found, total = [*found, *page["task_instances"]], page["total_entries"]
    assert {(each["state"], each["try_number"]) for each in found} == {("success", 1)}
    return (
        [Wait(_moment(each["run_after"]), _moment(each["queued_when"])) for each in found],
        [Wait(_moment(each["queued_when"]), _moment(each["start_date"])) for each in found],
    )


def _moment(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def _requirements(package: str) -> bytes:
    return f"--find-links /usr/local/airflow/plugins\n--no-index\n{package}==1.0\n".encode()


def _plugins(packages: Sequence[str]) -> bytes:
    """A plugins.zip of wheels; one of them, `conflicting`, agrees with no Airflow."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name in packages:
            archive.writestr(f"{name}-1.0-py3-none-any.whl", _wheel(name))
        archive.writestr("conflicting-1.0-py3-none-any.whl", _wheel("conflicting", needs="requests<1"))
    return packed.getvalue()


def _wheel(name: str, needs: str = "") -> bytes:
    """A wheel of one module."""
    info, packed = f"{name}-1.0.dist-info", io.BytesIO()
    required = f"Requires-Dist: {needs}\n" if needs else ""
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr(f"{name}.py", "")
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n{required}")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", f"{name}.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n")
    return packed.getvalue()
