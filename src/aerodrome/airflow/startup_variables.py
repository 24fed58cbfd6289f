"""Which variables of a startup script reach an environment's units. Pure.

`release.startup` calls `exported` on what the script left. Whoever starts units puts the result below the Airflow
configuration options and below everything that Aerodrome sets itself.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from aerodrome.airflow import option_variables

LARGEST = 128 * 1024
"""Bytes of one variable: what Linux lets a program be started with (MAX_ARG_STRLEN)."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

_OF_THE_SHELL = frozenset(
    {"_", "BASHOPTS", "BASH_ENV", "ENV", "IFS", "OLDPWD", "PS1", "PS2", "PWD", "SHELL", "SHELLOPTS", "SHLVL"}
)
"""What a shell changes by itself, or what would run somewhere else."""

_PROTECTED = frozenset(
    """
    AIRFLOW_CONFIG AIRFLOW_CONN_AWS_DEFAULT AIRFLOW_ENV_ID AIRFLOW_ENV_NAME AIRFLOW_HOME AIRFLOW_VERSION
    AWS_CONTAINER_AUTHORIZATION_TOKEN AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE AWS_CONTAINER_CREDENTIALS_FULL_URI
    AWS_CONTAINER_CREDENTIALS_RELATIVE_URI AWS_DEFAULT_REGION AWS_DISABLE_HOST_PREFIX_INJECTION
    AWS_EC2_METADATA_DISABLED AWS_ENDPOINT_URL AWS_ENDPOINT_URL_IAM AWS_ENDPOINT_URL_MWAA AWS_ENDPOINT_URL_STS
    AWS_EXECUTION_ENV AWS_REGION CUSTOMER_ACCOUNT_ID HOME JWT_PUBLIC_KEY LOGNAME MWAA_AIRFLOW_COMPONENT
    PYTHONHOME PYTHONPATH PYTHONUNBUFFERED SQL_ALCHEMY_CONN USER
    """.split()  # noqa: SIM905 - forty quoted words are harder to read
)

_PROTECTED_PREFIXES = (
    "AERODROME_", "AIRFLOW__AERODROME__", "AIRFLOW__API_AUTH__", "AIRFLOW__AWS_MWAA__",
    "AIRFLOW__CELERY_BROKER_TRANSPORT", "AIRFLOW__CELERY_RESULT_BACKEND_TRANSPORT", "AIRFLOW__MWAA__", "ECS_", "MWAA__",
)  # fmt: skip

