"""The options that each version knows, their earlier and later names, and what looks like a spelling mistake.

The adapters use it to rename a user's options, in both directions: an option written for another line becomes the one
of this line. Whoever takes AirflowConfigurationOptions from a caller uses `warnings`. The lists are in known/, one file
for each version; `python -m aerodrome.airflow.options <version> <interpreter>` makes them whenever a lock changes.
"""

from __future__ import annotations

import difflib
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from itertools import islice
from pathlib import Path

from aerodrome.airflow.context import INSIDE

FOLDER = Path(__file__).with_name("known")

TIMEOUT = 120
"""Seconds; the generator imports Airflow and its providers' descriptions."""

MOST_WARNINGS = 20
"""Sentences about one set of options: each looks for a similar name, and a request may hold tens of thousands."""

OUR_SECTIONS = frozenset({"mwaa"})
"""Sections of MWAA's own options, which Airflow does not know."""

OPEN_SECTIONS = frozenset({"celery_broker_transport_options", "celery_result_backend_transport_options"})
"""Sections whose keys belong to another program."""

_TRACES_ARE_SET_UP_ONCE = "traces.task_runner_flush_timeout_milliseconds"

Name = tuple[str, str]
"""Section and key."""


def _moved(old: str, new: str, *keys: str) -> tuple[tuple[str, ...], ...]:
    """Options that only changed their section."""
    return tuple((f"{old}.{key}", f"{new}.{key}") for key in keys)


SAME = (
    # 1.10 → 2
    *_moved(
        "core", "logging",
        "base_log_folder", "colored_console_log", "colored_formatter_class", "colored_log_format",
        "dag_processor_manager_log_location", "encrypt_s3_logs", "fab_logging_level", "log_filename_template",
        "log_format", "log_processor_filename_template", "logging_config_class", "logging_level",
        "remote_base_log_folder", "remote_log_conn_id", "remote_logging", "simple_log_format",
        "task_log_prefix_template", "task_log_reader",
    ),
    *_moved(
        "core", "database",
        "load_default_connections", "max_db_retries", "sql_alchemy_conn", "sql_alchemy_connect_args",
        "sql_alchemy_max_overflow", "sql_alchemy_pool_enabled", "sql_alchemy_pool_pre_ping", "sql_alchemy_pool_recycle",
        "sql_alchemy_pool_size", "sql_alchemy_schema", "sql_engine_collation_for_ids", "sql_engine_encoding",
    ),
    *_moved(
        "scheduler", "metrics",
        "stat_name_handler", "statsd_custom_client_path", "statsd_datadog_enabled", "statsd_datadog_tags",
        "statsd_host", "statsd_on", "statsd_port", "statsd_prefix",
    ),
    *_moved("celery", "logging", "worker_log_server_port"),
    *_moved("celery", "operators", "default_queue"),
    *_moved("core", "celery", "worker_precheck"),
    ("scheduler.statsd_allow_list", "metrics.statsd_allow_list", "metrics.metrics_allow_list"),
    ("metrics.statsd_block_list", "metrics.metrics_block_list"),
    ("admin.hide_sensitive_variable_fields", "core.hide_sensitive_var_conn_fields"),
    ("admin.sensitive_variable_fields", "core.sensitive_var_conn_names"),
    ("api.access_control_allow_origin", "api.access_control_allow_origins"),
    ("core.dag_concurrency", "core.max_active_tasks_per_dag"),
    ("core.non_pooled_task_slot_count", "core.default_pool_task_slot_count"),
    ("scheduler.processor_poll_interval", "scheduler.scheduler_idle_sleep_time"),
    ("scheduler.deactivate_stale_dags_interval", "scheduler.parsing_cleanup_interval"),
    ("celery.celeryd_concurrency", "celery.worker_concurrency"),
    # 1.10, 2 → 3
    *_moved("core", "dag_processor", "dag_file_processor_timeout"),
    *_moved(
        "scheduler", "dag_processor",
        "file_parsing_sort_mode", "max_callbacks_per_loop", "min_file_process_interval", "parsing_pre_import_modules",
        "print_stats_interval", "stale_dag_threshold",
    ),
    *_moved(
        "webserver", "api",
        "auto_refresh_interval", "base_url", "default_wrap", "enable_swagger_ui", "expose_config", "expose_stacktrace",
        "grid_view_sorting_order", "hide_paused_dags_by_default", "instance_name", "log_fetch_timeout_sec",
        "require_confirmation_dag_change", "secret_key", "workers",
    ),
    *_moved(
        "webserver", "fab",
        "access_denied_message", "auth_rate_limit", "auth_rate_limited", "config_file", "cookie_samesite",
        "cookie_secure", "enable_proxy_fix", "expose_hostname", "navbar_color", "navbar_hover_color",
        "navbar_text_color", "navbar_text_hover_color", "proxy_fix_x_for", "proxy_fix_x_host", "proxy_fix_x_port",
        "proxy_fix_x_prefix", "proxy_fix_x_proto", "session_backend", "session_lifetime_minutes", "update_fab_perms",
    ),
    ("webserver.access_logfile", "api.access_logfile", "api.log_config"),
    ("webserver.page_size", "api.page_size"),
    ("webserver.web_server_host", "api.host"),
    ("webserver.web_server_port", "api.port"),
    ("webserver.web_server_ssl_cert", "api.ssl_cert"),
    ("webserver.web_server_ssl_key", "api.ssl_key"),
    ("webserver.web_server_worker_timeout", "api.worker_timeout"),
    ("scheduler.max_threads", "scheduler.parsing_processes", "dag_processor.parsing_processes"),
    ("scheduler.dag_dir_list_interval", "dag_processor.refresh_interval"),
    ("scheduler.child_process_log_directory", "logging.dag_processor_child_process_log_directory"),
    ("scheduler.local_task_job_heartbeat_sec", "scheduler.task_instance_heartbeat_sec"),
    ("scheduler.scheduler_zombie_task_threshold", "scheduler.task_instance_heartbeat_timeout"),
    ("scheduler.zombie_detection_interval", "scheduler.task_instance_heartbeat_timeout_detection_interval"),
    ("scheduler.running_metrics_interval", "scheduler.ti_metrics_interval"),
    ("core.dataset_manager_class", "core.asset_manager_class"),
    ("core.dataset_manager_kwargs", "core.asset_manager_kwargs"),
    ("core.max_num_rendered_ti_fields_per_task", "core.num_dag_runs_to_retain_rendered_fields"),
    ("triggerer.default_capacity", "triggerer.capacity"),
    ("workers.missing_dag_retires", "workers.missing_dag_retries"),
)  # fmt: skip
"""Names of one and the same option, the oldest first; only options whose values mean the same everywhere."""


