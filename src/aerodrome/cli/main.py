"""The command `aerodrome`: its verbs, their options and their words. What they do lies beside and below.

The rooms behind `up`, `down` and `doctor` take a second to import, so those commands import them themselves: `status`
must not wait for them.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Annotated, Any

import typer
from pydantic import ValidationError
from rich.console import Console

from aerodrome.cli import environment_variables, operator, rendering
from aerodrome.errors import AerodromeError
from aerodrome.settings import Settings

app = typer.Typer(
    help="Managed Apache Airflow that you run yourself, behind the Amazon MWAA API.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
database = typer.Typer(help="Databases of your own on the embedded PostgreSQL.", no_args_is_help=True)
app.add_typer(database, name="database")

out = Console()
err = Console(stderr=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for a script.")]


@contextmanager
def told() -> Iterator[Settings]:
    """The settings; every error that has a sentence ends the command with that sentence and exit code 1."""
    try:
        yield Settings()
    except ValidationError as error:
        for problem in error.errors():
            name = "AERODROME_" + "_".join(map(str, problem["loc"])).upper()
            err.print(f"[red]{name}[/red]: {problem['msg']}", highlight=False)
        raise typer.Exit(1) from None
    except AerodromeError as error:
        err.print(f"[red]error:[/red] {error}", highlight=False, soft_wrap=True)
        for line in getattr(error, "tail", ()):
            err.print(f"  {line}", style="dim", markup=False, highlight=False, soft_wrap=True)
        raise typer.Exit(1) from None


def _print_json(document: Any) -> None:
    sys.stdout.write(json.dumps(document, indent=2, default=str) + "\n")


@app.command(epilog="Examples:  aerodrome up   |   aerodrome up --foreground   |   AERODROME_PORT=4600 aerodrome up")
def up(
    *,
    foreground: Annotated[
        bool, typer.Option(help="Stay in front and log to standard error, as in a container.")
    ] = False,
) -> None:
    """Start Aerodrome; returns when the API answers. Running environments are adopted, stopped ones started."""
    from aerodrome import runtime  # noqa: PLC0415 - see above
    from aerodrome.cli import steering  # noqa: PLC0415 - see above

    with told() as settings:
        if foreground:
            runtime.serve(settings)
            return
        with err.status("Starting Aerodrome …"):
            state = steering.up(settings)
        word = "is up already" if state.adopted else "is up"
        out.print(f"Aerodrome {word}: [bold]{state.api}[/bold] (loopback only; signatures are not checked yet)")
        out.print('Next: [bold]eval "$(aerodrome env)"[/bold], then aws mwaa …; aerodrome status shows what runs.')


@app.command(epilog="Examples:  aerodrome down")
def down() -> None:
    """Stop everything in order; data survives, and the next `up` starts every environment again."""
    from aerodrome.cli import steering  # noqa: PLC0415 - see above

    with told() as settings:
        with err.status("Stopping Aerodrome …") as spinner:
            steering.down(settings, report=spinner.update)
        out.print(f"Aerodrome is down. Your data is kept in {settings.paths.data}")


@app.command(epilog="Examples:  aerodrome status   |   aerodrome status --json | jq '.environments[].status'")
def status(*, as_json: AsJson = False) -> None:
    """Show the control plane, its services and every environment: how each is and what it is doing now."""
    with told() as settings:
        document = operator.ask(settings, "GET", "/status")
    if as_json:
        _print_json(document)
        return
    out.print(rendering.status(document))


@app.command(epilog="Examples:  aerodrome events my-env   |   aerodrome events my-env --limit 10 --json")
def events(
    environment: Annotated[str, typer.Argument(help="The environment's name; a deleted one's events are kept.")],
    *,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many of the newest.")] = 100,
    as_json: AsJson = False,
) -> None:
    """Show what happened to an environment, oldest first."""
    with told() as settings:
        found = operator.ask(settings, "GET", f"/environments/{environment}/events?limit={limit}")
    if as_json:
        _print_json(found)
        return
    out.print(rendering.events(found))


@app.command(name="env", epilog='Examples:  eval "$(aerodrome env)"   |   aerodrome env --json')
def environment(*, as_json: AsJson = False) -> None:
    """Print the variables that a client (boto3, the AWS CLI, Terraform) needs."""
    with told() as settings:
        port = operator.ask(settings, "GET", "/status")["port"] if settings.port == 0 else settings.port
        variables = environment_variables.exports(settings, port)
    if as_json:
        _print_json(variables)
        return
    sys.stdout.write(environment_variables.as_shell(variables) + "\n")


@app.command(epilog="Examples:  aerodrome doctor   |   aerodrome doctor --json")
def doctor(*, as_json: AsJson = False) -> None:
    """Check this machine and say the fix for each finding; exit code 1 when something must be fixed."""
    from aerodrome.cli import doctor as examination  # noqa: PLC0415 - see above

    with told() as settings:
        found = examination.judge(examination.gather(settings, running=operator.is_up(settings)))
    if as_json:
        _print_json([asdict(each) for each in found])
    else:
        out.print(rendering.findings(found))
    if any(each.level is examination.Level.FAIL for each in found):
        raise typer.Exit(1)


@app.command(epilog="Examples:  aerodrome purge   |   aerodrome purge --yes")
def purge(*, yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False) -> None:
    """Stop everything and remove all data: every environment, its history, its bucket, its keys."""
    from aerodrome.cli import steering  # noqa: PLC0415 - see above

    with told() as settings:
        data = settings.paths.data
        if not yes:
            typer.confirm(f"Remove everything below {data}?", abort=True)
        with err.status("Stopping Aerodrome …"):
            steering.purge(settings)
        out.print(f"Removed {data}.")


@database.command(name="create", epilog="Examples:  aerodrome database create warehouse --json")
def database_create(
    name: Annotated[str, typer.Argument(help="Letters, digits and underscores.")], *, as_json: AsJson = False
) -> None:
    """Make a database with a role of its own, or show how to reach the one that exists."""
    with told() as settings:
        found = operator.ask(settings, "POST", f"/databases/{name}")
    if as_json:
        _print_json(found)
        return
    for key, value in found.items():
        out.print(f"{key:10} {value}", highlight=False, soft_wrap=True)


if __name__ == "__main__":
    app()
