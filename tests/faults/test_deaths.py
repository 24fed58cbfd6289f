"""What is killed comes back, and no run is lost: control plane, units, worker, services, everything."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
from datetime import UTC, datetime
from pathlib import Path

import psutil
import psycopg
import pytest

from aerodrome.services import clusters, postgres, processes
from aerodrome.settings import Paths
from matrices import EVERY_FAULT, sampled
from product import BUCKET, wait_for

NAME = "hardy"
UNITS = ("redis", "sidecar", "scheduler", "dag-processor", "triggerer", "web", "execution", "worker-1")
KINDS = ("redis", "scheduler", "web")
"""A service, one that Airflow's jobs are, and one that answers; a worker is killed with a task below."""

SLOW = """
import time
from datetime import datetime, timedelta
from airflow import DAG
try:
    from airflow.providers.standard.operators.python import PythonOperator
except ImportError:  # other environments of the bucket are of Airflow 2
    from airflow.operators.python import PythonOperator
with DAG("{dag}", start_date=datetime(2024, 1, 1), schedule=None):
    PythonOperator(
        task_id="slow", python_callable=lambda: time.sleep({seconds}), retries=2, retry_delay=timedelta(seconds=1)
    ) >> PythonOperator(task_id="after", python_callable=lambda: None)
"""


@pytest.fixture(scope="module")
def hardy(mortal_product):
    mortal_product.create(NAME, MaxWorkers=1)  # what is queued stays so, and the only worker is known by its name
    mortal_product.wait_until(NAME, "AVAILABLE")
    yield mortal_product
    mortal_product.delete(NAME)  # idle, it would take a tenth of a core from the tests of the next file


def all_ready(product):
    """The pids of all units once each is ready; a cell that does not answer just then shows none of its own."""

    def ready_pids():
        units = product.environment(NAME)["units"]
        is_whole = {unit["name"]: unit["state"] for unit in units} == dict.fromkeys(UNITS, "ready")
        return {unit["name"]: unit["pid"] for unit in units} if is_whole else None

    return wait_for("all units are ready", ready_pids)


def start_slow(product, dag, seconds):
    product.put_dag(dag, SLOW.format(dag=dag, seconds=seconds))
    run = product.trigger(NAME, dag)
    wait_for("the slow task runs", lambda: product.task(NAME, dag, run, "slow")["state"] == "running")
    return run


def test_a_run_outlives_the_control_plane_and_up_adopts(hardy):
    run = start_slow(hardy, "outlives", 10)
    before = all_ready(hardy)
    hardy.kill_control_plane()
    assert hardy.finished(NAME, "outlives", run) == "success"
    assert all_ready(hardy) == before
    assert hardy.get(NAME)["Status"] == "AVAILABLE"


def test_up_after_an_update_of_aerodrome_replaces_its_own_processes_and_no_unit(hardy):
    run = start_slow(hardy, "updated", 10)
    before = all_ready(hardy)
    names = ("control-plane", "aws-door", "aws-emulator-guarded", "log-store")
    notes = {name: hardy.data / "run" / f"{name}.pid" for name in names}
    earlier = {name: json.loads(path.read_text()) for name, path in notes.items()}
    for name, path in notes.items():
        path.write_text(json.dumps({**earlier[name], "code": "of another version"}))
    hardy.run("up")
    for name, path in notes.items():
        assert json.loads(path.read_text())["pid"] != earlier[name]["pid"], name
        assert processes.mark(earlier[name]["pid"]) != earlier[name]["mark"], name
    assert hardy.finished(NAME, "updated", run) == "success"
    assert all_ready(hardy) == before


