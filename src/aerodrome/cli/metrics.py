"""`aerodrome metrics`: what CloudWatch has of an environment, a line for each metric with its course."""

from __future__ import annotations

from typing import Annotated

import typer

from aerodrome import clock
from aerodrome.cli import events_query, metrics_query, operator_client, rendering
from aerodrome.cli.console import AsJson, out, print_json, told
from aerodrome.cli.metrics_query import Shown
from aerodrome.cli.rendering import Rows


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command(
        epilog="Examples:  aerodrome metrics my-env   |   aerodrome metrics my-env --name QueuedTasks --since 1d   "
        "|   aerodrome metrics --json"
    )(metrics)


def metrics(
    environment: Annotated[str | None, typer.Argument(help="The environment's name; without it all.")] = None,
    *,
    name: Annotated[str | None, typer.Option(help="Only the metric of this name, such as QueuedTasks.")] = None,
    since: Annotated[str, typer.Option(help="Only what is younger: 30m, 1h, 7d, or an ISO 8601 time.")] = "1h",
    as_json: AsJson = False,
) -> None:
    """Show what is measured of environments: the last value, sum or mean, and the course over the time."""
    from aerodrome.cli import aws_clients  # noqa: PLC0415 - boto3 takes its time to import

    with told() as settings:
        now = clock.now()
        start = events_query.since(since, now)
        length = metrics_query.period((now - start).total_seconds())
        asked = metrics_query.queries(environment, name, length)
        first = metrics_query.first(start, length)
        client = aws_clients.client(settings, operator_client.port(settings), "cloudwatch")
        with aws_clients.told():
            pages = client.get_paginator("get_metric_data").paginate(
                MetricDataQueries=asked, StartTime=first, EndTime=now, ScanBy="TimestampAscending"
            )
            found = metrics_query.shown([each for page in pages for each in page["MetricDataResults"]])
    if as_json:
        print_json([each.document() for each in found])
        return
    if not found:
        out.print("Nothing was measured in that time.")
        return
    table = Rows("metric", "of", "last", "sum or mean", "course")
    for each in found:
        course = metrics_query.sparkline(each.points, start.timestamp(), now.timestamp(), length)
        values = (metrics_query.number(each.last), metrics_query.number(each.total))
        table.add(*map(rendering.clean, (each.name, _of(each, environment), *values, course)))
    out.print(table)


def _of(found: Shown, environment: str | None) -> str:
    """The dimensions; DAG code has chosen some of their values."""
    return ", ".join(
        value if name in {"Environment", "Function"} else f"{name} {value}"
        for name, value in found.dimensions.items()
        if name != "Environment" or environment is None
    )
