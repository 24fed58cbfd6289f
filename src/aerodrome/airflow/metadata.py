"""The statements that we send to Airflow's metadata database, as SQL texts with psycopg parameters.

Others execute them. Every statement touches only what Airflow itself would read or write there.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from aerodrome.airflow import line3, sections
from aerodrome.airflow.context import Database
from aerodrome.airflow.inside.aerodrome_unit import notices
from aerodrome.airflow.versions import Version
from aerodrome.model.roles import AirflowRole

LINE_2 = 2
LINE_3 = 3

NEEDED = ("dag", "dag_run", "task_instance", "slot_pool", "job", "connection", "variable", "xcom", "import_error")
"""Tables that every line has and cannot work without."""

HEARTBEAT_LIMIT = 30
"""Seconds after which Airflow's own health page calls a job unhealthy."""

_SCHEDULER = f"""
        SELECT id FROM job WHERE job_type = 'SchedulerJob' AND state = 'running'
        ORDER BY latest_heartbeat > now() - interval '{HEARTBEAT_LIMIT} seconds' DESC NULLS LAST, id DESC LIMIT 1
"""  # noqa: S608 - our own number
"""The youngest that lives: while a change replaces a cell, the older one is about to end."""

HAND_OVER = f"""
    UPDATE task_instance SET queued_by_job_id = scheduler.id
    FROM ({_SCHEDULER}) AS scheduler
    WHERE task_instance.state = ANY(%(begun)s) AND hostname LIKE %(hostnames)s
"""  # noqa: S608 - our own text
"""A scheduler looks for lost tasks among those that it has queued. It takes over another scheduler's only every five
minutes.
"""

UNDER_WAY = timedelta(seconds=3)
"""How long after its sender's death a heartbeat may be written that was on its way; a successor does not begin so soon
with a task that had begun before."""

TASKS_LOST_3 = """
    UPDATE task_instance SET last_heartbeat_at = last_heartbeat_at - interval '1 day'
    WHERE state = ANY(%(begun)s) AND hostname LIKE %(hostnames)s
    AND (%(died_at)s::timestamptz IS NULL OR (
        COALESCE(start_date, '-infinity') <= %(died_at)s AND last_heartbeat_at <= %(late)s
    ))
"""

TASKS_LOST = """
    UPDATE job SET latest_heartbeat = latest_heartbeat - interval '1 day'
    WHERE state = 'running' AND job_type = 'LocalTaskJob'
    AND (%(died_at)s::timestamptz IS NULL OR latest_heartbeat <= %(late)s)
    AND id IN (
        SELECT job_id FROM task_instance WHERE state = 'running' AND hostname LIKE %(hostnames)s
        AND (%(died_at)s::timestamptz IS NULL OR COALESCE(start_date, '-infinity') <= %(died_at)s)
    )
"""


NEVER = 86_400.0
"""Seconds: longer than what `QUEUE_AGAIN` looks at."""

TASKS_OF_WORKERS = """
    SELECT left(hostname, 64), state = 'queued',
        count(*), count(*) FILTER (WHERE queued_dttm < now() - %(overdue)s * interval '1 second'
            AND queued_dttm > now() - interval '12 hours')
    FROM task_instance WHERE state = ANY(%(states)s) AND queue = ANY(%(queues)s) GROUP BY 1, 2 LIMIT 1000
"""
"""Deferred tasks and those that wait for a pool or for others are in other states; workers serve one queue. Overdue are
those that `QUEUE_AGAIN` would touch."""

QUEUE_AGAIN = f"""
    UPDATE task_instance
    SET queued_dttm = queued_dttm - interval '1 day', queued_by_job_id = COALESCE(({_SCHEDULER}), queued_by_job_id)
    WHERE state = 'queued' AND queue = 'default' AND queued_dttm < now() - %(seconds)s * interval '1 second'
    AND queued_dttm > now() - interval '12 hours'
"""  # noqa: S608 - our own text
"""A scheduler looks for tasks that are stuck among those that it has queued itself."""

