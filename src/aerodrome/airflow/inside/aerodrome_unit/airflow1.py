"""Airflow 1.10's scheduler and worker.

Each does what Airflow's own command does in the foreground. A worker runs each task in a fork of the process that got
it, where Airflow would start a new interpreter. That saves seconds, and the task knows its worker's host name.
"""

# mypy: disable-error-code="import-not-found"

from __future__ import annotations

import functools
import gc
import os
import signal
import sys
import traceback
from argparse import Namespace
from typing import Any

from . import database, reserved_messages, taking_tasks
from .notify import Notifier


def run(arguments: Namespace, notifier: Notifier) -> None:
    """Take the role that `arguments.role` names."""
    {"scheduler-1": scheduler, "worker-1": worker}[arguments.role](arguments, notifier)


def scheduler(arguments: Namespace, notifier: Notifier) -> None:
    """Parse and schedule. Ready means: its first heartbeat is recorded."""
    from airflow import jobs, settings

    del arguments

    beat = jobs.SchedulerJob.heartbeat

    def beat_and_announce(job: Any) -> None:
        beat(job)
        notifier.ready()
        notifier.moves()

    jobs.SchedulerJob.heartbeat = beat_and_announce
    for signal_number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signal_number, _leave)
    jobs.SchedulerJob(subdir=settings.DAGS_FOLDER).run()


def worker(arguments: Namespace, notifier: Notifier) -> None:
    """Consume the default queue. Ready means that it consumes."""
    from airflow.configuration import conf
    from airflow.executors import celery_executor
    from celery.bin.worker import worker as command
    from celery.signals import import_modules, worker_ready

    def announce(**_: Any) -> None:
        notifier.ready()

    worker_ready.connect(announce, weak=False)
    import_modules.connect(_prepare_for_tasks, weak=False)
    celery_executor.subprocess = _Forking
    app = celery_executor.app  # noqa: AIR302 - 1.10 has it there
    if arguments.hostname:
        reserved_messages.keep_under(app, arguments.hostname)
        reserved_messages.give_back(app)
        reserved_messages.give_back_forgotten_ones(app)
        taking_tasks.follow_beside_configuration(
            app, arguments.hostname, notifier.holds, functools.partial(notifier.moves, waits=True)
        )
    reserved_messages.give_back_late_ones()
    command(app=app).run(
        optimization="fair",
        O="fair",
        queues=conf.get("celery", "default_queue"),
        concurrency=arguments.concurrency,
        loglevel=conf.get("core", "logging_level"),
        pool="prefork",
        without_mingle=True,
        without_gossip=True,
    )


STATE_1 = """
    SELECT state FROM task_instance WHERE dag_id = :dag_id AND task_id = :task_id AND execution_date = :execution_date
"""


def _is_queued(command: list[str]) -> bool:
    from airflow.bin import cli

    task = cli.CLIFactory.get_parser().parse_args(command[1:])
    parameters = {"dag_id": task.dag_id, "task_id": task.task_id, "execution_date": task.execution_date}
    return database.is_queued(STATE_1, parameters)


def _leave(*_: Any) -> None:
    sys.exit(0)


def _prepare_for_tasks(**_: Any) -> None:
    """Import what tasks need, before the pool forks, and hide it from the collector."""
    from airflow.bin import cli

    # A task is a command line.
    cli.CLIFactory.get_parser()
    gc.freeze()


class _Forking:
    """What Airflow's task uses of the module `subprocess`."""

    STDOUT = None
    """Its value means nothing: it comes back as an argument that is ignored."""

    class CalledProcessError(Exception):
        """The command ended with an error."""

        output = ""

    @staticmethod
    def check_call(command: list[str], **_: Any) -> None:
        """Run `airflow <words>` in a fork of this process.

        Raises:
            CalledProcessError: it did not end well.
        """
        database.begun_again(_execute, _is_queued)(command)


def _execute(command: list[str]) -> None:
    child = os.fork()
    if child == 0:
        _command(command[1:])
    status = os.waitpid(child, 0)[1]
    if status != 0:
        raise _Forking.CalledProcessError("the command ended with status " + str(status))


def _command(words: list[str]) -> None:
    """Become the command; never returns."""
    code = 1
    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        from airflow import settings
        from airflow.bin import cli

        # The parent's connections belong to the parent.
        settings.engine.pool = settings.engine.pool.recreate()
        arguments = cli.CLIFactory.get_parser().parse_args(words)
        arguments.func(arguments)
        code = 0
    except SystemExit as leaving:
        code = leaving.code if isinstance(leaving.code, int) else 0 if leaving.code is None else 1
    except BaseException:  # noqa: BLE001 - nobody above
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
