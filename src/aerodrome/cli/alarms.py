"""`aerodrome alarms`: the alarms that MWAA recommends, put for an environment, shown, deleted."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.text import Text

from aerodrome.cli import operator_client, recommended_alarms
from aerodrome.cli.console import AsJson, out, print_json, told
from aerodrome.cli.recommended_alarms import ALARMS
from aerodrome.cli.rendering import Rows
from aerodrome.errors import CallerError

STYLES = {"ALARM": "red", "OK": "green"}

ALARMED = 3
"""The exit code when one of them is in ALARM; as of `aerodrome why`."""


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command(
        epilog="Examples:  aerodrome alarms my-env --put --topic arn:aws:sns:us-east-1:000000000000:mine   "
        "|   aerodrome alarms my-env   |   aerodrome alarms my-env --delete"
    )(alarms)


def alarms(
    environment: Annotated[str, typer.Argument(help="The environment's name.")],
    *,
    put: Annotated[bool, typer.Option("--put", help="Put the ten alarms, or put them anew.")] = False,
    topic: Annotated[str | None, typer.Option(help="With --put: the ARN of the SNS topic that is told.")] = None,
    delete: Annotated[bool, typer.Option("--delete", help="Delete them.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show the alarms that MWAA recommends for an environment. Exit code 3: one of them is in ALARM."""
    from aerodrome.cli import aws_clients  # noqa: PLC0415 - boto3 takes its time to import

    with told() as settings:
        if (put and delete) or (topic and not put):
            raise CallerError("Give --put (with --topic, if an SNS topic is to be told) or --delete.")
        port = operator_client.port(settings)
        client = aws_clients.client(settings, port, "cloudwatch")
        with aws_clients.told():
            aws_clients.client(settings, port, "mwaa").get_environment(Name=environment)
            if put:
                for each in ALARMS:
                    client.put_metric_alarm(**recommended_alarms.request(environment, each, topic))
            names = [recommended_alarms.name_of(environment, each) for each in ALARMS]
            found = client.describe_alarms(AlarmNames=names)["MetricAlarms"]
            if delete and found:
                client.delete_alarms(AlarmNames=[each["AlarmName"] for each in found])
                found = []
    _show(environment, found, as_json=as_json)
    if any(each["StateValue"] == "ALARM" for each in found):
        raise typer.Exit(ALARMED)


def _show(environment: str, found: list[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        keys = {"name": "AlarmName", "state": "StateValue", "reason": "StateReason", "says": "AlarmDescription"}
        print_json([{key: each.get(member) for key, member in keys.items()} for each in found])
        return
    if not found:
        out.print(f"{environment} has none of the recommended alarms: aerodrome alarms {environment} --put makes them.")
        return
    table = Rows("alarm", "state", "means")
    for each in found:
        state = each["StateValue"]
        table.add(each["AlarmName"], Text(state, STYLES.get(state, "yellow")), each.get("AlarmDescription", ""))
    out.print(table)
