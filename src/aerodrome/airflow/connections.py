"""How many connections to its metadata database the processes of an environment may want at most. Pure.

Airflow's processes keep pools of connections. A process with one thread uses a few of its pool; one that serves
requests fills it, and what may overflow. Before Airflow 3 each task is two processes with connections of their own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from aerodrome.airflow import sections

POOL = 5
"""Connections that a process keeps: our default of `database.sql_alchemy_pool_size`."""

OVERFLOW = 10
"""Connections beyond these for a moment: Airflow's default of `database.sql_alchemy_max_overflow`."""

FOR_EACH_TASK = 3
"""Before Airflow 3: the process that supervises a task, the one that runs it, and what its code opens by hooks."""

FOR_EACH_WORKER = 2

BESIDE = 20
"""Commands of Airflow's CLI, the sidecar, archives, and looks of ours."""

FIRST_WITHOUT_TASKS = 3
"""The line whose tasks have no connection."""


def most(
    line: int,
    options: Mapping[str, str],
    *,
    tasks_per_worker: int,
    workers: int,
    schedulers: int = 1,
    web_servers: int = 1,
    zones: int = 1,
    parsing_processes: int = 1,
) -> int:
    """The connections of one cell of that line (1.10, 2.x, 3.x) twice, for an update runs two; and those beside it."""
    pool = (
        _number(options, ("database.sql_alchemy_pool_size", "core.sql_alchemy_pool_size"), POOL) or POOL
    )  # 0: no limit
    overflow = _number(options, ("database.sql_alchemy_max_overflow", "core.sql_alchemy_max_overflow"), OVERFLOW)
    full = pool + overflow
    parsing = _number(options, ("dag_processor.parsing_processes", "scheduler.parsing_processes"), parsing_processes)
    processes = max(1, _number(options, ("api.workers", "webserver.workers"), 1))
    # The DAG processor has a pool, and each zone's triggerer.
    one = schedulers * pool + pool + zones * pool + web_servers * processes * full
    if line >= FIRST_WITHOUT_TASKS:
        one += web_servers * processes * pool + zones * full  # the web server's second pool, and the execution APIs
    else:
        slots = sections.slots(options, tasks_per_worker)
        one += 2 * parsing + workers * (FOR_EACH_WORKER + FOR_EACH_TASK * slots)
    return 2 * one + BESIDE


def _number(options: Mapping[str, str], names: Sequence[str], default: int) -> int:
    """The largest number that the option has under any of its names, which differ between Airflow's versions."""
    found = (sections.number(options.get(name, "")) for name in names)
    return max((each for each in found if each is not None and each >= 0), default=default)
