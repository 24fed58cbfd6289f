"""How documents look to people and in pipes. Pure: data in, rich renderables out.

Every table is a `Rows`: on a terminal its cells are folded into columns, elsewhere each row is one line.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from itertools import zip_longest
from typing import Any

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.filesize import decimal
from rich.table import Table
from rich.text import Text

from aerodrome.cli.findings import DoctorFinding, Level
from aerodrome.model.audit import AuditKind

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
RESTING = frozenset({"AVAILABLE", "UPDATE_FAILED"})
"""Statuses whose environments may hibernate."""

REST_WORDS = {"STOPPING": "hibernating", "HIBERNATED": "hibernated", "WAKING": "waking"}
"""What is shown instead of such a status, which MWAA's clients go on seeing."""

OUTCOME_STYLES = {"APPLIED": "green", "PENDING": "cyan", "FAILED": "red"}
LEVEL_STYLES = {Level.OK: "green", Level.WARN: "yellow", Level.FAIL: "red"}


GIB = 2**30

GAP = "  "
"""Between two columns."""


class Rows:
    """A table without lines, which folds its cells on a terminal and nowhere else."""

    def __init__(self, *columns: str, header: bool = True, whole: str | None = None) -> None:
        """Columns by their names; the column `whole` is never folded."""
        self._columns = columns
        self._header = header
        self._whole = whole
        self._rows: list[tuple[Text, ...]] = []

    def __len__(self) -> int:
        """How many rows there are."""
        return len(self._rows)

    def add(self, *cells: str | Text) -> None:
        """Add a row. Characters that a terminal would obey become spaces; ends of lines are kept."""
        self._rows.append(tuple(clean(cell) for cell in cells))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The table for whoever reads."""
        if console.is_terminal:
            yield self._folded()
        else:
            yield from self._lines()

    def _folded(self) -> Table:
        table = Table(box=None, header_style="bold", pad_edge=False, show_header=self._header, padding=(0, 1))
        # Not `min_width`: rich takes it from the last column without folding that again, and its text is lost.
        for column in self._columns:
            table.add_column(column, overflow="fold", no_wrap=column == self._whole)
        for row in self._rows:
            table.add_row(*row)
        return table

    def _lines(self) -> Iterable[Text]:
        header = [self._columns] if self._header else []
        rows = [*header, *([" ".join(cell.plain.split("\n")) for cell in row] for row in self._rows)]
        widths = [max(map(cell_len, cells)) for cells in zip_longest(*rows, fillvalue="")]
        for row in rows:
            padded = [cell + " " * (width - cell_len(cell)) for cell, width in zip(row, widths, strict=False)]
            yield Text(GAP.join(padded).rstrip(), no_wrap=True, overflow="ignore")


def clean(text: str | Text) -> Text:
    """The text without characters that a terminal obeys, such as escape sequences in a stranger's text."""
    found = text.copy() if isinstance(text, Text) else Text(text)
    found.plain = "".join(char if char.isprintable() or char == "\n" else " " for char in found.plain)
    return found


def log_lines(tail: Iterable[str]) -> list[Text]:
    """The last lines of a log, below the sentence that they explain."""
    return [Text.assemble(GAP, clean(line), style="dim") for line in tail]


def status(document: Mapping[str, Any]) -> RenderableType:
    """The whole installation: the control plane, its services, every environment."""
    known = Rows("service", "state", header=False)
    known.add("API", document["api"])
    for service in document["services"]:
        known.add(service["name"], Text(service["state"], "green" if service["state"] == "running" else "red"))
    if document["uids"]:
        known.add("uids of environments", document["uids"])
    if document["primed"]:
        known.add("Airflow imported for creations", ", ".join(document["primed"]))
    if "limits" in document:  # a control plane of before says nothing of them
        known.add("limits", document["limits"]["sentence"])
        if "disk_sentence" in document["limits"]:
            known.add("disks of environments", document["limits"]["disk_sentence"])
    troubles = Rows("trouble", header=False)
    for sentence in document["troubles"]:
        troubles.add(Text(sentence, "red"))
    top = Group(known, troubles) if troubles else Group(known)
    if troubles and not document["environments"]:
        return top
    if not document["environments"]:
        return Group(top, Text("\nNo environment yet. Try: make quickstart, or aws mwaa create-environment", "dim"))
    found = document["environments"]
    failures = [log_of(each["name"], failure) for each in found if (failure := _failure(each))]
    return Group(top, Text(), environments(found), *failures)


def log_of(subject: str, failure: Mapping[str, Any]) -> RenderableType:
    """The lines of a log that belong to a failure in a table above, each on a line of its own."""
    lines = log_lines(failure.get("tail", ()))
    return Group(Text(), Text(f"{subject}, {failure['code']}:"), *lines) if lines else Group()


def environments(found: Iterable[Mapping[str, Any]]) -> Rows:
    """One row an environment: what it is, how it is, and what it is doing now."""
    table = Rows("environment", "Airflow", "class", "status", "units", "now")
    for each in found:
        units = each["units"]
        ready = sum(unit["state"] == "ready" for unit in units)
        counted = Text(f"{ready}/{len(units)} ready", "" if ready == len(units) else "yellow")
        rest = REST_WORDS.get(each["hibernation"]["rest"], "") if each["status"] in RESTING else ""
        state = Text(rest or each["status"], STATUS_STYLES.get(each["status"], ""))
        table.add(each["name"], each["airflow_version"], _class(each), state, counted, _now(each))
    return table


