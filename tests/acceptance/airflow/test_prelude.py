"""Units that cannot be forked from one process with Airflow in it; those that can are in test_environment.py."""

from __future__ import annotations

from contextlib import contextmanager

import psutil
import pytest

import lines
from acceptance.airflow.launching import Launcher, layout
from aerodrome.airflow import units, versions

SOME = {"scheduler", "triggerer"}
"""Enough of them where each has to start Airflow for itself."""


@contextmanager
def nursery(context, *, changes=None):
    """Runs the prelude and some units; yields {name: pid}."""
    wanted = [unit for unit in versions.lookup(context.version).adapter.units(context) if unit["name"] in SOME]
    launcher = Launcher(context.interpreter)
    try:
        launcher.fork(context, wanted, changes=changes)
        for unit in wanted:
            launcher.wait_ready(unit)
        yield {name: process.pid for name, (process, _) in launcher.running.items()}
    finally:
        launcher.stop()


@pytest.fixture(params=lines.ONE)
def context(request, make_context, make_keys):
    return make_context(request.param, make_keys())


def test_code_of_the_user_keeps_airflow_out_of_the_shared_process(context):
    marker = context.run / "who"
    (context.plugins / "airflow_local_settings.py").write_text(
        f"import os\nopen({str(marker)!r}, 'a').write(f'{{os.getpid()}}\\n')\n"
    )
    with nursery(context) as pids:
        assert set(pids) == SOME
        parent = psutil.Process(pids["scheduler"]).ppid()
        ran = {int(line) for line in marker.read_text().split()}
        assert parent not in ran
        assert set(pids.values()) <= ran


def test_units_are_executed_anew_when_the_shared_configuration_has_changed(context):
    with nursery(context, changes=context.airflow_home / units.SHARED) as pids:
        parent = layout(psutil.Process(pids["scheduler"]).ppid())
        assert parent not in {layout(pid) for pid in pids.values()}
