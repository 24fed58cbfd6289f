"""Requests to fail a task that is not any more what it was, in real Airflow 2 with a database of its own."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

import aerodrome.airflow.inside
from aerodrome.release import installation

INSIDE = Path(aerodrome.airflow.inside.__file__).parent

SCRIPT = """
import json, sys
from datetime import datetime, timezone
sys.path.insert(0, sys.argv[1])
from airflow import DAG, settings
from airflow.callbacks.callback_requests import TaskCallbackRequest
from airflow.dag_processing.processor import DagFileProcessor
from airflow.models import DagRun, TaskInstance, import_all_models
from airflow.models.base import Base
from airflow.models.taskinstance import SimpleTaskInstance
from airflow.operators.empty import EmptyOperator
from airflow.utils.state import DagRunState
from airflow.utils.types import DagRunType
from aerodrome_unit import late_failures
import airflow.providers.fab.auth_manager.models

import_all_models()
Base.metadata.create_all(settings.engine)
if sys.argv[2] == "mended":
    late_failures.refuse(DagFileProcessor, TaskInstance)
when = datetime(2026, 1, 1, tzinfo=timezone.utc)
with DAG("d", start_date=when, schedule=None) as dag:
    EmptyOperator(task_id="t", retries=5)
session = settings.Session()
dag.sync_to_db(session=session)
run = DagRun(
    dag_id="d", run_id="r", execution_date=when, run_type=DagRunType.MANUAL, state=DagRunState.RUNNING,
    data_interval=(when, when), start_date=when,
)
session.add(run)
session.flush()
session.add(TaskInstance(dag.get_task("t"), run_id="r"))
session.commit()

class Bag:
    dags = {"d": dag}

def set_to(attempt, state):
    instance = session.query(TaskInstance).one()
    instance.try_number, instance.state = attempt, state
    session.commit()
    return instance

def after(asked, now):
    told = SimpleTaskInstance.from_ti(set_to(*asked))
    request = TaskCallbackRequest(full_filepath="d.py", simple_task_instance=told, msg="heartbeat timeout")
    set_to(*now)
    DagFileProcessor._execute_task_callbacks(Bag, request, False, session)
    session.commit()
    session.expire_all()
    return str(session.query(TaskInstance).one().state)

print(json.dumps([
    after((1, "running"), (1, "running")),
    after((1, "running"), (1, "success")),
    after((1, "running"), (2, "running")),
    after((1, "running"), (2, "success")),
    after((1, "queued"), (1, "queued")),
    after((1, "queued"), (2, "running")),
]))
"""


def after_each(found: installation.Installation, folder: Path, kind: str) -> list[str]:
    """What the task is after each request."""
    environ = {
        "PATH": "/usr/bin:/bin",
        "AIRFLOW_HOME": str(folder),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{folder}/airflow.db",
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    }
    script = folder / "script.py"
    script.write_text(SCRIPT)
    command = [str(found.python), str(script), str(INSIDE), kind]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    states: list[str] = json.loads(done.stdout.splitlines()[-1])
    return states


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("mended", ["up_for_retry", "success", "running", "success", "up_for_retry", "running"]),
        # What Airflow does by itself; when this changes, the mend may go.
        ("as it is", ["up_for_retry"] * 6),
    ],
)
def test_only_what_is_still_as_it_was_fails(versions, tmp_path, kind, expected):
    made = installation.find("2.11.2", versions)
    assert made is not None
    assert after_each(made, tmp_path, kind) == expected