def _class(each: Mapping[str, Any]) -> str:
    """The environment class, and how much less its workers have here than on MWAA."""
    given = each.get("worker_limits") or {}
    less = []
    if given.get("processors", 0) < given.get("processors_of_class", 0):
        less.append(f"{given['processors']} of {given['processors_of_class']} vCPUs")
    if given.get("memory", 0) < given.get("memory_of_class", 0):
        less.append(f"{given['memory'] / GIB:.1f} of {given['memory_of_class'] / GIB:.0f} GiB")
    return f"{each['class']} ({', '.join(less)} a worker)" if less else str(each["class"])


def _failure(each: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Why an environment is not as it should be."""
    if each["status"] == "AVAILABLE":
        return None
    found: Mapping[str, Any] | None = each["failure"]
    return found or (each["last_update"]["failure"] if each["status"] == "UPDATE_FAILED" else None)


def _now(each: Mapping[str, Any]) -> Text:
    failure = _failure(each)
    if failure:
        return Text(f"{failure['code']}: {failure['message']}", "red")
    progress = each["progress"]
    took = sum(phase["seconds"] for phase in progress["phases"])
    if each["hibernation"]["rest"] in REST_WORDS and each["status"] in RESTING:
        return Text(progress["detail"])
    if each["status"] == "AVAILABLE":
        troubled = [f"{unit['name']} {unit['state']}" for unit in each["units"] if unit["state"] != "ready"]
        if troubled:
            return Text(", ".join(troubled), "yellow")
        leaving = [f"revision {cell['revision']} ends with its tasks" for cell in each["other_cells"]]
        draining = [f"{unit['name']} takes no more tasks" for unit in each["units"] if unit.get("holds") is not None]
        return Text(", ".join([f"ready in {took:.1f} s", *draining, *leaving]), "dim")
    share = "" if progress["fraction"] is None else f" {progress['fraction']:.0%}"
    return Text(f"{progress['phase']}{share}: {progress['detail']}")


def revisions(found: Sequence[Mapping[str, Any]]) -> RenderableType:
    """One row a revision; the one that runs is marked."""
    table = Rows("", "revision", "what", "asked for", "by", "outcome", "Airflow", "remarks")
    for each in found:
        by = each["requested_by"].rpartition(":")[2] if each["requested_by"] else "Aerodrome"
        failure = each["failure"]
        remarks = [f"{failure['code']}: {failure['message']}"] if failure else list(each["report"])
        table.add(
            "→" if each["runs"] else "",
            str(each["number"]),
            each["kind"],
            _local(each["requested_at"]),
            by,
            Text(each["outcome"], OUTCOME_STYLES.get(each["outcome"], "")),
            each["configuration"]["AirflowVersion"],
            Text("\n".join(remarks), "red" if failure else "dim"),
        )
    return Group(table, *(log_of(f"revision {each['number']}", each["failure"]) for each in found if each["failure"]))


def differences(before: int, after: int, found: Iterable[Mapping[str, Any]]) -> RenderableType:
    """One row a member that differs."""
    table = Rows("", f"revision {before}", f"revision {after}")
    for each in found:
        values = [Text("-", "dim") if each[side] is None else Text(str(each[side])) for side in ("before", "after")]
        table.add(each["member"], *values)
    return table if len(table) else Text(f"Revisions {before} and {after} are the same.", "dim")


def snapshots(found: Iterable[Mapping[str, Any]]) -> RenderableType:
    """One row a snapshot."""
    table = Rows("environment", "snapshot", "taken", "Airflow", "archive")
    for each in found:
        size = decimal(each["size"])
        table.add(each["environment"], str(each["number"]), _local(each["taken_at"]), each["airflow_version"], size)
    return table if len(table) else Text("No snapshot yet: one is taken before each change of version.", "dim")


def _local(time: str) -> str:
    return datetime.fromisoformat(time).astimezone().strftime("%F %T")


def events(found: Iterable[Mapping[str, Any]], *, header: bool = True) -> Rows:
    """What happened, and who did or was refused what, oldest first."""
    table = Rows("at", "what", "where", "who", "sentence", header=header, whole="at")
    for each in found:
        table.add(_local(each["at"]), each["kind"], each["environment"] or "", *_told(each))
    return table


def _told(event: Mapping[str, Any]) -> tuple[str, Text]:
    """Who did it, and the sentence; for an audit entry, the act and its outcome come first."""
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
    # Nobody who reads a table needs to know which policy allowed a request; `--json` has it.
    why = "" if event["allowed"] and event["kind"] == AuditKind.API_REQUEST else f" {event['sentence']}"
    return who, Text(f"{act}: {outcome}.{why}", style)


def members(document: Mapping[str, Any]) -> Rows:
    """One row a member, such as those of a way into a database."""
    table = Rows("member", "value", header=False)
    for name, value in document.items():
        table.add(name, str(value))
    return table


def findings(found: Iterable[DoctorFinding]) -> Rows:
    """The doctor's report."""
    table = Rows("", "checked", "found", "fix")
    for each in found:
        table.add(Text(each.level, LEVEL_STYLES[each.level]), each.subject, each.found, each.fix)
    return table
