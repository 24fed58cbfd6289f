"""MWAA's names, against the list of metrics that Airflow has of itself."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from aerodrome.airflow import published_metrics
from aerodrome.airflow.published_metrics import ALIASES, METRICS, match

KNOWN = Path(published_metrics.__file__).with_name("known") / "3.3.1.metrics"
TEMPLATE = {name: set(filter(None, tags.split(","))) for _, name, tags in
            (f"{line} ".split(" ", 2) for line in KNOWN.read_text().splitlines())}  # fmt: skip
TEMPLATE = {name: {tag.strip() for tag in tags} for name, tags in TEMPLATE.items()}

OF_EARLIER_VERSIONS = {
    "SLAMissed", "FailedSLACallback", "FailedSLAEmailAttempts", "SlaCallbackCount", "TasksPending", "TasksRunning",
    "DAGFileProcessingLastNumOfDbQueries", "TasksWithoutDagRun", "TaskCpuUsage", "TaskMemoryUsage",
}  # fmt: skip
"""What Airflow 3.3 does not send any more."""


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_airflow_sends_what_is_published_with_the_tags_that_it_needs(metric):
    there = [stat for stat in metric.stats if stat in TEMPLATE or stat.startswith("{job}")]
    assert bool(there) != (metric.name in OF_EARLIER_VERSIONS)
    needed = {value[1:-1] for _, value in metric.dimensions if value.startswith("{")} - {"job"}
    for stat in there:
        for part in needed:
            assert TEMPLATE[stat] & set(ALIASES.get(part, (part,))), (stat, part)


@pytest.mark.parametrize(
    ("stat", "line", "name", "dimensions"),
    [
        ("scheduler_heartbeat", 3, "SchedulerHeartbeat", {"Function": "Scheduler"}),
        ("ti.finish,dag_id=a.b,task_id=g.t,state=success", 3, "TaskInstanceFinished",
         {"DAG": "a.b", "Task": "g.t", "State": "success"}),
        ("ti.finish.a.t.success", 1, "TaskInstanceFinished", {"DAG": "a", "Task": "t", "State": "success"}),
        ("ti.start,dag_id=a,task_id=t", 2, "StartedTaskInstances", {"DAG": "All", "Task": "All"}),
        ("operator_failures,dag_id=a,operator=BashOperator", 2, "OperatorFailures", {"Operator": "BashOperator"}),
        ("operator_failures_BashOperator", 1, "OperatorFailures", {"Operator": "BashOperator"}),
        ("schedulerjob_start", 3, "JobStart", {"Job": "schedulerjob"}),
        ("dag_processing.last_run.seconds_ago.my.dag", 2, "DAGFileProcessingLastRunSecondsAgo",
         {"DAG Filename": "my.dag"}),
        ("dagrun.my.first_task_scheduling_delay", 1, "FirstTaskSchedulingDelay", {"DAG": "my"}),
        ("task.queued_duration,task_id=t,dag_id=d", 2, "TaskInstanceQueuedDuration", {"DAG": "d", "Task": "t"}),
        ("pool.open_slots.default_pool", 1, "PoolOpenSlots", {"Pool": "default_pool"}),
    ],
)  # fmt: skip
def test_what_metrics_are_called(stat, line, name, dimensions):
    found = match(stat, line)
    assert (found.metric.name, dict(found.dimensions)) == (name, dimensions)


@pytest.mark.parametrize(
    "stat",
    [
        "ti.finish.a.t.success",  # sent with tags too
        "operator_failures_BashOperator",
        "pool.open_slots.default_pool,pool_name=default_pool",
        "ti.finish",
        "ti.finish,dag_id=,task_id=t,state=s",
        "my.own.metric",
        "local_task_job.task_exit,dag_id=d",
        "",
    ],
)
def test_what_is_not_published(stat):
    assert match(stat, 3) is None


def test_every_metric_has_one_name():
    names = [metric.name for metric in METRICS]
    assert len(set(names)) == len(names)
    stats = [stat for metric in METRICS for stat in metric.stats]
    assert len(set(stats)) == len(stats)
    assert all(re.fullmatch(r"[A-Z]\w+", name) for name in names)
