"""The questions we put to Airflow's metadata database, as SQL texts with psycopg parameters.

Who executes them is not here. Every statement touches only what Airflow itself would read or write there.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from aerodrome.airflow import line3
from aerodrome.airflow.versions import Version

LINE_3 = 3

HEARTBEAT_LIMIT = 30
"""Seconds after which Airflow's own health page calls a job unhealthy."""


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement; `parameters` go by `%s` or `%(name)s`."""

    text: str
    parameters: Any = ()


@dataclass(frozen=True, slots=True)
class ParseRequest:
    """How the DAG processor is asked to parse one file before all others."""

    text: str
    """A statement with one `%s` for the file; the id is as Airflow computes it, so asking twice is one request.

    Airflow drops a request for a file that it is parsing at that moment; its own scan finds the change then.
    """

    style: Literal["relative", "absolute"]
    """Whether the file is named by its path below the DAGs folder, or by its whole path."""


def parse_request(version: Version) -> ParseRequest:
    """In 3.x one row makes the DAG processor look for new files too; in 2.x each new file needs its row."""
    if version.line >= LINE_3:
        return ParseRequest(
            "INSERT INTO dag_priority_parsing_request (id, bundle_name, relative_fileloc) "  # noqa: S608 - our own names
            f"SELECT md5('{line3.DAG_BUNDLE}:' || name), '{line3.DAG_BUNDLE}', name "
            "FROM (SELECT %s::text) AS file (name) ON CONFLICT DO NOTHING",
            "relative",
        )
    return ParseRequest(
        "INSERT INTO dag_priority_parsing_request (id, fileloc) "
        "SELECT md5(path), path FROM (SELECT %s::text) AS file (path) ON CONFLICT DO NOTHING",
        "absolute",
    )


def running_jobs() -> Statement:
    """Rows (job_type, hostname, age of the last heartbeat in seconds) of the jobs that say they run."""
    return Statement(
        "SELECT job_type, hostname, extract(epoch FROM now() - latest_heartbeat)::float8 "
        "FROM job WHERE state = 'running' AND job_type IN ('SchedulerJob', 'TriggererJob', 'DagProcessorJob')"
    )


def task_counts() -> Statement:
    """Rows (state, count) of running and queued tasks: what the number of workers follows."""
    return Statement(
        "SELECT state, count(*) FROM task_instance WHERE state IN ('running', 'queued') GROUP BY state",
    )


def tasks_by_worker() -> Statement:
    """Rows (hostname, count) of running tasks."""
    return Statement("SELECT hostname, count(*) FROM task_instance WHERE state = 'running' GROUP BY hostname")


def set_default_pool(slots: int) -> Statement:
    """Give the default pool its size; for a database freshly cloned, where no user has set it yet."""
    return Statement("UPDATE slot_pool SET slots = %s WHERE pool = 'default_pool'", (slots,))


def age_heartbeats(version: Version, hostname: str, died_at: datetime) -> Statement:
    """Let Airflow find the tasks of a dead worker at its next look, instead of after five minutes.

    Only for a worker whose processes are all gone. `died_at` spares the tasks of a successor with the same host name.
    """
    parameters = {"hostname": hostname, "died_at": died_at}
    if version.line >= LINE_3:
        return Statement(
            "UPDATE task_instance SET last_heartbeat_at = last_heartbeat_at - interval '1 day' "
            "WHERE state = 'running' AND hostname = %(hostname)s AND last_heartbeat_at <= %(died_at)s",
            parameters,
        )
    return Statement(
        "UPDATE job SET latest_heartbeat = latest_heartbeat - interval '1 day' "
        "WHERE state = 'running' AND job_type = 'LocalTaskJob' AND latest_heartbeat <= %(died_at)s "
        "AND id IN (SELECT job_id FROM task_instance WHERE state = 'running' AND hostname = %(hostname)s)",
        parameters,
    )


def schema_version() -> Statement:
    """The revision of the schema; fails when the database was never migrated."""
    return Statement("SELECT version_num FROM alembic_version")