READER = """
import time
from datetime import datetime
from airflow import DAG
try:
    from airflow.providers.standard.operators.python import PythonOperator
except ImportError:
    from airflow.operators.python import PythonOperator
def read():
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError
    while True:
        try:
            s3 = boto3.Session().client("s3")
            key = s3.get_object(Bucket="{bucket}", Key="alone/ask")["Body"].read().decode()
            break
        except (BotoCoreError, ClientError):
            time.sleep(0.2)
    arn = boto3.Session().client("sts").get_caller_identity()["Arn"]
    s3.put_object(Bucket="{bucket}", Key="alone/answer", Body=(key + " " + arn).encode())
with DAG("alone", start_date=datetime(2024, 1, 1), schedule=None):
    PythonOperator(task_id="read", python_callable=read, retries=0)
"""


def test_roles_are_assumed_while_the_control_plane_is_away(hardy):
    """However long it is away: a sidecar that begins anew has no credentials left from before."""
    hardy.put_dag("alone", READER.format(bucket=BUCKET))
    run = hardy.trigger(NAME, "alone")
    wait_for("the task runs", lambda: hardy.task(NAME, "alone", run, "read")["state"] == "running")
    before, identifier = all_ready(hardy), hardy.environment(NAME)["identifier"]
    old = credentials(hardy, identifier)
    assert old
    door = hardy.session.client("s3", endpoint_url=f"http://127.0.0.1:{(hardy.data / 'aws' / 'port').read_text()}")
    with hardy.control_plane_away():
        os.kill(before["sidecar"], signal.SIGKILL)
        wait_for("there are new ones", lambda: credentials(hardy, identifier) not in {None, old})
        door.put_object(Bucket=BUCKET, Key="dags/while_away.py", Body=b"x = 1\n")
        wait_for("the sidecar reads", (hardy.data / "environments" / NAME / "dags" / "while_away.py").exists)
        door.put_object(Bucket=BUCKET, Key="alone/ask", Body=b"hello")
        answer = wait_for("the task has read and written", lambda: text(door, "alone/answer"))
    assert answer == "hello arn:aws:sts::000000000000:assumed-role/execution/AmazonMWAA-airflow"
    assert hardy.finished(NAME, "alone", run) == "success"


def credentials(product, identifier):
    """The key id that the sidecar gives now; None while it gives none."""
    config = json.loads((product.data / "run" / identifier / "sidecar.json").read_text())
    connection = http.client.HTTPConnection("127.0.0.1", config["credentials_port"], timeout=10)
    with contextlib.suppress(OSError, http.client.HTTPException):
        token = Path(config["credentials_token_file"]).read_text()
        connection.request("GET", "/credentials", headers={"Authorization": token})
        return json.loads(connection.getresponse().read()).get("AccessKeyId")
    return None


def text(s3, key):
    with contextlib.suppress(s3.exceptions.NoSuchKey):
        return s3.get_object(Bucket=BUCKET, Key=key)["Body"].read().decode()
    return None


@pytest.mark.parametrize("unit", sampled(*KINDS, beside=tuple(unit for unit in UNITS if unit not in KINDS)))
def test_a_killed_unit_is_running_again(hardy, unit):
    before = all_ready(hardy)
    os.kill(before[unit], signal.SIGKILL)

    def is_back():
        found = {each["name"]: each for each in hardy.environment(NAME)["units"]}.get(unit)
        return found is not None and found["state"] == "ready" and found["pid"] != before[unit]

    wait_for(f"{unit} is back", is_back)
    after = all_ready(hardy)
    assert {name for name in after if after[name] != before[name]} == {unit}


def test_a_task_on_a_killed_worker_is_retried(hardy):
    run = start_slow(hardy, "retried", 8)
    os.kill(all_ready(hardy)["worker-1"], signal.SIGKILL)
    assert hardy.finished(NAME, "retried", run) == "success"
    assert hardy.task(NAME, "retried", run, "slow")["try_number"] == 2


@pytest.mark.parametrize("of", [".", "1"], ids=["services", "units"])
def test_a_killed_cell_is_started_again_and_adopts_its_units(hardy, of):
    before = all_ready(hardy)
    identifier = hardy.environment(NAME)["identifier"]
    cell = int((hardy.data / "run" / identifier / of / "cell.pid").read_text())
    os.kill(cell, signal.SIGKILL)
    wait_for("the cell is dead", lambda: not psutil.pid_exists(cell))
    assert all_ready(hardy) == before
    hardy.wait_until(NAME, "AVAILABLE")


