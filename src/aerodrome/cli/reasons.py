"""What is wrong with an environment now, in sentences, each with what mends it. Pure; `why` gathers the facts."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

QUEUED_FOR_LONG = timedelta(minutes=1)
"""A task that a worker could run is queued for a second or two."""

MOST_SHOWN = 10
"""Import errors that are told one by one."""

_LINE = re.compile(r'File "(?P<file>[^"]+)", line (?P<line>\d+)')

_CODE = re.compile(r"[A-Z]+(_[A-Z]+)+")

_MENDING = "aws mwaa get-environment --name {name}; aerodrome events {name}"

Document = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Reason:
    """One thing that is wrong."""

    code: str
    """A word for scripts."""
    sentence: str
    remedy: str
    """A command or a setting."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What was found out; an empty part is one that could not be."""

    environment: Document
    """As `aerodrome status` knows it."""
    troubles: Sequence[str] = ()
    """Of the installation."""
    sidecar: Document = field(default_factory=dict)
    """Its status file."""
    import_errors: Sequence[Document] = ()
    waiting: Sequence[Document] = ()
    """Task instances that are scheduled or queued."""
    pools: Sequence[Document] = ()
    unasked: str = ""
    """Why Airflow could not be asked; empty = it was."""
    now: datetime


def of(facts: Facts) -> list[Reason]:
    """Everything that is wrong, the most urgent first."""
    return [
        *(Reason("MACHINE", sentence, "aerodrome doctor") for sentence in facts.troubles),
        *_change(facts.environment),
        *_trouble(facts.environment),
        *_units(facts.environment),
        *_sidecar(facts.environment["name"], facts.sidecar),
        *_import_errors(facts.environment["name"], facts.import_errors),
        *_waiting(facts),
        *_unasked(facts),
    ]


def all_well(environment: Document) -> str:
    """The sentence when nothing is wrong."""
    name, status, detail = environment["name"], environment["status"], environment["progress"]["detail"]
    if status == "AVAILABLE":
        return f"Nothing is wrong with {name}, as far as can be seen."
    return f"Nothing is wrong with {name}, as far as can be seen; it is {status}{f': {detail}' if detail else '.'}"


def _change(environment: Document) -> Iterator[Reason]:
    name, status = environment["name"], environment["status"]
    last = environment["last_update"]
    failure = environment["failure"] or last.get("failure")
    if failure is not None:
        what = "The last change failed" if environment["failure"] is None else f"It is {status}"
        yield Reason(failure["code"], f"{what}: {failure['message']}", f"aerodrome revisions {name}")
    elif status in {"UNAVAILABLE", "CREATE_FAILED", "UPDATE_FAILED", "DELETING", "DELETED"}:
        yield Reason(status, f"It is {status}.", f"aerodrome events {name}")


def _trouble(environment: Document) -> Iterator[Reason]:
    """What the controller waits for a person to mend while the environment runs (`bringing_up.troubled`)."""
    code, colon, message = environment["progress"]["detail"].partition(": ")
    if environment["status"] == "AVAILABLE" and colon and _CODE.fullmatch(code):
        yield Reason(code, message, f"aerodrome events {environment['name']}")


def _units(environment: Document) -> Iterator[Reason]:
    name = environment["name"]
    if environment["status"] != "AVAILABLE":
        return
    for subnet in environment.get("zones_lost", ()):
        sentence = f"Nothing of it runs in the zone of {subnet}; the other zone does its work until it is back."
        yield Reason("ZONE_LOST", sentence, f"aerodrome events {name}")
    for unit in environment["units"]:
        if unit["state"] not in {"ready", "stopped"}:
            detail = f": {unit['detail']}" if unit.get("detail") else ""
            yield Reason(
                "UNIT_NOT_READY",
                f"{unit['name']} is {unit['state']}{detail}.",
                f"aerodrome logs {name} --category {_category(unit['name'])} --grep ERROR",
            )


def _category(unit: str) -> str:
    kinds = {"worker": "worker", "web": "webserver", "execution": "webserver", "dag-processor": "dag-processing"}
    return next((category for kind, category in kinds.items() if unit.startswith(kind)), "scheduler")