_TASKS = "(SELECT count(*) FROM task_instance WHERE state IN ('queued', 'running', 'restarting'))"

QUEUE_LOAD = """
    SELECT count(*) FILTER (WHERE state = 'queued'), count(*) FILTER (WHERE state IN ('running', 'restarting')),
        COALESCE(extract(epoch FROM now() - min(queued_dttm) FILTER (WHERE state = 'queued')), 0)::float8
    FROM task_instance WHERE state IN ('queued', 'running', 'restarting')
"""

_RUNS = """
    (SELECT count(*) FROM dag_run WHERE state IN ('queued', 'running')
     AND dag_id IN (SELECT dag_id FROM dag WHERE NOT is_paused AND {present}))
"""

_DUE = """
    (SELECT min(next_dagrun_create_after::timestamptz) FROM dag WHERE NOT is_paused AND {present}
     AND NOT COALESCE(has_import_errors, FALSE) AND next_dagrun_create_after::timestamptz > %(since)s::timestamptz)
"""
"""DAG code may have given the column another type."""

_READ = "(SELECT min({column}::timestamptz) FROM dag WHERE {present})"

_EVENTS = "(SELECT count(*) FROM {queue} WHERE created_at > now() - interval '1 minute')"
"""A scheduler looks at them every second. What it leaves there waits for other assets."""

_TRIGGERS = "(SELECT count(*) FROM trigger)"

_ACTIVE, _NOT_STALE = "COALESCE(is_active, FALSE)", "NOT COALESCE(is_stale, FALSE)"

_UNKNOWN = """
    (SELECT count(*) FROM dag WHERE NOT is_paused AND COALESCE(is_active, FALSE) AND NOT COALESCE(is_subdag, FALSE)
     AND schedule_interval IS NOT NULL AND schedule_interval NOT IN ('null', '"@once"'))
"""

AHEAD = {
    1: f"SELECT {_TASKS}, {_RUNS.format(present=_ACTIVE)}, 0, 0, NULL::timestamptz, {_UNKNOWN}, "
    f"{_READ.format(column='last_scheduler_run', present=_ACTIVE)}",
    2: f"SELECT {_TASKS}, {_RUNS.format(present=_ACTIVE)}, {_TRIGGERS}, "
    f"{_EVENTS.format(queue='dataset_dag_run_queue')}, {_DUE.format(present=_ACTIVE)}, 0, "
    f"{_READ.format(column='last_parsed_time', present=_ACTIVE)}",
    3: f"SELECT {_TASKS}, {_RUNS.format(present=_NOT_STALE)}, {_TRIGGERS}, "
    f"{_EVENTS.format(queue='asset_dag_run_queue')}, {_DUE.format(present=_NOT_STALE)}, 0, "
    f"{_READ.format(column='last_parsed_time', present=_NOT_STALE)}",
}
"""What needs units, by the line of Airflow. Runs and due dates of paused DAGs do not count: no scheduler begins them.
Tasks of theirs that run or wait in the queue do."""

COMPLETE_ROLES = r"""
    DO $$
    DECLARE
        found text;
    BEGIN
        FOR found IN
            SELECT table_name FROM information_schema.columns
            WHERE table_schema = current_schema() AND table_name LIKE 'ab\_%%' AND column_name = 'id'
            AND column_default IS NULL AND is_identity = 'NO'
        LOOP
            EXECUTE format('ALTER TABLE %%I ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY', found);
            EXECUTE format(
                'SELECT setval(pg_get_serial_sequence(%%L, %%L), (SELECT COALESCE(max(id), 0) + 1 FROM %%I), false)',
                found, 'id', found
            );
        END LOOP;
    END $$
"""


@dataclass(frozen=True, slots=True)
class DatabaseQuery:
    """One statement; `parameters` go by `%s` or `%(name)s`."""

    text: str
    parameters: Any = ()


