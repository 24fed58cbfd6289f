"""The measures: each runs both sides and returns rows. Bars are those that the project set itself."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable
from functools import partial

import psutil
from rich.console import Console

from benchmarks import chains, stock
from benchmarks.consumption import pss, spent
from benchmarks.door import door
from benchmarks.gateway import gateway
from benchmarks.hibernation import hibernation
from benchmarks.logs import logs
from benchmarks.metrics import metrics
from benchmarks.ours import Installation, wait_for
from benchmarks.scaling import scaling
from benchmarks.signatures import signatures
from benchmarks.starvation import starvation
from benchmarks.table import Row
from benchmarks.updates import updates
from benchmarks.upgrade import upgrade
from benchmarks.walls import walls

ROUNDS = 3
"""Creations and standalone starts; the median counts."""

PUTS = 10
"""DAG files put to be seen."""

IDLE_SECONDS = 60.0
"""How long idle processes are watched."""

SETTLE_SECONDS = 20.0
"""Before an idle environment is measured: its start-up work is over by then."""

ONE_TASK = """
from datetime import datetime
from airflow.sdk import DAG, task
with DAG("{name}", start_date=datetime(2024, 1, 1), schedule=None):
    @task
    def only(): ...
    only()
"""


def create(ours: Installation, console: Console) -> list[Row]:
    """Create → AVAILABLE, against `airflow standalone` → healthy: seconds, and seconds of processors."""
    mine, theirs, spent_mine, spent_theirs = [], [], [], []
    for number in range(ROUNDS):
        name = f"create-{number}"
        before = {each: spent(each) for each in ours.services()}
        mine.append(ours.create(name))
        after = {each: spent(each) for each in {*ours.services(), *ours.processes(name)}}
        spent_mine.append(sum(seconds - before.get(each, 0.0) for each, seconds in after.items()))
        ours.delete(name)
        seconds, processors = stock.standalone(ours)
        theirs.append(seconds)
        spent_theirs.append(processors)
        console.print(f"  {mine[-1]:.2f} s against {theirs[-1]:.2f} s")
        console.print(f"  of processors: {spent_mine[-1]:.2f} s against {spent_theirs[-1]:.2f} s")
    what = "create → AVAILABLE (version installed) / standalone → healthy"
    return [
        Row(what=what, ours=statistics.median(mine), stock=statistics.median(theirs), unit="s", bar=0.25),
        Row(
            what="seconds of processors for it",
            ours=statistics.median(spent_mine),
            stock=statistics.median(spent_theirs),
            unit="s",
            bar=0.25,
        ),
    ]


def visible(ours: Installation, console: Console) -> list[Row]:
    """A DAG object put → listed by Airflow's REST API."""
    ours.create("visible")
    ours.put_dag("warm_up", ONE_TASK.format(name="warm_up"))
    wait_for(partial(_is_listed, ours, "warm_up"))
    seconds = []
    for number in range(PUTS):
        name = f"dag_{number}"
        started = time.monotonic()
        ours.put_dag(name, ONE_TASK.format(name=name))
        wait_for(partial(_is_listed, ours, name))
        seconds.append(time.monotonic() - started)
    console.print("  " + ", ".join(f"{each:.2f}" for each in seconds))
    ours.delete("visible")
    return [
        Row(
            what="DAG put in the bucket → listed, median",
            ours=statistics.median(seconds),
            stock=None,
            unit="s",
            bar=0.6,
        )
    ]


def running(ours: Installation, console: Console) -> list[Row]:
    """An idle environment's memory and CPU and a chain of trivial tasks, against the same roles started separately."""
    dag = chains.A_CHAIN.format(length=chains.LENGTH)
    # There before it starts: stock looks for new files every five minutes, and that wait is no part of this measure.
    with stock.Separate(ours, {"chain": dag}) as theirs:
        time.sleep(SETTLE_SECONDS)
        memory_theirs = pss(theirs.processes())
        idle_theirs = _cpu_share(theirs.processes)
        chain_theirs = chains.run(theirs.rest)
    console.print(f"  stock: {memory_theirs:.0f} MB, {idle_theirs:.1f} % idle, chain {chain_theirs:.1f} s")
    ours.create("running")
    time.sleep(SETTLE_SECONDS)
    memory_ours = pss(ours.processes("running"))
    idle_ours = _cpu_share(lambda: ours.processes("running"))
    ours.put_dag("chain", dag)
    chain_ours = chains.run(lambda *call: ours.rest("running", *call))
    ours.delete("running")
    return [
        Row(what=f"chain of {chains.LENGTH} trivial tasks", ours=chain_ours, stock=chain_theirs, unit="s", bar=0.25),
        Row(what="idle CPU, share of a core", ours=idle_ours, stock=idle_theirs, unit="%", bar=1.2),
        Row(what="idle memory (summed PSS), one worker", ours=memory_ours, stock=memory_theirs, unit="MB", bar=0.5),
    ]


ALL: dict[str, Callable[[Installation, Console], list[Row]]] = {
    "create": create,
    "visible": visible,
    "running": running,
    "scaling": scaling,
    "gateway": gateway,
    "signatures": signatures,
    "door": door,
    "hibernation": hibernation,
    "starvation": starvation,
    "walls": walls,
    "updates": updates,
    "upgrade": upgrade,
    "logs": logs,
    "metrics": metrics,
}


def _is_listed(ours: Installation, name: str) -> bool:
    return ours.rest("visible", "GET", f"/dags/{name}")[0] == 200


def _cpu_share(processes: Callable[[], Iterable[psutil.Process]]) -> float:
    """CPU time of all processes over a while, children that ended in it included, in per cent of one core."""
    before = {each: spent(each) for each in processes()}
    started = time.monotonic()
    time.sleep(IDLE_SECONDS)
    after = {each: spent(each) for each in processes()}
    used = sum(seconds - before.get(each, 0.0) for each, seconds in after.items())
    return 100 * used / (time.monotonic() - started)
