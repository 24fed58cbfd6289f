"""From nothing to a finished workflow on a real Airflow: what `make quickstart` runs.

Reads top to bottom as the story it tells. It is a client like any other: the `aerodrome` command to start things, boto3
with the variables of `aerodrome env` for the rest. Whatever exists already is used again.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from rich.console import Console

from . import airflow_rest, archive, control_plane, environment, failure, progress, resources, screen, waiting

WAREHOUSE_DATABASE = "movielens"
WAREHOUSE_CONNECTION = "movie_warehouse"

RUN_SECONDS = 15 * 60
"""How long the pipeline may run; it takes well under a minute."""

STATUS_EVERY = 2.0
"""Seconds between two looks at `aerodrome status`, which costs the start of a Python."""

EXAMPLES = """
examples:
  make quickstart                                     Airflow 3.3, the default
  make quickstart VERSION=2.11                        Airflow 2.11
  python -m examples.movielens --airflow-version 3.3.1
  python -m examples.movielens --name mine --json     the summary as JSON on stdout, the bars on stderr

Running it again is safe: what exists is used again, and the pipeline replaces its own results.
"""


@dataclass
class Summary:
    """What `--json` prints: everything that the tables on the screen say."""

    environment: str
    airflow_version: str
    run_id: str = ""
    state: str = ""
    top: list[dict[str, Any]] = field(default_factory=list)
    phases: dict[str, float] = field(default_factory=dict)
    creation: list[dict[str, Any]] = field(default_factory=list)
    tasks: dict[str, float | None] = field(default_factory=dict)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the quickstart; gives the exit status."""
    options = _parser().parse_args(arguments)
    view = screen.Screen(Console(stderr=options.json))
    wanted = environment.wanted(options.airflow_version, options.name)
    try:
        summary = Quickstart(wanted, view).run()
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - the last resort: a sentence, never a traceback
        told = failure.told(error)
        view.failed(told)
        if options.json:
            print(json.dumps({"environment": wanted.name, "error": str(told), "look": told.look}))
        return 1
    if options.json:
        print(json.dumps(asdict(summary)))
    return 0