def file(version: str) -> Path:
    """The list of `version`: one `section.key` a line."""
    return FOLDER / f"{version}.txt"


@cache
def known(version: str) -> frozenset[str]:
    """Every `section.key` that the version and its providers know."""
    return frozenset(file(version).read_text().split())


def has_traces(version: str) -> bool:
    """Whether the version tells spans in a way that is passed on: 3.2 and later.

    Earlier ones make a provider for each span, which they never free.
    """
    return _TRACES_ARE_SET_UP_ONCE in known(version)


@cache
def sections() -> frozenset[str]:
    """Every section that any version on offer knows."""
    return frozenset(name.partition(".")[0] for path in FOLDER.glob("*.txt") for name in known(path.stem))


@cache
def renames(version: str) -> Mapping[Name, Name]:
    """Section and key of every option that has another name in this version, and that name."""
    names = known(version)
    found: dict[Name, Name] = {}
    for group in SAME:
        today = next((name for name in reversed(group) if name in names), None)
        if today is not None:
            found |= {_name(other): _name(today) for other in group if other not in names}
    return found


def warnings(version: str, options: Mapping[str, str]) -> list[str]:
    """A sentence for each option that this version will ignore, or knows under another name.

    A section that Airflow does not know is the user's own, as MWAA allows. A key that it does not know in one of its
    own sections is most likely a spelling mistake.
    """
    found = list(islice(_surprises(version, options), MOST_WARNINGS + 1))
    if len(found) > MOST_WARNINGS:
        found[MOST_WARNINGS:] = [f"These are the first {MOST_WARNINGS} options of which something is to be told."]
    return found


def _surprises(version: str, options: Iterable[str]) -> Iterator[str]:
    names = known(version)
    moved = {".".join(old): ".".join(new) for old, new in renames(version).items()}
    for given in options:
        option = given.lower()
        section = option.partition(".")[0]
        if option in names or section in OUR_SECTIONS | OPEN_SECTIONS or _indirect(option) in names:
            continue
        if option in moved:
            yield f"{given} is called {moved[option]} in Airflow {version}; its value is used under that name."
        elif section in sections():
            near = difflib.get_close_matches(option, names, n=1, cutoff=0.85)
            hint = f" Did you mean {near[0]}?" if near else ""
            yield f"Airflow {version} does not know the option {given} and will not heed it.{hint}"


def generate(version: str, interpreter: Path) -> int:
    """Write the list of `version` and return its length."""
    command = (str(interpreter), "-I", str(INSIDE / "list_options.py"))
    result = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, timeout=TIMEOUT, env={"HOME": "/"})
    file(version).write_text(result.stdout)
    return len(result.stdout.split())


def _name(option: str) -> Name:
    section, _, key = option.partition(".")
    return section, key


def _indirect(option: str) -> str:
    """The option whose value this one says how to get."""
    return option.removesuffix("_cmd").removesuffix("_secret")


if __name__ == "__main__":
    number = generate(sys.argv[1], Path(sys.argv[2]))
    sys.stdout.write(f"{file(sys.argv[1]).name}: {number} options\n")
