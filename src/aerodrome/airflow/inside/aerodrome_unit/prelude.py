"""Import Airflow once for all units of an environment, in the process that they are forked from.

`boot.py prelude` does it there, with the part of the configuration that all roles share and that holds no secret. Each
unit, once forked, calls `adopt`, which reads the configuration of its own role on top. What Airflow fixes at import
depends on nothing else. If the shared part has changed since, the unit starts anew, in the slow way.

As a rule that process is itself a fork of the version's primed process, in which `prime` has imported Airflow with a
configuration of no environment. It noted the options that Airflow read meanwhile. Where one of them is another for the
environment, Airflow must be imported anew.
"""

# mypy: disable-error-code="import-not-found"

from __future__ import annotations

import configparser
import contextlib
import gc
import hashlib
import importlib
import importlib.util
import json
import os
import sys
from collections.abc import Iterable
from typing import Any

from . import asked_for, execution_api, likeness, traces

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
FOR_TASKS_3 = (
    "airflow.sdk.execution_time.supervisor",
    "airflow.sdk.execution_time.task_runner",
    "airflow.sdk.api.client",
    "airflow.sdk._shared.logging.factory",
    "airflow.sdk.definitions.asset.metadata",
    "airflow.sdk.definitions.connection",
    "airflow.sdk.definitions.decorators",
    "airflow.executors.workloads",
    "airflow.dag_processing.bundles.local",
    "airflow.dag_processing.dagbag",
    "airflow.providers.standard.decorators.python",
    "airflow.providers.standard.operators.bash",
    "airflow.providers.standard.operators.empty",
    "airflow.providers.standard.operators.python",
    "airflow.version",
    "encodings.idna",
)
"""What the first task of any DAG would import for itself."""

LINE_3 = (
    "airflow.sdk",
    "airflow.dag_processing.bundles.manager",
    "airflow.dag_processing.manager",
    "airflow.api_fastapi.app",
    "airflow.api_fastapi.core_api.app",
    "airflow.api_fastapi.core_api.routes.public",
    "airflow.api_fastapi.core_api.routes.ui",
    "airflow.api_fastapi.execution_api.app",
    "airflow.api_fastapi.execution_api.routes",
    *FOR_TASKS_3,
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

OF_THE_ENVIRONMENT = frozenset(
    {
        "airflow.executors.base_executor",
        "airflow.providers.celery.executors.celery_executor",
        "airflow.providers.celery.cli.celery_command",
    }
)
"""Modules that read what differs between most environments while they are imported: broker, parallelism."""

_loaded_from: dict[str, str] = {}
"""The shared configuration file that Airflow was imported with, and its digest; empty when it was not."""


class Primed:
    """What the primed process has left in memory."""

    def __init__(self) -> None:
        self.configuration: str | None = None
        """The text of the configuration that Airflow was imported with; None: this is no fork of a primed process."""

        self.reads: set[tuple[str, str]] = set()
        """Options that Airflow read meanwhile."""

        self.asked = asked_for.AskedFor()
        """Modules and packages that were asked for meanwhile."""

        self.execution_app: Any = None
        """Airflow 3's application of the execution API, with all its routes."""

        self.included: dict[int, Any] = {}
        """The id of each router of UI and REST API → an application that has included it and nothing else."""


primed = Primed()


def prime(report: str) -> None:
    """Import Airflow for every environment whose configuration allows it; `report` is written when that is done.

    It says what was asked for: options, modules and packages.
    """
    path = os.environ[VARIABLE]
    gc.disable()
    with likeness.noted(primed.reads, path), asked_for.noted(primed.asked):
        _import(name for name in EVERY_LINE + LINE_3 if name not in OF_THE_ENVIRONMENT)
        _configure_mappers()
        _read_metrics_registry()
        execution_api.speak_newest_only()
        primed.execution_app = _execution_app()
        primed.included = _included()
    if _has_loaded_plugins():
        raise RuntimeError("Airflow has looked for plugins while there was no environment: it would not look again")
    gc.enable()
    primed.configuration = _text(path)
    part = report + ".part"
    told = {
        "options": sorted(primed.reads),
        "modules": sorted(primed.asked.modules),
        "namespaces": sorted(primed.asked.namespaces),
        "packages": sorted(primed.asked.packages),
    }
    with open(part, "w", encoding="utf-8") as file:
        json.dump(told, file)
    os.replace(part, report)


def load() -> None:
    """Import Airflow, unless that would run the user's code: then each unit imports it for itself."""
    path = os.environ[VARIABLE]
    if _has_local_settings(path):
        return
    if primed.configuration is not None:
        if likeness.difference(primed.configuration, _text(path), primed.reads):
            return
        _read_again(path)
    gc.disable()
    line_3 = importlib.util.find_spec("airflow.sdk") is not None
    _import(EVERY_LINE + (LINE_3 if line_3 else LINE_2 + LINE_1) + traces.wanted())
    _configure_mappers()
    _read_metrics_registry()
    if line_3:
        execution_api.speak_newest_only()
    gc.freeze()
    gc.enable()
    _loaded_from[path] = _digest(path)


def _import(names: Iterable[str]) -> None:
    for name in names:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)


