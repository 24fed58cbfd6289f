"""Which of Airflow's StatsD metrics MWAA publishes in the namespace AmazonMWAA, under which names and dimensions.

From line 2 on Airflow puts tags behind a metric's name, `ti.finish,dag_id=d,state=success`; 1.10 and a few metrics of
later versions have what differs in the name itself, `ti.finish.d.t.success`. The names, dimensions and units are those
of MWAA's user guide. `python -m tools.reference` makes the page of them; a test compares what Airflow sends with the
template in which Airflow itself lists its metrics (`known/3.3.1.metrics`). Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache

NAMESPACE = "AmazonMWAA"

PREFIX = "airflow"
"""What the names that Airflow sends begin with, before a dot."""

COUNT, PERCENT, SECONDS, MILLISECONDS = "Count", "Percent", "Seconds", "Milliseconds"

GAUGES = frozenset(
    """
    DAGFileProcessingLastNumOfDbQueries DagBagSize ImportErrors OpenSlots Orphaned PoolDeferredSlots PoolOpenSlots
    PoolQueuedSlots PoolRunningSlots PoolScheduledSlots PoolStarvingTasks QueuedTasks RunningTasks TasksExecutable
    TasksPending TasksRunning TasksStarving TasksWithoutDagRun TriggersRunning
    """.split()  # noqa: SIM905 - twenty quoted words are harder to read
)
"""Counts of which each says how many there are: their sum says nothing."""

TAGS_SINCE = 2
"""The first line of Airflow with tags."""

_SCHEDULER = (("Function", "Scheduler"),)
_PROCESSING = (("Function", "DAG Processing"),)
_TRIGGER = (("Function", "Trigger"),)
_EXECUTOR = (("Function", "Executor"),)
_CELERY = (("Function", "Celery"),)
_ALL = (("DAG", "All"), ("Task", "All"))
_DAG = (("DAG", "{dag_id}"),)
_TASK = (("DAG", "{dag_id}"), ("Task", "{task_id}"))
_FILE = (("DAG Filename", "{file_name}"),)
_POOL = (("Pool", "{pool_name}"),)
_JOB = (("Job", "{job}"),)
_OPERATOR = (("Operator", "{operator}"),)

ALIASES: Mapping[str, tuple[str, ...]] = {
    "operator": ("operator_name", "operator", "task_type"),
    "file_name": ("file_name", "dag_file"),
}
"""What a part of a template is called as a tag, in whichever version."""


@dataclass(frozen=True, slots=True)
class PublishedMetric:
    """One metric of MWAA's."""

    name: str
    stats: tuple[str, ...]
    """Airflow's names, of whatever version; what differs stands in braces where it is a part of the name."""
    dimensions: tuple[tuple[str, str], ...]
    """Beside Environment: a text, or what differs, in braces."""
    unit: str = COUNT
    is_untagged_in_line_2: bool = False
    """Whether line 2 has what differs in the name alone, although line 3 has it as a tag."""


@dataclass(frozen=True, slots=True)
class PublishedName:
    """What an Airflow metric is at MWAA."""

    metric: PublishedMetric
    dimensions: tuple[tuple[str, str], ...]


