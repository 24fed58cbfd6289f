"""`aerodrome why`: what is wrong with an environment now, and what mends it."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import Annotated, Any

import typer

from aerodrome import clock
from aerodrome.backends.local import paths
from aerodrome.cli import operator_client, reasons, rendering
from aerodrome.cli.console import AsJson, out, print_json, told
from aerodrome.cli.reasons import Facts
from aerodrome.errors import AerodromeError, CallerError
from aerodrome.settings import Settings

SOMETHING_IS_WRONG = 3
"""The exit code then; 1 says, as everywhere, that it could not be found out."""

MOST_ASKED = 100
"""Import errors and waiting tasks that Airflow is asked for."""


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command(epilog="Examples:  aerodrome why my-env   |   aerodrome why my-env --json || notify-somebody")(why)


def why(
    environment: Annotated[str, typer.Argument(help="The environment's name.")], *, as_json: AsJson = False
) -> None:
    """Say what is wrong with an environment now, and what mends it. Exit code 0: nothing; 3: something."""
    with told() as settings:
        facts = gather(settings, environment)
        found = reasons.of(facts)
    if as_json:
        print_json({"environment": environment, "reasons": [asdict(reason) for reason in found]})
    elif not found:
        out.print(rendering.clean(reasons.all_well(facts.environment)))
    else:
        for reason in found:
            out.print(rendering.clean(reason.sentence))
            out.print(rendering.clean(f"    {reason.remedy}"))
    if found:
        raise typer.Exit(SOMETHING_IS_WRONG)


def gather(settings: Settings, name: str) -> Facts:
    """What can be found out.

    Raises:
        CallerError: there is no such environment, or Aerodrome does not run.
    """
    status = operator_client.ask(settings, "GET", "/status")
    known = {each["name"]: each for each in status["environments"]}
    if name not in known:
        raise CallerError(f"There is no environment {name}. There are: {', '.join(sorted(known)) or 'none'}.")
    environment = known[name]
    sidecar = _sidecar(settings, name, str(environment.get("identifier", "")))
    facts = Facts(environment=environment, troubles=status["troubles"], sidecar=sidecar, now=clock.now())
    is_asleep = environment["hibernation"]["rest"] not in ("AWAKE", "WAITING")  # a question would wake it
    if is_asleep or environment["status"] != "AVAILABLE" or environment["airflow_version"].startswith("1."):
        return facts  # Airflow 1.10 has no REST API
    return _asked(settings, facts)


def _asked(settings: Settings, facts: Facts) -> Facts:
    """With what Airflow says."""
    from aerodrome.cli import aws_clients  # noqa: PLC0415 - boto3 takes its time to import

    name = facts.environment["name"]
    try:
        with aws_clients.told():
            client = aws_clients.client(settings, operator_client.port(settings), "mwaa")

            def rest(path: str, **query: Any) -> Any:
                asked = {"QueryParameters": query} if query else {}
                return client.invoke_rest_api(Name=name, Method="GET", Path=path, **asked)["RestApiResponse"]

            waiting = [
                task
                for state in ("queued", "scheduled")
                for task in rest("/dags/~/dagRuns/~/taskInstances", state=state, limit=MOST_ASKED)["task_instances"]
            ]
            return replace(
                facts,
                import_errors=rest("/importErrors", limit=MOST_ASKED)["import_errors"],
                waiting=waiting,
                pools=rest("/pools")["pools"],
            )
    except AerodromeError as error:
        return replace(facts, unasked=str(error))


def _sidecar(settings: Settings, name: str, identifier: str) -> dict[str, Any]:
    """The sidecar's status file; empty when it cannot be read."""
    try:
        found = json.loads(paths.of(settings.paths, name, identifier).sidecar_status.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
