"""A whole environment of each line, from generated files and real processes."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import stat
import uuid
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from acceptance.airflow.launching import layout
from aerodrome.airflow import metadata, priming

CHAIN = """
from datetime import datetime
try:
    from airflow.sdk import DAG
    from airflow.providers.standard.operators.python import PythonOperator
except ImportError:
    from airflow import DAG
    from airflow.operators.python import PythonOperator

def report():
    import os, socket
    print("environment", sorted(os.environ))
    return socket.gethostname()

with DAG("{name}", start_date=datetime(2024, 1, 1), schedule=None, catchup=False):
    tasks = [PythonOperator(task_id=f"t{{n}}", python_callable=report) for n in range({length})]
    for before, after in zip(tasks, tasks[1:]):
        before >> after
"""

DEFERRED = """
from datetime import datetime, timedelta
try:
    from airflow.sdk import DAG, BaseOperator
    from airflow.providers.standard.triggers.temporal import TimeDeltaTrigger
except ImportError:
    from airflow import DAG
    from airflow.models.baseoperator import BaseOperator
    from airflow.triggers.temporal import TimeDeltaTrigger

class Deferring(BaseOperator):
    def execute(self, context):
        self.defer(trigger=TimeDeltaTrigger(timedelta(seconds=1)), method_name="resumed")

    def resumed(self, context, event=None):
        return "resumed"

with DAG("deferred", start_date=datetime(2024, 1, 1), schedule=None, catchup=False):
    Deferring(task_id="first") >> Deferring(task_id="second")
"""

STUBBORN = """
from datetime import datetime, timedelta
try:
    from airflow.sdk import DAG
    from airflow.providers.standard.operators.python import PythonOperator
except ImportError:
    from airflow import DAG
    from airflow.operators.python import PythonOperator

def work(ti):
    import time
    if ti.try_number == 1:
        time.sleep(3600)

with DAG("stubborn", start_date=datetime(2024, 1, 1), schedule=None, catchup=False):
    PythonOperator(task_id="work", python_callable=work, retries=1, retry_delay=timedelta(seconds=1))
