"""Airflow 2: its configuration files and its units.

All roles, tasks included, hold the metadata database; the boundary between environments is a database and a role of
their own. The web server is Flask-AppBuilder's, with a security manager of ours that believes only the gateway. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from aerodrome.airflow import cfg, sections
from aerodrome.airflow import units as shared
from aerodrome.airflow.context import Context
from aerodrome.airflow.units import UnitDocument

REST_PREFIX = "/api/v1"

ONCE = frozenset({"dag-processor"})
"""Two of them would tell the web server different import errors in turns."""

NEEDED_BY_TASKS: frozenset[str] = frozenset()

HIDES_SECRETS = False
"""DAG code of this line works with the database itself."""

GAINS_BY_PRIMING = False
"""Its web server builds its application from the database; little else takes time at a start."""

WEBSERVER_CONFIG = "webserver_config.py"

WEBSERVER_CONFIG_TEXT = '''\
"""Written by Aerodrome; changes are overwritten."""

from flask_appbuilder.const import AUTH_REMOTE_USER

from aerodrome_auth.security import GatewaySecurityManager

AUTH_TYPE = AUTH_REMOTE_USER
AUTH_USER_REGISTRATION = False
# Who shows no token is nobody, not somebody with the rights that the role Public may have been given.
AUTH_ROLE_PUBLIC = None
SECURITY_MANAGER_CLASS = GatewaySecurityManager
WTF_CSRF_ENABLED = True

# The cookie "session" is the gateway's own, by which MWAA's clients know it.
SESSION_COOKIE_NAME = "airflow_session"
LOGOUT_REDIRECT_URL = "/aws_mwaa/logout"
'''


def configuration(context: Context) -> Mapping[Path, str]:
    """control.cfg for trusted roles, worker.cfg for roles that run tasks, shared.cfg without secrets; and the web's."""
    return {
        context.configuration / shared.CONTROL: _file(context, _control(context)),
        context.configuration / shared.WORKER: _file(context, _worker(context)),
        context.configuration / shared.SHARED: _file(context, sections.NO_DATABASE),
        context.configuration / WEBSERVER_CONFIG: WEBSERVER_CONFIG_TEXT,
    }


def units(context: Context) -> tuple[UnitDocument, ...]:
    """All units of the environment."""
    core = (
        *shared.schedulers(context),
        shared.unit(context, "dag-processor", ["dag-processor"], component="scheduler"),
        *shared.web_servers(context, ["webserver"]),
    )
    triggerer = (shared.unit(context, "triggerer", ["triggerer"], component="scheduler"),)
    workers = shared.workers(context, config=shared.WORKER, concurrency=sections.tasks_per_worker(context))
    return core + (triggerer if shared.triggerer_wanted(context) else ()) + workers


def _file(context: Context, own: cfg.Sections) -> str:
    """One file: our defaults, the user's options, what is forced, and what the role needs."""
    return sections.file(context, line_defaults=_defaults(context), line_forced=_forced(context), own=own)


def _defaults(context: Context) -> cfg.Sections:
    return {
        "core": {"min_serialized_dag_fetch_interval": "1"},
        "scheduler": {
            "dag_dir_list_interval": str(sections.LISTING_INTERVAL),
            "parsing_processes": str(context.parsing_processes),
            # MWAA turns it off to spare its database; on, a chain of tasks need not wait for the scheduler's next look.
            "schedule_after_task_execution": "True",
        },
        "triggerer": {"default_capacity": str(context.triggerer_capacity)},
        # One process with threads: each further process costs a whole copy of the web application.
        "webserver": {"workers": "1", "session_backend": "securecookie"},
    }


def _forced(context: Context) -> cfg.Sections:
    return {
        "core": {"auth_manager": "airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager"},
        "api": {"auth_backends": "airflow.api.auth.backend.session"},
        "celery": sections.ACKNOWLEDGED_LATE,
        "webserver": {
            "base_url": context.base_url,
            "config_file": str(context.configuration / WEBSERVER_CONFIG),
            "cookie_secure": str(context.base_url.startswith("https:")),
            "enable_proxy_fix": "True",
            "warn_deployment_exposure": "False",
        },
        # The template database holds the roles already.
        "fab": {"update_fab_perms": "False"},
        "scheduler": {
            "standalone_dag_processor": "True",
            "child_process_log_directory": str(context.logs / "dag_processor"),
        },
        "logging": {
            "dag_processor_manager_log_location": str(context.logs / "dag_processor_manager.log"),
        },
    }


def _worker(context: Context) -> cfg.Sections:
    """A task of this line reads connections and writes its state in the metadata database itself."""
    return {
        "core": {"fernet_key": context.fernet_key},
        "database": {"sql_alchemy_conn": sections.database_url(context.database)},
    }


def _control(context: Context) -> cfg.Sections:
    web = {"webserver": {"secret_key": context.secret_key}}
    return cfg.merge((_worker(context), web, sections.gateway(context)))
