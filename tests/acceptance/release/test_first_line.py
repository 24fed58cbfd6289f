"""Airflow 1.10 in a whole Aerodrome: asked for as 1.10.12, reached by bucket, gateway and command line alone."""

from __future__ import annotations

import json
import re

import pytest

import lines
from gateway_client import Client
from product import BUCKET, wait_for

NAME = "line-1-10"
RUNS = "1.10.15"
WEEK = 7 * 24 * 3600

DAG = """
import json
import os
import tempfile
import time
from datetime import datetime

import airflow
import boto3
from airflow import DAG
from airflow.operators.bash_operator import BashOperator
from airflow.operators.python_operator import PythonOperator


def report():
    from airflow.executors.celery_executor import app

    assert tempfile.gettempdir() == os.environ["TMPDIR"]
    leaked = [name for name in os.environ if "SECRET" in name or "ACCESS_KEY" in name or "SESSION_TOKEN" in name]
    found = {
        "versions": [airflow.__version__, os.environ["AIRFLOW_VERSION"]],
        "visibility": int(app.conf.broker_transport_options["visibility_timeout"]),
        "who": boto3.client("sts").get_caller_identity()["Arn"],
        "leaked": leaked,
    }
    boto3.client("s3").put_object(Bucket="BUCKET", Key="out/line-1-10", Body=json.dumps(found).encode())


def make_table():
    execute("CREATE TABLE IF NOT EXISTS movie_demo (title	character varying, rating	int);")


def fill_table():
    csv = b'"title","rating"\\n"Toy Story (1995)","5"\\n'
    boto3.client("s3").put_object(Bucket="BUCKET", Key="out/movies_clean.csv", Body=csv)
    role = "arn:aws:iam::163919838948:role/myRedshiftRole"
    execute("copy movie_demo from 's3://BUCKET/out/movies_clean.csv' iam_role '" + role + "' CSV IGNOREHEADER 1;")


def execute(sql):
    redshift = boto3.client("redshift-data")
    where = dict(ClusterIdentifier="redshift-cluster-2", Database="dev", DbUser="awsuser")
    asked = redshift.execute_statement(Sql=sql, **where)
    while redshift.describe_statement(Id=asked["Id"])["Status"] in ("SUBMITTED", "PICKED", "STARTED"):
        time.sleep(0.2)
    state = redshift.describe_statement(Id=asked["Id"])
    assert state["Status"] == "FINISHED", state["Error"]


with DAG("probe_1", start_date=datetime(2026, 1, 1), schedule_interval="@once", is_paused_upon_creation=False) as dag:
    (
        PythonOperator(task_id="first", python_callable=report)
        >> PythonOperator(task_id="make_table", python_callable=make_table)
        >> PythonOperator(task_id="fill_table", python_callable=fill_table)
        >> BashOperator(task_id="last", bash_command="true")
    )
""".replace("BUCKET", BUCKET)


@pytest.fixture(scope="module", params=lines.FIRST)
def client(product):
    product.put_dag("probe_1", DAG)
    product.create(NAME, "1.10.12", AirflowConfigurationOptions={"core.paralelism": "7", "core.dag_concurrency": "9"})
    product.wait_until(NAME, "AVAILABLE")
    yield Client(product, NAME)
    product.delete(NAME)
    product.s3.delete_object(Bucket=BUCKET, Key="dags/probe_1.py")


@pytest.fixture(scope="module")
def reported(product, client):
    """What the DAG's task found, once its scheduled run has ended."""
    wait_for("the run's end", lambda: "success" in client.command("list_dag_runs probe_1")[1])
    return json.loads(product.s3.get_object(Bucket=BUCKET, Key=f"out/{NAME}")["Body"].read())


def test_a_scheduled_dag_runs_on_what_answers_to_1_10_12(reported):
    assert reported["versions"] == [RUNS, RUNS]
    assert reported["visibility"] == WEEK


