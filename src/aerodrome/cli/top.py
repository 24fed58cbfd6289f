"""`aerodrome top`: all environments with their load, again and again."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Annotated, Any

import typer
from rich.live import Live
from rich.text import Text

from aerodrome import clock
from aerodrome.cli import metrics_query, operator_client
from aerodrome.cli.console import AsJson, out, print_json, told
from aerodrome.cli.metrics_query import OF_THE_SERVICE, Shown
from aerodrome.cli.rendering import STATUS_STYLES, Rows
from aerodrome.settings import Settings

EVERY = 5.0
"""Seconds between two looks; what is measured changes each minute."""

LOOKED_BACK = timedelta(minutes=5)
"""What is older than that is not shown: nobody has measured it since."""


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command(epilog="Examples:  aerodrome top   |   aerodrome top --once   |   aerodrome top --json")(top)


def top(
    *,
    once: Annotated[bool, typer.Option("--once", help="Show it once and end.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show all environments: workers, queued and running tasks, the oldest queued, processors and memory."""
    with told() as settings:
        if as_json:
            print_json(looked(settings, clock.now()))
            return
        if once or not out.is_terminal:
            out.print(_table(looked(settings, clock.now())))
            return
        with suppress(KeyboardInterrupt), Live(console=out, auto_refresh=False, screen=False) as live:
            while True:
                live.update(_table(looked(settings, clock.now())), refresh=True)
                time.sleep(EVERY)


def looked(settings: Settings, now: datetime) -> list[dict[str, Any]]:
    """A document for each environment; None where nobody has measured.

    Raises:
        AerodromeError: Aerodrome does not run, or CloudWatch does not answer.
    """
    from aerodrome.cli import aws_clients  # noqa: PLC0415 - boto3 takes its time to import

    known = operator_client.ask(settings, "GET", "/status")["environments"]
    client = aws_clients.client(settings, operator_client.port(settings), "cloudwatch")
    asked = [each for each in metrics_query.queries(None, None, 60) if f'"{OF_THE_SERVICE}"' in each["Expression"]]
    with aws_clients.told():
        pages = client.get_paginator("get_metric_data").paginate(
            MetricDataQueries=asked, StartTime=now - LOOKED_BACK, EndTime=now
        )
        results = [each for page in pages for each in page["MetricDataResults"]]
    found = metrics_query.shown(results, summed=frozenset({"CPUUtilization"}))  # of all workers together
    return [_of(each, [one for one in found if one.dimensions.get("Environment") == each["name"]]) for each in known]


def _of(environment: Mapping[str, Any], found: list[Shown]) -> dict[str, Any]:
    def last(name: str, dimension: str, work: Any = sum) -> float | None:
        values = [each.last for each in found if each.name == name and dimension in each.dimensions]
        return work(values) if values else None

    workers = [unit for unit in environment["units"] if str(unit["name"]).startswith("worker")]
    return {
        "name": environment["name"],
        "status": environment["status"],
        "workers": len(workers),
        "queued": last("QueuedTasks", "Queue"),
        "running": last("RunningTasks", "Queue"),
        "oldest_queued_seconds": last("ApproximateAgeOfOldestTask", "Queue", max),
        "cpu_percent": last("CPUUtilization", "Cluster"),
        "memory_percent": last("MemoryUtilization", "Cluster", max),
    }


def _table(found: list[dict[str, Any]]) -> Rows:
    table = Rows("environment", "status", "workers", "queued", "running", "oldest queued", "CPU %", "memory %")
    for each in found:
        age = each["oldest_queued_seconds"]
        table.add(
            each["name"],
            Text(each["status"], STATUS_STYLES.get(each["status"], "")),
            str(each["workers"]),
            *map(_number, (each["queued"], each["running"])),
            "-" if age is None else str(timedelta(seconds=round(age))),
            *map(_number, (each["cpu_percent"], each["memory_percent"])),
        )
    return table


def _number(value: float | None) -> str:
    return "-" if value is None else metrics_query.number(value)
