"""The ten alarms that MWAA's user guide recommends for an environment. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from aerodrome.airflow.published_metrics import NAMESPACE
from aerodrome.cli.metrics_query import OF_THE_SERVICE

MIB = 2**20


@dataclass(frozen=True, slots=True)
class RecommendedAlarm:
    """One of them."""

    name: str
    says: str
    namespace: str
    metric: str
    dimension: tuple[str, str]
    threshold: float
    statistic: str = "Average"
    is_below: bool = False
    period: int = 60
    periods: int = 3
    missing: str = "missing"


def _load(container: str, word: str, periods: int) -> Iterator[RecommendedAlarm]:
    for metric, what in (("CPUUtilization", "processors"), ("MemoryUtilization", "memory")):
        yield RecommendedAlarm(
            f"{word}-{metric}", f"The {word} needs nearly all {what} that it may have.", OF_THE_SERVICE, metric,
            ("Cluster", container), 95.0, periods=periods,
        )  # fmt: skip


ALARMS = (
    RecommendedAlarm(
        "scheduler-heartbeat",
        "No scheduler has given a sign of life for ten minutes.",
        NAMESPACE,
        "SchedulerHeartbeat",
        ("Function", "Scheduler"),
        1.0,
        "Sum",
        is_below=True,
        period=300,
        periods=2,
        missing="breaching",
    ),
    RecommendedAlarm(
        "oldest-task", "A task has been queued for half an hour.", OF_THE_SERVICE, "ApproximateAgeOfOldestTask",
        ("Queue", "default"), 1800.0, "Maximum",
    ),
    *_load("Scheduler", "scheduler", 3),
    *_load("WebServer", "web-server", 3),
    *_load("BaseWorker", "base-worker", 6),
    RecommendedAlarm(
        "database-CPUUtilization", "The machine of the metadata database has no processor left.", OF_THE_SERVICE,
        "CPUUtilization", ("Database", "WRITER"), 95.0,
    ),
    RecommendedAlarm(
        "database-FreeableMemory", "The machine of the metadata database has less than 512 MiB of memory left.",
        OF_THE_SERVICE, "FreeableMemory", ("Database", "WRITER"), 512.0 * MIB, is_below=True,
    ),
)  # fmt: skip


def name_of(environment: str, alarm: RecommendedAlarm) -> str:
    """How the alarm of an environment is called."""
    return f"airflow-{environment}-{alarm.name}"


def request(environment: str, alarm: RecommendedAlarm, topic: str | None) -> dict[str, Any]:
    """What PutMetricAlarm is given."""
    told = [topic] if topic else []
    return {
        "AlarmName": name_of(environment, alarm),
        "AlarmDescription": alarm.says,
        "Namespace": alarm.namespace,
        "MetricName": alarm.metric,
        "Dimensions": [{"Name": key, "Value": value} for key, value in (alarm.dimension, ("Environment", environment))],
        "Statistic": alarm.statistic,
        "Period": alarm.period,
        "EvaluationPeriods": alarm.periods,
        "DatapointsToAlarm": alarm.periods,
        "Threshold": alarm.threshold,
        "ComparisonOperator": "LessThanThreshold" if alarm.is_below else "GreaterThanThreshold",
        "TreatMissingData": alarm.missing,
        "AlarmActions": told,
        "OKActions": told,
    }
