"""Print the modules outside Airflow that its roles import, in import order: `list_modules.py <line>`.

Run by `aerodrome.airflow.preloading` under a version's interpreter, in two passes: import all roles and note what came;
then, in a fresh interpreter, keep what can be imported by name without Airflow and without starting a thread.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import subprocess
import sys
import tempfile

ROLES = {
    "3": (
        "airflow",
        "airflow.cli.commands.scheduler_command",
        "airflow.cli.commands.dag_processor_command",
        "airflow.cli.commands.triggerer_command",
        "airflow.providers.celery.cli.celery_command",
        "airflow.providers.celery.executors.celery_executor",
        "airflow.sdk.execution_time.task_runner",
        "airflow.sdk.execution_time.supervisor",
        "airflow.dag_processing.processor",
        "airflow.api_fastapi.main",
        "airflow.providers.standard.operators.python",
        "airflow.providers.standard.operators.bash",
        "airflow.providers.amazon.aws.hooks.base_aws",
        "uvicorn.loops.auto",
        "uvicorn.protocols.http.auto",
        "uvicorn.lifespan.on",
    ),
    "2": (
        "airflow",
        "airflow.cli.commands.scheduler_command",
        "airflow.cli.commands.dag_processor_command",
        "airflow.cli.commands.triggerer_command",
        "airflow.providers.celery.cli.celery_command",
        "airflow.providers.celery.executors.celery_executor",
        "airflow.jobs.local_task_job_runner",
        "airflow.task.task_runner.standard_task_runner",
        "airflow.dag_processing.processor",
        "airflow.operators.python",
        "airflow.operators.bash",
        "airflow.www.app",
        "airflow.www.extensions.init_views",
        "airflow.providers.fab.auth_manager.fab_auth_manager",
        "airflow.providers.fab.auth_manager.security_manager.override",
        "airflow.providers.amazon.aws.hooks.base_aws",
        "gunicorn.app.base",
        "gunicorn.workers.gthread",
    ),
    "1": (
        "airflow",
        "airflow.bin.cli",
        "airflow.jobs",
        "airflow.executors.celery_executor",
        "airflow.utils.dag_processing",
        "airflow.task.task_runner.standard_task_runner",
        "airflow.operators.python_operator",
        "airflow.operators.bash_operator",
        "airflow.contrib.hooks.aws_hook",
        "airflow.www_rbac.app",
        "airflow.www_rbac.security",
        "gunicorn.app.base",
        "gunicorn.workers.gthread",
    ),
}
"""What to import for each line; a module that is missing in some version is left out."""

EXTRA = (
    "celery.apps.worker",
    "celery.backends.redis",
    "celery.bin.worker",
    "celery.concurrency.prefork",
    "celery.loaders.app",
    "celery.worker.components",
    "celery.worker.consumer",
    "celery.worker.control",
    "celery.worker.strategy",
    "celery.worker.worker",
    "kombu.transport.redis",
    "sqlalchemy.dialects.postgresql",
    "psycopg2.extras",
    "asyncpg",
    "uvloop",
    "xml.dom.minidom",
)
"""Modules that the roles import by name only when they run."""

CHECK = """
import importlib, json, sys, threading, warnings
warnings.simplefilter("ignore")
kept = []
for name in json.load(sys.stdin):
    known = set(sys.modules)
    try:
        importlib.import_module(name)
    except BaseException:
        continue
    came = {module.partition(".")[0] for module in set(sys.modules) - known}
    if "airflow" in came or threading.active_count() > 1:
        sys.exit("importing " + name + " brings Airflow or a thread")
    kept.append(name)
json.dump(kept, sys.stdout)
"""


def main() -> None:
    """Print the list, and nothing that Airflow says while it is imported."""
    with contextlib.redirect_stdout(sys.stderr):
        names = collect(sys.argv[1])
    sys.stdout.write("\n".join(check(names)) + "\n")


def collect(line: str) -> list[str]:
    """The names of all modules that came with the roles, Airflow's own and built-in ones left out."""
    known = set(sys.modules)
    with tempfile.TemporaryDirectory() as home:
        os.environ.update(AIRFLOW_HOME=home, AIRFLOW__CORE__EXECUTOR="CeleryExecutor")
        if line == "1":
            # It refuses SQLite beside Celery; an engine that nobody uses connects to nothing.
            os.environ.update(AIRFLOW__CORE__SQL_ALCHEMY_CONN="postgresql+psycopg2:///")
        for name in ROLES[line] + EXTRA:
            with contextlib.suppress(ImportError):
                importlib.import_module(name)
    return [name for name in list(sys.modules) if name not in known and eligible(name)]


def eligible(name: str) -> bool:
    """Whether a module of this name is one to import early."""
    return name.partition(".")[0] not in {"airflow", "__main__", "__mp_main__", "unusual_prefix"}


def check(names: list[str]) -> list[str]:
    """Those of `names` that a fresh interpreter can import."""
    result = subprocess.run(
        [sys.executable, "-I", "-c", CHECK],
        input=json.dumps(names),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return list(json.loads(result.stdout))


if __name__ == "__main__":
    main()
