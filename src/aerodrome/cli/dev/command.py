"""The verb `aerodrome dev`: its options and their help. `session` does the work; `main` registers the verb."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from aerodrome import clock
from aerodrome.cli.console import out, refuse, told
from aerodrome.cli.dev.interrupts import interruptible
from aerodrome.cli.dev.output import Mark, Teller
from aerodrome.errors import AerodromeError, CallerError
from aerodrome.settings import EMBEDDED, Settings

INTERRUPTED = 130
"""The exit code of shells after an interrupt."""


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command(
        epilog="Examples:  aerodrome dev   |   aerodrome dev shop --version 2.11.2 --set core.parallelism=8   |   "
        "aerodrome dev --once --run sales --json"
    )(dev)


def dev(
    folder: Annotated[
        Path, typer.Argument(help="The folder with dags, plugins, requirements.txt and startup.sh.", show_default=False)
    ] = Path(),
    *,
    name: Annotated[str | None, typer.Option(help="The environment's name; made of the folder's without it.")] = None,
    version: Annotated[
        str | None, typer.Option(help="The Airflow version; without it the newest, or the one that it has.")
    ] = None,
    options: Annotated[
        list[str] | None,
        typer.Option("--set", help="A configuration option, core.x=y; core.x= takes it away. May be given again."),
    ] = None,
    once: Annotated[
        bool, typer.Option("--once", help="For CI: bring it up, try everything, stop; exit code 1 if anything fails.")
    ] = False,
    runs: Annotated[
        list[str] | None, typer.Option("--run", help="With --once: run this DAG to its end. May be given again.")
    ] = None,
    opens: Annotated[
        bool | None, typer.Option("--open/--no-open", help="Open Airflow in a browser; where there is one, without it.")
    ] = None,
    bucket: Annotated[
        str | None, typer.Option(help="Use this bucket, below a prefix of the environment's name; none is made.")
    ] = None,
    role: Annotated[str | None, typer.Option(help="Use the execution role of this ARN; none is made.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document per line, for a script.")] = False,
) -> None:
    """Run a folder as an environment and follow every change of it: DAGs at once, all else as a tried update."""
    from aerodrome.cli.dev import lifetime, session  # noqa: PLC0415 - the rooms behind it take their time to import

    with told() as settings, interruptible() as hold_off:
        teller = Teller(out, clock.now, as_json=as_json)
        folder = _checked(folder)
        if runs and not once:
            raise CallerError("--run goes with --once: without it, start DAGs in Airflow's UI.")
        _check_owner(settings, bucket, role)
        address = session.address(folder, settings, name=name, bucket=bucket, role=role)
        asked_for = session.DevOptions(
            folder=folder, address=address, named=name is not None, makes_bucket=bucket is None, airflow=version,
            options=read_options(options or ()), once=once, runs=tuple(runs or ()), opens=opens,
        )  # fmt: skip
        code = INTERRUPTED if once else 0
        with (
            lifetime.alone(settings, address.environment, address.mark, folder),
            suppress(KeyboardInterrupt),
            lifetime.running(settings, teller, leaving=hold_off) as port,
        ):
            code = _code(lambda: session.Session(asked_for, settings, port, teller).run(), teller, once=once)
        teller.quiet()
    if code:
        raise typer.Exit(code)


def _code(run: Callable[[], bool], teller: Teller, *, once: bool) -> int:
    """Run a session; its exit code. It reports what ended the session before stopping everything, which takes time."""
    try:
        good = run()
    except AerodromeError as error:
        teller.quiet()
        refuse(error)
        good = False
        if teller.as_json:
            teller.say("error", Mark.BAD, str(error))
    if once:
        words = "This folder works" if good else "This folder does not work"
        teller.say("ended", Mark.GOOD if good else Mark.BAD, words, ok=good)
    return 0 if good else 1


def _checked(folder: Path) -> Path:
    from aerodrome.cli import project_layout  # noqa: PLC0415 - see above

    found = folder.expanduser().resolve()
    if not found.is_dir():
        raise CallerError(f"There is no folder {found}.")
    if project_layout.look(found).is_empty:
        beside = f" Did you mean {found.parent}?" if found.name == "dags" else ""
        raise CallerError(
            f"There is nothing to run in {found}: none of dags, plugins, requirements.txt and startup.sh.{beside}"
        )
    return found


def _check_owner(settings: Settings, bucket: str | None, role: str | None) -> None:
    """Make nothing in somebody else's account unless told to.

    Raises:
        CallerError: a bucket or a role would have to be made at an endpoint that belongs to somebody else.
    """
    if settings.aws_endpoint_url != EMBEDDED and not (bucket and role):
        raise CallerError(
            f"AERODROME_AWS_ENDPOINT_URL is {settings.aws_endpoint_url}, where `aerodrome dev` makes neither buckets "
            "nor roles by itself: name those to use with --bucket and --role."
        )


def read_options(given: Sequence[str]) -> Mapping[str, str | None]:
    """`core.x=y` texts as configuration options; None removes one. Pure.

    Raises:
        CallerError: a text is not of that form.
    """
    found: dict[str, str | None] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or "." not in name.strip():
            raise CallerError(f"--set {text}: write an option as section.name=value, such as core.parallelism=8.")
        found[name.strip()] = value or None
    return found