def _has_loaded_plugins() -> bool:
    manager: Any = importlib.import_module("airflow.plugins_manager")
    if hasattr(manager, "_get_plugins"):
        return bool(manager._get_plugins.cache_info().currsize)  # noqa: SLF001 - Airflow 3.2 and later tell in no other way
    return manager.plugins is not None


def _execution_app() -> Any:
    """The application of the execution API with its routes, which by itself it makes at its first request."""
    made: Any = importlib.import_module("airflow.api_fastapi.execution_api.app").create_task_execution_api_app()
    if hasattr(made, "_cadwyn_initialize"):
        made._cadwyn_initialize()  # noqa: SLF001 - it has no public way
    return made


def _included() -> dict[int, Any]:
    """UI and REST API: an application of FastAPI makes routes of its own from those of a router, one by one."""
    fastapi: Any = importlib.import_module("fastapi")
    made = {}
    for module, name in (("ui", "ui_router"), ("public", "public_router")):
        router = getattr(importlib.import_module("airflow.api_fastapi.core_api.routes." + module), name)
        application = fastapi.FastAPI(openapi_url=None)  # else it had routes that show its own description
        application.include_router(router)
        made[id(router)] = application
    return made


def _read_again(path: str) -> None:
    """Make the environment's configuration the one that counts, for what differs between all environments."""
    _take(path)
    application: Any = importlib.import_module("airflow.api_fastapi.app")
    configuration: Any = importlib.import_module("airflow.configuration")
    base_url = configuration.conf.get("api", "base_url", fallback="")
    application.API_BASE_URL = base_url if base_url.endswith("/") else base_url + "/"


def _configure_mappers() -> None:
    """Do what SQLAlchemy does at the first query, in every process anew: 25 MB of it can be shared."""
    from sqlalchemy import orm

    orm.configure_mappers()


def _read_metrics_registry() -> None:
    """Read the long YAML file that Airflow 3 reads at the first metric, in every process anew."""
    for name in METRICS:
        with contextlib.suppress(ImportError, AttributeError):
            importlib.import_module(name)._get_registry()  # noqa: SLF001 - it has no public way


def adopt(*, has_spans: bool = True) -> None:
    """Make the unit's own configuration the one that counts, in a process that inherited Airflow from its parent.

    A process that has no spans to send gets no thread for them: it is better to fork without one.
    """
    if "airflow" not in sys.modules:
        return
    if not _loaded_from or any(_digest(path) != digest for path, digest in _loaded_from.items()):
        os.execv(sys.executable, [sys.executable, *sys.argv])  # noqa: S606 - a list, and no shell is wanted

    _take(os.environ[VARIABLE])
    from airflow import configuration, settings

    settings.configure_orm()
    if hasattr(configuration.conf, "mask_secrets"):
        configuration.conf.mask_secrets()
    if has_spans:
        traces.begin()


def _take(path: str) -> None:
    """Have Airflow read the configuration file on top of what it has read already."""
    from airflow import configuration, settings

    configuration.AIRFLOW_CONFIG = path
    configuration.conf.read(path)
    with contextlib.suppress(ImportError):
        from airflow.sdk.configuration import conf

        conf.read(path)
    settings.configure_vars()


def _has_local_settings(path: str) -> bool:
    """Whether one of the folders that Airflow looks in holds an airflow_local_settings module."""
    parser = configparser.ConfigParser(interpolation=None)
    parser.read(path)
    folders = [os.path.join(os.environ["AIRFLOW_HOME"], "config")]
    folders += [parser.get("core", name, fallback="") for name in ("dags_folder", "plugins_folder")]
    names = ("airflow_local_settings.py", "airflow_local_settings")
    return any(os.path.exists(os.path.join(folder, name)) for folder in folders for name in names)


def _text(path: str) -> str:
    with open(path, encoding="utf-8") as file:
        return file.read()


def _digest(path: str) -> str:
    with contextlib.suppress(OSError), open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()
    return ""
