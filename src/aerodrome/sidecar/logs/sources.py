"""Which category, group and stream a log file belongs to: MWAA's names. Pure.

Two folders have log files: `units`, what each revision's units print, and `tasks`, what Airflow itself writes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

GROUPS = {
    "DagProcessingLogs": "DAGProcessing",
    "SchedulerLogs": "Scheduler",
    "TaskLogs": "Task",
    "WebserverLogs": "WebServer",
    "WorkerLogs": "Worker",
}
"""Members of LoggingConfiguration, and the suffix of each one's log group."""

UNITS: Mapping[str, tuple[str, str]] = {
    "scheduler": ("SchedulerLogs", "scheduler"),
    "triggerer": ("SchedulerLogs", "triggerer"),
    "dag-processor": ("DagProcessingLogs", ""),
    "web": ("WebserverLogs", "webserver"),
    "execution": ("WebserverLogs", "webserver"),
    "worker": ("WorkerLogs", "worker"),
}
"""Kind of unit → its category, and how its streams begin; empty: they are the DAG processor's."""

BUILDS = "builds"
"""The folder beside those of revisions, in which builds write what they print: below one for each component."""

COMPONENTS: Mapping[str, str] = {
    "scheduler": "SchedulerLogs",
    "worker": "WorkerLogs",
    "webserver": "WebserverLogs",
}
"""Folder of a component → its category."""

MANAGER = "dag_processor_manager.log"

PARSERS = frozenset({"dag_processor", "scheduler", "dag_processor_manager"})
"""Folders beside those of tasks, in which Airflow writes what it says while it parses DAG files."""

LONGEST_NAME = 512
"""Characters of a stream's name."""

_UNIT = re.compile(r"([a-z-]+?)(?:-\d+)?\.log")

_NOT_ALLOWED = re.compile(r"[:*\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Source:
    """Where the lines of one file go."""

    category: str
    stream: str


def of_unit(revision: str, name: str, *, epoch: int) -> Source | None:
    """Of a file that a unit prints into; `epoch`: when it was seen first, in seconds. None: it is not shipped."""
    found = _UNIT.fullmatch(name)
    if found is None or found[1] not in UNITS:
        return None
    category, beginning = UNITS[found[1]]
    if not beginning:
        return Source(category, MANAGER)
    return Source(category, f"{beginning}_{name.removesuffix('.log')}.{revision}_{epoch}.log")


def of_build(path: str) -> Source | None:
    """Of a file below the folder of builds: MWAA's streams of requirements and of the startup script."""
    component, _, name = path.partition("/")
    return Source(COMPONENTS[component], named(name)) if component in COMPONENTS and name else None


def of_airflow(path: str) -> Source | None:
    """Of a file that Airflow writes below its log folder. None: it is not shipped."""
    if not path.endswith(".log"):
        return None
    first, _, rest = path.partition("/")
    if first not in PARSERS:
        return Source("TaskLogs", named(path)) if rest else None
    _, _, file = rest.partition("/")  # below a folder for each day
    if first == "dag_processor_manager" or not file:
        return Source("DagProcessingLogs", MANAGER)
    return Source("DagProcessingLogs", named(f"scheduler_{file.removeprefix('dags-folder/')}"))


def group(environment: str, category: str) -> str:
    """The name of a category's log group."""
    return f"airflow-{environment}-{GROUPS[category]}"


def named(path: str) -> str:
    """A path as the name of a stream."""
    return _NOT_ALLOWED.sub("_", path.encode("utf-8", "replace").decode())[:LONGEST_NAME]
