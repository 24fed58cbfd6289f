"""How soon another level of LoggingConfiguration counts, while a task logs lines of two levels without a pause."""

from __future__ import annotations

import time
from typing import Any

from rich.console import Console

from benchmarks import chains
from benchmarks.ours import Installation, wait_for
from benchmarks.table import Row

NAME = "levels"
GROUP = f"airflow-{NAME}-Task"

EVERY = 0.1
"""Seconds from one line of each level to the next."""

QUIET = 5.0
"""Seconds without a line of the lower level, while those of the higher one come in, after which none will come."""

TICKING = """
import logging
import time
from datetime import datetime
try:
    from airflow.sdk import DAG, task
except ImportError:
    from airflow import DAG
    from airflow.decorators import task
with DAG("ticking", start_date=datetime(2024, 1, 1), schedule=None):
    @task
    def tick():
        log = logging.getLogger("airflow.task")
        for number in range(6000):
            log.info("information %d", number)
            log.error("a fault %d", number)
            time.sleep({every})
    tick()
"""


def log_levels(ours: Installation, client: Any, console: Console) -> list[Row]:
    """Seconds from the answer of UpdateEnvironment until the environment's lines are those of the new level."""
    ours.create(NAME, LoggingConfiguration=_of("INFO"))
    ours.put_dag("ticking", TICKING.format(every=EVERY))
    chains.begin(lambda *call: ours.rest(NAME, *call), "ticking")
    wait_for(lambda: _last(client, "information", 0), every=0.5)
    units = _units(ours)
    quieter = _until_quieter(client, _answered(ours, "ERROR"))
    louder = _until_louder(client, _answered(ours, "INFO"))
    assert _units(ours) == units, "a unit was replaced"
    ours.delete(NAME)
    console.print(f"  INFO to ERROR: {quieter:.2f} s, ERROR to INFO: {louder:.2f} s")
    what = "another log level → lines of that level, the slower of both directions"
    return [Row(what=what, ours=max(quieter, louder), stock=None, unit="s", bar=5.0)]


def _of(level: str) -> dict[str, Any]:
    return {"TaskLogs": {"Enabled": True, "LogLevel": level}}


def _units(ours: Installation) -> dict[str, int]:
    """The process of each unit of Airflow's; the sidecar is none."""
    return {each["name"]: each["pid"] for each in ours.status(NAME)["units"] if each["name"] != "sidecar"}


def _answered(ours: Installation, level: str) -> float:
    """Ask for another level; when that was answered, in seconds since 1970."""
    ours.mwaa.update_environment(Name=NAME, LoggingConfiguration=_of(level))
    return time.time()


def _until_quieter(client: Any, answered: float) -> float:
    """Until the last line of the lower level was logged."""

    def ended() -> Any:
        fault = _last(client, "a fault", answered)
        information = _last(client, "information", answered) or answered
        return fault is not None and fault - information > QUIET and information

    return float(wait_for(ended, every=0.5)) - answered


def _until_louder(client: Any, answered: float) -> float:
    """Until somebody can read a line of the lower level that was logged since."""
    wait_for(lambda: _last(client, "information", answered))
    return time.time() - answered


def _last(client: Any, words: str, since: float) -> float | None:
    """When the last line with these words was logged, in seconds since 1970; None: there is none."""
    pages = client.get_paginator("filter_log_events").paginate(
        logGroupName=GROUP, startTime=int(since * 1000), filterPattern=f'"{words}"'
    )
    return max((event["timestamp"] / 1000 for page in pages for event in page["events"]), default=None)
