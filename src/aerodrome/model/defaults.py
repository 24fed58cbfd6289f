"""The values that MWAA documents for what CreateEnvironment leaves out.

Sources: API reference of CreateEnvironment; user guide, page environment-class.
"""

from __future__ import annotations

import zlib
from typing import Any

from aerodrome.model import classes
from aerodrome.model.spec import Document, Spec, counts_given

LOG_MODULES = {
    "DagProcessingLogs": "DAGProcessing",
    "SchedulerLogs": "Scheduler",
    "TaskLogs": "Task",
    "WebserverLogs": "WebServer",
    "WorkerLogs": "Worker",
}
"""Members of LoggingConfiguration, and the suffix of each one's log group."""

_DAYS = ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")


def complete(name: str, request: Document, *, latest_version: str) -> Spec:
    """The spec of a validated CreateEnvironment request, every default filled in."""
    chosen = request.get("EnvironmentClass", classes.DEFAULT)
    environment_class = classes.CLASSES[chosen]
    version = request.get("AirflowVersion", latest_version)
    most_workers = request.get("MaxWorkers", min(10, environment_class.most_workers))
    defaults: dict[str, Any] = {
        "AirflowVersion": version,
        "EnvironmentClass": chosen,
        "MinWorkers": 1,
        "MaxWorkers": most_workers,
        "Schedulers": 1 if has_one_scheduler(version) else environment_class.fewest_schedulers,
        "MinWebservers": environment_class.fewest_webservers,
        "MaxWebservers": max(environment_class.fewest_webservers, request.get("MinWebservers", 0)),
        "WebserverAccessMode": "PRIVATE_ONLY",
        "EndpointManagement": "SERVICE",
        "WeeklyMaintenanceWindowStart": maintenance_window(name),
        "AirflowConfigurationOptions": {},
    }
    given = {member: value for member, value in request.items() if value is not None}
    logging = logging_configuration(given.pop("LoggingConfiguration", {}))
    return Spec.of({**defaults, **given, **counts_given(given), "LoggingConfiguration": logging})


def has_one_scheduler(version: str) -> bool:
    """Airflow 1.10 has no lock that would keep a second one from scheduling the same tasks."""
    return version.startswith("1.")


def logging_configuration(given: Document) -> dict[str, Any]:
    """Task logs at INFO are on by default, the other four off."""
    return {
        module: dict(given.get(module) or {"Enabled": module == "TaskLogs", "LogLevel": "INFO"})
        for module in LOG_MODULES
    }


def maintenance_window(name: str) -> str:
    """A weekly half-hour spread over the week by name, so that not all environments are maintained at once."""
    half_hours = zlib.crc32(name.encode()) % (7 * 48)
    day, rest = divmod(half_hours, 48)
    return f"{_DAYS[day]}:{rest // 2:02d}:{'30' if rest % 2 else '00'}"