@dataclass(frozen=True, slots=True)
class ParseRequest:
    """How the DAG processor is asked to parse one file before all others."""

    text: str
    """A statement with one `%s` for the file; the id is computed as Airflow computes it, so asking twice is one
    request.

    Airflow drops a request for a file that it is parsing at that moment; its own scan finds the change then.
    """

    style: Literal["relative", "absolute"]
    """Whether the file is named by its path below the DAGs folder, or by its whole path."""


def parse_request(version: Version) -> ParseRequest | None:
    """How to ask; None: Airflow 1.10 cannot be asked.

    In 3.x one row also makes the DAG processor look for new files. In 2.x each new file needs its row.
    """
    if version.line < LINE_2:
        return None
    if version.line >= LINE_3:
        return ParseRequest(
            "WITH asked AS ("  # noqa: S608 - our own names
            "INSERT INTO dag_priority_parsing_request (id, bundle_name, relative_fileloc) "
            f"SELECT md5('{line3.DAG_BUNDLE}:' || name), '{line3.DAG_BUNDLE}', name "
            "FROM (SELECT %s::text) AS file (name) ON CONFLICT DO NOTHING) "
            f"SELECT pg_notify('{notices.PARSE}', '')",
            "relative",
        )
    return ParseRequest(
        "INSERT INTO dag_priority_parsing_request (id, fileloc) "
        "SELECT md5(path), path FROM (SELECT %s::text) AS file (path) ON CONFLICT DO NOTHING",
        "absolute",
    )


def running_jobs() -> DatabaseQuery:
    """Rows (job_type, hostname, age of the last heartbeat in seconds) of the jobs that say they run."""
    return DatabaseQuery(
        "SELECT job_type, hostname, extract(epoch FROM now() - latest_heartbeat)::float8 "
        "FROM job WHERE state = 'running' AND job_type IN ('SchedulerJob', 'TriggererJob', 'DagProcessorJob')"
    )


def set_default_pool(slots: int) -> DatabaseQuery:
    """Give the default pool its size; for a database freshly cloned, where no user has set it yet."""
    return DatabaseQuery("UPDATE slot_pool SET slots = %s WHERE pool = 'default_pool'", (slots,))


def age_heartbeats(
    version: Version, hostnames: str, died_at: datetime | None = None, under_way: timedelta = UNDER_WAY
) -> tuple[DatabaseQuery, ...]:
    """Let Airflow find the tasks of dead workers at its next look, instead of after five minutes.

    Only for workers whose host names match the LIKE pattern and whose processes are all gone. `died_at` spares the
    tasks of a successor with the same host name; None = there is none. Heartbeats may be `under_way` for so long.
    """
    late = None if died_at is None else died_at + under_way
    parameters = {"hostnames": hostnames, "died_at": died_at, "late": late, "begun": _begun(version)}
    found = DatabaseQuery(TASKS_LOST_3 if version.line >= LINE_3 else TASKS_LOST, parameters)
    # 1.10 has one scheduler, which looks after all tasks.
    return (found,) if version.line < LINE_2 else (DatabaseQuery(HAND_OVER, parameters), found)


def tasks_of_workers(version: Version, overdue: float, key_prefix: str) -> DatabaseQuery:
    """Rows (host name, whether queued, count, count of those to be queued again after `overdue` seconds).

    None of Airflow 1.10 are. Its queue has the environment's `key_prefix` in its name where environments share a Redis.
    """
    limit = NEVER if version.line < LINE_2 else overdue
    queues, states = ["default", f"{key_prefix}default"], ["queued", *_begun(version)]
    return DatabaseQuery(TASKS_OF_WORKERS, {"overdue": limit, "queues": queues, "states": states})


def _begun(version: Version) -> list[str]:
    """The states of tasks among which Airflow looks for lost ones; one that was cleared while it ran is restarting.

    Airflow 2 looks for none of those. It resets them when the scheduler dies that queued them: so they stay with it.
    """
    return ["running", "restarting"] if version.line >= LINE_3 else ["running"]


def queue_again(version: Version, seconds: float) -> DatabaseQuery | None:
    """Let Airflow find at its next look, instead of after half an hour, what has been queued for longer than that.

    None: Airflow 1.10 has no such look.
    """
    return None if version.line < LINE_2 else DatabaseQuery(QUEUE_AGAIN, {"seconds": seconds})


