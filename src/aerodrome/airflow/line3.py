"""Airflow 3: its configuration files and its units.

The API server is split: `web` (UI and REST, on a unix socket, for the gateway alone) and `execution` (the API of
running tasks, on loopback), so that neither starves the other and `/execution` is never proxied. DAG code gets no
database and no key: as root it has a user of its own, who can read none of them. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from aerodrome.airflow import cfg, options, sections
from aerodrome.airflow import units as shared
from aerodrome.airflow.context import Context
from aerodrome.airflow.units import UnitDocument

REST_PREFIX = "/api/v2"
DAG_BUNDLE = "dags-folder"
"""Airflow's name of the bundle that lies in `core.dags_folder`."""

ONCE = frozenset({"dag-processor"})
"""Two of them would tell the web server different import errors in turns."""

NEEDED_BY_TASKS: frozenset[str] = frozenset({"execution"})
"""The units that running tasks speak to."""

HIDES_SECRETS = True
"""DAG code works without the database and the keys, so it may have a user of its own."""

GAINS_BY_PRIMING = True
"""Its imports and the routes of its APIs take most of a start, and are the same for nearly every environment."""

TRACING = "traces.otel_on"

TOKEN_LIFETIME = 24 * 3600
"""Seconds that a task's token lives from queueing on (MWAA's value; Airflow's own 600 fails tasks that wait longer)."""

API_PATIENCE = 30
"""Seconds that a task waits for one answer of its API (Airflow's own: 5). When many tasks start at once on a busy
machine, answers take longer; a task that asks again makes it busier, and fails after the fifth time.
"""


def configuration(context: Context) -> Mapping[Path, str]:
    """control.cfg for trusted roles, worker.cfg for roles that run tasks, shared.cfg without secrets."""
    return {
        context.configuration / shared.CONTROL: _file(context, _control(context)),
        context.configuration / shared.WORKER: _file(context, sections.NO_DATABASE),
        context.configuration / shared.SHARED: _shared(context),
    }


def units(context: Context) -> tuple[UnitDocument, ...]:
    """All units of the environment."""
    execution = ["api", "execution", "--port", str(context.execution_port)]
    execution += [] if context.uid is None else ["--peer", str(context.uid)]
    core = (
        *shared.schedulers(context),
        shared.apart(context, shared.unit(context, "dag-processor", ["dag-processor"], component="scheduler")),
        *shared.web_servers(context, ["api", "core"]),
        # Otherwise the first tasks would wait while it builds its routes.
        shared.unit(
            context,
            "execution",
            [*execution, "--warm"] if context.takes_over else execution,
            component="webserver",
            listen=context.execution_port,
        ),
    )
    triggerer = (shared.apart(context, shared.unit(context, "triggerer", ["triggerer"], component="scheduler")),)
    workers = shared.workers(context, config=shared.WORKER, concurrency=sections.tasks_per_worker(context))
    return core + (triggerer if shared.triggerer_wanted(context) else ()) + workers


def _file(context: Context, own: cfg.Sections) -> str:
    """One file: our defaults, the user's options, what is forced, and what the role needs."""
    return sections.file(context, line_defaults=_defaults(context), line_forced=_forced(context), own=own)


def _defaults(context: Context) -> cfg.Sections:
    return {
        "dag_processor": {
            "refresh_interval": str(sections.LISTING_INTERVAL),
            "bundle_refresh_check_interval": "1",
            "parsing_processes": str(context.parsing_processes),
            # Only versioned bundles leave anything stale; each worker would keep a process for it.
            "stale_bundle_cleanup_interval": "0",
        },
        "triggerer": {"capacity": str(context.triggerer_capacity)},
        "api": {"workers": "1"},
        "workers": {"execution_api_timeout": str(API_PATIENCE)},
        **({"traces": {"otel_on": "True"}} if _sends_spans(context) else {}),
    }


def _forced(context: Context) -> cfg.Sections:
    return {
        "core": {
            "auth_manager": "aerodrome_auth.manager.GatewayAuthManager",
            "execution_api_server_url": f"http://127.0.0.1:{context.execution_port}/execution/",
            "multi_team": "False",
        },
        "api": {"base_url": context.base_url, "server_type": "uvicorn"},
        "celery": sections.ACKNOWLEDGED_LATE,
        # The web server executes this file if a plugin brings views of Flask. Nobody makes it; by default it would lie
        # in AIRFLOW_HOME, where DAG code may.
        "fab": {"config_file": str(context.configuration / "webserver_config.py")},
        "execution_api": {"jwt_expiration_time": str(TOKEN_LIFETIME)},
        "triggerer": {"queues_enabled": "False"},
        "logging": {"dag_processor_child_process_log_directory": str(context.logs / "dag_processor")},
    }


def _shared(context: Context) -> str:
    """What Airflow is imported with: without tracing, which each unit sets up (`inside/aerodrome_unit/traces`).

    The option stays away unless the user sets it, as it does in the primed process, which has read that it is not set.
    """
    is_set = _sends_spans(context) and TRACING in context.options
    off = {"traces": {"otel_on": "False"}} if is_set else {}
    return _file(replace(context, traces_uri=None), {**sections.NO_DATABASE, **off})


def _sends_spans(context: Context) -> bool:
    return context.traces_uri is not None and options.has_traces(context.version)


def _control(context: Context) -> cfg.Sections:
    control = {
        "core": {"fernet_key": context.fernet_key},
        "database": {"sql_alchemy_conn": sections.database_url(context.database)},
        "api": {"secret_key": context.secret_key},
        "api_auth": {"jwt_secret": context.jwt_secret},
    }
    return cfg.merge((control, sections.gateway(context)))
