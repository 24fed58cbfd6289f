"""Units that are forked from one process with Airflow in it."""

from __future__ import annotations

import json
import subprocess
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

import lines
from aerodrome.airflow import priming, units, versions

NURSERY = Path(__file__).with_name("nursery.py")


DAG = """
from airflow import DAG
try:
    from airflow.providers.standard.operators.bash import BashOperator
except ImportError:
    from airflow.operators.bash import BashOperator

with DAG("one", schedule=None):
    BashOperator(task_id="t", bash_command="hostname")
"""


SOME = {"scheduler", "triggerer"}
"""Enough of them where each has to start Airflow for itself."""


@contextmanager
def nursery(context, wait_for, *, named=None, changes=None, prime=None):
    """Runs the prelude and all units, or those that are named; yields {name: pid}. `prime` comes before the prelude."""
    wanted = [
        unit for unit in versions.lookup(context.version).adapter.units(context) if not named or unit["name"] in named
    ]
    plan, report = context.run / "plan.json", context.run / "report.json"
    plan.write_text(
        json.dumps(
            {
                "prime": prime,
                "prelude": units.prelude(context),
                "units": wanted,
                "changes": changes,
            }
        )
    )
    process = subprocess.Popen(
        [str(context.interpreter), "-I", str(NURSERY), str(plan), str(report)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={},
    )
    try:
        wait_for("the units", report.exists, limit=120)
        started = json.loads(report.read_text())
        assert all(seconds is not None for _, seconds in started.values()), started
        yield {name: pid for name, (pid, _) in started.items()}
    finally:
        process.communicate()


def primed(context):
    """What primes a process for this environment and others, and the options that it differs in from all of those."""
    folder = context.run / "prime"
    folder.mkdir()
    nobody = replace(
        context,
        configuration=folder,
        broker_url="redis://nobodys",
        result_backend_url="redis://nobodys",
        base_url="https://nobodys",
        # It sets core.parallelism, which Airflow 3.0 reads at its import: there it must not differ.
        max_workers=context.max_workers + (not context.version.startswith("3.0")),
        execution_port=1,
    )
    for path, text in priming.files(nobody, folder / "socket").items():
        path.write_text(text)
    return json.loads(priming.file(folder).read_text())


def layout(pid):
    """Where the heap begins: the same in a fork, another after exec."""
    maps = Path(f"/proc/{pid}/maps").read_text().splitlines()
    return next(line.partition("-")[0] for line in maps if line.endswith("[heap]"))


@pytest.fixture(params=lines.ONE)
def prepared(request, make_context, make_keys):
    keys = make_keys()
    return make_context(request.param, keys), keys


def test_forked_units_serve_and_run_tasks(prepared, wait_for, make_environment):
    context, keys = prepared
    prime = primed(context) if priming.is_offered(context.version) else None
    with nursery(context, wait_for, prime=prime) as pids:
        if prime is not None:
            assert priming.objection(context.run / "prime", context, [context.dags, context.plugins]) == ""
        environment = make_environment(context, keys)
        parent = layout(psutil.Process(pids["scheduler"]).ppid())
        assert {layout(pid) for pid in pids.values()} == {parent}
        (context.dags / "one.py").write_text(DAG)
        wait_for("the DAG in the list", lambda: environment.rest("GET", "/dags/one")[0] == 200)
        environment.rest("PATCH", "/dags/one", body={"is_paused": False})
        body = {"dag_run_id": "r"} | ({"logical_date": None} if context.version.startswith("3") else {})
        assert environment.rest("POST", "/dags/one/dagRuns", body=body)[0] == 200

        def state():
            return environment.rest("GET", "/dags/one/dagRuns/r")[1]["state"]

        wait_for("the end of the run", lambda: state() in {"success", "failed"})
        assert state() == "success"
        assert set(pids) == {unit["name"] for unit in environment.units}


def test_code_of_the_user_keeps_airflow_out_of_the_shared_process(prepared, wait_for):
    context, _ = prepared
    marker = context.run / "who"
    (context.plugins / "airflow_local_settings.py").write_text(
        f"import os\nopen({str(marker)!r}, 'a').write(f'{{os.getpid()}}\\n')\n"
    )
    with nursery(context, wait_for, named=SOME) as pids:
        assert set(pids) == SOME
        parent = psutil.Process(pids["scheduler"]).ppid()
        ran = {int(line) for line in marker.read_text().split()}
        assert parent not in ran
        assert set(pids.values()) <= ran


def test_units_are_executed_anew_when_the_shared_configuration_has_changed(prepared, wait_for):
    context, _ = prepared
    with nursery(context, wait_for, named=SOME, changes=str(context.airflow_home / units.SHARED)) as pids:
        parent = layout(psutil.Process(pids["scheduler"]).ppid())
        assert parent not in {layout(pid) for pid in pids.values()}