class Quickstart:
    """One run of the quickstart: its steps in order."""

    def __init__(self, wanted: environment.Wanted, view: screen.Screen) -> None:
        self._wanted = wanted
        self._view = view
        self._phases = progress.Phases(time.monotonic)
        self._creation: list[progress.Bar] = []
        self._tasks: list[progress.Bar] = []

    def run(self) -> Summary:
        """Do everything, and show it."""
        self._start()
        self._create_environment()
        airflow = self._prepare_airflow()
        run_id = self._run_pipeline(airflow)
        return self._tell(airflow, run_id)

    def _start(self) -> None:
        with self._phases.measure("Start Aerodrome"), self._view.step("Aerodrome is up"):
            control_plane.up()
            os.environ.update(control_plane.exports())
            for name in control_plane.HIDING:
                os.environ.pop(name, None)  # a key of the real AWS must not come between

    def _create_environment(self) -> None:
        wanted = self._wanted
        with (
            self._phases.measure("Make bucket, role and database"),
            self._view.step(f"Bucket {wanted.bucket} holds the DAG; role {wanted.role} may use it"),
        ):
            bucket_arn = resources.bucket(wanted.bucket)
            role_arn = resources.execution_role(wanted.role, wanted.bucket)
            resources.upload_dag(wanted.bucket)
            resources.glue_database(wanted.database)
        with (
            self._phases.measure(screen.CREATION),
            self._view.bars(f"Environment {wanted.name}, Airflow {wanted.version}") as board,
        ):
            created = environment.ensure(wanted, bucket_arn=bucket_arn, role_arn=role_arn)
            environment.wait(wanted, _Watch(wanted.name, board))
            if created:
                self._creation = progress.creation_bars(None, control_plane.progress(wanted.name), datetime.now(UTC))
            board.show([*self._creation, progress.Bar(wanted.name, progress.DONE, "AVAILABLE")])

    def _prepare_airflow(self) -> airflow_rest.Airflow:
        airflow = airflow_rest.Airflow(self._wanted.name, self._wanted.major)
        with self._phases.measure("Wait for the DAG"), self._view.step(f"Airflow lists the DAG {airflow_rest.DAG}"):
            airflow.wait_for_dag()
        with (
            self._phases.measure("Connect the warehouse"),
            self._view.step(f"Airflow's connection {WAREHOUSE_CONNECTION} leads to a database of its own"),
        ):
            airflow.connect(WAREHOUSE_CONNECTION, control_plane.database(WAREHOUSE_DATABASE))
        return airflow

    def _run_pipeline(self, airflow: airflow_rest.Airflow) -> str:
        with archive.served(archive.make()) as url, self._phases.measure("Run the pipeline"):
            conf = {"bucket": self._wanted.bucket, "archive_url": url, "database": self._wanted.database}
            run_id = airflow.trigger(conf)
            with self._view.bars(f"Pipeline {airflow_rest.DAG}, run {run_id}") as board:
                self._await_run(airflow, run_id, board)
        return run_id

    def _await_run(self, airflow: airflow_rest.Airflow, run_id: str, board: screen.Board) -> None:
        def look() -> str | None:
            state = airflow.run_state(run_id)  # before the tasks, so that the last look sees them all finished
            instances = airflow.task_instances(run_id)
            self._tasks = progress.task_bars(instances, datetime.now(UTC))
            board.show([*self._tasks, progress.run_bar(run_id, state, self._tasks)])
            if state == "failed":
                raise _failed_run(self._wanted.name, run_id, progress.culprits(instances))
            return state if state == "success" else None

        try:
            waiting.until(look, seconds=RUN_SECONDS, every=0.5)
        except TimeoutError:
            raise failure.QuickstartError(f"run {run_id} is not over after {RUN_SECONDS // 60} minutes") from None

    def _tell(self, airflow: airflow_rest.Airflow, run_id: str) -> Summary:
        top = airflow.xcom(run_id, "load", "top")
        self._view.rows(top)
        self._view.phases(self._phases, self._creation)
        login = control_plane.login_link(self._wanted.name)
        self._view.next_steps(self._wanted.name, self._wanted.bucket, login, path_to_add=control_plane.path_to_add())
        return Summary(
            environment=self._wanted.name,
            airflow_version=self._wanted.version,
            run_id=run_id,
            state="success",
            top=top,
            phases={name: round(seconds, 3) for name, seconds in self._phases.seconds.items()},
            creation=[{"name": bar.name, "seconds": bar.seconds} for bar in self._creation],
            tasks={bar.name: bar.seconds for bar in self._tasks},
        )


class _Watch:
    """Shows an environment's status as it is told, with what Aerodrome itself says about it now and then."""

    def __init__(self, name: str, board: screen.Board) -> None:
        self._name = name
        self._board = board
        self._progress: dict[str, Any] = {}
        self._looked_at = float("-inf")

    def __call__(self, status: str) -> None:
        if status in environment.READY:
            return
        if time.monotonic() - self._looked_at >= STATUS_EVERY:
            self._progress = control_plane.progress(self._name)
            self._looked_at = time.monotonic()
        self._board.show(progress.creation_bars(status, self._progress, datetime.now(UTC)))


def _failed_run(name: str, run_id: str, culprits: Sequence[str]) -> failure.QuickstartError:
    tasks = ", ".join(culprits) or "its time limit"
    folder = f"environments/{name}/logs/dag_id={airflow_rest.DAG}/run_id={run_id}"
    return failure.QuickstartError(
        f"run {run_id} failed at {tasks}", look=f"the tasks' logs, below Aerodrome's data folder: {folder}"
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="quickstart",
        description=__doc__.split("\n\n", maxsplit=1)[0] if __doc__ else None,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--airflow-version", choices=environment.VERSIONS, default="3.3.1", help="the Airflow to run (default 3.3.1)"
    )
    parser.add_argument(
        "--name", type=environment.name, help="the environment's name (default quickstart-3-3 or quickstart-2-11)"
    )
    parser.add_argument("--json", action="store_true", help="print a summary as JSON on stdout at the end")
    return parser


if __name__ == "__main__":
    sys.exit(main())