def _sidecar(name: str, sidecar: Document) -> Iterator[Reason]:
    credentials = sidecar.get("credentials") or {}
    logs = sidecar.get("logs") or {}
    if credentials.get("error"):
        yield Reason(
            "CREDENTIALS",
            f"The execution role cannot be assumed: {credentials['error']}",
            "let the role's trust policy trust airflow-env.amazonaws.com: aerodrome role create --help",
        )
    elif sidecar.get("error"):
        yield Reason("BUCKET", f"DAGs are not read from the bucket: {sidecar['error']}", _MENDING.format(name=name))
    for key, why in sorted((sidecar.get("refused") or {}).items()):
        yield Reason(
            "FILE_REFUSED",
            f"{key} is not taken from the bucket: {why}",
            "remove or rename the object, or make room for it",
        )
    if logs.get("error"):
        yield Reason(
            "LOGS_BEHIND",
            f"Logs are not shipped since {logs['behind_since']}: {logs['error']}",
            "give the execution role MWAA's statement for logs: (aerodrome role create writes it)",
        )
    if logs.get("dropped"):
        yield Reason(
            "LOGS_DROPPED",
            f"{logs['dropped']} log events were dropped, which CloudWatch Logs did not take or a rotation overwrote.",
            "lower the level in LoggingConfiguration, or raise the log group's retention",
        )
    metrics = sidecar.get("metrics") or {}
    if metrics.get("error"):
        yield Reason(
            "METRICS_BEHIND",
            f"Metrics are not published: {metrics['error']}",
            "let the execution role cloudwatch:PutMetricData (aerodrome role create writes it)",
        )
    if metrics.get("service_error"):
        yield Reason(
            "MEASUREMENTS_BEHIND",
            f"What MWAA measures (AWS/MWAA) is not published: {metrics['service_error']}",
            "see whether the AWS door, the log store and PostgreSQL run: aerodrome status",
        )
    traces = sidecar.get("traces") or {}
    if traces.get("error"):
        yield Reason(
            "TRACES_BEHIND",
            f"Traces are not exported: {traces['error']}",
            "look at the collector, AERODROME_OTLP_ENDPOINT and AERODROME_OTLP_HEADERS_FILE",
        )


def _import_errors(name: str, errors: Sequence[Document]) -> Iterator[Reason]:
    for error in errors[:MOST_SHOWN]:
        trace = str(error.get("stack_trace") or "")
        file = str(error.get("filename") or "a DAG file")
        lines = [found["line"] for found in _LINE.finditer(trace) if found["file"].endswith(file.rpartition("/")[2])]
        where = f"{file}, line {lines[-1]}" if lines else file
        said = next((line.strip() for line in reversed(trace.splitlines()) if line.strip()), "no reason is told")
        yield Reason("IMPORT_ERROR", f"{where} cannot be imported: {said}", "aerodrome check; then upload it again")
    if len(errors) > MOST_SHOWN:
        yield Reason(
            "IMPORT_ERROR",
            f"{len(errors) - MOST_SHOWN} more files cannot be imported.",
            f"aws mwaa invoke-rest-api --name {name} --method GET --path /importErrors",
        )


def _waiting(facts: Facts) -> Iterator[Reason]:
    name = facts.environment["name"]
    full = {pool["name"]: pool["slots"] for pool in facts.pools if pool["open_slots"] <= 0}
    by_pool = Counter(task["pool"] for task in facts.waiting if task["pool"] in full)
    for pool, count in sorted(by_pool.items()):
        yield Reason(
            "POOL_FULL",
            f"{_tasks(count)} for pool {pool}: all of its {full[pool]} slots are taken.",
            f"raise them: aws mwaa invoke-rest-api --name {name} --method PATCH --path {shlex.quote(f'/pools/{pool}')} "
            f'--body \'{{"slots": {full[pool] * 2}}}\' --query-parameters \'{{"update_mask": "slots"}}\'',
        )
    late = [task for task in facts.waiting if _is_late(task, facts.now) and task["pool"] not in full]
    if not late:
        return
    workers = [unit for unit in facts.environment["units"] if unit["name"].startswith("worker")]
    if not any(unit["state"] == "ready" for unit in workers):
        yield Reason(
            "NO_WORKER",
            f"{_tasks(len(late))} for more than a minute, and no worker is ready.",
            f"aerodrome logs {name} --category worker",
        )
    else:
        yield Reason(
            "WORKERS_BUSY",
            f"{_tasks(len(late))} for more than a minute for a free place on {len(workers)} worker(s).",
            f"aws mwaa update-environment --name {name} --max-workers {len(workers) + 1}, or celery.worker_autoscale",
        )


def _is_late(task: Document, now: datetime) -> bool:
    try:
        return task["state"] == "queued" and now - datetime.fromisoformat(task["queued_when"]) > QUEUED_FOR_LONG
    except (TypeError, ValueError, KeyError):
        return False


def _tasks(count: int) -> str:
    return "1 task waits" if count == 1 else f"{count} tasks wait"


def _unasked(facts: Facts) -> Iterator[Reason]:
    if facts.unasked and facts.environment["status"] == "AVAILABLE":
        yield Reason(
            "AIRFLOW_SILENT",
            f"Airflow could not be asked about its DAGs and tasks: {facts.unasked}",
            f"aerodrome logs {facts.environment['name']} --category webserver",
        )
