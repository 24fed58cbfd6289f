"""Another Airflow version in place, of a database that has been in use for long.

The history is a real one, copied: Airflow runs each of some DAGs once, and the rows of these runs (task instances,
their results, rendered fields and log entries) are multiplied by SQL, each copy an hour older than the one before.
"""

from __future__ import annotations

import asyncio
from typing import Any, LiteralString

import psycopg
from psycopg import sql
from rich.console import Console

from aerodrome.services import clusters, postgres
from benchmarks import watching
from benchmarks.ours import Installation, wait_for
from benchmarks.table import Row

NAME = "upgrade"
DAGS = f"{NAME}/dags"
BEFORE = "2.11.2"

PIPELINES = 5
TASKS = 20
RUNS = 1000
"""Of each pipeline, the one that Airflow ran included; times pipelines and tasks, that makes 100,000 task instances."""

RENDERED = 30
"""Runs of which Airflow keeps rendered fields."""

PIPELINE = """
from datetime import datetime
from airflow import DAG
try:
    from airflow.providers.standard.operators.python import PythonOperator
except ImportError:
    from airflow.operators.python import PythonOperator

for pipeline in range({pipelines}):
    with DAG(f"pipeline_{{pipeline}}", start_date=datetime(2024, 1, 1), schedule=None, max_active_tasks=50) as dag:
        for number in range({tasks}):
            PythonOperator(task_id=f"t{{number}}", python_callable=lambda: {{"rows": 1000}})
    globals()[dag.dag_id] = dag
"""

TABLES: tuple[tuple[LiteralString, int], ...] = (
    ("dag_run", RUNS),
    ("task_instance", RUNS),
    ("xcom", RUNS),
    ("rendered_task_instance_fields", RENDERED),
    ("log", RUNS),
)
"""In the order of their foreign keys, and how many runs have rows in each."""


def upgrade(ours: Installation, console: Console) -> list[Row]:
    """UpdateEnvironment with the next Airflow version, and for how long nobody is there."""
    text = PIPELINE.format(pipelines=PIPELINES, tasks=TASKS)
    ours.put_dag("pipelines", text, DAGS)
    ours.create(NAME, version=BEFORE, folder=DAGS)
    try:
        _run_once(ours)
        instances = _multiply(ours, console)
        seconds, off = asyncio.run(_watched(ours, console))
    finally:
        ours.delete(NAME)
    what = f"upgrade {BEFORE} → {ours.version}, {instances:,} task instances"
    return [
        Row(what=what, ours=seconds, stock=None, unit="s", bar=None),
        Row(what="during it, REST API refused", ours=off, stock=None, unit="s", bar=None),
    ]


def _run_once(ours: Installation) -> None:
    """Each pipeline once, by Airflow."""
    everything = "/dags?dag_id_pattern=pipeline_"

    def listed() -> bool:
        status, found = ours.rest(NAME, "PATCH", everything, {"is_paused": False})
        return status == 200 and bool(found["total_entries"] == PIPELINES)

    wait_for(listed)
    for number in range(PIPELINES):
        status, run = ours.rest(NAME, "POST", f"/dags/pipeline_{number}/dagRuns", {})
        assert status == 200, run

    def states() -> Any:
        status, runs = ours.rest(NAME, "GET", "/dags/~/dagRuns")
        if status != 200:
            return None
        found = {each["state"] for each in runs["dag_runs"]}
        return found if found <= {"success", "failed"} else None

    assert wait_for(states, every=0.5) == {"success"}


def _multiply(ours: Installation, console: Console) -> int:
    """Copy the runs that there are; returns how many task instances there are then."""
    cluster = postgres.cluster_if_up(ours.settings.paths)
    assert cluster is not None
    own = f"env_{ours.status(NAME)['identifier']}"
    with clusters.connect(cluster, own) as connection:
        connection.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(own)))
        for table, runs in TABLES:
            connection.execute(_copies(connection, table, runs - 1))
            # Or the next table's foreign keys are looked up as in a table of a hundred rows.
            connection.execute(sql.SQL("VACUUM ANALYZE {}").format(sql.Identifier(table)))
        rows = {table: _scalar(connection, f"SELECT count(*) FROM {table}") for table, _ in TABLES}  # noqa: S608
        megabytes = _scalar(connection, "SELECT pg_database_size(current_database())") / 2**20
    console.print(f"  {', '.join(f'{count:,} {table}' for table, count in rows.items())}; {megabytes:.0f} MB")
    return rows["task_instance"]


def _copies(connection: psycopg.Connection, table: LiteralString, copies: int) -> sql.Composed:
    """The statement that adds copies of each row of a run, each an hour older than the one before."""
    columns = connection.execute(
        "SELECT column_name, data_type FROM information_schema.columns WHERE table_name = %s AND column_name <> 'id'",
        (table,),
    ).fetchall()
    values = {str(name): _copied(str(name), str(kind)) for name, kind in columns}
    return sql.SQL(
        "INSERT INTO {table} ({names}) SELECT {values} FROM {table} AS one CROSS JOIN generate_series(1, {copies}) AS n"
        " WHERE one.run_id IS NOT NULL"
    ).format(
        table=sql.Identifier(table),
        names=sql.SQL(", ").join(map(sql.Identifier, values)),
        values=sql.SQL(", ").join(values.values()),
        copies=copies,
    )


def _copied(column: str, kind: str) -> sql.Composable:
    """What a column has in copy number n."""
    if column == "run_id":
        return sql.SQL("one.run_id || '.' || n")
    if column == "dag_run_id":
        run = sql.SQL("(SELECT id FROM dag_run WHERE dag_id = one.dag_id AND run_id = {})")
        return run.format(_copied("run_id", kind))
    value = sql.SQL("one.{}").format(sql.Identifier(column))
    return sql.SQL("{} - n * interval '1 hour'").format(value) if kind.startswith("timestamp") else value


def _scalar(connection: psycopg.Connection, query: LiteralString) -> int:
    row = connection.execute(query).fetchone()
    assert row is not None
    return int(row[0])


async def _watched(ours: Installation, console: Console) -> tuple[float, float]:
    """Seconds of the upgrade, and those of them in which the REST API refused."""
    rest = watching.rest(ours, NAME)
    async with watching.alongside(rest.run):
        seconds = await asyncio.to_thread(ours.update, NAME, AirflowVersion=ours.version)
        await asyncio.sleep(5 * watching.EVERY)
    console.print(f"  {seconds:.2f} s ({ours.phases(NAME)}); off for {rest.refused:.2f} s, {rest.refusal}")
    return seconds, rest.refused
