"""Tables that a person likes to read. Pure: data in, rich renderables out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from aerodrome.cli.doctor import Finding, Level

STATUS_STYLES = {
    "AVAILABLE": "green",
    "CREATING": "cyan",
    "DELETING": "yellow",
    "UNAVAILABLE": "red",
    "CREATE_FAILED": "red",
}
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
    failure = each["failure"]
    if failure and each["status"] != "AVAILABLE":
        return Text(f"{failure['code']}: {failure['message']}", "red")
    progress = each["progress"]
    took = sum(phase["seconds"] for phase in progress["phases"])
    if each["status"] == "AVAILABLE":
        troubled = [f"{unit['name']} {unit['state']}" for unit in each["units"] if unit["state"] != "ready"]
        return Text(", ".join(troubled), "yellow") if troubled else Text(f"ready in {took:.1f} s", "dim")
    share = "" if progress["fraction"] is None else f" {progress['fraction']:.0%}"
    return Text(f"{progress['phase']}{share}: {progress['detail']}")


def events(found: Iterable[Mapping[str, Any]]) -> Table:
    """What happened to an environment, oldest first."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("at", "what", "sentence"):
        table.add_column(column, overflow="fold")
    for each in found:
        at = datetime.fromisoformat(each["at"]).astimezone().strftime("%F %T")
        table.add_row(at, each["kind"], each["sentence"])
    return table


def findings(found: Iterable[Finding]) -> Table:
    """The doctor's report."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("", "checked", "found", "fix"):
        table.add_column(column, overflow="fold")
    for each in found:
        table.add_row(Text(each.level, LEVEL_STYLES[each.level]), each.subject, each.found, each.fix)
    return table