def test_the_sidecar_keeps_its_tree_while_the_bucket_is_away(hardy):
    folder = hardy.data / "environments" / NAME / "dags"
    hardy.put_dag("kept", "x = 1\n")
    wait_for("the file is there", (folder / "kept.py").exists)
    emulator = json.loads((hardy.data / "run" / "aws-emulator-guarded.pid").read_text())["pid"]
    os.kill(emulator, signal.SIGKILL)
    wait_for("another emulator runs", lambda: answers(hardy))
    assert (folder / "kept.py").exists()
    hardy.put_dag("later", "y = 1\n")
    wait_for("the sidecar has caught up", (folder / "later.py").exists)
    assert (folder / "kept.py").exists()
    assert hardy.s3.get_bucket_versioning(Bucket=BUCKET)["Status"] == "Enabled"


def answers(product):
    with contextlib.suppress(Exception):
        return bool(product.s3.list_buckets()["Buckets"])
    return False


OLDER = "older"
"""An environment of Airflow 2, whose tasks work with the database themselves."""

CROWD = """
import time
from datetime import datetime
from airflow import DAG
try:
    from airflow.providers.standard.operators.python import PythonOperator
except ImportError:
    from airflow.operators.python import PythonOperator
with DAG("crowd", start_date=datetime(2024, 1, 1), schedule=None):
    for number in range(16):
        PythonOperator(
            task_id=f"task_{number}", python_callable=lambda seconds: time.sleep(seconds), retries=0,
            op_args=[12 if number % 4 else 1],
        )
"""


def answers_questions(product):
    with contextlib.suppress(psycopg.OperationalError):
        cluster = postgres.cluster_if_up(Paths(product.data))
        if cluster is not None:
            clusters.connect(cluster).close()
            return True
    return False


def tasks(product, name, run):
    found = product.rest(name, "GET", f"/dags/crowd/dagRuns/{run}/taskInstances")["task_instances"]
    return {each["task_id"]: each for each in found}


def end_postgres_under_a_crowd(product, name):
    """Kill PostgreSQL while tasks run and others are queued; the run, and when PostgreSQL answered again."""
    product.put_dag("crowd", CROWD)
    wait_for("crowd is listed", lambda: product.listed(name, "crowd"))
    run = product.trigger(name, "crowd")

    def is_under_way():
        states = [each["state"] for each in tasks(product, name, run).values()]
        return states.count("running") >= 4 and "queued" in states

    wait_for("four tasks run, and others are queued", is_under_way)
    postmaster = int((product.data / "postgres" / "18" / "postmaster.pid").read_text().split()[0])
    os.kill(postmaster, signal.SIGKILL)
    wait_for("PostgreSQL answers", lambda: answers_questions(product))
    return run, datetime.now(UTC)


def test_no_task_fails_with_the_database(hardy):
    run, _ = end_postgres_under_a_crowd(hardy, NAME)
    assert hardy.finished(NAME, "crowd", run) == "success"
    assert {each["state"] for each in tasks(hardy, NAME, run).values()} == {"success"}
    hardy.wait_until(NAME, "AVAILABLE")


@EVERY_FAULT
def test_no_task_of_airflow_2_that_has_not_begun_fails_with_the_database(hardy):
    # A clone that is as new as this one has more to lose: nothing of it is in a checkpoint.
    hardy.create(OLDER, "2.11.2", MaxWorkers=1)
    hardy.wait_until(OLDER, "AVAILABLE")
    run, answered_at = end_postgres_under_a_crowd(hardy, OLDER)

    # A task of Airflow 2 that runs and has a question to the database under way loses it, and tells the truth.
    hardy.finished(OLDER, "crowd", run)
    found = tasks(hardy, OLDER, run)
    failed = {task: each["start_date"] for task, each in found.items() if each["state"] != "success"}
    assert all(begun and datetime.fromisoformat(begun) < answered_at for begun in failed.values()), failed
    assert {each["try_number"] for each in found.values()} == {1}
    assert len(failed) <= 5  # as many as ran
    hardy.wait_until(OLDER, "AVAILABLE")
    check_that_a_hung_scheduler_of_airflow_2_is_told(hardy)
    hardy.delete(OLDER)


