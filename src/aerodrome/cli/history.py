"""`aerodrome revisions`, `diff`, `rollback` and `snapshots`: what an environment was, and the ways back."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import quote, urlencode

import typer

from aerodrome.cli import change_progress, operator_client, rendering, revision_diff
from aerodrome.cli.console import AsJson, Yes, err, out, print_json, told
from aerodrome.errors import BrokenError

snapshots = typer.Typer(
    help="Metadata databases as they were before upgrades, with the configuration that belonged to each.",
    invoke_without_command=True,
)

Environment = Annotated[str, typer.Argument(help="The environment's name.")]
Number = Annotated[int, typer.Argument(min=1, help="The snapshot's number, as the list shows it.")]
Forced = Annotated[bool, typer.Option("--forced", help="Stop running tasks instead of waiting for their end (FORCED).")]
Wait = Annotated[bool, typer.Option(help="Return when the change is done, or at once.")]


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command(epilog="Examples:  aerodrome revisions my-env   |   aerodrome revisions my-env --json")(revisions)
    app.command(
        epilog="Examples:  aerodrome diff my-env   |   aerodrome diff my-env 3   |   aerodrome diff my-env 3 5"
    )(diff)
    app.command(epilog="Examples:  aerodrome rollback my-env 3   |   aerodrome rollback my-env 3 --forced --no-wait")(
        rollback
    )
    app.add_typer(snapshots, name="snapshots")


def revisions(environment: Environment, *, as_json: AsJson = False) -> None:
    """List every configuration that an environment had or was to have: when, by whom, and what became of it."""
    with told() as settings:
        found = operator_client.ask(settings, "GET", f"{_path(environment)}/revisions")
    if as_json:
        print_json(found)
        return
    out.print(rendering.revisions(found))


def diff(
    environment: Environment,
    before: Annotated[int | None, typer.Argument(help="A revision; the applied one before `after` without it.")] = None,
    after: Annotated[int | None, typer.Argument(help="Another; the one that runs without it.")] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Show what differs between two revisions, member by member and option by option."""
    with told() as settings:
        found = operator_client.ask(settings, "GET", f"{_path(environment)}/revisions")
        pair = revision_diff.chosen(found, before, after)
    differences = revision_diff.differences(pair[0]["configuration"], pair[1]["configuration"])
    if as_json:
        print_json({"before": pair[0]["number"], "after": pair[1]["number"], "differences": differences})
        return
    out.print(rendering.differences(pair[0]["number"], pair[1]["number"], differences))


def rollback(
    environment: Environment,
    number: Annotated[int, typer.Argument(min=1, help="The revision to go back to; `revisions` lists them.")],
    *,
    forced: Forced = False,
    wait: Wait = True,
    as_json: AsJson = False,
) -> None:
    """Bring back the configuration of an earlier revision, as an update: tried first, beside what runs."""
    path = f"{_path(environment)}/revisions/{number}/roll-back"
    _change(environment, f"{path}?{_strategy(forced=forced)}", wait=wait, as_json=as_json)


@snapshots.callback(
    epilog="Examples:  aerodrome snapshots   |   aerodrome snapshots list my-env   |   "
    "aerodrome snapshots restore my-env 4   |   aerodrome snapshots clone my-env 4 my-copy"
)
def _snapshots(context: typer.Context, *, as_json: AsJson = False) -> None:
    if context.invoked_subcommand is None:
        list_snapshots(as_json=as_json)


@snapshots.command(
    name="list", epilog="Examples:  aerodrome snapshots list   |   aerodrome snapshots list my-env --json"
)
def list_snapshots(
    environment: Annotated[str | None, typer.Argument(help="The environment's name, or none for all.")] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """List the snapshots, the oldest first."""
    query = f"?{urlencode({'environment': environment})}" if environment else ""
    with told() as settings:
        found = operator_client.ask(settings, "GET", f"/snapshots{query}")
    if as_json:
        print_json(found)
        return
    out.print(rendering.snapshots(found))


@snapshots.command(
    epilog="Examples:  aerodrome snapshots restore my-env 4   |   aerodrome snapshots restore my-env 4 --yes"
)
def restore(
    environment: Environment,
    number: Number,
    *,
    forced: Forced = False,
    wait: Wait = True,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Put a snapshot's database and configuration back; what is there now becomes a snapshot itself."""
    if not yes:
        typer.confirm(f"Replace the metadata database of {environment} by snapshot {number}?", abort=True, err=True)
    path = f"{_path(environment)}/snapshots/{number}/restore"
    _change(environment, f"{path}?{_strategy(forced=forced)}", wait=wait, as_json=as_json)


@snapshots.command(epilog="Examples:  aerodrome snapshots clone my-env 4 my-copy")
def clone(
    environment: Environment,
    number: Number,
    name: Annotated[str, typer.Argument(help="The name of the new environment.")],
    *,
    wait: Wait = True,
    as_json: AsJson = False,
) -> None:
    """Make another environment from a snapshot: its configuration, its DAGs, its history, connections and variables."""
    path = f"{_path(environment)}/snapshots/{number}/clone?{urlencode({'as': name})}"
    _change(name, path, wait=wait, as_json=as_json)


@snapshots.command(epilog="Examples:  aerodrome snapshots remove my-env 4")
def remove(environment: Environment, number: Number, *, as_json: AsJson = False) -> None:
    """Remove a snapshot, its database and its archive."""
    with told() as settings:
        removed = operator_client.ask(settings, "DELETE", f"{_path(environment)}/snapshots/{number}")
    if as_json:
        print_json(removed)
        return
    out.print(f"Snapshot {number} of {environment} is removed.", highlight=False)


def _path(environment: str) -> str:
    return f"/environments/{quote(environment, safe='')}"


def _strategy(*, forced: bool) -> str:
    return urlencode({"strategy": "FORCED" if forced else "GRACEFUL"})


def _change(environment: str, path: str, *, wait: bool, as_json: bool) -> None:
    """Begin a change and, if asked to, wait for its end."""
    with told() as settings:
        begun: dict[str, Any] = operator_client.ask(settings, "POST", path)
        number = begun["revision"]
        if not wait:
            sentence = f"Revision {number} of {environment} has begun: aerodrome status shows it."
            print_json(begun) if as_json else out.print(sentence)
            return
        ended = change_progress.end_of_change(settings, environment, err)
        if ended["status"] != "AVAILABLE":
            failure = ended["last_update"]["failure"] or {"code": "FAILED", "message": ended["progress"]["detail"]}
            sentence = f"{environment} is {ended['status']}. {failure['code']}: {failure['message']}"
            raise BrokenError(sentence, code=failure["code"], tail=tuple(failure.get("tail", ())))
        took = sum(phase["seconds"] for phase in ended["progress"]["phases"])
        if as_json:
            print_json({**begun, "status": ended["status"], "seconds": round(took, 2)})
            return
        out.print(f"{environment} is AVAILABLE with revision {number}, after {took:.1f} s.")
