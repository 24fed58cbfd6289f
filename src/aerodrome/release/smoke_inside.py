"""The part of the smoke test that runs under an Airflow's own interpreter: `smoke_inside.py roles|web`.

`smoke` starts it as a script. It imports nothing of ours, and Airflow by name only, so that one text serves every line.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

_SINCE_2 = (
    "airflow.cli.cli_parser",
    "airflow.dag_processing.manager",
    "airflow.jobs.scheduler_job_runner",
    "airflow.jobs.triggerer_job_runner",
    "airflow.providers.amazon.aws.hooks.s3",
    "airflow.providers.amazon.aws.operators.athena",
    "airflow.providers.celery.cli.celery_command",
    "airflow.providers.celery.executors.celery_executor",
    "airflow.providers.celery.executors.celery_executor_utils",
    "airflow.providers.fab.auth_manager.fab_auth_manager",
    "airflow.providers.postgres.hooks.postgres",
    "airflow.utils.db",
)

_OWN = {
    1: (
        "airflow.bin.cli",
        "airflow.executors.celery_executor",
        "airflow.hooks.S3_hook",
        "airflow.hooks.postgres_hook",
        "airflow.jobs",
        "airflow.operators.python_operator",
        "airflow.task.task_runner.standard_task_runner",
        "airflow.utils.dag_processing",
        "airflow.utils.db",
        "airflow.www_rbac.app",
        "celery.bin.worker",
        "kombu.transport.redis",
    ),
    2: ("airflow.www.app", "airflow.www.gunicorn_config", "airflow.task.task_runner.standard_task_runner"),
    3: (
        "airflow.api_fastapi.app",
        "airflow.api_fastapi.execution_api.app",
        "airflow.providers.standard.operators.python",
        "airflow.sdk.execution_time.supervisor",
        "airflow.sdk.execution_time.task_runner",
    ),
}


def modules(line: int) -> tuple[str, ...]:
    """What the processes of this line begin with."""
    return (*(_SINCE_2 if line > 1 else ()), *_OWN[line])


def roles(line: int) -> None:
    """Import what every process of this line begins with."""
    for name in modules(line):
        importlib.import_module(name)


def web(line: int) -> None:
    """Build the web apps as their processes do, and have each answer once."""
    if line == 1:
        app, _ = importlib.import_module("airflow.www_rbac.app").create_app()
        _expect(app.test_client().get("/health"), "metadatabase")
        return
    if line == 2:  # noqa: PLR2004 - Airflow's major version
        app = importlib.import_module("airflow.www.app").create_app(testing=False)
        _expect(app.test_client().get("/health"), "metadatabase")
        return
    client = importlib.import_module("fastapi.testclient").TestClient
    create_app = importlib.import_module("airflow.api_fastapi.app").create_app
    with client(create_app(apps="core")) as core:
        _expect(core.get("/api/v2/monitor/health"), "metadatabase")
    with client(create_app(apps="execution")) as execution:
        _expect(execution.get("/execution/health/ping"), "")


def _expect(response: Any, word: str) -> None:
    # Flask of Airflow 1.10's time has no `text`.
    body = response.text if hasattr(response, "text") else response.get_data(as_text=True)
    if response.status_code != 200 or word not in body or "<html" in body:  # noqa: PLR2004 - HTTP's OK
        sys.exit(f"unexpected answer {response.status_code}: {body[:300]}")


if __name__ == "__main__":
    major = int(importlib.import_module("airflow").__version__.split(".")[0])
    {"roles": roles, "web": web}[sys.argv[1]](major)