METRICS: tuple[PublishedMetric, ...] = (
    # counters
    PublishedMetric("SLAMissed", ("sla_missed",), _SCHEDULER),
    PublishedMetric("FailedSLACallback", ("sla_callback_notification_failure",), _SCHEDULER),
    PublishedMetric("FailedSLAEmailAttempts", ("sla_email_notification_failure",), _SCHEDULER),
    PublishedMetric("SlaCallbackCount", ("dag_processing.sla_callback_count",), _PROCESSING),
    PublishedMetric("Updates", ("dataset.updates", "asset.updates"), _SCHEDULER),
    PublishedMetric("Orphaned", ("dataset.orphaned", "asset.orphaned"), _SCHEDULER),
    PublishedMetric("FailedCeleryTaskExecution", ("celery.execute_command.failure",), _CELERY),
    PublishedMetric("TaskTimeoutError", ("celery.task_timeout_error",), _CELERY),
    PublishedMetric("FilePathQueueUpdateCount", ("dag_processing.file_path_queue_update_count",), _PROCESSING),
    PublishedMetric("OtherCallbackCount", ("dag_processing.other_callback_count",), _PROCESSING),
    PublishedMetric("CriticalSectionBusy", ("scheduler.critical_section_busy",), _SCHEDULER),
    PublishedMetric("DagBagSize", ("dagbag_size",), _PROCESSING),
    PublishedMetric("DagCallbackExceptions", ("dag.callback_exceptions",), (("DAG", "All"),)),
    PublishedMetric(
        "TaskInstanceFinished", ("ti.finish", "ti.finish.{dag_id}.{task_id}.{state}"), (*_TASK, ("State", "{state}"))
    ),
    PublishedMetric("StartedTaskInstances", ("ti.start", "ti.start.{dag_id}.{task_id}"), _ALL),
    PublishedMetric("JobStart", ("{job}_start",), _JOB),
    PublishedMetric("JobEnd", ("{job}_end",), _JOB),
    PublishedMetric("JobHeartbeatFailure", ("{job}_heartbeat_failure",), _JOB),
    PublishedMetric("ManagerStalls", ("dag_processing.manager_stalls",), _PROCESSING),
    PublishedMetric("Processes", ("dag_processing.processes",), _PROCESSING),
    PublishedMetric("OperatorFailures", ("operator_failures", "operator_failures_{operator}"), _OPERATOR),
    PublishedMetric("OperatorSuccesses", ("operator_successes", "operator_successes_{operator}"), _OPERATOR),
    PublishedMetric("SchedulerHeartbeat", ("scheduler_heartbeat",), _SCHEDULER),
    PublishedMetric("TriggerHeartbeat", ("triggerer_heartbeat",), _TRIGGER),
    PublishedMetric("TasksKilledExternally", ("scheduler.tasks.killed_externally",), _SCHEDULER),
    PublishedMetric(
        "TaskInstanceCreatedUsingOperator",
        ("task_instance_created", "task_instance_created-{operator}", "task_instance_created_{operator}"),
        _OPERATOR,
    ),
    PublishedMetric("TaskInstancePreviouslySucceeded", ("previously_succeeded",), _ALL),
    PublishedMetric("TaskInstanceFailures", ("ti_failures",), _ALL),
    PublishedMetric("TaskInstanceSuccesses", ("ti_successes",), _ALL),
    PublishedMetric("TaskRemovedFromDAG", ("task_removed_from_dag", "task_removed_from_dag.{dag_id}"), _DAG),
    PublishedMetric("TaskRestoredToDAG", ("task_restored_to_dag", "task_restored_to_dag.{dag_id}"), _DAG),
    PublishedMetric("TriggersSucceeded", ("triggers.succeeded",), _TRIGGER),
    PublishedMetric("TriggersFailed", ("triggers.failed",), _TRIGGER),
    PublishedMetric("TriggersBlockedMainThread", ("triggers.blocked_main_thread",), _TRIGGER),
    PublishedMetric("ZombiesKilled", ("zombies_killed", "task_instances_without_heartbeats_killed"), _ALL),
    # gauges
    PublishedMetric("DAGFileRefreshError", ("dag_file_refresh_error",), _PROCESSING),
    PublishedMetric("ImportErrors", ("dag_processing.import_errors",), _PROCESSING),
    PublishedMetric("TotalParseTime", ("dag_processing.total_parse_time",), _PROCESSING, SECONDS),
    PublishedMetric(
        "DAGFileProcessingLastRunSecondsAgo",
        ("dag_processing.last_run.seconds_ago", "dag_processing.last_run.seconds_ago.{file_name}"),
        _FILE,
        SECONDS,
        is_untagged_in_line_2=True,
    ),
    PublishedMetric(
        "DAGFileProcessingLastNumOfDbQueries", ("dag_processing.last_num_of_db_queries.{file_name}",), _FILE
    ),
    PublishedMetric("ProcessorTimeouts", ("dag_processing.processor_timeouts",), _PROCESSING),
    PublishedMetric("TriggeredDagRuns", ("dataset.triggered_dagruns", "asset.triggered_dagruns"), _SCHEDULER),
    PublishedMetric(
        "TriggersRunning", ("triggers.running", "triggers.running.{hostname}"), (("HostName", "{hostname}"),)
    ),
    PublishedMetric("OpenSlots", ("executor.open_slots",), _EXECUTOR),
    PublishedMetric("QueuedTasks", ("executor.queued_tasks",), _EXECUTOR),
    PublishedMetric("RunningTasks", ("executor.running_tasks",), _EXECUTOR),
    PublishedMetric("OrphanedTasksAdopted", ("scheduler.orphaned_tasks.adopted",), _SCHEDULER),
    PublishedMetric("OrphanedTasksCleared", ("scheduler.orphaned_tasks.cleared",), _SCHEDULER),
    PublishedMetric("TasksExecutable", ("scheduler.tasks.executable",), _SCHEDULER),
    PublishedMetric("TasksPending", ("scheduler.tasks.pending",), _SCHEDULER),
    PublishedMetric("TasksRunning", ("scheduler.tasks.running",), _SCHEDULER),
    PublishedMetric("TasksStarving", ("scheduler.tasks.starving",), _SCHEDULER),
    PublishedMetric("TasksWithoutDagRun", ("scheduler.tasks.without_dagrun",), _SCHEDULER),
    PublishedMetric("PoolOpenSlots", ("pool.open_slots", "pool.open_slots.{pool_name}"), _POOL),
    PublishedMetric("PoolQueuedSlots", ("pool.queued_slots", "pool.queued_slots.{pool_name}"), _POOL),
    PublishedMetric("PoolRunningSlots", ("pool.running_slots", "pool.running_slots.{pool_name}"), _POOL),
    PublishedMetric("PoolDeferredSlots", ("pool.deferred_slots", "pool.deferred_slots.{pool_name}"), _POOL),
    PublishedMetric("PoolScheduledSlots", ("pool.scheduled_slots", "pool.scheduled_slots.{pool_name}"), _POOL),
    PublishedMetric("PoolStarvingTasks", ("pool.starving_tasks", "pool.starving_tasks.{pool_name}"), _POOL),
    PublishedMetric(
        "TaskCpuUsage", ("cpu.usage.{dag_id}.{task_id}", "task.cpu_usage.{dag_id}.{task_id}"), _TASK, PERCENT
    ),
    PublishedMetric(
        "TaskMemoryUsage", ("mem.usage.{dag_id}.{task_id}", "task.mem_usage.{dag_id}.{task_id}"), _TASK, PERCENT
    ),
    # timers
    PublishedMetric("CollectDBDags", ("collect_db_dags",), _PROCESSING, MILLISECONDS),
    PublishedMetric("CriticalSectionDuration", ("scheduler.critical_section_duration",), _SCHEDULER, MILLISECONDS),
    PublishedMetric(
        "CriticalSectionQueryDuration", ("scheduler.critical_section_query_duration",), _SCHEDULER, MILLISECONDS
    ),
    PublishedMetric("SchedulerLoopDuration", ("scheduler.scheduler_loop_duration",), _SCHEDULER, MILLISECONDS),
    PublishedMetric(
        "DAGDependencyCheck", ("dagrun.dependency-check", "dagrun.dependency-check.{dag_id}"), _DAG, MILLISECONDS
    ),
    PublishedMetric(
        "DAGDurationSuccess", ("dagrun.duration.success", "dagrun.duration.success.{dag_id}"), _DAG, MILLISECONDS
    ),
    PublishedMetric(
        "DAGDurationFailed", ("dagrun.duration.failed", "dagrun.duration.failed.{dag_id}"), _DAG, MILLISECONDS
    ),
    PublishedMetric(
        "DAGScheduleDelay", ("dagrun.schedule_delay", "dagrun.schedule_delay.{dag_id}"), _DAG, MILLISECONDS
    ),
    PublishedMetric(
        "FirstTaskSchedulingDelay",
        ("dagrun.first_task_scheduling_delay", "dagrun.{dag_id}.first_task_scheduling_delay"),
        _DAG,
        MILLISECONDS,
    ),
    PublishedMetric("TaskInstanceDuration", ("task.duration", "dag.{dag_id}.{task_id}.duration"), _TASK, MILLISECONDS),
    PublishedMetric("TaskInstanceQueuedDuration", ("task.queued_duration",), _TASK, MILLISECONDS),
    PublishedMetric("TaskInstanceScheduledDuration", ("task.scheduled_duration",), _TASK, MILLISECONDS),
    PublishedMetric(
        "DAGFileProcessingLastDuration",
        ("dag_processing.last_duration", "dag_processing.last_duration.{file_name}"),
        _FILE,
        SECONDS,
    ),
)
"""Without smart sensors', which only 2.0 to 2.3 had, and PoolFailures, which Airflow does not send."""

