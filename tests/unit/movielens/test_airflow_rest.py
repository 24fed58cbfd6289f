"""The differences between Airflow 2 and 3, and the limits of InvokeRestApi."""

from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from examples.movielens import airflow_rest, failure


class Mwaa:
    """Answers InvokeRestApi from a script: (method, path) → answers in turn; an int is a status that refuses."""

    def __init__(self, script: dict[tuple[str, str], list[Any]]) -> None:
        self.script = script
        self.asked: list[dict[str, Any]] = []

    def invoke_rest_api(self, **arguments: Any) -> dict[str, Any]:
        self.asked.append(arguments)
        answers = self.script[arguments["Method"], arguments["Path"]]
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, int):
            code = "RestApiServerException" if answer >= 500 else "RestApiClientException"
            response = {
                "Error": {"Code": code, "Message": ""},
                "RestApiStatusCode": answer,
                "RestApiResponse": {"detail": "no"},
            }
            raise ClientError(response, "InvokeRestApi")
        return {"RestApiStatusCode": 200, "RestApiResponse": answer}


@pytest.fixture
def airflow(monkeypatch: pytest.MonkeyPatch):
    def make(script: dict[tuple[str, str], list[Any]], major: int = 3) -> tuple[airflow_rest.Airflow, Mwaa]:
        mwaa = Mwaa(script)
        monkeypatch.setattr(boto3, "client", lambda _service: mwaa)
        return airflow_rest.Airflow("env", major), mwaa

    return make


def test_only_airflow_3_is_sent_a_logical_date():
    assert airflow_rest.run_body("r1", {"a": "b"}, 3) == {"dag_run_id": "r1", "conf": {"a": "b"}, "logical_date": None}
    assert airflow_rest.run_body("r1", {"a": "b"}, 2) == {"dag_run_id": "r1", "conf": {"a": "b"}}


@pytest.mark.parametrize("value", [[{"title": "x"}], '[{"title": "x"}]'])
def test_an_xcom_reads_the_same_whether_or_not_it_comes_as_json_text(value: object):
    assert airflow_rest.plain(value) == [{"title": "x"}]


def test_an_existing_connection_is_renewed(airflow):
    script = {("POST", "/connections"): [409], ("PATCH", "/connections/w"): [{}]}
    line, mwaa = airflow(script)
    line.connect("w", {"host": "/run/pg", "port": 5432, "database": "d", "user": "u", "password": "p"})
    assert [asked["Method"] for asked in mwaa.asked] == ["POST", "PATCH"]
    assert mwaa.asked[1]["Body"] == {
        "connection_id": "w",
        "conn_type": "postgres",
        "host": "/run/pg",
        "port": 5432,
        "schema": "d",
        "login": "u",
        "password": "p",
    }


def test_a_run_takes_the_next_free_short_id(airflow):
    line, mwaa = airflow(
        {
            ("PATCH", "/dags/movielens"): [{}],
            ("GET", "/dags/movielens/dagRuns"): [{"total_entries": 4}],
            ("POST", "/dags/movielens/dagRuns"): [409, {}],
        }
    )
    assert line.trigger({}) == "r6"
    assert [asked["Body"]["dag_run_id"] for asked in mwaa.asked if asked["Method"] == "POST"] == ["r5", "r6"]


def test_the_longest_path_in_use_fits_the_limit_for_thousands_of_runs(airflow):
    path = "/dags/movielens/dagRuns/r9999/taskInstances/load/xcomEntries/top"
    line, _mwaa = airflow({("GET", path): [{"value": []}]})
    assert len(path) <= airflow_rest.PATH_LIMIT
    assert line.xcom("r9999", "load", "top") == []


def test_a_dag_that_cannot_be_imported_is_told_at_once(airflow):
    error = {"filename": "dags/movielens.py", "stack_trace": "Traceback\n  …\nNameError: name 'x' is not defined\n"}
    line, _mwaa = airflow({("GET", "/dags/movielens"): [404], ("GET", "/importErrors"): [{"import_errors": [error]}]})
    with pytest.raises(failure.QuickstartError, match="NameError: name 'x' is not defined"):
        line.wait_for_dag()


def test_a_refusal_is_a_sentence(airflow):
    line, _mwaa = airflow({("GET", "/dags/movielens/dagRuns/r1"): [403]})
    with pytest.raises(failure.QuickstartError, match="refused GET /dags/movielens/dagRuns/r1 with status 403: no"):
        line.run_state("r1")
