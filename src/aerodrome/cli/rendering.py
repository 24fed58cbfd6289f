"""Tables that a person likes to read. Pure: data in, rich renderables out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from rich.console import Group, RenderableType
from rich.filesize import decimal
from rich.table import Table
from rich.text import Text

from aerodrome.cli.doctor import Finding, Level
from aerodrome.model.audit import Kind

STATUS_STYLES = {
    "AVAILABLE": "green",
    "CREATING": "cyan",
    "UPDATING": "cyan",
    "CREATING_SNAPSHOT": "cyan",
    "MAINTENANCE": "cyan",
    "ROLLING_BACK": "yellow",
    "DELETING": "yellow",
    "UPDATE_FAILED": "red",
    "UNAVAILABLE": "red",
    "CREATE_FAILED": "red",
}
OUTCOME_STYLES = {"APPLIED": "green", "PENDING": "cyan", "FAILED": "red"}
LEVEL_STYLES = {Level.OK: "green", Level.WARN: "yellow", Level.FAIL: "red"}


def status(document: Mapping[str, Any]) -> RenderableType:
    """The whole installation: the control plane, its services, every environment."""
    top = Table.grid(padding=(0, 2))
    top.add_row("API", document["api"])
    for service in document["services"]:
        top.add_row(service["name"], Text(service["state"], "green" if service["state"] == "running" else "red"))
    if not document["environments"]:
        return Group(top, Text("\nNo environment yet. Try: make quickstart, or aws mwaa create-environment", "dim"))
    return Group(top, Text(), environments(document["environments"]))


def environments(found: Iterable[Mapping[str, Any]]) -> Table:
    """One row an environment: what it is, how it is, and what it is doing now."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("environment", "Airflow", "class", "status", "units", "now"):
        table.add_column(column, overflow="fold")
    for each in found:
        units = each["units"]
        ready = sum(unit["state"] == "ready" for unit in units)
        counted = Text(f"{ready}/{len(units)} ready", "" if ready == len(units) else "yellow")
        state = Text(each["status"], STATUS_STYLES.get(each["status"], ""))
        table.add_row(each["name"], each["airflow_version"], each["class"], state, counted, _now(each))
    return table


def _now(each: Mapping[str, Any]) -> Text:
    failure = each["failure"] or (each["last_update"]["failure"] if each["status"] == "UPDATE_FAILED" else None)
    if failure and each["status"] != "AVAILABLE":
        return Text(f"{failure['code']}: {failure['message']}", "red")
    progress = each["progress"]
    took = sum(phase["seconds"] for phase in progress["phases"])
    if each["status"] == "AVAILABLE":
        troubled = [f"{unit['name']} {unit['state']}" for unit in each["units"] if unit["state"] != "ready"]
        if troubled:
            return Text(", ".join(troubled), "yellow")
        leaving = [f"revision {cell['revision']} ends with its tasks" for cell in each["other_cells"]]
        return Text(", ".join([f"ready in {took:.1f} s", *leaving]), "dim")
    share = "" if progress["fraction"] is None else f" {progress['fraction']:.0%}"
    return Text(f"{progress['phase']}{share}: {progress['detail']}")


def revisions(found: Iterable[Mapping[str, Any]]) -> Table:
    """One row a revision; the one that runs is marked."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("", "revision", "what", "asked for", "by", "outcome", "Airflow", "remarks"):
        table.add_column(column, overflow="fold")
    for each in found:
        by = each["requested_by"].rpartition(":")[2] if each["requested_by"] else "Aerodrome"
        failure = each["failure"]
        remarks = [f"{failure['code']}: {failure['message']}"] if failure else list(each["report"])
        table.add_row(
            "→" if each["runs"] else "",
            str(each["number"]),
            each["kind"],
            _local(each["requested_at"]),
            by,
            Text(each["outcome"], OUTCOME_STYLES.get(each["outcome"], "")),
            each["configuration"]["AirflowVersion"],
            Text(" ".join(remarks), "red" if failure else "dim"),
        )
    return table


def differences(before: int, after: int, found: Iterable[Mapping[str, Any]]) -> RenderableType:
    """One row a member that differs."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("", f"revision {before}", f"revision {after}"):
        table.add_column(column, overflow="fold")
    for each in found:
        values = [Text("-", "dim") if each[side] is None else Text(str(each[side])) for side in ("before", "after")]
        table.add_row(each["member"], *values)
    return table if table.row_count else Text(f"Revisions {before} and {after} are the same.", "dim")


def snapshots(found: Iterable[Mapping[str, Any]]) -> RenderableType:
    """One row a snapshot."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("environment", "snapshot", "taken", "Airflow", "archive"):
        table.add_column(column, overflow="fold")
    for each in found:
        size = decimal(each["size"])
        table.add_row(each["environment"], str(each["number"]), _local(each["taken_at"]), each["airflow_version"], size)
    return table if table.row_count else Text("No snapshot yet: one is taken before each change of version.", "dim")


def _local(time: str) -> str:
    return datetime.fromisoformat(time).astimezone().strftime("%F %T")


def events(found: Iterable[Mapping[str, Any]], *, header: bool = True) -> Table:
    """What happened, and who did or was refused what, oldest first."""
    table = Table(box=None, header_style="bold", pad_edge=False, show_header=header)
    # Not `min_width`: rich takes it from the last column without folding that again, and its text is lost.
    table.add_column("at", no_wrap=True)
    for column in ("what", "where", "who", "sentence"):
        table.add_column(column, overflow="fold")
    for each in found:
        table.add_row(_local(each["at"]), each["kind"], each["environment"] or "", *_told(each))
    return table


def _told(event: Mapping[str, Any]) -> tuple[str, Text]:
    """Who, and the sentence; of an audit entry the act and its outcome before it."""
    if event["allowed"] is None:
        return "", Text(event["sentence"])
    arn = event["principal"]
    who = arn.rpartition(":")[2] if arn else f"nobody known ({event['address']})"
    resource = event["resource"].rpartition(":")[2]
    error = (event["detail"] or {}).get("error")
    outcome = "allowed" if event["allowed"] else "refused"
    if event["allowed"] and error:
        outcome = f"allowed, answered with {error}"
    act = event["action"] if resource in {"", "*"} else f"{event['action']} on {resource}"
    style = "" if event["allowed"] else "red"
    # Which policy allowed a request is worth a line to nobody who reads a table; `--json` has it.
    why = "" if event["allowed"] and event["kind"] == Kind.API_REQUEST else f" {event['sentence']}"
    return who, Text(f"{act}: {outcome}.{why}", style)


def findings(found: Iterable[Finding]) -> Table:
    """The doctor's report."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("", "checked", "found", "fix"):
        table.add_column(column, overflow="fold")
    for each in found:
        table.add_row(Text(each.level, LEVEL_STYLES[each.level]), each.subject, each.found, each.fix)
    return table
