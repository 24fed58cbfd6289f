"""MWAA's own API from DAG code, as users write it: on its own environment and on another, without any help."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

import lines
from product import BUCKET, EXECUTION_ROLE, LIMIT, Shared, wait_for

pytestmark = pytest.mark.timeout(4 * LIMIT)

CALLING = '''
import base64, json, os, subprocess
from datetime import datetime

import boto3
import requests
from airflow import DAG
from airflow.providers.amazon.aws.hooks.mwaa import MwaaHook
from airflow.providers.amazon.aws.operators.mwaa import MwaaTriggerDagRunOperator
try:
    from airflow.providers.standard.operators.python import PythonOperator
except ImportError:
    from airflow.operators.python import PythonOperator

OWN = os.environ["AIRFLOW_ENV_NAME"]
LINES = @LINES@


def client():
    """The API itself, from SigV4 to Airflow's own answer."""
    mwaa = boto3.client("mwaa")
    for name in LINES:
        assert mwaa.get_environment(Name=name)["Environment"]["Name"] == name
        answer = mwaa.invoke_rest_api(Name=name, Path="/pools", Method="GET")
        assert answer["RestApiStatusCode"] == 200, answer
    return sorted(mwaa.list_environments()["Environments"])


def command_line():
    """A token of CreateCliToken, used as MWAA's guide does."""
    said = {}
    for name in LINES:
        token = boto3.client("mwaa").create_cli_token(Name=name)
        answer = requests.post(
            "https://" + token["WebServerHostname"] + "/aws_mwaa/cli",
            headers={"Authorization": "Bearer " + token["CliToken"], "Content-Type": "text/plain"},
            data="version", timeout=60,
        )
        answer.raise_for_status()
        said[name] = base64.b64decode(answer.json()["stdout"]).decode().strip()
        subprocess.run(["curl", "-sS", "https://" + token["WebServerHostname"]], capture_output=True, check=True)
    return json.dumps(said)


def hook():
    """The Amazon provider's, by InvokeRestApi, and by a web session as where that is forbidden."""
    hook = MwaaHook(aws_conn_id="aws_default")
    for name in LINES:
        for more in ({}, {"generate_local_token": True}):
            answer = hook.invoke_rest_api(
                env_name=name, path="/pools", method="GET", airflow_version=LINES[name], **more
            )
            assert "default_pool" in [pool["name"] for pool in answer["RestApiResponse"]["pools"]], answer


def programs():
    """The AWS CLI, with the role's credentials."""
    def aws(*words):
        done = subprocess.run(["aws", *words], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "calling.py" in aws("s3", "ls", "s3://@BUCKET@/dags/")
    return json.loads(aws("sts", "get-caller-identity"))["Arn"]


with DAG("calling", start_date=datetime(2024, 1, 1), schedule=None):
    for function in (client, command_line, hook, programs):
        PythonOperator(task_id=function.__name__, python_callable=function)
    for name in LINES:
        for day, deferrable in enumerate((False, True), start=9 * LINES[OWN]):
            MwaaTriggerDagRunOperator(
                task_id="trigger_%s_%d" % (name, day), env_name=name, trigger_dag_id="called",
                trigger_run_id="by-%s-%d" % (OWN, day), logical_date="2026-01-%dT00:00:00Z" % day,
                airflow_version=LINES[name], wait_for_completion=True, waiter_delay=2, deferrable=deferrable,
            )

with DAG("falling_back", start_date=datetime(2024, 1, 1), schedule=None):
    PythonOperator(task_id="hook", python_callable=hook)

with DAG("called", start_date=datetime(2024, 1, 1), schedule=None, is_paused_upon_creation=False):
    PythonOperator(task_id="nothing", python_callable=lambda: None)
'''.replace("@BUCKET@", BUCKET)

ROLE = EXECUTION_ROLE.rpartition("/")[2]
ALLOWED = {"Effect": "Allow", "Action": ["airflow:*", "s3:List*", "s3:Get*"], "Resource": "*"}
DENIED = {"Effect": "Deny", "Action": "airflow:InvokeRestApi", "Resource": "*"}


def of_the(first: int) -> list[object]:
    """Whose DAG calls both lines: one of them in each test, so that each line's does; `make lines` tries the other."""
    other = pytest.mark.skipif(not lines.ALL, reason="make lines runs it; make test runs another test there")
    return [pytest.param(own, id=line, marks=() if own == first else other) for own, line in enumerate(lines.MAIN)]


def policy(*statements: dict[str, object]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


@pytest.fixture(scope="module")
def both(product, shared_environments) -> Iterator[list[Shared]]:
    """An environment of each line, with the DAGs and with what the role needs for them."""
    found = [shared_environments.of(version) for version in lines.MAIN]
    product.iam.put_role_policy(RoleName=ROLE, PolicyName="hook", PolicyDocument=policy(ALLOWED))
    product.put_dag("calling", CALLING.replace("@LINES@", repr({each.name: int(each.version[0]) for each in found})))
    yield found
    product.remove_dags("calling")
    product.iam.delete_role_policy(RoleName=ROLE, PolicyName="hook")


def value(product, name: str, run: str, task: str) -> str:
    path = f"/dags/calling/dagRuns/{run}/taskInstances/{task}/xcomEntries/return_value"
    return str(product.rest(name, "GET", path)["value"])


def logs(product, name: str) -> str:
    """What the tasks have logged; the failed ones come last."""
    folder = product.seen_by_units(name, product.data / "environments" / name / "logs")
    texts = [path.read_text() for path in folder.rglob("dag_id=*/**/*.log")]
    return "\n".join(sorted(texts, key=lambda text: "Task failed" in text))[-8000:]


@pytest.mark.parametrize("own", of_the(0))
def test_dags_call_their_own_environment_and_another(product, both, own):
    name = both[own].name
    for each in both:
        wait_for("it has the DAG that is called", lambda each=each: product.listed(each.name, "called"))
    run = product.trigger(name, "calling")
    assert product.finished(name, "calling", run) == "success", logs(product, name)
    said = value(product, name, run, "command_line")
    for each in both:
        assert each.name in value(product, name, run, "client")
        assert each.version in said
    assert f"assumed-role/{ROLE}/" in value(product, name, run, "programs")
    assert "Found endpoint for" not in logs(product, name)


@pytest.mark.parametrize("own", of_the(1))
def test_the_hook_falls_back_to_a_web_session_where_iam_forbids_invoke_rest_api(product, both, own):
    name = both[own].name
    product.iam.put_role_policy(RoleName=ROLE, PolicyName="hook", PolicyDocument=policy(ALLOWED, DENIED))
    try:
        run = product.trigger(name, "falling_back")
        assert product.finished(name, "falling_back", run) == "success", logs(product, name)
    finally:
        product.iam.put_role_policy(RoleName=ROLE, PolicyName="hook", PolicyDocument=policy(ALLOWED))