"""


def listed(environment, name):
    return environment.rest("GET", f"/dags/{name}")[0] == 200


def trigger(environment, name):
    """Unpause and start a run; its path."""
    assert environment.rest("PATCH", f"/dags/{name}", body={"is_paused": False})[0] == 200
    run = uuid.uuid4().hex
    body = {"dag_run_id": run} | ({"logical_date": None} if environment.version.line == 3 else {})
    status, document = environment.rest("POST", f"/dags/{name}/dagRuns", body=body)
    assert status == 200, document
    return f"/dags/{name}/dagRuns/{run}"


def finished(environment, path):
    state = environment.rest("GET", path)[1].get("state")
    return state if state in {"success", "failed"} else None


@pytest.fixture(scope="module")
def chain(environment, wait_for, put):
    """The path of a finished run of three tasks."""
    put(environment, "chain", CHAIN.format(name="chain", length=3))
    wait_for("the DAG in the list", lambda: listed(environment, "chain"))
    path = trigger(environment, "chain")
    assert wait_for("the run's end", lambda: finished(environment, path)) == "success"
    return path


def test_every_unit_says_that_it_is_ready(environment):
    assert set(environment.ready_after) == {unit["name"] for unit in environment.units}


def test_units_are_forks_of_one_process_that_others_could_be_forked_from(environment):
    context = environment.context
    if priming.is_offered(context.version):
        assert priming.objection(context.run / "prime", context, [context.dags, context.plugins]) == ""
    processes = [process for process, _ in environment.launcher.running.values()]
    forked = [process for process in processes if isinstance(process, psutil.Process)]
    assert len(forked) >= len(environment.units) - 1  # a worker that was killed below is started by itself
    [parent] = {process.ppid() for process in forked}
    assert {layout(process.pid) for process in forked} == {layout(parent)}


def test_the_jobs_are_healthy_in_the_database(environment):
    rows = environment.execute(metadata.running_jobs())
    assert {row[0] for row in rows} == {"SchedulerJob", "DagProcessorJob", "TriggererJob"}
    assert all(age < metadata.HEARTBEAT_LIMIT for _, _, age in rows)


def test_a_chain_of_tasks_succeeds_on_workers_with_names_of_their_own(environment, chain):
    status, document = environment.rest("GET", f"{chain}/taskInstances")
    assert status == 200
    tasks = document["task_instances"]
    assert [task["state"] for task in tasks] == ["success"] * 3
    assert {task["hostname"] for task in tasks} <= {"worker-1.1", "worker-2.1"}


def test_task_logs_are_read_from_the_shared_folder(environment, chain):
    status, document = environment.rest("GET", f"{chain}/taskInstances/t0/logs/1?full_content=true")
    assert status == 200
    assert "environment" in str(document)


def test_deferred_tasks_are_resumed_and_leave_no_trigger_behind(environment, wait_for, put):
    put(environment, "deferred", DEFERRED)
    wait_for("the DAG in the list", lambda: listed(environment, "deferred"))
    path = trigger(environment, "deferred")
    assert wait_for("the run's end", lambda: finished(environment, path)) == "success"
    count = metadata.DatabaseQuery('SELECT count(*) FROM "trigger"', ())
    wait_for("unused triggers are removed", lambda: environment.execute(count)[0][0] == 0)


def test_a_changed_file_is_seen(environment, wait_for, put):
    put(environment, "changing", CHAIN.format(name="changing", length=1))
    wait_for("the DAG in the list", lambda: listed(environment, "changing"))

    def tasks():
        # Repeated, as Airflow drops a request for a file that it is parsing at that moment.
        put(environment, "changing", CHAIN.format(name="changing", length=2))
        return environment.rest("GET", "/dags/changing/tasks")[1].get("total_entries") == 2

    wait_for("the second task", tasks)


def test_a_broken_file_is_an_import_error_and_the_rest_goes_on(environment, wait_for, put):
    put(environment, "broken", "from airflow import DAG\ndef (:\n")
    put(environment, "whole", CHAIN.format(name="whole", length=1))
    # Python runs it, for what is no UTF-8 stands in a comment.
    latin = f"{CHAIN.format(name='latin', length=1)}# caf\xe9\n".encode("latin-1")
    put(environment, "latin", latin)

    def errors(file, *, but=None):
        found = environment.rest("GET", "/importErrors")[1]["import_errors"]
        return [error for error in found if error["filename"].endswith(file) and error["timestamp"] != but]

    assert "SyntaxError" in wait_for("an import error", lambda: errors("broken.py"))[0]["stack_trace"]
    wait_for("the other DAG", lambda: listed(environment, "whole"))
    first = wait_for("an import error of what is no text", lambda: errors("latin.py"))[0]
    put(environment, "latin", latin + b"# once more\n")
    again = wait_for("it has been parsed again", lambda: errors("latin.py", but=first["timestamp"]))[0]
    assert "'utf-8' codec" in first["stack_trace"]
    assert "'utf-8' codec" in again["stack_trace"]


@pytest.mark.usefixtures("chain")
def test_the_viewer_reads_and_writes_nothing(environment):
    assert environment.rest("GET", "/dags", role="Viewer")[0] == 200
    pool = {"name": "viewers", "slots": 1}
    assert environment.rest("POST", "/pools", role="Viewer", body=pool)[0] == 403
    assert environment.rest("PATCH", "/dags/chain", role="Viewer", body={"is_paused": True})[0] == 403
    assert environment.rest("GET", "/connections", role="Viewer")[0] == 403
    assert environment.rest("GET", "/variables", role="User")[0] == 403


def test_op_writes_pools_and_the_public_role_reads_nothing(environment):
    assert environment.rest("POST", "/pools", role="Op", body={"name": "ops", "slots": 1})[0] in {200, 201}
    assert environment.rest("GET", "/dags", role="Public")[0] == 403


def test_a_role_that_is_taken_away_is_gone_with_the_next_request(environment):
    for role, expected in (("Admin", 200), ("Viewer", 403), ("Admin", 200)):
        token = environment.keys.token(role, sub="same-user")
        assert environment.rest("GET", "/variables", token=token)[0] == expected


def confused(keys):
    """A token signed with the text of the public key, which libraries refuse to make."""
    header, payload, _ = keys.token("Admin", key="s" * 64, algorithm="HS256").split(".")
    secret = keys.private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    signature = hmac.new(secret, f"{header}.{payload}".encode(), hashlib.sha256).digest()
    return f"{header}.{payload}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


def forgeries(environment):
    """Tokens that are wrong in one way each."""
    keys, context = environment.keys, environment.context
    other = type(keys)()
    return {
        "nothing": "",
        "garbage": "x.y.z",
        "another key": keys.token("Admin", key=other.private),
        "no signature": keys.token("Admin", key="", algorithm="none"),
        "a secret key": keys.token("Admin", key="s" * 64, algorithm="HS256"),
        "the public key as a secret": confused(keys),
        "the environment's own secret": keys.token("Admin", key=context.jwt_secret, algorithm="HS512"),
        "the same as tasks are signed": keys.token("Admin", key=context.jwt_secret, algorithm="HS256"),
        "the secret of its web sessions": keys.token("Admin", key=context.secret_key, algorithm="HS256"),
        "another environment": keys.token("Admin", aud="env:other"),
        "another issuer": keys.token("Admin", iss="someone"),
        "expired": keys.token("Admin", iat=1, nbf=1, exp=60),
        "not yet valid": keys.token("Admin", nbf=4_000_000_000, exp=4_000_000_060),
        "no end": keys.token("Admin", exp=None),
        "no audience": keys.token("Admin", aud=None),
        "no role": keys.token("Admin", role=None),
        "an unknown role": keys.token("Root"),
        "no user": keys.token("Admin", sub=None),
    }


def test_forged_tokens_are_refused(environment):
    answers = {what: environment.rest("GET", "/dags", token=token)[0] for what, token in forgeries(environment).items()}
    assert set(answers.values()) <= {401, 403}, answers


def test_the_web_socket_belongs_to_its_user_alone(environment):
    mode = environment.context.web_socket.stat().st_mode
    assert stat.S_ISSOCK(mode)
    assert stat.S_IMODE(mode) == 0o600


def descendants(environment, name):
    process = psutil.Process(environment.launcher.running[name][0].pid)
    return [process, *process.children(recursive=True)]


def readable(environment, name):
    """The unit's processes whose /proc we may read: as root all, else not those that Airflow 3 makes non-dumpable."""
    processes = descendants(environment, name)
    found = [process for process in processes if os.access(f"/proc/{process.pid}/environ", os.R_OK)]
    still_there = [process for process in processes if process.is_running()]  # some end soon
    assert {*still_there} <= {*found} if os.geteuid() == 0 else found, name
    return found


