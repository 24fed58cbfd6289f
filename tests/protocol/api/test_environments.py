"""Life of an environment through unmodified boto3."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from aerodrome.errors import CallerError
from aerodrome.model.environment import Failure
from aerodrome.model.lifecycle import Status
from aerodrome.operations.preflight import Preflight
from aerodrome.settings import Settings

ARN = "arn:aws:airflow:us-east-1:000000000000:environment/demo"


def code(error: pytest.ExceptionInfo[ClientError]) -> str:
    return str(error.value.response["Error"]["Code"])


def message(error: pytest.ExceptionInfo[ClientError]) -> str:
    return str(error.value.response["Error"]["Message"])


def test_create_answers_with_the_arn_and_writes_the_request(mwaa: Any, behind: Any, creation: dict[str, Any]) -> None:
    answer = mwaa.create_environment(**creation, Tags={"team": "data"})

    row = behind.environments.rows["demo"]
    assert answer["Arn"] == ARN
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 200
    assert len(answer["ResponseMetadata"]["RequestId"]) == 36
    assert (row.status, row.tags, row.sealed_secrets) == (Status.CREATING, {"team": "data"}, b"sealed")
    assert [spec.source_bucket_arn for spec in behind.preflight.buckets_checked] == [creation["SourceBucketArn"]]


def test_get_fills_in_what_mwaa_documents(mwaa: Any, behind: Any, creation: dict[str, Any]) -> None:
    mwaa.create_environment(**creation)
    behind.change("demo", created_at=datetime(2026, 11, 23, 12, 0, 0, 250000, tzinfo=UTC))
    found = mwaa.get_environment(Name="demo")["Environment"]

    assert found["AirflowVersion"] == "3.3.1"
    assert found["EnvironmentClass"] == "mw1.small"
    assert (found["MinWorkers"], found["MaxWorkers"], found["Schedulers"]) == (1, 10, 2)
    assert (found["MinWebservers"], found["MaxWebservers"]) == (2, 2)
    assert found["DagS3Path"] == "dags/"
    assert found["WebserverUrl"] == "00000001.us-east-1.airflow.localhost"
    assert found["WebserverAccessMode"] == "PRIVATE_ONLY"
    assert found["AirflowConfigurationOptions"] == {}
    assert found["Tags"] == {}
    assert found["ServiceRoleArn"].endswith("AWSServiceRoleForAmazonMWAA")
    assert found["LastUpdate"]["Status"] == "PENDING"
    assert found["CreatedAt"].timestamp() == 1795435200.25
    assert "CeleryExecutorQueue" not in found
    assert "KmsKey" not in found


def test_get_answers_with_the_version_that_was_asked_for(mwaa: Any, creation: dict[str, Any]) -> None:
    """Terraform would see a change for ever in any other."""
    mwaa.create_environment(**creation, AirflowVersion="1.10.12")
    found = mwaa.get_environment(Name="demo")["Environment"]

    assert (found["AirflowVersion"], found["Schedulers"]) == ("1.10.12", 1)


def test_what_will_surprise_is_told_among_the_events(mwaa: Any, behind: Any, creation: dict[str, Any]) -> None:
    behind.preflight.surprises = ["One is not heeded.", "Another has a new name."]
    mwaa.create_environment(**creation, AirflowConfigurationOptions={"core.xyz": "1"})

    told = [(event["kind"], event["sentence"]) for event in behind.environments.events("demo")]
    assert told[1:] == [("CREATE_WARNED", sentence) for sentence in behind.preflight.surprises]
    assert mwaa.get_environment(Name="demo")["Environment"]["AirflowConfigurationOptions"] == {"core.xyz": "1"}


def test_a_version_that_cannot_run_here_is_refused_and_nothing_is_made(
    mwaa: Any, behind: Any, creation: dict[str, Any]
) -> None:
    behind.preflight.version_problem = CallerError(
        "Airflow 1.10.15 needs Python 3.7, and none was found on this machine."
    )
    with pytest.raises(ClientError, match=r"needs Python 3\.7") as error:
        mwaa.create_environment(**creation, AirflowVersion="1.10.15")

    assert code(error) == "ValidationException"
    assert behind.environments.rows == {}
    assert behind.preflight.buckets_checked == []


def test_a_version_without_a_python_is_refused_and_says_how_to_get_one(
    mwaa: Any, behind: Any, deps: Any, creation: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("PATH", "HOME", "XDG_DATA_HOME", "UV_PYTHON_INSTALL_DIR", "PYENV_ROOT"):
        monkeypatch.setenv(name, str(tmp_path / "empty"))
    monkeypatch.setenv("UV_OFFLINE", "1")
    real = Preflight(settings=Settings(data=tmp_path), authorizer=deps.operations.authorizer, s3=dict)
    monkeypatch.setattr(behind.preflight, "check_version", real.check_version)
    with pytest.raises(mwaa.exceptions.ValidationException) as refusal:
        mwaa.create_environment(**creation, AirflowVersion="1.10.12")

    assert "Airflow 1.10.12 needs Python 3.7, and none was found on this machine." in str(refusal.value)
    assert "uv python install 3.7" in str(refusal.value)
    assert mwaa.list_environments()["Environments"] == []


def test_an_update_tells_and_refuses_the_same(mwaa: Any, behind: Any, creation: dict[str, Any]) -> None:
    mwaa.create_environment(**creation, AirflowVersion="2.11.2")
    behind.change("demo", status=Status.AVAILABLE)
    behind.preflight.version_problem = CallerError(
        "Airflow 3.3.1 needs Python 3.12, and none was found on this machine."
    )
    with pytest.raises(ClientError, match=r"needs Python 3\.12"):
        mwaa.update_environment(Name="demo", AirflowVersion="3.3.1")
    behind.preflight.surprises = ["One is not heeded."]
    mwaa.update_environment(Name="demo", AirflowConfigurationOptions={"core.xyz": "1"})

    told = [(event["kind"], event["sentence"]) for event in behind.environments.events("demo")]
    assert told[-1] == ("UPDATE_WARNED", "One is not heeded.")


def test_only_enabled_modules_have_a_log_group(mwaa: Any, creation: dict[str, Any]) -> None:
    logging = {"SchedulerLogs": {"Enabled": True, "LogLevel": "DEBUG"}}
    mwaa.create_environment(**creation, LoggingConfiguration=logging)
    found = mwaa.get_environment(Name="demo")["Environment"]["LoggingConfiguration"]

    group = "arn:aws:logs:us-east-1:000000000000:log-group:airflow-demo-Scheduler:*"
    assert found["SchedulerLogs"] == {"Enabled": True, "LogLevel": "DEBUG", "CloudWatchLogGroupArn": group}
    assert found["TaskLogs"]["CloudWatchLogGroupArn"].endswith("airflow-demo-Task:*")
    assert found["WorkerLogs"] == {"Enabled": False, "LogLevel": "INFO"}


def test_a_failed_creation_tells_code_sentence_and_last_lines(mwaa: Any, behind: Any, creation: dict[str, Any]) -> None:
    mwaa.create_environment(**creation)
    failure = Failure(code="DATABASE_UNREACHABLE", message="No database.\nLook there.", tail=("x" * 2000, "one", "two"))
    last = replace(behind.environments.rows["demo"].last_update, status="FAILED", failure=failure)
    behind.change("demo", status=Status.CREATE_FAILED, last_update=last)

    error = mwaa.get_environment(Name="demo")["Environment"]["LastUpdate"]["Error"]

    assert error == {"ErrorCode": "DATABASE_UNREACHABLE", "ErrorMessage": "No database. Look there. | one | two"}


def test_list_pages_through_names_in_order(mwaa: Any, creation: dict[str, Any]) -> None:
    for name in ("b", "a", "C"):
        mwaa.create_environment(**{**creation, "Name": name})

    pages = list(mwaa.get_paginator("list_environments").paginate(PaginationConfig={"PageSize": 2}))

    assert [page["Environments"] for page in pages] == [["C", "a"], ["b"]]
    assert mwaa.list_environments()["Environments"] == ["C", "a", "b"]
    assert "NextToken" not in mwaa.list_environments(MaxResults=3)


@pytest.mark.parametrize("token", ["nonsense", "MTo=", "MTo4", "é", "Mjpi", "x" * 2048])
def test_a_made_up_token_is_refused(mwaa: Any, token: str) -> None:
    with pytest.raises(ClientError) as error:
        mwaa.list_environments(NextToken=token)

    assert code(error) == "ValidationException"
    assert "NextToken" in message(error)


@pytest.mark.parametrize("count", [0, 26, 10**30])
def test_max_results_is_bounded(careless: Any, count: int) -> None:
    with pytest.raises(ClientError) as error:
        careless.list_environments(MaxResults=count)

    assert code(error) == "ValidationException"
    assert "maxResults" in message(error)


def test_delete_is_accepted_twice_and_then_not_found(mwaa: Any, behind: Any, creation: dict[str, Any]) -> None:
    mwaa.create_environment(**creation)
    mwaa.delete_environment(Name="demo")
    mwaa.delete_environment(Name="demo")
    assert mwaa.get_environment(Name="demo")["Environment"]["Status"] == "DELETING"
    behind.environments.rows.pop("demo")

    for operation in (mwaa.delete_environment, mwaa.get_environment, mwaa.create_cli_token):
        with pytest.raises(ClientError) as error:
            operation(Name="demo")
        assert code(error) == "ResourceNotFoundException"
        assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 404


def test_a_name_is_taken_once_and_the_quota_holds(mwaa: Any, creation: dict[str, Any]) -> None:
    mwaa.create_environment(**creation)
    with pytest.raises(ClientError, match="already exists") as taken:
        mwaa.create_environment(**creation)
    for name in ("second", "third"):
        mwaa.create_environment(**{**creation, "Name": name})
    with pytest.raises(ClientError, match="quota of 3") as full:
        mwaa.create_environment(**{**creation, "Name": "fourth"})

    assert {code(taken), code(full)} == {"ValidationException"}


def test_tags_merge_and_go(mwaa: Any, behind: Any, creation: dict[str, Any]) -> None:
    mwaa.create_environment(**creation, Tags={"a": "1", "b": "2"})
    mwaa.tag_resource(ResourceArn=ARN, Tags={"b": "3", "größe +@/": "ja: ="})
    mwaa.untag_resource(ResourceArn=ARN, tagKeys=["a", "missing", "größe +@/"])

    assert mwaa.list_tags_for_resource(ResourceArn=ARN)["Tags"] == {"b": "3"}
    told = [event["sentence"] for event in behind.environments.events("demo")]
    assert told == ["Creation was asked for.", "Tags were added.", "Tags were removed."]


def test_fifty_tags_are_the_most_after_the_merge(mwaa: Any, creation: dict[str, Any]) -> None:
    mwaa.create_environment(**creation, Tags={f"k{n}": "v" for n in range(50)})
    mwaa.tag_resource(ResourceArn=ARN, Tags={"k7": "other"})
    with pytest.raises(ClientError, match="51 tags and 50 are allowed") as error:
        mwaa.tag_resource(ResourceArn=ARN, Tags={"more": "v"})

    assert code(error) == "ValidationException"


@pytest.mark.parametrize(
    "arn",
    [
        "arn:aws:airflow:us-east-1:000000000000:environment/other",
        "arn:aws:airflow:eu-west-1:000000000000:environment/demo",
        "arn:aws:airflow:us-east-1:999999999999:environment/demo",
    ],
)
def test_an_arn_of_elsewhere_is_not_found(mwaa: Any, creation: dict[str, Any], arn: str) -> None:
    mwaa.create_environment(**creation)
    with pytest.raises(ClientError) as error:
        mwaa.list_tags_for_resource(ResourceArn=arn)

    assert code(error) == "ResourceNotFoundException"


def test_host_prefixes_make_no_difference(
    port: int, client_of: Callable[..., Any], creation: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = socket.getaddrinfo

    def resolved(host: str, *rest: Any, **more: Any) -> Any:
        return real("127.0.0.1" if str(host).endswith(".localhost") else host, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", resolved)
    client = client_of("mwaa", f"http://localhost:{port}")
    client.create_environment(**creation)

    assert client.list_environments()["Environments"] == ["demo"]
    with pytest.raises(ClientError, match="InvokeRestApi needs one that is AVAILABLE"):
        client.invoke_rest_api(Name="demo", Path="/dags", Method="GET")
    with pytest.raises(ClientError, match="internal to MWAA"):
        client.publish_metrics(EnvironmentName="demo", MetricData=[{"MetricName": "x", "Timestamp": 1795435200}])
