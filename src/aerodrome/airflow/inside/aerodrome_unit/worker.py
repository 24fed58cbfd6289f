"""The Celery worker: a fixed pool of processes that run tasks.

Before the pool forks, it imports what every task would otherwise import for itself. Ready means that it consumes.
"""

# mypy: disable-error-code="import-not-found"

from __future__ import annotations

import contextlib
import functools
import gc
import importlib
import importlib.util
from argparse import Namespace
from typing import Any

from . import children, database, prelude, reserved_messages, taking_tasks, task_supervision
from .notify import Notifier

LINE_2 = (
    "psycopg2.extras",
    "airflow.cli.commands.task_command",
    "airflow.jobs.local_task_job_runner",
    "airflow.task.task_runner.standard_task_runner",
    "airflow.serialization.serialized_objects",
    "airflow.models.dagbag",
    "airflow.models.serialized_dag",
    "airflow.decorators",
    "airflow.operators.empty",
    "airflow.sensors.base",
)
"""What the first task of any DAG needs of Airflow 2."""


def run(arguments: Namespace, notifier: Notifier) -> None:
    """Consume the default queue."""
    from celery.signals import import_modules, worker_ready

    def announce(**_: Any) -> None:
        notifier.ready()

    worker_ready.connect(announce, weak=False)
    import_modules.connect(_prepare_for_tasks, weak=False)

    from airflow.configuration import conf
    from airflow.providers.celery.cli import celery_command
    from airflow.providers.celery.executors.celery_executor import app

    if arguments.hostname:
        reserved_messages.keep_under(app, arguments.hostname)
        reserved_messages.give_back(app)
        reserved_messages.give_back_forgotten_ones(app)
        taking_tasks.follow_beside_configuration(
            app, arguments.hostname, notifier.holds, functools.partial(notifier.moves, waits=True)
        )
    reserved_messages.give_back_late_ones()
    app.worker_main = functools.partial(_celery_worker, app)
    # Undecorated: the decorator would note the start in the metadata database, which a worker of 3.x does not have.
    celery_command.worker.__wrapped__(
        Namespace(
            queues=conf.get("operators", "default_queue"),
            concurrency=str(arguments.concurrency),
            celery_hostname=None,
            autoscale=None,
            umask=None,
            without_mingle=True,
            without_gossip=True,
            team=None,
            skip_serve_logs=True,
            **_FOREGROUND,
        )
    )


def _celery_worker(app: Any, argv: list[str]) -> None:
    """Celery's command `worker` alone: the whole command line would import 200 modules, a shell and a web server."""
    from celery.bin.base import CLIContext
    from celery.bin.worker import worker

    context = CLIContext(app=app, no_color=True, workdir=None)
    worker.main(args=argv[1:], prog_name="celery worker", standalone_mode=False, obj=context)


_FOREGROUND = {"daemon": False, "pid": None, "stdout": None, "stderr": None, "log_file": None, "verbose": False}


def _prepare_for_tasks(**_: Any) -> None:
    """Import what tasks need, and hide it from the collector, which before each fork would unshare it."""
    from billiard import util as billiard_util

    # Each pool process makes a system call through a C declaration. Its parser is large, and is shared from here on.
    billiard_util.get_pdeathsig()
    if importlib.util.find_spec("airflow.sdk") is None:
        _prepare_line_2()
    else:
        _prepare_line_3()
    gc.freeze()


STATE_2 = """
    SELECT state FROM task_instance
    WHERE dag_id = :dag_id AND task_id = :task_id AND run_id = :run_id AND map_index = :map_index
"""


def _prepare_line_2() -> None:
    _import(LINE_2)
    from airflow.cli.cli_parser import get_parser
    from airflow.providers.celery.executors import celery_executor_utils as executing

    # A task of Airflow 2 is a command line, whose parser is built once and kept.
    get_parser()
    execute = executing._execute_in_fork  # noqa: SLF001 - there is no other place to reach it
    executing._execute_in_fork = database.begun_again(execute, _is_queued)  # noqa: SLF001 - as above


def _is_queued(command: list[str]) -> bool:
    from airflow.cli.cli_parser import get_parser

    task = get_parser().parse_args(command[1:])
    parameters = {
        "dag_id": task.dag_id,
        "task_id": task.task_id,
        "run_id": task.execution_date_or_run_id,
        "map_index": task.map_index,
    }
    return database.is_queued(STATE_2, parameters)


def _prepare_line_3() -> None:
    _import(prelude.FOR_TASKS_3)
    supervisor: Any = importlib.import_module("airflow.sdk.execution_time.supervisor")

    task_supervision.end_promptly(supervisor.WatchedSubprocess)
    task_supervision.beat_when_due(supervisor.ActivitySubprocess)
    children.follow_without_proc(supervisor)
    task_supervision.trust_no_certificate(importlib.import_module("airflow.sdk.api.client").Client)
    with contextlib.suppress(ImportError):  # Airflow 3.0 has no such module: its tasks compile for themselves
        comms = importlib.import_module("airflow.sdk.execution_time.comms")
        task_supervision.compile_once(comms, importlib.import_module("airflow.sdk.execution_time.task_runner"))


def _import(names: tuple[str, ...]) -> None:
    """Import what is there; if a later version has moved it, its tasks import it themselves."""
    for name in names:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
