"""The roles that are jobs in Airflow's database: scheduler, DAG processor, triggerer.

Each calls Airflow's own command function with the arguments that its command line would have made, which spares
building that command line (half a second). Ready means: the job's loop runs and its heartbeat is recorded.
"""

# mypy: disable-error-code="import-not-found"

from __future__ import annotations

import importlib
import importlib.util
import sys
from argparse import Namespace
from typing import Any

from . import pace
from .ready import Notifier

FOREGROUND = {
    "daemon": False,
    "pid": None,
    "stdout": None,
    "stderr": None,
    "log_file": None,
    "verbose": False,
    "dev": False,
    "skip_serve_logs": True,
}
"""What all of Airflow's long-running commands take."""


def run(arguments: Namespace, notifier: Notifier) -> None:
    """Run the job that `arguments.role` names."""
    announce_first_heartbeat(notifier)
    complete_models()
    {"scheduler": scheduler, "dag-processor": dag_processor, "triggerer": triggerer}[arguments.role]()


def announce_first_heartbeat(notifier: Notifier) -> None:
    """Have the first heartbeat of the loop tell the cell, in whichever module's hands the function is already."""
    from airflow.jobs import job

    perform = job.perform_heartbeat

    def perform_and_announce(*args: Any, **kwargs: Any) -> None:
        perform(*args, **kwargs)
        notifier.ready()

    for module in list(sys.modules.values()):
        if getattr(module, "__dict__", {}).get("perform_heartbeat") is perform:
            module.perform_heartbeat = perform_and_announce  # type: ignore[attr-defined]  # it has just been seen


def complete_models() -> None:
    """Make the users' tables known, to which notes on tasks refer in Airflow 2; its command line does so in passing."""
    if importlib.util.find_spec("airflow.sdk") is None:
        importlib.import_module("airflow.providers.fab.auth_manager.models")


def scheduler() -> None:
    """Schedule, at the pace of `pace`."""
    from airflow import settings
    from airflow.cli.commands import scheduler_command
    from airflow.configuration import conf

    scheduler_command.SchedulerJobRunner = pace.attentive(scheduler_command.SchedulerJobRunner)
    scheduler_command.scheduler(
        Namespace(
            num_runs=conf.getint("scheduler", "num_runs"),
            only_idle=False,
            subdir=settings.DAGS_FOLDER,
            do_pickle=False,
            **FOREGROUND,
        )
    )


def dag_processor() -> None:
    """Parse the DAG files."""
    # Airflow 2 uses this submodule and relies on some other module to have imported it.
    import multiprocessing.connection  # noqa: F401 - for its side effect

    from airflow import settings
    from airflow.cli.commands import dag_processor_command

    dag_processor_command.dag_processor(
        Namespace(num_runs=-1, bundle_name=None, subdir=settings.DAGS_FOLDER, do_pickle=False, **FOREGROUND)
    )


def triggerer() -> None:
    """Wait on behalf of deferred tasks."""
    from airflow.cli.commands import triggerer_command

    triggerer_command.triggerer(Namespace(capacity=None, queues=None, team_name=None, **FOREGROUND))