COUNTERS = frozenset(metric.name for metric in METRICS if metric.unit == COUNT) - GAUGES
"""Counts of what has happened."""


def match(stat: str, line: int) -> PublishedName | None:
    """What an Airflow metric is called, by the name that it was sent with; None: MWAA publishes nothing of it."""
    name, *given = stat.split(",")
    tags = dict(each.partition("=")[::2] for each in given)
    whole = _whole().get(name)
    if whole is not None and (dimensions := _dimensions(whole, tags)) is not None:
        return PublishedName(whole, dimensions)
    for metric, pattern, has_tags in _patterns():
        if line >= TAGS_SINCE and has_tags:
            continue  # it comes with tags too
        found = pattern.fullmatch(name)
        if found is not None and (dimensions := _dimensions(metric, found.groupdict())) is not None:
            return PublishedName(metric, dimensions)
    return None


@cache
def _whole() -> Mapping[str, PublishedMetric]:
    return {stat: metric for metric in METRICS for stat in metric.stats if "{" not in stat}


@cache
def _patterns() -> tuple[tuple[PublishedMetric, re.Pattern[str], bool], ...]:
    return tuple(_of_names())


def _of_names() -> Iterator[tuple[PublishedMetric, re.Pattern[str], bool]]:
    for metric in METRICS:
        for stat in metric.stats:
            if "{" in stat:
                # A part of a name has no dots where another follows it: else nobody could tell where one ends.
                parts = re.split(r"\{(\w+)\}", stat)
                text = "".join(
                    re.escape(part) if number % 2 == 0 else _part(part, is_last=number == len(parts) - 2)
                    for number, part in enumerate(parts)
                )
                yield (
                    metric,
                    re.compile(text),
                    not metric.is_untagged_in_line_2 and any("{" not in each for each in metric.stats),
                )


def _part(name: str, *, is_last: bool) -> str:
    characters = "[a-z_]+" if name == "job" else ".+" if is_last else "[^.]+"
    return f"(?P<{name}>{characters})"


def _dimensions(metric: PublishedMetric, known: Mapping[str, str]) -> tuple[tuple[str, str], ...] | None:
    found = []
    for dimension, template in metric.dimensions:
        if not template.startswith("{"):
            found.append((dimension, template))
            continue
        part = template[1:-1]
        value = next((known[name] for name in ALIASES.get(part, (part,)) if known.get(name)), "")
        if not value:
            return None
        found.append((dimension, value))
    return tuple(found)
