"""`aerodrome check`: build and try a release from a local folder, as an environment would, without any environment.

For CI: it says what UpdateEnvironment would say, before anything is uploaded. `main` registers it; `check_run` does it.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from aerodrome import errors
from aerodrome.cli.console import AsJson, err, out, print_json, refuse
from aerodrome.settings import Settings


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command(
        epilog="Examples:  aerodrome check   |   aerodrome check mwaa --airflow-version 2.11.2 --json   |   "
        "AIRFLOW_VAR_bucket=dev aerodrome check --plugins build/plugins.zip"
    )(check)


def check(
    folder: Annotated[Path, typer.Argument(help="Where the files are looked for.", show_default=False)] = Path(),
    *,
    also_folder: Annotated[Path | None, typer.Option("--folder", help="The same as the argument.")] = None,
    airflow_version: Annotated[str | None, typer.Option(help="The Airflow version; the newest without it.")] = None,
    requirements: Annotated[Path | None, typer.Option(help="requirements.txt, if there is one.")] = None,
    plugins: Annotated[Path | None, typer.Option(help="plugins.zip, or a folder of plugins.")] = None,
    startup: Annotated[Path | None, typer.Option(help="startup.sh, if there is one.")] = None,
    dags: Annotated[Path | None, typer.Option(help="The folder of DAGs, dags.")] = None,
    env: Annotated[
        list[str] | None,
        typer.Option(help="A variable for the startup script and the DAGs: NAME=value, or NAME for your own."),
    ] = None,
    options: Annotated[
        list[str] | None, typer.Option("--set", metavar="SECTION.KEY=VALUE", help="An Airflow configuration option.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Try a folder's requirements, plugins, startup script and DAGs on an Airflow version; exit code 1 if any fails."""
    from aerodrome.cli import check_run  # noqa: PLC0415 - the rooms behind it take their time to import

    console = err if as_json else out
    try:
        wanted = check_run.gather(
            also_folder or folder, version=airflow_version,
            requirements=requirements, plugins=plugins, startup=startup, dags=dags, env=env or (),
            options=options or (),
        )  # fmt: skip
    except errors.CallerError as error:
        refuse(error)
        found = check_run.Checked(airflow_version or "", errors=[check_run.document(error)])
    else:
        with console.status(f"Checking on Airflow {wanted.version} …") as spinner:
            found = check_run.CheckRun(wanted, Settings(), console, spinner).run()
        if not as_json:
            console.print(check_run.summary(found))
    if as_json:
        print_json(asdict(found))
    if not found.ok:
        raise typer.Exit(1)
