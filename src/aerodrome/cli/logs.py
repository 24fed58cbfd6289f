"""`aerodrome logs`: what an environment's Airflow says, out of CloudWatch Logs."""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from aerodrome import clock
from aerodrome.cli import events_query, logs_query, operator_client
from aerodrome.cli.console import AsJson, err, told
from aerodrome.cli.logs_query import Event, Wanted
from aerodrome.settings import EMBEDDED


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command(
        epilog="Examples:  aerodrome logs --follow   |   aerodrome logs my-env --dag sales --try 2   "
        "|   aerodrome logs my-env --category scheduler --since 1d --grep ERROR --json"
    )(logs)


def logs(
    environment: Annotated[str | None, typer.Argument(help="The environment's name; without it all of them.")] = None,
    *,
    category: Annotated[
        str | None, typer.Option(help="dag-processing, scheduler, task, webserver or worker; without it all.")
    ] = None,
    dag: Annotated[str | None, typer.Option(help="Only tasks of this DAG.")] = None,
    task: Annotated[str | None, typer.Option(help="Only this task.")] = None,
    run: Annotated[str | None, typer.Option(help="Only this run.")] = None,
    number: Annotated[int | None, typer.Option("--try", min=0, help="Only this try.")] = None,
    since: Annotated[str, typer.Option(help="Only what is younger: 30m, 1h, 7d, or an ISO 8601 time.")] = "1h",
    grep: Annotated[str | None, typer.Option(help="Only what holds this text.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="How many of the newest.")] = 1000,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Wait for what comes, until interrupted.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show what environments' Airflow says, oldest first: from their log groups in CloudWatch Logs."""
    from aerodrome.cli import aws_clients  # noqa: PLC0415 - boto3 takes its time to import

    with told() as settings:
        wanted = Wanted(
            category=category,
            dag=dag,
            task=task,
            run=run,
            number=number,
            since=events_query.since(since, clock.now()),
            grep=grep,
            limit=limit,
        )
        port = operator_client.port(settings)
        with aws_clients.told():
            environments = _environments(aws_clients.client(settings, port, "mwaa"), environment)
        client = aws_clients.client(settings, port, "logs")

        is_shipped = settings.aws_endpoint_url != EMBEDDED or settings.guards_aws

        def missing(group: str) -> None:
            err.print(logs_query.explained(group, is_shipped=is_shipped), style="dim")

        if environment is None:
            environments = [each for each in environments if logs_query.has_any(each, wanted)]
            if not environments:
                err.print("No environment has such logs enabled.", style="dim")
        with suppress(KeyboardInterrupt):
            for events in logs_query.of_all(client, environments, wanted, missing, is_followed=follow):
                _show(events, as_json=as_json, names=environment is None)


def _environments(mwaa: Any, name: str | None) -> list[Any]:
    """The environment of a name, or all."""
    names = (
        [name]
        if name
        else [each for page in mwaa.get_paginator("list_environments").paginate() for each in page["Environments"]]
    )
    return [mwaa.get_environment(Name=each)["Environment"] for each in names]


def _show(events: list[Event], *, as_json: bool, names: bool) -> None:
    """One event after the other, whole and without what a terminal would obey."""
    for event in events:
        sys.stdout.write((json.dumps(event) if as_json else _line(event, names=names)) + "\n")
    sys.stdout.flush()


def _line(event: Event, *, names: bool = False) -> str:
    at = datetime.fromtimestamp(event["timestamp"] / 1000, UTC).isoformat(timespec="milliseconds")
    message = _clean(event["message"], kept="\n\t")
    name = f"{event['environment']} " if names else ""
    return f"{at.removesuffix('+00:00')}Z {name}{_clean(event['stream'])} {message}"


def _clean(text: str, *, kept: str = "") -> str:
    """Without what a terminal would obey: DAG code chooses messages, and names of streams too."""
    return "".join(char if char.isprintable() or char in kept else " " for char in text)