def secrets_of(context):
    return (context.database.password, context.jwt_secret, context.secret_key, context.fernet_key)


@pytest.mark.usefixtures("chain")
def test_no_process_environment_holds_a_secret(environment):
    for unit in environment.units:
        assert not any(secret in repr(unit["env"]) for secret in secrets_of(environment.context)), unit["name"]
        assert "PYTHONDONTWRITEBYTECODE" not in unit["env"]
        for process in readable(environment, unit["name"]):
            try:
                variables = Path(f"/proc/{process.pid}/environ").read_bytes().decode()
            except ProcessLookupError:  # units start processes that end soon
                continue
            assert not any(secret in variables for secret in secrets_of(environment.context)), unit["name"]
            assert "PYTHONDONTWRITEBYTECODE" not in variables


@pytest.mark.usefixtures("chain")
def test_the_notification_pipe_is_closed_in_all_processes_but_the_units_own(environment):
    for unit in environment.units:
        own, descriptor = environment.launcher.running[unit["name"]]
        reader = os.fstat(descriptor).st_ino
        for process in readable(environment, unit["name"]):
            if process.pid == own.pid:
                continue  # it says there that it lives
            try:
                inodes = {entry.stat().st_ino for entry in Path(f"/proc/{process.pid}/fd").iterdir() if entry.exists()}
            except (FileNotFoundError, ProcessLookupError):
                continue
            assert reader not in inodes


def test_workers_of_line_3_have_no_key_in_their_configuration(environment):
    if environment.version.line != 3:
        pytest.skip("tasks of Airflow 2 use the metadata database themselves")
    text = (environment.context.airflow_home / "worker.cfg").read_text()
    assert not any(secret in text for secret in secrets_of(environment.context))
    assert environment.context.database.name not in text.split()


@pytest.mark.usefixtures("chain")
def test_a_worker_opens_no_connection_to_the_metadata_database(environment):
    if environment.version.line != 3:
        pytest.skip("tasks of Airflow 2 use the metadata database themselves")
    folder = environment.context.database.host
    for process in readable(environment, "worker-1"):
        assert not [connection for connection in process.net_connections("unix") if connection.raddr.startswith(folder)]


def test_execution_is_not_served_on_the_web_socket(environment):
    status, document = environment.call("GET", "/execution/health")
    assert status == 404 or not isinstance(document, dict)


def test_a_task_on_a_killed_worker_is_retried(environment, wait_for, put):
    put(environment, "stubborn", STUBBORN)
    wait_for("the DAG in the list", lambda: listed(environment, "stubborn"))
    path = trigger(environment, "stubborn")

    def running():
        task = environment.rest("GET", f"{path}/taskInstances/work")[1]
        return task.get("hostname") if task.get("state") == "running" else None

    worker = wait_for("the task on a worker", running)
    name = worker.partition(".")[0]
    environment.launcher.kill(name)
    died_at = datetime.now(UTC)
    unit = next(unit for unit in environment.units if unit["name"] == name)
    environment.launcher.start(unit)
    environment.launcher.wait_ready(unit)
    for statement in metadata.age_heartbeats(environment.version, worker, died_at):
        environment.execute(statement)
    assert wait_for("the run's end", lambda: finished(environment, path)) == "success"
    assert environment.rest("GET", f"{path}/taskInstances/work")[1]["try_number"] == 2
