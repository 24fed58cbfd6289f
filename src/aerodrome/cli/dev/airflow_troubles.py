"""Which of Airflow's troubles are new: each is reported once, and once more when it is gone. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from aerodrome.cli.dev import tracebacks
from aerodrome.cli.dev.tracebacks import Cause

OVERLAP = timedelta(seconds=30)
"""How far before the newest failure the next look begins: an earlier failure may become visible later."""

_NAMED = 5
"""DAGs of one file that are named in a sentence."""

_ADDRESS = re.compile(r"0x[0-9a-f]+")


@dataclass(frozen=True, slots=True)
class ImportTrouble:
    """A DAG file that Airflow cannot import."""

    file: str
    """Below the project's folder."""
    cause: Cause

    @property
    def sign(self) -> str:
        """Equal for the same trouble at every parse, although addresses in memory differ each time."""
        return _ADDRESS.sub("0x", self.cause.sentence)


@dataclass(frozen=True, slots=True)
class TaskFailure:
    """One attempt of one task that failed."""

    dag: str
    run: str
    task: str
    attempt: int
    index: int
    """Of a mapped task; -1 = the task is not mapped."""
    ended_at: datetime
    again: bool
    """Whether Airflow will try once more."""

    @property
    def name(self) -> str:
        mapped = f"[{self.index}]" if self.index >= 0 else ""
        return f"{self.dag}.{self.task}{mapped}"


@dataclass(frozen=True, slots=True)
class Reported:
    """What was reported already."""

    imports: Mapping[str, str] = field(default_factory=dict)
    """File → sign of its trouble."""
    failures: frozenset[TaskFailure] = frozenset()
    since: datetime | None = None
    """Where the next look at failures begins."""


@dataclass(frozen=True, slots=True)
class NewTroubles:
    """What must be reported now."""

    appeared: tuple[ImportTrouble, ...] = ()
    gone: tuple[str, ...] = ()
    """Files that had a trouble and have none any more."""
    failed: tuple[TaskFailure, ...] = ()


def imports(seen: Reported, found: Collection[ImportTrouble]) -> tuple[NewTroubles, Reported]:
    """Which of Airflow's present import errors are new."""
    now = {trouble.file: trouble.sign for trouble in found}
    appeared = [trouble for trouble in found if seen.imports.get(trouble.file) != trouble.sign]
    gone = sorted(file for file in seen.imports if file not in now)
    news = NewTroubles(appeared=tuple(sorted(appeared, key=lambda each: each.file)), gone=tuple(gone))
    return news, Reported(now, seen.failures, seen.since)


def failures(seen: Reported, found: Collection[TaskFailure]) -> tuple[NewTroubles, Reported]:
    """Which failed attempts that ended since `seen.since` are new."""
    fresh = sorted({*found} - seen.failures, key=lambda each: (each.ended_at, each.name, each.attempt))
    told = seen.failures | set(fresh)
    since = seen.since
    if fresh and since is not None:
        since = max(since, fresh[-1].ended_at - OVERLAP)
        told = frozenset(each for each in told if each.ended_at >= since)
    return NewTroubles(failed=tuple(fresh)), Reported(seen.imports, told, since)


def read_imports(document: Any) -> list[ImportTrouble]:
    """The import errors in Airflow's answer to GET /importErrors; if a file has several, the last one."""
    found: dict[str, ImportTrouble] = {}
    for each in document["import_errors"]:
        name = str(each.get("filename") or "")
        file = tracebacks.own_path(name) or f"dags/{name.lstrip('/')}"
        trace = str(each.get("stack_trace") or each.get("stacktrace") or "")
        found[file] = ImportTrouble(file, _in_file(tracebacks.of_traceback(trace), file, trace))
    return list(found.values())


def _in_file(cause: Cause | None, file: str, trace: str) -> Cause:
    """The cause; it is in the imported file itself if the traceback names no other file of the project."""
    if cause is None:
        last = (trace.strip().splitlines() or ["no reason was given"])[-1]
        return Cause(last.strip(), file)
    return cause if cause.file else Cause(cause.message, file)


def read_failures(document: Any) -> list[TaskFailure]:
    """The failed attempts in Airflow's answer to GET …/taskInstances."""
    return [
        TaskFailure(
            dag=each["dag_id"],
            run=each["dag_run_id"],
            task=each["task_id"],
            attempt=int(each.get("try_number") or 0),
            index=int(each.get("map_index", -1)),
            ended_at=datetime.fromisoformat(each["end_date"]),
            again=each.get("state") == "up_for_retry",
        )
        for each in document["task_instances"]
        if each.get("end_date")
    ]


def parsed_since(document: Any, waiting: Mapping[str, datetime]) -> dict[str, list[str]]:
    """The files among `waiting` (path → when it was put) that Airflow has read since, each with its DAGs.

    `document` is Airflow's answer to GET /dags.
    """
    found: dict[str, list[str]] = {}
    for each in document["dags"]:
        file = tracebacks.own_path(str(each.get("fileloc") or ""))
        at = each.get("last_parsed_time")
        if file is not None and file in waiting and at and datetime.fromisoformat(at) >= waiting[file]:
            found.setdefault(file, []).append(str(each["dag_id"]))
    return found


def names(dags: Sequence[str]) -> str:
    """The DAGs for a person: some by name, the rest as a number."""
    shown = ", ".join(dags[:_NAMED])
    return shown if len(dags) <= _NAMED else f"{shown} and {len(dags) - _NAMED} more"
