"""The roles that are jobs in Airflow's database: scheduler, DAG processor, triggerer.

Each calls the function of Airflow's own command with the arguments that its command line would have made. Not building
that command line saves half a second. Leaving out its decorators, which reflect every table of the database, saves 5 MB
in each process. Ready means: the job's loop runs and its heartbeat is recorded.
"""

# mypy: disable-error-code="import-not-found"

from __future__ import annotations

import importlib
import importlib.util
import inspect
from argparse import Namespace
from typing import Any

from . import late_failures, notices, scheduler_pace, triggerer_pace, unreadable_sources
from .notify import Notifier

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


RUNNERS = {
    "scheduler": "airflow.jobs.scheduler_job_runner",
    "dag-processor": "airflow.jobs.dag_processor_job_runner",
    "triggerer": "airflow.jobs.triggerer_job_runner",
}
"""Role → the module whose loop records heartbeats."""


def run(arguments: Namespace, notifier: Notifier) -> None:
    """Run the job that `arguments.role` names."""
    announce_first_heartbeat(arguments.role, notifier)
    complete_models()
    load_providers_configuration()
    {"scheduler": scheduler, "dag-processor": dag_processor, "triggerer": triggerer}[arguments.role]()


def announce_first_heartbeat(role: str, notifier: Notifier) -> None:
    """Have the loop's first heartbeat tell the cell that the unit is ready, and each further one that it goes on."""
    runner: Any = importlib.import_module(RUNNERS[role])
    perform = runner.perform_heartbeat

    def perform_and_announce(*args: Any, **kwargs: Any) -> None:
        perform(*args, **kwargs)
        notifier.ready()
        notifier.moves()

    runner.perform_heartbeat = perform_and_announce


def complete_models() -> None:
    """Load the users' tables, which notes on tasks refer to in Airflow 2; its command line loads them by the way."""
    if importlib.util.find_spec("airflow.sdk") is None:
        importlib.import_module("airflow.providers.fab.auth_manager.models")


def load_providers_configuration() -> None:
    """Load providers' defaults of options, as a decorator of the commands does."""
    from airflow.providers_manager import ProvidersManager

    ProvidersManager().initialize_providers_configuration()


def record_log_template() -> None:
    """Write into the database how task logs are named now, if the user has changed that; old logs keep their names."""
    from airflow.configuration import conf
    from airflow.models.tasklog import LogTemplate
    from airflow.utils.db import synchronize_log_template
    from airflow.utils.session import create_session

    wanted = (conf.get("logging", "log_filename_template"), conf.get("elasticsearch", "log_id_template"))
    with create_session() as session:
        last = session.query(LogTemplate).order_by(LogTemplate.id.desc()).first()
        is_known = last is not None and (last.filename, last.elasticsearch_id) == wanted
    if not is_known:
        synchronize_log_template()


def undecorated(command: Any) -> Any:
    """The function of Airflow's command, without its decorators."""
    return inspect.unwrap(command)


def scheduler() -> None:
    """Schedule, at the pace that `scheduler_pace` sets."""
    from airflow import settings
    from airflow.cli.commands import scheduler_command
    from airflow.configuration import conf

    scheduler_command.SchedulerJobRunner = scheduler_pace.attentive(
        scheduler_command.SchedulerJobRunner, notices.NoticeListener(notices.RUNS)
    )
    record_log_template()
    undecorated(scheduler_command.scheduler)(
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
    # Airflow 2 uses this submodule, and relies on another module to import it.
    import multiprocessing.connection  # noqa: F401 - for its side effect

    from airflow import settings
    from airflow.cli.commands import dag_processor_command

    unreadable_sources.report_unreadable()
    manager: Any = importlib.import_module("airflow.dag_processing.manager").DagFileProcessorManager
    if hasattr(manager, "_service_processor_sockets"):  # in Airflow 3
        notices.parse_at_once(manager)
    else:
        from airflow.dag_processing.processor import DagFileProcessor
        from airflow.models import TaskInstance

        late_failures.refuse(DagFileProcessor, TaskInstance)
    undecorated(dag_processor_command.dag_processor)(
        Namespace(num_runs=-1, bundle_name=None, subdir=settings.DAGS_FOLDER, do_pickle=False, **FOREGROUND)
    )


def triggerer() -> None:
    """Wait on behalf of deferred tasks."""
    from airflow.cli.commands import triggerer_command
    from airflow.models.trigger import Trigger

    triggerer_pace.look_only_if_there_are_any(Trigger)
    undecorated(triggerer_command.triggerer)(Namespace(capacity=None, queues=None, team_name=None, **FOREGROUND))
