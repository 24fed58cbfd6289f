"""The command `aerodrome`: its verbs, their options and their help. Other modules do the work.

The modules behind `down` and `doctor`, and boto3, take their time to import, so the commands that need them import them
themselves: `status` must not wait for them.
"""

from __future__ import annotations

import json
import sys
import webbrowser
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from importlib import metadata
from typing import Annotated, Any

import typer

from aerodrome import clock
from aerodrome.cli import (
    alarms,
    check,
    environment_variables,
    events_query,
    hibernation,
    history,
    iam_explain,
    logs,
    metrics,
    operator_client,
    rendering,
    roles,
    starting,
    top,
    why,
)
from aerodrome.cli.console import AsJson, Yes, err, out, print_json, told
from aerodrome.cli.dev import command as dev
from aerodrome.cli.findings import Level
from aerodrome.identity.credentials_file import PROFILE
from aerodrome.settings import EMBEDDED

app = typer.Typer(
    help="Managed Apache Airflow that you run yourself, behind the Amazon MWAA API.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
database = typer.Typer(help="Databases of your own on the embedded PostgreSQL.", no_args_is_help=True)
app.add_typer(database, name="database")
iam = typer.Typer(help="Who may do what, and why.", no_args_is_help=True)
app.add_typer(iam, name="iam")
role = typer.Typer(help="Execution roles of environments.", no_args_is_help=True)
app.add_typer(role, name="role")


OPEN = (
    "AERODROME_IAM is off: whoever reaches the AWS services' port on this machine, DAG code of every environment "
    "included, may do everything there. Use it for throw-away data only."
)


def _print_version(wanted: bool) -> None:  # noqa: FBT001 - typer calls it with the option's value
    if wanted:
        out.print(f"aerodrome {metadata.version('aerodrome')}")
        raise typer.Exit


@app.callback()
def _aerodrome(
    *,
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print Aerodrome's version and exit."),
    ] = False,
) -> None: ...


