"""`aerodrome hibernate` and `aerodrome wake`: an environment that costs nothing while nobody needs it."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import quote

import typer

from aerodrome.cli import change_progress, operator_client, rendering
from aerodrome.cli.console import AsJson, err, out, print_json, told
from aerodrome.errors import CallerError

Environment = Annotated[str, typer.Argument(help="The environment's name.")]

AWAKE = "AWAKE"
HIBERNATED = "HIBERNATED"


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command(epilog="Examples:  aerodrome hibernate my-env   |   aerodrome hibernate my-env --wait")(hibernate)
    app.command(epilog="Examples:  aerodrome wake my-env   |   aerodrome wake my-env --json")(wake)


def hibernate(
    environment: Environment,
    *,
    wait: Annotated[
        bool, typer.Option("--wait", help="Let what runs end first, and a change too; without it, that is refused.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Stop every process of an environment and keep everything else; whatever needs it wakes it.

    It wakes for the next run that is due, for a web login, a command, a REST call or an update, and for a DAG object
    that changes in the bucket.
    """
    with told() as settings:
        path = f"{_path(environment)}/hibernate?wait={'true' if wait else 'false'}"
        operator_client.ask(settings, "POST", path)
        found = change_progress.until(settings, environment, err, _has_hibernated)
        slept = found["hibernation"]
        if slept["rest"] == AWAKE:
            why = slept["refusal"] or "something needed it meanwhile: aerodrome events tells what."
            raise CallerError(f"{environment} does not hibernate: {why} Use --wait to hibernate when that is over.")
        if as_json:
            print_json(_document(found))
            return
        detail = found["progress"]["detail"].removeprefix("Hibernated: ")
        out.print(rendering.clean(f"{environment} hibernates: {detail}"), soft_wrap=True)


def wake(environment: Environment, *, as_json: AsJson = False) -> None:
    """Start an environment that hibernates; returns when it is awake."""
    with told() as settings:
        asked = operator_client.ask(settings, "POST", f"{_path(environment)}/wake")
        found = change_progress.until(settings, environment, err, lambda each: each["hibernation"]["rest"] == AWAKE)
        if as_json:
            print_json(_document(found))
            return
        if asked["hibernation"]["rest"] == AWAKE:
            out.print(f"{environment} is awake.")
            return
        took = sum(phase["seconds"] for phase in found["progress"]["phases"])
        out.print(f"{environment} is awake, after {took:.1f} s.")


def _has_hibernated(found: dict[str, Any]) -> bool:
    """Whether the request has come to an end; the sentence about what is due comes a moment after the state."""
    rest = found["hibernation"]["rest"]
    return bool(rest == AWAKE or (rest == HIBERNATED and found["progress"]["phase"] == "hibernated"))


def _document(found: dict[str, Any]) -> dict[str, Any]:
    return {"name": found["name"], "status": found["status"], "hibernation": found["hibernation"]}


def _path(environment: str) -> str:
    return f"/environments/{quote(environment, safe='')}"
