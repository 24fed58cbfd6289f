"""`aerodrome hibernate` and `aerodrome wake`: an environment that costs nothing while nobody needs it."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import quote

import typer

from aerodrome.cli import change_progress, operator_client, rendering
from aerodrome.cli.console import AsJson, err, out, print_json, told
from aerodrome.errors import CallerError
from aerodrome.model import lifecycle

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
        _check(found)
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
        found = change_progress.until(settings, environment, err, _is_awake)
        _check(found)
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
    return bool(
        _is_broken(found) or rest == AWAKE or (rest == HIBERNATED and found["progress"]["phase"] == "hibernated")
    )


def _is_awake(found: dict[str, Any]) -> bool:
    return bool(_is_broken(found) or found["hibernation"]["rest"] == AWAKE)


def _is_broken(found: dict[str, Any]) -> bool:
    """Whether its status is one in which an environment neither sleeps nor serves, nor will after a change."""
    return found["status"] not in lifecycle.SETTLED | lifecycle.CHANGING


def _check(found: dict[str, Any]) -> None:
    """Refuse to call such an environment asleep or awake.

    Raises:
        CallerError: it is one.
    """
    if _is_broken(found):
        name = found["name"]
        raise CallerError(f"{name} is {found['status']}: aerodrome why {name} tells why, and what to do.")


def _document(found: dict[str, Any]) -> dict[str, Any]:
    return {"name": found["name"], "status": found["status"], "hibernation": found["hibernation"]}


def _path(environment: str) -> str:
    return f"/environments/{quote(environment, safe='')}"
