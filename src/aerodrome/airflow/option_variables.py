"""Airflow's options as environment variables, for scratch processes that find no airflow.cfg of ours. Pure.

`release` starts those processes: the trial of a release, and the smoke test of a version. Units read files instead.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path

PREFIX = "AIRFLOW__"

_ELSEWHERE = ("_cmd", "_secret")
"""Endings of options that say where another option's value is."""

LINE_1 = 1
LINE_2 = 2


def name(option: str) -> str:
    """The variable that sets an option (`section.key`)."""
    return PREFIX + option.replace(".", "__").upper()


def of(options: Mapping[str, str]) -> dict[str, str]:
    """Options (`section.key` to value) as variables."""
    return {name(option): value for option, value in options.items()}


def options(variables: Mapping[str, str]) -> dict[tuple[str, str], str]:
    """What variables say of options, as (section, option) to value; also of those whose value is elsewhere."""
    found = {}
    for each, value in variables.items():
        section, _, option = each.removeprefix(PREFIX).lower().partition("__")
        if each.startswith(PREFIX) and option:
            found[section, option] = value
            for ending in _ELSEWHERE:
                if option.endswith(ending):
                    found[section, option.removesuffix(ending)] = value
    return found


def of_trial(
    version: str, *, dags: Path, plugins: Path, logs: Path, secrets: tuple[Path, Path] | None
) -> dict[str, str]:
    """What a process that tries DAGs and plugins is told, over whatever the user's options say.

    `secrets` are the files of the database's URL and of the Fernet key: others may read an environment. None = there is
    no metadata database.
    """
    return {
        **of(
            {
                "core.dags_folder": str(dags),
                "core.plugins_folder": str(plugins),
                "core.load_examples": "False",
                # Airflow 2 refuses any other executor beside SQLite; neither is used.
                "core.executor": "SequentialExecutor" if _line(version) <= LINE_2 else "CeleryExecutor",
                "core.dagbag_import_error_traceback_depth": "50",
                "logging.base_log_folder": str(logs),
                "usage_data_collection.enabled": "False",
            }
        ),
        **_database_of_trial(secrets),
    }


def of_smoke_test(version: str, *, home: Path, database: str) -> dict[str, str]:
    """What the steps of a smoke test are told; each line reads the names that it knows.

    `home` is the folder of the test, `database` the SQLAlchemy URL (psycopg2).
    """
    redis = f"redis+socket://{home / 'redis.sock'}"
    return of(
        {
            "core.dags_folder": str(home / "dags"),
            # A backfill of Airflow 1.10 waits for a worker to run its tasks, and there is none.
            "core.executor": "LocalExecutor" if _line(version) == LINE_1 else "CeleryExecutor",
            "core.sql_alchemy_conn": database,
            "core.load_default_connections": "False",
            "core.load_examples": "False",
            "celery.broker_url": redis,
            "celery.result_backend": redis,
            "database.sql_alchemy_conn": database,
            "database.load_default_connections": "False",
            "usage_data_collection.enabled": "False",
            "api_auth.jwt_secret": "0123456789abcdef" * 4,
            "webserver.rbac": "True",
            "webserver.secret_key": "smoke",
        }
    )


def _database_of_trial(secrets: tuple[Path, Path] | None) -> dict[str, str]:
    if secrets is None:
        return of({"database.sql_alchemy_conn": "sqlite://"})
    files = zip(("database.sql_alchemy_conn_cmd", "core.fernet_key_cmd"), secrets, strict=True)
    return {
        # Airflow 3 lets only its own server processes ask the database.
        "_AIRFLOW_PROCESS_CONTEXT": "server",
        **of({option: shlex.join(["cat", str(file)]) for option, file in files}),
    }


def _line(version: str) -> int:
    return int(version.split(".", maxsplit=1)[0])
