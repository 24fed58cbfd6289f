"""Import Airflow once for all units of an environment, in the process that they are forked from.

`boot.py prelude` does it there, with the part of the configuration that all roles share and that holds no secret. Each
unit, once forked, calls `adopt`, which reads the configuration of its own role on top. What Airflow fixes at import
depends on nothing else. If the shared part has changed since, the unit starts anew, in the slow way.
"""

# mypy: disable-error-code="import-not-found"

from __future__ import annotations

import configparser
import contextlib
import gc
import hashlib
import importlib
import importlib.util
import os
import sys

VARIABLE = "AIRFLOW_CONFIG"

EVERY_LINE = (
    "airflow",
    "airflow.models",
    "airflow.models.dagrun",
    "airflow.models.taskinstance",
    "airflow.models.serialized_dag",
    "airflow.serialization.serialized_objects",
    "airflow.jobs.job",
    "airflow.providers_manager",
    "airflow.executors.base_executor",
    "airflow.cli.commands.daemon_utils",
    "airflow.providers.celery.executors.celery_executor",
    "airflow.providers.celery.cli.celery_command",
)
LINE_3 = (
    "airflow.sdk",
    "airflow.sdk.execution_time.supervisor",
    "airflow.sdk.execution_time.task_runner",
    "airflow.dag_processing.bundles.manager",
    "airflow.dag_processing.bundles.local",
    "airflow.dag_processing.manager",
    "airflow.executors.workloads",
    "airflow.api_fastapi.app",
    "airflow.api_fastapi.core_api.app",
    "airflow.api_fastapi.core_api.routes.public",
    "airflow.api_fastapi.core_api.routes.ui",
    "airflow.api_fastapi.execution_api.app",
    "airflow.api_fastapi.execution_api.routes",
)
LINE_2 = (
    "airflow.providers.fab.auth_manager.models",
    "airflow.jobs.local_task_job_runner",
)
LINE_1 = (
    "airflow.jobs",
    "airflow.executors.celery_executor",
    "airflow.utils.dag_processing",
    "airflow.task.task_runner.standard_task_runner",
    "airflow.operators.python_operator",
    "airflow.operators.bash_operator",
    "airflow.operators.dummy_operator",
)
"""What several roles need; a version without such a module does without it."""

METRICS = ("airflow._shared.observability.metrics.stats", "airflow.sdk._shared.observability.metrics.stats")

_loaded_from: dict[str, str] = {}
"""The shared configuration file that Airflow was imported with, and its digest; empty when it was not."""


def load() -> None:
    """Import Airflow, unless that would run the user's code: then each unit imports it for itself."""
    path = os.environ[VARIABLE]
    if _has_local_settings(path):
        return
    gc.disable()
    line_3 = importlib.util.find_spec("airflow.sdk") is not None
    for name in EVERY_LINE + (LINE_3 if line_3 else LINE_2 + LINE_1):
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    _configure_mappers()
    _read_metrics_registry()
    gc.freeze()
    gc.enable()
    _loaded_from[path] = _digest(path)


def _configure_mappers() -> None:
    """Do what SQLAlchemy does at the first query, in every process anew: 25 MB of it can be shared."""
    from sqlalchemy import orm

    orm.configure_mappers()


def _read_metrics_registry() -> None:
    """Read the long YAML file that Airflow 3 reads at the first metric, in every process anew."""
    for name in METRICS:
        with contextlib.suppress(ImportError, AttributeError):
            importlib.import_module(name)._get_registry()  # noqa: SLF001 - it has no public way


def adopt() -> None:
    """Make the unit's own configuration the one that counts, in a process that inherited Airflow from its parent."""
    if "airflow" not in sys.modules:
        return
    if not _loaded_from or any(_digest(path) != digest for path, digest in _loaded_from.items()):
        os.execv(sys.executable, [sys.executable, *sys.argv])  # noqa: S606 - a list, and no shell is wanted

    from airflow import configuration, settings

    path = os.environ[VARIABLE]
    configuration.AIRFLOW_CONFIG = path
    configuration.conf.read(path)
    with contextlib.suppress(ImportError):
        from airflow.sdk.configuration import conf

        conf.read(path)
    settings.configure_vars()
    settings.configure_orm()


def _has_local_settings(path: str) -> bool:
    """Whether one of the folders that Airflow looks in holds an airflow_local_settings module."""
    parser = configparser.ConfigParser(interpolation=None)
    parser.read(path)
    folders = [os.path.join(os.environ["AIRFLOW_HOME"], "config")]
    folders += [parser.get("core", name, fallback="") for name in ("dags_folder", "plugins_folder")]
    names = ("airflow_local_settings.py", "airflow_local_settings")
    return any(os.path.exists(os.path.join(folder, name)) for folder in folders for name in names)


def _digest(path: str) -> str:
    with contextlib.suppress(OSError), open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()
    return ""
