"""Airflow 1.10: its configuration files and its units.

The scheduler parses the DAG files itself, so there is neither DAG processor nor triggerer. All roles, tasks included,
hold the metadata database. The web server is the RBAC one, with a security manager of ours that believes only the
gateway. There is no stable REST API. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from aerodrome.airflow import cfg, sections
from aerodrome.airflow import units as shared
from aerodrome.airflow.context import Context
from aerodrome.airflow.units import UnitDocument

REST_PREFIX = None
"""MWAA offered none for this line; the experimental API is closed."""

ONCE = frozenset({"scheduler"})
"""A scheduler of this line does not know of a second one."""

NEEDED_BY_TASKS: frozenset[str] = frozenset()

HIDES_SECRETS = False
"""DAG code of this line works with the database itself."""

GAINS_BY_PRIMING = False
"""Its web server builds its application from the database; little else takes time at a start."""

WEBSERVER_CONFIG = "webserver_config.py"

WEBSERVER_CONFIG_TEXT = '''\
"""Written by Aerodrome; changes are overwritten."""

from airflow.configuration import conf
from flask_appbuilder.security.manager import AUTH_REMOTE_USER

from aerodrome_rbac import RbacSecurityManager

SQLALCHEMY_DATABASE_URI = conf.get("core", "sql_alchemy_conn")

AUTH_TYPE = AUTH_REMOTE_USER
AUTH_USER_REGISTRATION = False
# Who shows no token has the role Public, which has no right.
AUTH_ROLE_PUBLIC = "Public"
SECURITY_MANAGER_CLASS = RbacSecurityManager
WTF_CSRF_ENABLED = True

# The cookie "session" is the gateway's own, by which MWAA's clients know it.
SESSION_COOKIE_NAME = "airflow_session"
'''

MIGRATION_WEBSERVER_CONFIG_TEXT = """\
from airflow.configuration import conf
from flask_appbuilder.security.manager import AUTH_REMOTE_USER

SQLALCHEMY_DATABASE_URI = conf.get("core", "sql_alchemy_conn")

AUTH_TYPE = AUTH_REMOTE_USER
"""
"""For the command that makes the roles: each kind of login has its own pages of users, and its own permissions."""

CELERY_CONFIG = "airflow.config_templates.default_celery.DEFAULT_CELERY_CONFIG"

PARSING_INTERVAL = 1
"""Seconds between two looks into the same DAG file (Airflow's own: 0). In this line such a look finds the next task of
a run, so the interval is short; with 0, an idle environment would parse without end.
"""

NOWHERE = "postgresql+psycopg2:///?host=/nonexistent"
"""For processes that get no metadata database: this line refuses SQLite with Celery when it reads its configuration."""


def configuration(context: Context) -> Mapping[Path, str]:
    """control.cfg for trusted roles, worker.cfg for roles that run tasks, shared.cfg without secrets; and the web's."""
    return {
        context.configuration / shared.CONTROL: _file(context, _control(context)),
        context.configuration / shared.WORKER: _file(context, _worker(context)),
        context.configuration / shared.SHARED: _file(context, {"core": {"sql_alchemy_conn": NOWHERE}}),
        # This line looks for it nowhere else.
        context.home / WEBSERVER_CONFIG: WEBSERVER_CONFIG_TEXT,
    }


def units(context: Context) -> tuple[UnitDocument, ...]:
    """All units of the environment."""
    core = (
        shared.unit(context, "scheduler", ["scheduler-1"], component="scheduler"),
        *shared.web_servers(context, ["webserver"]),
    )
    slots = sections.tasks_per_worker(context)
    return core + shared.workers(context, config=shared.WORKER, concurrency=slots, role="worker-1")


def _file(context: Context, own: cfg.Sections) -> str:
    """One file: our defaults, the user's options, what is forced, and what the role needs."""
    return sections.file(context, line_defaults=_defaults(context), line_forced=_forced(context), own=own)


def _defaults(context: Context) -> cfg.Sections:
    return {
        "core": {
            # Else the web server parses every DAG file in each of its processes.
            "store_serialized_dags": "True",
            "min_serialized_dag_fetch_interval": "1",
        },
        "scheduler": {
            "dag_dir_list_interval": str(sections.LISTING_INTERVAL),
            "min_file_process_interval": str(PARSING_INTERVAL),
            "parsing_processes": str(context.parsing_processes),
            "scheduler_heartbeat_sec": "1",
        },
        "webserver": {"workers": "1"},
    }


def _forced(context: Context) -> cfg.Sections:
    return {
        "api": {"auth_backend": "airflow.api.auth.backend.deny_all"},
        "celery": {"celery_config_options": CELERY_CONFIG, **_queue(context)},
        "celery_broker_transport_options": _transport(context),
        "webserver": {
            "rbac": "True",
            "base_url": context.base_url,
            "cookie_secure": str(context.base_url.startswith("https:")),
            "enable_proxy_fix": "True",
            # The template database holds the roles already.
            "update_fab_perms": "False",
        },
        "scheduler": {"child_process_log_directory": str(context.logs / "scheduler")},
        "core": {
            "dag_processor_manager_log_location": str(context.logs / "dag_processor_manager.log"),
            "secure_mode": "True",
        },
    }


def _queue(context: Context) -> dict[str, str]:
    """This line's kombu puts no prefix before the name of a queue."""
    return {} if context.key_prefix is None else {"default_queue": context.key_prefix + "default"}


def _transport(context: Context) -> dict[str, str]:
    """What separates environments that share a Redis: names of their own for everything else that kombu keeps there."""
    prefix = context.key_prefix
    if prefix is None:
        return {}
    keys = {f"{name}_key": f"{prefix}{name}" for name in ("unacked", "unacked_index", "unacked_mutex")}
    return {**keys, "fanout_prefix": f"/{prefix}{{db}}."}


def _worker(context: Context) -> cfg.Sections:
    """A task of this line reads connections and writes its state in the metadata database itself."""
    return {"core": {"fernet_key": context.fernet_key, "sql_alchemy_conn": sections.database_url(context.database)}}


def _control(context: Context) -> cfg.Sections:
    web = {"webserver": {"secret_key": context.secret_key}}
    return cfg.merge((_worker(context), web, sections.gateway(context)))
