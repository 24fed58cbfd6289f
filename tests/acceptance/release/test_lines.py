"""Each line in a whole Aerodrome: an environment of it is made and runs a DAG, through Celery and the REST API."""

import json

import pytest

DAG = """
import json
import os
from datetime import datetime

import airflow

try:
    from airflow.sdk import dag, task
except ImportError:
    from airflow.decorators import dag, task


@dag(dag_id="probe", start_date=datetime(2026, 1, 1), schedule=None, catchup=False)
def probe():
    @task
    def first():
        from airflow.providers.celery.executors.celery_executor import app

        transport = app.conf.broker_transport_options
        return json.dumps([airflow.__version__, os.environ["AIRFLOW_VERSION"], int(transport["visibility_timeout"])])

    @task.bash
    def second(given):
        return "true"

    second(first())


probe()
"""

WEEK = 7 * 24 * 3600


@pytest.fixture
def environment(shared_environment):
    return shared_environment.name


def test_a_dag_runs_on_the_version_asked_for_and_its_broker_keeps_tasks_for_a_week(product, environment):
    product.put_dag("probe", DAG)
    run = product.trigger(environment, "probe")
    assert product.finished(environment, "probe", run) == "success"
    path = f"/dags/probe/dagRuns/{run}/taskInstances/first/xcomEntries/return_value"
    version = product.get(environment)["AirflowVersion"]
    assert json.loads(product.rest(environment, "GET", path)["value"]) == [version, version, WEEK]
    product.remove_dags("probe")
