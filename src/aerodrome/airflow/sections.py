"""The sections that all lines of Airflow share: our defaults, the user's options, and what no user may change.

The adapters (`line1`, `line2`, `line3`) add their own part to each layer. Pure. The lists follow MWAA's behaviour; a
comment explains each departure.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from types import MappingProxyType
from urllib.parse import quote, urlencode

from aerodrome.airflow import cfg, options, published_metrics
from aerodrome.airflow.context import Context, Database
from aerodrome.errors import CallerError

VISIBILITY_TIMEOUT = 7 * 24 * 3600
"""Seconds until Redis hands a message out again. Airflow recovers lost tasks by heartbeats; a redelivery would run one
twice, so it must outlast the longest task."""

IDLE_SLEEP = 1.0
"""Seconds that the scheduler rests while nothing runs and nobody makes a run. While tasks run, inside/ sets the pace:
see `scheduler_pace`.
"""

LOST_TASKS_INTERVAL = 5
"""Seconds between the scheduler's looks for tasks without a heartbeat (Airflow's own: 10)."""

STUCK_TASKS_INTERVAL = 15
"""Seconds between its looks for tasks that have been queued for too long (Airflow's own: 120)."""

LISTING_INTERVAL = 5
"""Seconds between scans of the DAG folder (Airflow's own: 300); the sidecar's parse requests are the faster way."""

PARALLELISM_HEADROOM = 1.5
"""MWAA's factor between worker slots and `core.parallelism`."""

HIGHEST_INTEGER = 2**31 - 1
"""Of PostgreSQL's integer."""

POOL_SLOTS = ("core.default_pool_task_slot_count", "core.non_pooled_task_slot_count")
"""The size of the default pool, by its name since Airflow 1.10.4 and by the one before."""

MOST_TASKS = 9_999
"""Of one worker; arbitrary, and more than any machine has room for."""

NUMBERS: Mapping[str, int] = {
    **dict.fromkeys(POOL_SLOTS, -1),
    "database.sql_alchemy_pool_size": 0,
    "core.sql_alchemy_pool_size": 0,
    "database.sql_alchemy_max_overflow": -1,
    "core.sql_alchemy_max_overflow": -1,
    "dag_processor.parsing_processes": 1,
    "scheduler.parsing_processes": 1,
    "api.workers": 1,
    "webserver.workers": 1,
}
"""Options that we read ourselves too, each with the least that it may be."""

_NUMBER = re.compile(r"\s*-?[0-9]{1,18}\s*")

NO_DATABASE: Mapping[str, Mapping[str, str]] = {"database": {"sql_alchemy_conn": "sqlite://"}}
"""For processes that get no metadata database: Airflow makes an engine at import, which connects to nothing."""

DEFAULT_CELERY_CONFIG = "airflow.providers.celery.executors.default_celery.DEFAULT_CELERY_CONFIG"

ACKNOWLEDGED_LATE = MappingProxyType({"task_acks_late": "True"})
"""What a worker holds is known by the messages that it has not acknowledged. 1.10 does so without an option."""


def check(options: Mapping[str, str]) -> None:
    """Refuse options whose values cannot be used.

    Raises:
        CallerError: a value cannot be used.
    """
    cfg.split({name: value for name, value in options.items() if all(name.partition("."))})
    _autoscale(options)
    for name, least in NUMBERS.items():
        _whole(options, name, least)
    _own_celery(options)


def default_pool_slots(options: Mapping[str, str]) -> int | None:
    """The size that a new environment's default pool gets (-1: no limit); None = nobody has chosen one.

    Raises:
        CallerError: it is no number that the metadata database can hold.
    """
    found = (_whole(options, name, NUMBERS[name]) for name in POOL_SLOTS)
    return next((slots for slots in found if slots is not None), None)


def number(text: str) -> int | None:
    """The whole number that an option's text is; None = it is none, or is longer than any that we need."""
    return int(text) if _NUMBER.fullmatch(text) else None


def tasks_per_worker(context: Context) -> int:
    """How many tasks one worker runs at once: max of `celery.worker_autoscale` (max,min), else the class's number.

    Raises:
        CallerError: the option is not one or two numbers of which the first is positive.
    """
    return slots(context.options, context.tasks_per_worker)


def slots(options: Mapping[str, str], tasks_per_worker: int) -> int:
    """The same from the options, and the class's number.

    Raises:
        CallerError: the option is not one or two numbers of which the first is positive.
    """
    return _autoscale(options) or tasks_per_worker


def _autoscale(options: Mapping[str, str]) -> int | None:
    text = options.get("celery.worker_autoscale")
    if text is None:
        return None
    parts = [number(part) for part in text.split(",")]
    most = parts[0]
    if len(parts) > 2 or None in parts or most is None or not 1 <= most <= MOST_TASKS:  # noqa: PLR2004 - max,min
        raise CallerError(
            "AirflowConfigurationOptions: celery.worker_autoscale must be written as max,min, such as 5,5, "
            f"with a max of 1 to {MOST_TASKS}."
        )
    return most


def _whole(options: Mapping[str, str], name: str, least: int) -> int | None:
    """The number of an option that we read ourselves; None = it is not given."""
    text = options.get(name)
    if text is None:
        return None
    found = number(text)
    if found is None or not least <= found <= HIGHEST_INTEGER:
        raise CallerError(
            f"AirflowConfigurationOptions: {name} is {text[:64]!r}: "
            f"write a whole number from {least} to {HIGHEST_INTEGER}."
        )
    return found


def database_url(database: Database) -> str:
    """The SQLAlchemy URL (psycopg2), every part quoted."""
    query = {"host": database.host} | ({"port": str(database.port)} if database.port else {})
    return (
        f"postgresql+psycopg2://{quote(database.user, safe='')}:{quote(database.password, safe='')}"
        f"@/{quote(database.name, safe='')}?{urlencode(query, quote_via=quote)}"
    )


def file(context: Context, *, line_defaults: cfg.Sections, line_forced: cfg.Sections, own: cfg.Sections) -> str:
    """The text of one airflow.cfg: what all lines set, what the line adds to each layer, and what the role needs.

    Whatever name an option has when it comes, it gets the one that the version knows.
    """
    layers = (defaults(context), line_defaults, user(context), forced(context), line_forced, own)
    renames = options.renames(context.version)
    return cfg.render(cfg.merge(cfg.rename(layer, renames) for layer in layers))


def defaults(context: Context) -> dict[str, dict[str, str]]:
    """Options that a user may change."""
    slots = tasks_per_worker(context)
    parallelism = int(context.max_workers * slots * PARALLELISM_HEADROOM)
    return {
        "core": {
            "parallelism": str(parallelism),
            "sensitive_var_conn_names": "proxy,proxies",
            # MWAA forks a new interpreter for each task; that costs a whole import of Airflow per task.
            "execute_tasks_new_python_interpreter": "False",
            "min_serialized_dag_update_interval": "1",
            "test_connection": "Disabled",
        },
        "scheduler": {
            "scheduler_idle_sleep_time": str(IDLE_SLEEP),
            "task_queued_timeout": "1800",
            # Airflow is told at once of tasks that died with their worker, or have no message: it looks more often.
            "zombie_detection_interval": str(LOST_TASKS_INTERVAL),
            "task_queued_timeout_check_interval": str(STUCK_TASKS_INTERVAL),
        },
        "celery": {"sync_parallelism": "1"},
        "secrets": {"backend_kwargs": json.dumps({"connections_lookup_pattern": "^(?!aws_default$).*$"})},
        "usage_data_collection": {"enabled": "False"},
        "logging": {
            "colored_console_log": "False",
            # For the environment's two users, where it has a group of its own.
            "file_task_handler_new_folder_permissions": "0o700" if context.gid is None else "0o770",
            "file_task_handler_new_file_permissions": "0o600" if context.gid is None else "0o660",
        },
        "database": {"sql_alchemy_pool_size": "5"},
    }


def forced(context: Context) -> dict[str, dict[str, str]]:
    """Options that hold whatever the user wrote; without secrets, except that the broker's URL may carry one."""
    transport = _transport(context)
    sections = {
        "core": {
            "executor": "CeleryExecutor",
            "dags_folder": str(context.dags),
            "plugins_folder": str(context.plugins),
            "load_examples": "False",
        },
        "database": {"load_default_connections": "False", "check_migrations": "False"},
        "logging": {
            "base_log_folder": str(context.logs),
            "remote_logging": "False",
            "logging_config_class": "",
        },
        # To nowhere: units lead them to the sidecar (`inside/aerodrome_unit/metrics`). What differs comes as tags: in a
        # name, nobody could tell where a DAG's id ends that has dots.
        "metrics": {
            "statsd_on": "True",
            "statsd_host": "127.0.0.1",
            "statsd_port": "9",
            "statsd_prefix": published_metrics.PREFIX,
            "statsd_custom_client_path": "",
            "statsd_datadog_enabled": "False",
            "statsd_influxdb_enabled": "True",
            "stat_name_handler": "",
            "legacy_names_on": "False",
            "timer_unit_consistency": "True",  # milliseconds
        },
        "operators": {"default_queue": "default"},
        "celery": {
            "broker_url": context.broker_url,
            "result_backend": context.result_backend_url,
            "celery_config_options": DEFAULT_CELERY_CONFIG,
            "pool": "prefork",
            "worker_concurrency": str(tasks_per_worker(context)),
            # Draining a worker needs it. MWAA forbids it because its broker is SQS.
            "worker_enable_remote_control": "True",
            "extra_celery_config": json.dumps(_extra_celery(context), sort_keys=True),
        },
        # The section is read by all lines; 3.2 and later need the same in extra_celery_config for redis+socket URLs.
        "celery_broker_transport_options": {key: str(value) for key, value in transport.items()},
    }
    if context.key_prefix is not None:
        sections["celery_result_backend_transport_options"] = {"global_keyprefix": context.key_prefix}
    return sections


def gateway(context: Context) -> dict[str, dict[str, str]]:
    """Our own section, which inside/aerodrome_auth reads."""
    return {
        "aerodrome": {
            "gateway_jwks": str(context.jwks),
            "gateway_issuer": context.gateway_issuer,
            "gateway_audience": context.gateway_audience,
        }
    }


def user(context: Context) -> dict[str, dict[str, str]]:
    """The user's options, without those that mean something else here."""
    sections = cfg.split(context.options)
    # Airflow's worker command would hand the pair to Celery and let it resize the pool.
    sections.get("celery", {}).pop("worker_autoscale", None)
    # Ours is not a secret, but a configuration page that shows the whole file would show the user's own.
    for section in ("api", "webserver"):
        if sections.get(section, {}).get("expose_config", "").lower() in {"true", "t", "1"}:
            sections[section]["expose_config"] = "non-sensitive-only"
    return sections


def _transport(context: Context) -> dict[str, str | int]:
    transport: dict[str, str | int] = {"visibility_timeout": VISIBILITY_TIMEOUT}
    if context.key_prefix is not None:
        transport["global_keyprefix"] = context.key_prefix
    return transport


def _extra_celery(context: Context) -> dict[str, object]:
    """The user's own Celery settings, with the broker's over them."""
    extra = _own_celery(context.options)
    for key in ("broker_url", "result_backend", "broker_use_ssl", "task_acks_late"):
        extra.pop(key, None)
    return {**extra, "broker_transport_options": _transport(context)}


def _own_celery(options: Mapping[str, str]) -> dict[str, object]:
    """Raises CallerError: the option is not a JSON object."""
    text = options.get("celery.extra_celery_config", "{}")
    try:
        extra = json.loads(text)
    except ValueError:
        extra = None
    if not isinstance(extra, dict):
        raise CallerError("AirflowConfigurationOptions: celery.extra_celery_config must be a JSON object.")
    return extra