@app.command(epilog="Examples:  aerodrome up   |   aerodrome up --foreground   |   AERODROME_PORT=4600 aerodrome up")
def up(
    *,
    foreground: Annotated[
        bool, typer.Option(help="Stay in front and log to standard error, as in a container.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Start Aerodrome; returns when the API answers. Running environments are adopted, stopped ones started.

    After an update of Aerodrome, its own processes are replaced, and environments go on.
    """
    with told() as settings:
        if foreground:
            from aerodrome import runtime  # noqa: PLC0415 - see above; the longest of all

            runtime.serve(settings)
            return
        with err.status("Starting Aerodrome …"):
            state = starting.up(settings)
        if settings.aws_endpoint_url == EMBEDDED and not settings.guards_aws:
            err.print(OPEN, style="yellow", soft_wrap=True)
        if as_json:
            print_json({**asdict(state), "credentials": str(settings.paths.credentials), "profile": PROFILE})
            return
        word = "is up already" if state.adopted else "is up"
        out.print(f"Aerodrome {word}: [bold]{state.api}[/bold] (on loopback only)")
        out.print(
            f"The administrator's key is in {settings.paths.credentials}, profile {PROFILE}.",
            soft_wrap=True,
            markup=False,
        )
        out.print('Next: [bold]eval "$(aerodrome env)"[/bold], then aws mwaa …; aerodrome status shows what runs.')


@app.command(epilog="Examples:  aerodrome down")
def down(*, as_json: AsJson = False) -> None:
    """Stop everything in order; data survives, and the next `up` starts every environment again."""
    from aerodrome.cli import stopping  # noqa: PLC0415 - see above

    with told() as settings:
        with err.status("Stopping Aerodrome …") as spinner:
            stopping.down(settings, report=spinner.update)
        if as_json:
            print_json({"data": str(settings.paths.data)})
            return
        out.print(f"Aerodrome is down. Your data is kept in {settings.paths.data}", markup=False)


@app.command(epilog="Examples:  aerodrome status   |   aerodrome status --json | jq '.environments[].status'")
def status(*, as_json: AsJson = False) -> None:
    """Show the control plane, its services and every environment: how each is and what it is doing now."""
    with told() as settings:
        document = operator_client.ask(settings, "GET", "/status")
    if as_json:
        print_json(document)
        return
    out.print(rendering.status(document))


@app.command(
    epilog="Examples:  aerodrome events my-env   |   aerodrome events --denied --since 1h   |   "
    "aerodrome events --principal arn:aws:iam::000000000000:user/ada --action 'airflow:*' --json"
)
def events(
    environment: Annotated[
        str | None, typer.Argument(help="The environment's name, or none for all; a deleted one's events are kept.")
    ] = None,
    *,
    principal: Annotated[str | None, typer.Option(help="Only what the principal of this ARN did.")] = None,
    action: Annotated[str | None, typer.Option(help="Only this action; may end in *, such as 'airflow:*'.")] = None,
    denied: Annotated[bool, typer.Option("--denied", help="Only what was refused.")] = False,
    since: Annotated[str | None, typer.Option(help="Only what is younger: 30m, 1h, 7d, or an ISO 8601 time.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many of the newest.")] = 100,
    reads: Annotated[bool, typer.Option("--reads", help="Requests that changed nothing as well.")] = False,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Wait for what comes, until interrupted.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show what happened to environments, and who did, or was refused, what; oldest first."""
    with told() as settings:
        filters = {
            "environment": environment,
            "principal": principal,
            "action": action,
            "denied": denied,
            "since": events_query.since(since, clock.now()) if since else None,
            "limit": limit,
            "reads": reads,
        }
        if not follow:
            found = events_query.once(settings, filters)
            if as_json:
                print_json(found)
            else:
                out.print(rendering.events(found))
            return
        with suppress(KeyboardInterrupt):
            _follow(events_query.follow(settings, filters), as_json=as_json)


def _follow(batches: Iterator[list[dict[str, Any]]], *, as_json: bool) -> None:
    """Print what comes: a table that goes on, or one JSON document per line."""
    header = True
    for found in batches:
        if as_json:
            for each in found:
                sys.stdout.write(json.dumps(each, default=str) + "\n")
            sys.stdout.flush()
        elif found:
            out.print(rendering.events(found, header=header))
            header = False


@app.command(epilog="Examples:  aerodrome login my-env   |   aerodrome login my-env --role Viewer --open")
def login(
    environment: Annotated[str, typer.Argument(help="The environment's name.")],
    *,
    role: Annotated[str | None, typer.Option(help="Admin, Op, User, Viewer or Public; the highest without it.")] = None,
    in_browser: Annotated[bool, typer.Option("--open", help="Open the link in the browser as well.")] = False,
    as_json: AsJson = False,
) -> None:
    """Print a link that opens Airflow's UI: for you alone, for one use, within a minute."""
    from aerodrome.cli import login as logging_in  # noqa: PLC0415 - boto3 takes its time to import

    with told() as settings:
        wanted = logging_in.role(role) if role else None
        address = logging_in.link(settings, operator_client.port(settings), environment, wanted)
    print_json({"url": address}) if as_json else sys.stdout.write(address + "\n")
    if in_browser:
        webbrowser.open(address)


@app.command(name="env", epilog='Examples:  eval "$(aerodrome env)"   |   aerodrome env --json')
def environment(*, as_json: AsJson = False) -> None:
    """Print the variables that a client (boto3, the AWS CLI, Terraform) needs."""
    with told() as settings:
        variables = environment_variables.exports(settings, operator_client.port(settings))
    if as_json:
        print_json(variables)
        return
    sys.stdout.write(environment_variables.as_shell(variables) + "\n")


@app.command(epilog='Examples:  aerodrome trust   |   export SSL_CERT_FILE="$(aerodrome trust --json | jq -r .path)"')
def trust(*, as_json: AsJson = False) -> None:
    """Show the certificate authority of Airflow's web addresses, and how browsers and programs come to trust it."""
    from aerodrome.cli import trust as trusting  # noqa: PLC0415 - see above
    from aerodrome.gateway import certificates  # noqa: PLC0415 - see above

    with told() as settings:
        if settings.gateway_certificate:
            sentence = trusting.own_certificate(settings.gateway_certificate)
            document = {"path": None, "certificate": settings.gateway_certificate}
            print_json(document) if as_json else out.print(sentence, markup=False)
            return
        at = certificates.files(settings.paths)
        found = certificates.ensure_authority(at, settings.domain, clock.now())
        authority = trusting.Authority(
            path=at.authority, fingerprint=certificates.fingerprint(found), names=certificates.names(found)
        )
    if as_json:
        print_json(trusting.document(authority))
        return
    sys.stdout.write(trusting.text(authority) + "\n")


@app.command(epilog="Examples:  aerodrome doctor   |   aerodrome doctor --json")
def doctor(*, as_json: AsJson = False) -> None:
    """Check this machine and say the fix for each finding; exit code 1 when something must be fixed."""
    from aerodrome.cli import doctor as examination  # noqa: PLC0415 - see above

    with told() as settings:
        found = examination.judge(examination.gather(settings, running=operator_client.is_up(settings)))
    if as_json:
        print_json([asdict(each) for each in found])
    else:
        out.print(rendering.findings(found))
    if any(each.level is Level.FAIL for each in found):
        raise typer.Exit(1)


@app.command(epilog="Examples:  aerodrome purge   |   aerodrome purge --yes   |   aerodrome purge --keep-external")
def purge(
    *,
    yes: Yes = False,
    keep_external: Annotated[
        bool,
        typer.Option("--keep-external", help="Leave an external PostgreSQL and Redis as they are; say what stays."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Stop everything and remove all data: every environment, its history, its bucket, its keys.

    On an external PostgreSQL and Redis what is Aerodrome's is removed too.
    """
    from aerodrome.cli import stopping  # noqa: PLC0415 - see above

    with told() as settings:
        data = settings.paths.data
        if not yes:
            also = "" if keep_external else stopping.what_else(settings)
            typer.confirm(f"Remove everything below {data}{also}?", abort=True, err=True)
        with err.status("Stopping Aerodrome …") as spinner:
            found = stopping.purge(settings, keep_external=keep_external, report=spinner.update)
        if as_json:
            print_json({"removed": [str(data)], "external": found.sentences(), "kept_external": keep_external})
            return
        out.print(f"Removed {data}.", markup=False)
        for sentence in found.sentences():
            out.print(f"{'Stays' if keep_external else 'Removed'}: {sentence}", markup=False)


@database.command(name="create", epilog="Examples:  aerodrome database create warehouse --json")
def database_create(
    name: Annotated[str, typer.Argument(help="Letters, digits and underscores.")], *, as_json: AsJson = False
) -> None:
    """Make a database with a role of its own, or show how to reach the one that exists."""
    with told() as settings:
        found = operator_client.ask(settings, "POST", f"/databases/{name}")
    if as_json:
        print_json(found)
        return
    out.print(rendering.members(found))


@role.command(name="create", epilog="Examples:  aerodrome role create my-execution --bucket my-dags")
def role_create(
    name: Annotated[str, typer.Argument(help="The role's name.")],
    *,
    bucket: Annotated[str, typer.Option(help="The bucket that the environment reads its DAGs from.")],
    environment: Annotated[str, typer.Option(help="The environment that has the role; '*' = any.")] = roles.ANY,
    as_json: AsJson = False,
) -> None:
    """Make an execution role with the policy that MWAA's user guide gives it, or renew that policy."""
    with told() as settings:
        arn = roles.create(settings, operator_client.port(settings), name, bucket=bucket, environment=environment)
    if as_json:
        print_json({"arn": arn, "policy": roles.POLICY})
        return
    out.print(arn, markup=False, soft_wrap=True)


@iam.command(
    name="explain",
    epilog="Examples:  aerodrome iam explain --principal arn:aws:iam::000000000000:user/ada "
    "--action airflow:CreateWebLoginToken --resource arn:aws:airflow:us-east-1:000000000000:role/my-env/Viewer",
)
def explain(
    *,
    principal: Annotated[str, typer.Option(help="The ARN of a user or a role.")],
    action: Annotated[str, typer.Option(help="Such as airflow:GetEnvironment or iam:PassRole.")],
    resource: Annotated[str, typer.Option(help="The ARN that the action is about, or '*'.")] = "*",
    context: Annotated[
        list[str] | None, typer.Option(help="A condition key as key=value; may be given several times.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Say whether a principal may do something, which statement of which policy decided, and why the others did not."""
    with told() as settings:
        answer = operator_client.ask(settings, "GET", iam_explain.path(principal, action, resource, context or []))
    if as_json:
        print_json(answer)
        return
    out.print(iam_explain.shown(answer))


dev.register(app)
check.register(app)
history.register(app)
hibernation.register(app)
logs.register(app)
metrics.register(app)
alarms.register(app)
top.register(app)
why.register(app)

if __name__ == "__main__":
    app()