def ahead(version: Version, since: datetime) -> DatabaseQuery:
    """One row of what needs units: counts of tasks, runs, triggers and new asset events, and when the next run is due.

    A run that should have begun before `since` is one that no scheduler starts. Then follow the count of DAGs whose
    next run nobody can tell (Airflow 1.10 writes none down), and when the DAG was parsed whose last parsing is oldest.
    """
    return DatabaseQuery(AHEAD[version.line], {"since": since})


def queue_load() -> DatabaseQuery:
    """One row: tasks that are queued, tasks that run, and for how many seconds the oldest has been queued."""
    return DatabaseQuery(QUEUE_LOAD)


def import_errors(version: Version) -> DatabaseQuery:
    """Rows (file) of DAG files that fail to import: in 3.x the path below the DAGs folder, else the whole path."""
    del version
    # DAG code may have put a view with rows without end in the table's place.
    return DatabaseQuery("SELECT left(filename, 4096) FROM import_error LIMIT 10000")


def complete_roles() -> DatabaseQuery:
    """Let the tables of users and roles number their rows.

    A database that began as 3 never had these tables. The downgrade makes them, but without anything that numbers rows,
    so 2.11 could add no role to them. Tables that number theirs already are left alone.
    """
    return DatabaseQuery(COMPLETE_ROLES)


def runs_without_place(source: Version, target: Version) -> DatabaseQuery | None:
    """One row (count) of the runs that a move between versions removes; None = it removes none.

    Airflow 3 has runs without a logical date, as its API and its UI trigger them; its own downgrade deletes them.
    """
    if source.line < LINE_3 or target.line >= LINE_3:
        return None
    return DatabaseQuery("SELECT count(*) FROM dag_run WHERE logical_date IS NULL")


def roles_without_effect(source: Version, target: Version) -> DatabaseQuery | None:
    """Rows (name) of the roles that people made and that mean nothing after a move; None = all keep their meaning.

    In Airflow 3 IAM alone grants roles, whatever the tables of Airflow 2 say.
    """
    if source.line >= LINE_3 or target.line < LINE_3:
        return None
    return DatabaseQuery(
        "SELECT name FROM ab_role WHERE NOT name = ANY(%s) ORDER BY name", ([str(role) for role in AirflowRole],)
    )


def requeue() -> DatabaseQuery:
    """Let the scheduler queue again what was queued: the messages in the broker belong to a version that is gone."""
    return DatabaseQuery(
        "UPDATE task_instance SET state = 'scheduled', queued_dttm = NULL, queued_by_job_id = NULL, "
        "external_executor_id = NULL WHERE state = 'queued'"
    )


def url(database: Database) -> str:
    """The SQLAlchemy URL by which Airflow reaches a database."""
    return sections.database_url(database)


def soundness() -> DatabaseQuery:
    """One row: the revisions of the schema, at most two, and the tables of `NEEDED` that the owner lacks.

    It fails if not even the first can be read.
    """
    return DatabaseQuery(
        "SELECT ARRAY(SELECT left(version_num::text, 64) FROM alembic_version LIMIT 2), "
        "ARRAY(SELECT name FROM unnest(%s::text[]) AS wanted (name) "
        "WHERE has_table_privilege(to_regclass(name), 'UPDATE') IS NOT TRUE)",
        ([*NEEDED],),
    )


def schema_head(airflow: Path) -> str | None:
    """The revision of the schema that the Airflow in this folder works with; None = it does not say (1.10)."""
    try:
        text = (airflow / "utils" / "db.py").read_text(encoding="utf-8")
    except OSError:
        return None
    heads = re.search(r"^_REVISION_HEADS_MAP\b[^{]*\{(.*?)\}", text, re.MULTILINE | re.DOTALL)
    named = re.findall(r'"[\d.]+": "(\w+)"', heads[1]) if heads else []
    return named[-1] if named else None