def check_that_a_hung_scheduler_of_airflow_2_is_told(product):
    """Here, where such an environment is at hand; what Airflow 3 does at that has a test of its own."""
    before = {unit["name"]: unit["pid"] for unit in product.environment(OLDER)["units"]}
    os.kill(before["scheduler"], signal.SIGSTOP)

    def is_replaced():
        units = product.environment(OLDER)["units"]
        pids = {unit["name"]: unit["pid"] for unit in units if unit["state"] == "ready"}
        return len(pids) == len(before) and pids["scheduler"] != before["scheduler"] and pids

    after = wait_for("the scheduler is replaced", is_replaced)
    assert {name for name in before if after[name] != before[name]} == {"scheduler"}
    wait_for("the event says why", lambda: events(product, "UNIT_HUNG", of=OLDER))
    assert [each["detail"]["unit"] for each in events(product, "UNIT_HUNG", of=OLDER)] == ["scheduler"]


def test_everything_killed_comes_back_with_its_history(hardy):
    hardy.put_dag("history", SLOW.format(dag="history", seconds=0))
    run = hardy.trigger(NAME, "history")
    assert hardy.finished(NAME, "history", run) == "success"
    for process in hardy.processes():
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    wait_for("everything is dead", lambda: hardy.processes() == [], limit=60)
    hardy.up()
    hardy.wait_until(NAME, "AVAILABLE")
    assert wait_for("Airflow answers", lambda: hardy.listed(NAME, "history"))
    assert hardy.run_state(NAME, "history", run) == "success"
    again = hardy.trigger(NAME, "history")
    assert hardy.finished(NAME, "history", again) == "success"


def events(product, kind, of=NAME):
    return [each for each in product.events(of) if each["kind"] == kind]


@EVERY_FAULT  # a unit that does nothing is given up in cell/test_deaths.py, and a whole cell below
def test_units_that_are_stopped_by_a_signal_are_replaced_and_their_tasks_retried(hardy):
    run = start_slow(hardy, "thawed", 25)  # its process runs on until its worker is given up
    before = all_ready(hardy)
    told = len(events(hardy, "UNIT_HUNG"))
    frozen = ("scheduler", "worker-1", "redis", "sidecar")
    for name in frozen:
        os.kill(before[name], signal.SIGSTOP)
    wait_for("they are gone", lambda: not any(psutil.pid_exists(before[name]) for name in frozen))
    after = all_ready(hardy)
    assert {name for name in after if after[name] != before[name]} == {*frozen}
    assert hardy.finished(NAME, "thawed", run) == "success"
    assert hardy.task(NAME, "thawed", run, "slow")["try_number"] == 2
    wait_for("the events say why", lambda: len(events(hardy, "UNIT_HUNG")) == told + len(frozen))


@pytest.mark.parametrize("of", [".", "1"], ids=["services", "units"])
def test_a_cell_that_is_stopped_by_a_signal_is_replaced_and_a_change_goes_on(hardy, of):
    before = all_ready(hardy)
    folder = hardy.data / "run" / hardy.environment(NAME)["identifier"] / of
    cell = int((folder / "cell.pid").read_text())
    os.kill(cell, signal.SIGSTOP)
    hardy.update(NAME, WeeklyMaintenanceWindowStart="MON:03:30")
    shown = hardy.environment(NAME)["units"]
    assert {unit["name"] for unit in shown} == {*UNITS}
    assert "not answering" in {unit["state"] for unit in shown}
    hardy.wait_until(NAME, "AVAILABLE")
    assert not psutil.pid_exists(cell)
    assert all_ready(hardy) == before
    assert events(hardy, "CELL_HUNG")
