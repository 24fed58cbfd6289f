"""From the command line of boot.py to the role; each role's module is imported only when it is asked for.

`boot.py` calls it. It decides nothing about Airflow itself.
"""

from __future__ import annotations

import argparse
import importlib

from . import cli, dag_code, database, hostname, metrics, notices, notify, prelude, stored_dags

MODULES = {
    "scheduler": "jobs",
    "dag-processor": "jobs",
    "triggerer": "jobs",
    "worker": "worker",
    "scheduler-1": "airflow1",
    "worker-1": "airflow1",
    "api": "api_server",
    "webserver": "webserver",
}
"""Which module knows the role; its function `run(arguments, notifier)` does not return while the unit lives."""


ASKED = frozenset({"api", "webserver"})
"""Roles that answer requests. They tell a caller at once that the database is away, and the caller asks again."""

DAG_CODES_USER = frozenset({"worker", "worker-1"})
"""Roles without secrets of Airflow 3, in which DAG code may name what it likes."""

PARSING = "dag-processor"
"""The role that forks more often than any other, as its companion does, and has no span to tell."""

PRELUDE = "prelude"
"""No role of a unit: it prepares the process that units are forked from, and returns."""

PRIME = "prime"
"""The same for the version's primed process, which prepares itself for all environments, and returns."""

DAG_CODE = "dag-code"
"""No role of a unit: the companion of one, which DAG code is forked from."""

CLI = "cli"
"""No role of a unit either: one command of Airflow's command line, whose words Airflow parses."""


def run(argv: list[str]) -> None:
    """Take the role that `argv` names; returns when the unit has ended."""
    if argv[:1] == [CLI]:
        cli.run(argv[1:])
        return
    arguments = parser().parse_args(argv)
    metrics.lead()
    if arguments.role == PRELUDE:
        prelude.load()
        return
    if arguments.role == PRIME:
        prelude.prime(arguments.report)
        return
    prelude.adopt(has_spans=PARSING not in {arguments.role, arguments.apps})
    if arguments.role == DAG_CODE:
        dag_code.serve(arguments.apps)
        return
    if arguments.role not in DAG_CODES_USER:
        stored_dags.call_what_airflow_knows()
    if arguments.apart:
        dag_code.fork_in_companion(arguments.role)
    notifier = notify.Notifier()
    if arguments.hostname:
        hostname.adopt(arguments.hostname)
    if arguments.role in ASKED:
        notices.tell_of_runs()
    else:
        database.be_patient()
    module = importlib.import_module("." + MODULES[arguments.role], __package__)
    module.run(arguments, notifier)


def parser() -> argparse.ArgumentParser:
    """The command line of boot.py."""
    result = argparse.ArgumentParser(prog="boot.py")
    result.add_argument("role", choices=[PRELUDE, PRIME, DAG_CODE, *sorted(MODULES)])
    result.add_argument("apps", nargs="?", help="the half of the API server, or the role whose DAG code is meant")
    result.add_argument("--report", help="the file that says which options were read")
    result.add_argument("--apart", action="store_true", help="DAG code runs in forks of the companion alone")
    result.add_argument("--hostname", help="the host name that the process takes")
    result.add_argument("--concurrency", type=int, default=1, help="tasks that a worker runs at once")
    result.add_argument("--socket", help="unix socket of a web server")
    result.add_argument("--warm", action="store_true", help="be ready only when no first request has to wait")
    result.add_argument("--port", type=int, help="TCP port on 127.0.0.1 of a web server")
    result.add_argument(
        "--peer", type=int, action="append", default=[], help="a user whose processes may connect there"
    )
    return result