def test_its_tasks_are_the_execution_role_and_hold_no_key(reported):
    assert "assumed-role/execution/AmazonMWAA-airflow" in reported["who"]
    assert reported["leaked"] == []


@pytest.mark.usefixtures("reported")
def test_what_its_tasks_load_into_redshift_is_read_through_the_front_endpoint(product):
    redshift = product.session.client("redshift-data", endpoint_url=product.exports["AWS_ENDPOINT_URL"])
    where = {"ClusterIdentifier": "redshift-cluster-2", "Database": "dev"}
    asked = redshift.execute_statement(**where, Sql="select distinct title, rating from movie_demo")
    wait_for("the answer", lambda: redshift.describe_statement(Id=asked["Id"])["Status"] == "FINISHED")
    records = redshift.get_statement_result(Id=asked["Id"])["Records"]
    assert records == [[{"stringValue": "Toy Story (1995)"}, {"longValue": 5}]]


def test_the_api_says_what_was_asked_for_and_the_events_what_runs(product, client):
    found = product.get(NAME)
    assert (found["AirflowVersion"], found["Schedulers"]) == ("1.10.12", 1)
    assert found["WebserverUrl"] == client.address
    told = product.run("events", NAME, "--limit", "1000").stdout
    assert "CREATE_WARNED" in told
    for words in (f"1.10.12 is answered by {RUNS}", "does not know the option core.paralelism", "core.parallelism?"):
        assert words in " ".join(told.split())
    assert "dag_concurrency" not in told


@pytest.mark.usefixtures("reported")
def test_its_pages_answer_whoever_has_a_session(client):
    assert client.ask("GET", "/home")[0] == 401
    cookie = client.log_in()
    assert cookie.startswith("session=")
    status, _, text = client.ask("GET", "/home", Cookie=cookie)
    assert status == 200
    assert "probe_1" in text
    for path, to in (("/", "/home"), ("/logout/", "/aws_mwaa/logout"), ("/login/", "/")):
        status, headers, _ = client.ask("GET", path, Cookie=cookie)
        assert (status, headers["location"]) == (302, to)


@pytest.mark.usefixtures("reported")
def test_a_button_of_its_pages_works(client):
    cookie = client.log_in()
    _, headers, text = client.ask("GET", "/home", Cookie=cookie)
    own = headers["set-cookie"].partition(";")[0]
    [token] = re.findall(r"csrfToken = '([^']+)'", text)
    path = "/paused?is_paused=true&dag_id=probe_1"  # what it is, which the button then changes: it goes on
    both = f"{cookie}; {own}"
    origin = f"https://{client.address}"
    assert client.ask("POST", path, Cookie=both, Origin=origin)[0] == 400  # without the page's own token
    assert client.ask("POST", path, Cookie=both, Origin=origin, X_CSRFToken=token, Referer=origin + "/home")[0] == 200
    assert client.ask("POST", path, Cookie=both, Origin="https://elsewhere.example", X_CSRFToken=token)[0] == 403


@pytest.mark.usefixtures("reported")
def test_its_command_line_is_that_of_1_10(client):
    status, stdout, stderr, _ = client.command("list_dags")
    assert (status, "probe_1" in stdout.split()) == (200, True), stderr
    assert client.command("version")[1].strip() == RUNS
    assert client.command("trigger_dag probe_1 -r by-hand")[0] == 200
    wait_for("the second run's end", lambda: client.command("list_dag_runs probe_1")[1].split().count("success") == 2)
    status, _, _, document = client.command("dags list")
    assert status == 400
    assert "list_dags" in document["message"]


def test_it_has_no_rest_api_and_says_so(product, client):
    assert client.address
    with pytest.raises(
        product.mwaa.exceptions.ValidationException, match="has no REST API that InvokeRestApi could call"
    ):
        product.mwaa.invoke_rest_api(Name=NAME, Method="GET", Path="/dags")