_PROTECTED_OPTIONS = frozenset(
    """
    API__AUTH_BACKEND API__AUTH_BACKENDS API__BASE_URL API__SECRET_KEY API__SERVER_TYPE CELERY__BROKER_URL
    CELERY__CELERYD_CONCURRENCY CELERY__CELERY_BROKER_URL CELERY__CELERY_CONFIG_OPTIONS CELERY__CELERY_RESULT_BACKEND
    CELERY__DEFAULT_QUEUE CELERY__EXTRA_CELERY_CONFIG CELERY__POOL CELERY__RESULT_BACKEND CELERY__WORKER_AUTOSCALE
    CELERY__TASK_ACKS_LATE CELERY__WORKER_CONCURRENCY CELERY__WORKER_ENABLE_REMOTE_CONTROL
    CORE__ALLOWED_RUN_ID_PATTERN CORE__AUTH_MANAGER
    CORE__BASE_LOG_FOLDER CORE__DAGS_FOLDER CORE__DAG_CONCURRENCY CORE__DAG_PROCESSOR_MANAGER_LOG_LOCATION
    CORE__EXECUTION_API_SERVER_URL CORE__EXECUTOR CORE__FERNET_KEY CORE__LOAD_DEFAULT_CONNECTIONS CORE__LOAD_EXAMPLES
    CORE__LOGGING_CONFIG_CLASS CORE__MAX_ACTIVE_TASKS_PER_DAG CORE__MULTI_TEAM CORE__PARALLELISM CORE__PLUGINS_FOLDER
    CORE__REMOTE_LOGGING CORE__SECURE_MODE CORE__SQL_ALCHEMY_CONN DATABASE__CHECK_MIGRATIONS
    DATABASE__LOAD_DEFAULT_CONNECTIONS DATABASE__SQL_ALCHEMY_CONN DATABASE__SQL_ALCHEMY_CONN_ASYNC
    EXECUTION_API__JWT_EXPIRATION_TIME FAB__CONFIG_FILE FAB__COOKIE_SECURE FAB__ENABLE_PROXY_FIX FAB__UPDATE_FAB_PERMS
    LOGGING__BASE_LOG_FOLDER LOGGING__DAG_PROCESSOR_CHILD_PROCESS_LOG_DIRECTORY
    LOGGING__DAG_PROCESSOR_MANAGER_LOG_LOCATION LOGGING__LOGGING_CONFIG_CLASS LOGGING__REMOTE_LOGGING
    METRICS__LEGACY_NAMES_ON METRICS__METRICS_ALLOW_LIST METRICS__METRICS_BLOCK_LIST METRICS__STATSD_ALLOW_LIST
    METRICS__STATSD_CUSTOM_CLIENT_PATH METRICS__STATSD_DATADOG_ENABLED METRICS__STATSD_HOST
    METRICS__STATSD_INFLUXDB_ENABLED METRICS__STATSD_ON METRICS__STATSD_PORT METRICS__STATSD_PREFIX
    METRICS__STAT_NAME_HANDLER METRICS__TIMER_UNIT_CONSISTENCY OPERATORS__DEFAULT_QUEUE
    SCHEDULER__ALLOWED_RUN_ID_PATTERN SCHEDULER__CHILD_PROCESS_LOG_DIRECTORY SCHEDULER__PARSING_PROCESSES
    SCHEDULER__STANDALONE_DAG_PROCESSOR SCHEDULER__STATSD_CUSTOM_CLIENT_PATH
    SCHEDULER__STATSD_DATADOG_ENABLED SCHEDULER__STATSD_HOST SCHEDULER__STATSD_ON SCHEDULER__STATSD_PORT
    SCHEDULER__STATSD_PREFIX SCHEDULER__STAT_NAME_HANDLER TRIGGERER__QUEUES_ENABLED WEBSERVER__BASE_URL
    WEBSERVER__CONFIG_FILE WEBSERVER__COOKIE_SECURE WEBSERVER__ENABLE_PROXY_FIX WEBSERVER__RBAC WEBSERVER__SECRET_KEY
    WEBSERVER__UPDATE_FAB_PERMS WEBSERVER__WARN_DEPLOYMENT_EXPOSURE WORKERS__EXECUTION_API_SERVER_URL
    """.split()  # noqa: SIM905 - as above
)
"""Options that MWAA reserves, and those that any Airflow line has forced, under every name that any line reads."""

_INDIRECT = ("_CMD", "_SECRET")
"""Suffixes by which Airflow reads an option from a command or a secrets backend."""


def exported(before: Mapping[str, str], after: Mapping[str, str]) -> tuple[dict[str, str], tuple[str, ...]]:
    """The variables that a script set or changed and that units get, and the names of those that it must not set."""
    changed = {
        name: value
        for name, value in after.items()
        if before.get(name) != value and name not in _OF_THE_SHELL and _NAME.fullmatch(name)
    }
    refused = tuple(sorted(name for name, value in changed.items() if is_protected(name) or len(value) > LARGEST))
    return {name: value for name, value in changed.items() if name not in refused}, refused


def is_protected(name: str) -> bool:
    """Whether no startup script may set the variable: MWAA reserves it, or Aerodrome's units depend on it."""
    if name in _PROTECTED or name.startswith(_PROTECTED_PREFIXES):
        return True
    option = name.removeprefix(option_variables.PREFIX)
    plain = next((option.removesuffix(suffix) for suffix in _INDIRECT if option.endswith(suffix)), option)
    return option != name and (option in _PROTECTED_OPTIONS or plain in _PROTECTED_OPTIONS)


def under_options(variables: Mapping[str, str], options: Mapping[str, str]) -> dict[str, str]:
    """The variables without those that an Airflow configuration option (`section.key`) sets too: the option wins."""
    set_by_options = option_variables.of(options)
    return {name: value for name, value in variables.items() if name.upper() not in set_by_options}
