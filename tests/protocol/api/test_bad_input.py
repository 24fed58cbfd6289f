"""Bad input answers with a declared error whose sentence names the field and the fix; nothing half-made remains."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from aerodrome.api import bodies
from aerodrome.errors import BrokenError, CallerError, RetryError
from protocol.api import raw

NETWORK = {"SubnetIds": ["subnet-1", "subnet-2"], "SecurityGroupIds": ["sg-1"]}

# (what is wrong, members that replace or join the least request, words that the sentence must have)
REFUSED: list[tuple[str, dict[str, Any], list[str]]] = [
    ("a name past its limit", {"Name": "n" * 81}, ["'name'", "length less than or equal to 80"]),
    ("a name that begins with a digit", {"Name": "1st"}, ["'1st'", "'name'", "a letter first"]),
    ("a name with a dot", {"Name": "a.b"}, ["'name'", "regular expression pattern"]),
    ("a name with a newline", {"Name": "demo\n"}, [r"'demo\n'", "'name'"]),
    ("no role", {"ExecutionRoleArn": None}, ["null", "'executionRoleArn'", "must not be null"]),
    ("a role that is none", {"ExecutionRoleArn": "demo"}, ["'executionRoleArn'", "pattern"]),
    ("a bucket with a trailing slash", {"SourceBucketArn": "arn:aws:s3:::b/"}, ["'sourceBucketArn'", "trailing '/'"]),
    ("a bucket's folder", {"SourceBucketArn": "arn:aws:s3:::b/dags"}, ["'sourceBucketArn'", "bucket's ARN alone"]),
    ("no DAG folder", {"DagS3Path": ""}, ["DagS3Path is empty"]),
    ("the bucket's root", {"DagS3Path": "/"}, ["DagS3Path is empty"]),
    ("an absolute DAG folder", {"DagS3Path": "/dags"}, ["DagS3Path", "relative"]),
    ("a DAG folder with the bucket", {"DagS3Path": "s3://b/dags"}, ["DagS3Path", "leave out the bucket"]),
    ("a DAG folder that climbs", {"DagS3Path": "dags/../x"}, ["DagS3Path", "'..'"]),
    ("a DAG folder with a gap", {"DagS3Path": "a//b"}, ["DagS3Path", "empty"]),
    ("a DAG folder with NUL", {"DagS3Path": "a\x00b"}, ["DagS3Path", "control character"]),
    ("a DAG folder past its limit", {"DagS3Path": "d" * 1025}, ["'dagS3Path'", "1024"]),
    (
        "three subnets",
        {"NetworkConfiguration": {**NETWORK, "SubnetIds": ["subnet-1", "subnet-2", "subnet-3"]}},
        ["'networkConfiguration.subnetIds'", "length less than or equal to 2", "exactly two subnets"],
    ),
    ("one subnet", {"NetworkConfiguration": {**NETWORK, "SubnetIds": ["subnet-1"]}}, ["exactly two subnets"]),
    (
        "one subnet twice",
        {"NetworkConfiguration": {**NETWORK, "SubnetIds": ["subnet-1", "subnet-1"]}},
        ["NetworkConfiguration.SubnetIds", "two different subnets"],
    ),
    ("no subnets", {"NetworkConfiguration": {"SecurityGroupIds": ["sg-1"]}}, ["SubnetIds is missing"]),
    (
        "a subnet that is none",
        {"NetworkConfiguration": {**NETWORK, "SubnetIds": ["subnet-1", "net"]}},
        ["'net'", "'networkConfiguration.subnetIds.2.member'"],
    ),
    (
        "no security group",
        {"NetworkConfiguration": {"SubnetIds": NETWORK["SubnetIds"]}},
        ["SecurityGroupIds is missing"],
    ),
    (
        "six security groups",
        {"NetworkConfiguration": {**NETWORK, "SecurityGroupIds": [f"sg-{n}" for n in range(6)]}},
        ["'networkConfiguration.securityGroupIds'", "one to five"],
    ),
    ("a subnet that is null", {"NetworkConfiguration": {**NETWORK, "SubnetIds": ["subnet-1", None]}}, ["not be null"]),
    ("an unknown class", {"EnvironmentClass": "mw1.huge"}, ["EnvironmentClass", "mw1.small"]),
    ("more workers at least than at most", {"MinWorkers": 5, "MaxWorkers": 3}, ["MinWorkers (5)", "MaxWorkers (3)"]),
    ("more than 25 workers", {"MaxWorkers": 26}, ["MaxWorkers is 26", "1 to 25"]),
    ("no worker", {"MinWorkers": 0}, ["'minWorkers'", "greater than or equal to 1"]),
    ("a micro environment with two workers", {"EnvironmentClass": "mw1.micro", "MaxWorkers": 2}, ["MaxWorkers is 2"]),
    (
        "a micro environment with two schedulers",
        {"EnvironmentClass": "mw1.micro", "Schedulers": 2},
        ["Schedulers is 2"],
    ),
    ("one scheduler", {"Schedulers": 1}, ["Schedulers is 1", "2 to 5"]),
    ("six schedulers", {"Schedulers": 6}, ["'schedulers'", "less than or equal to 5"]),
    ("one web server", {"MaxWebservers": 1}, ["MaxWebservers is 1", "2 to 5"]),
    ("more web servers at least", {"MinWebservers": 4, "MaxWebservers": 3}, ["MinWebservers (4)"]),
    ("an unknown Airflow", {"AirflowVersion": "9.9.9"}, ["AirflowVersion '9.9.9'", "3.3.1, 2.11.2"]),
    (
        "both access modes on an old line",
        {"AirflowVersion": "2.11.2", "WebserverAccessMode": "PUBLIC_AND_PRIVATE"},
        ["WebserverAccessMode", "Airflow 3.2"],
    ),
    ("an unknown access mode", {"WebserverAccessMode": "OPEN"}, ["'OPEN'", "enum value set: [PRIVATE_ONLY"]),
    ("endpoints of the customer", {"EndpointManagement": "CUSTOMER"}, ["EndpointManagement", "use SERVICE"]),
    ("a key of the customer", {"KmsKey": "alias/mine"}, ["KmsKey", "Leave KmsKey out"]),
    ("requirements by address", {"RequirementsS3Path": "s3://bucket/r.txt"}, ["RequirementsS3Path", "leave out"]),
    (
        "plugins above the bucket",
        {"PluginsS3Path": "../plugins.zip", "PluginsS3ObjectVersion": "1"},
        ["PluginsS3Path", "'..' part"],
    ),
    ("an absolute startup script", {"StartupScriptS3Path": "/startup.sh"}, ["StartupScriptS3Path", "begins with '/'"]),
    (
        "two schedulers of Airflow 1.10",
        {"AirflowVersion": "1.10.15", "Schedulers": 2},
        ["Schedulers is 2", "Airflow 1.10.15 can have only 1"],
    ),
    (
        "a version without its path",
        {"PluginsS3ObjectVersion": "1"},
        ["PluginsS3ObjectVersion was given without PluginsS3Path"],
    ),
    (
        "a forbidden option",
        {"AirflowConfigurationOptions": {"core.multi_team": "True"}},
        ["core.multi_team", "remove it"],
    ),
    ("another one", {"AirflowConfigurationOptions": {"triggerer.queues_enabled": "x"}}, ["triggerer.queues_enabled"]),
    ("an option without a section", {"AirflowConfigurationOptions": {"parallelism": "1"}}, ["section.option"]),
    (
        "an option key in capitals",
        {"AirflowConfigurationOptions": {"Core.x": "1"}},
        ["'airflowConfigurationOptions'", "Map keys", "lower case"],
    ),
    (
        "an option that is a number",
        {"AirflowConfigurationOptions": {"core.x": 1}},
        ["'airflowConfigurationOptions.core.x'", "must be a string"],
    ),
    (
        "a logging level",
        {"LoggingConfiguration": {"TaskLogs": {"Enabled": True, "LogLevel": "LOUD"}}},
        ["'LOUD'", "'loggingConfiguration.taskLogs.logLevel'", "CRITICAL"],
    ),
    ("half a logging module", {"LoggingConfiguration": {"TaskLogs": {"Enabled": True}}}, ["taskLogs.logLevel", "null"]),
    (
        "a switch that is text",
        {"LoggingConfiguration": {"TaskLogs": {"Enabled": "yes", "LogLevel": "INFO"}}},
        ["taskLogs.enabled", "true or false"],
    ),
    ("a maintenance window", {"WeeklyMaintenanceWindowStart": "MON:25:00"}, ["'weeklyMaintenanceWindowStart'"]),
    ("no tags at all", {"Tags": {}}, ["'tags'", "greater than or equal to 1"]),
    ("51 tags", {"Tags": {f"k{n}": "v" for n in range(51)}}, ["'tags'", "less than or equal to 50"]),
    ("a tag of AWS", {"Tags": {"AWS:owner": "me"}}, ["Tags", "'AWS:owner'", "reserved"]),
    ("a tag with a symbol", {"Tags": {"price": "5€"}}, ["'tags.price'", "'5€'"]),
    ("a number that is text", {"MinWorkers": "2"}, ["'minWorkers'", "whole number"]),
    ("a number that is true", {"MinWorkers": True}, ["'minWorkers'", "whole number"]),
    ("a number with a fraction", {"MinWorkers": 1.5}, ["'minWorkers'", "whole number"]),
    ("a number beyond 32 bits", {"MinWorkers": 2**31}, ["'minWorkers'", "32 bits"]),
    ("text that is an object", {"EnvironmentClass": {"a": 1}}, ["'environmentClass'", "must be a string"]),
]


@pytest.mark.parametrize(("members", "words"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_a_bad_member_is_named_and_nothing_is_made(
    careless: Any, behind: Any, creation: dict[str, Any], members: dict[str, Any], words: list[str]
) -> None:
    with pytest.raises(ClientError) as error:
        careless.create_environment(**{**creation, **members})

    answer = error.value.response
    assert answer["Error"]["Code"] == "ValidationException"
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 400
    for word in words:
        assert word in answer["Error"]["Message"]
    assert behind.environments.rows == {}


@pytest.mark.parametrize("value", ["geheim-größe", "top-secret\n", ""])
def test_option_values_are_never_repeated(careless: Any, creation: dict[str, Any], value: str) -> None:
    with pytest.raises(ClientError) as error:
        careless.create_environment(**creation, AirflowConfigurationOptions={"smtp.smtp_password": value})

    text = error.value.response["Error"]["Message"]
    assert "'airflowConfigurationOptions.smtp.smtp_password'" in text
    assert "printable ASCII" in text
    assert "geheim" not in text
    assert "secret" not in text


def test_several_mistakes_are_told_at_once(careless: Any, creation: dict[str, Any]) -> None:
    with pytest.raises(ClientError) as shapes:
        careless.create_environment(**{**creation, "Name": "1", "MinWorkers": 0})
    with pytest.raises(ClientError) as meanings:
        careless.create_environment(**{**creation, "DagS3Path": "/dags", "KmsKey": "alias/mine"})

    assert "2 validation errors detected" in shapes.value.response["Error"]["Message"]
    assert "DagS3Path" in meanings.value.response["Error"]["Message"]
    assert "KmsKey" in meanings.value.response["Error"]["Message"]


def test_the_longest_name_and_the_widest_request_pass(mwaa: Any, behind: Any, creation: dict[str, Any]) -> None:
    name = "n" + "-_9" * 26 + "x"
    assert len(name) == 80
    mwaa.create_environment(
        **{**creation, "Name": name},
        EnvironmentClass="mw1.2xlarge",
        MinWorkers=25,
        MaxWorkers=25,
        Schedulers=5,
        MinWebservers=5,
        MaxWebservers=5,
        WebserverAccessMode="PUBLIC_AND_PRIVATE",
        EndpointManagement="SERVICE",
        WeeklyMaintenanceWindowStart="SUN:23:30",
        PluginsS3Path="",
        AirflowConfigurationOptions={"core.x": "~" * 65536, "my_section.key": " "},
        Tags={"größe/Ⅻ": "a b_.:/=+-@"},
    )

    spec = behind.environments.rows[name].spec
    assert spec.weekly_maintenance_window_start == "SUN:23:30"
    assert spec.plugins_s3_path is None


def test_unknown_fields_are_ignored(port: int, behind: Any, creation: dict[str, Any]) -> None:
    body = json.dumps({**creation, "Colour": {"deep": [1]}, "LoggingConfiguration": {"NoSuchLogs": 5}}).encode()
    answer = raw.ask(port, "PUT", "/environments/demo?unknown=1&unknown=2", body=body)

    assert answer.status == 200
    assert behind.environments.rows["demo"].spec.logging_configuration["TaskLogs"]["Enabled"] is True


def test_null_is_the_same_as_left_out(port: int, creation: dict[str, Any]) -> None:
    answer = raw.ask(port, "PUT", "/environments/demo", body=json.dumps({**creation, "KmsKey": None}).encode())

    assert answer.status == 200


@pytest.mark.parametrize(
    ("body", "word"),
    [
        (b"{", "not JSON"),
        (b'{"a": 1,}', "line 1, column"),
        (b"[]", "must be a JSON object"),
        (b'"text"', "must be a JSON object"),
        (b"null", "must be a JSON object"),
        (b'{"MinWorkers": NaN}', "NaN is not a JSON number"),
        (b'{"MinWorkers": ' + b"9" * 5000 + b"}", "not acceptable JSON"),
        (b'{"DagS3Path": "\\ud800"}', "surrogate"),
        (b'{"DagS3Path": "\xff"}', "UTF-8"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"x":' * 100_000, "nested too deeply"),
        (b'{"NetworkConfiguration": {"SubnetIds": "subnet-1"}}', "must be a list"),
        (b'{"NetworkConfiguration": 1}', "must be an object"),
        (b'{"Tags": []}', "must be an object"),
        (b"", "must not be null"),
        (b" \n", "must not be null"),
        (b'{"a": "' + b"x" * (1024 * 1024) + b'"}', "longer than 1048576 bytes"),
    ],
)
def test_a_body_that_cannot_be_read(port: int, behind: Any, body: bytes, word: str) -> None:
    answer = raw.ask(port, "PUT", "/environments/demo", body=body)

    assert (answer.status, answer.error) == (400, "ValidationException")
    assert word in answer.json["message"]
    assert behind.environments.rows == {}


def test_ten_megabytes_are_answered_properly(careless: Any, creation: dict[str, Any]) -> None:
    with pytest.raises(ClientError, match="longer than 1048576 bytes") as error:
        careless.create_environment(**creation, AirflowConfigurationOptions={"core.x": "x" * 10_000_000})

    assert error.value.response["Error"]["Code"] == "ValidationException"


def test_a_body_that_does_not_come(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "PATIENCE", 0.2)
    headers = f"Host: x\r\nAuthorization: {raw.signature('airflow')}\r\nConnection: close\r\n"
    head = f"PUT /environments/demo HTTP/1.1\r\n{headers}"
    answer = raw.send(port, f"{head}Content-Length: 10\r\n\r\n{{".encode())

    assert answer.startswith(b"HTTP/1.1 400")
    assert b"did not arrive within" in answer


def test_a_query_field_given_twice(port: int) -> None:
    answer = raw.ask(port, "GET", "/environments?MaxResults=1&MaxResults=2")

    assert (answer.status, answer.error) == (400, "ValidationException")
    assert "'MaxResults' was given 2 times" in answer.json["message"]


@pytest.mark.parametrize(
    "query", ["MaxResults=ten", "MaxResults=1e1", "MaxResults=", "MaxResults=%D9%A3", "NextToken=%FF"]
)
def test_a_query_that_cannot_be_read(port: int, query: str) -> None:
    answer = raw.ask(port, "GET", f"/environments?{query}")

    assert (answer.status, answer.error) == (400, "ValidationException")


def test_a_query_of_thousands_of_fields(port: int) -> None:
    answer = raw.ask(port, "GET", "/environments?" + "&".join(f"a{n}=1" for n in range(5000)))

    assert (answer.status, answer.error) == (400, "ValidationException")


@pytest.mark.parametrize("name", ["%ff", "%00", "a%2Fb", "..", "%2e%2e", "a+b", "a%20b", "%F0%9F%98%80"])
def test_a_name_that_is_none_in_the_path(port: int, name: str) -> None:
    answer = raw.ask(port, "GET", f"/environments/{name}")

    assert (answer.status, answer.error) == (400, "ValidationException")
    assert "ame'" in answer.json["message"]


def test_create_cli_token_has_but_one_error_to_say_it_with(port: int) -> None:
    answer = raw.ask(port, "POST", "/clitoken/1st", body=b"")

    assert (answer.status, answer.error) == (404, "ResourceNotFoundException")
    assert "'name'" in answer.json["message"]


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/environments"), ("GET", "/environments/"), ("GET", "/nothing"), ("GET", "/"), ("GET", "/tags/a/b")],
)
def test_no_such_operation(port: int, method: str, path: str) -> None:
    answer = raw.ask(port, method, path)

    assert (answer.status, answer.error) == (404, "UnknownOperationException")


@pytest.mark.parametrize(
    ("problem", "status", "code"),
    [
        (CallerError("Versioning is off for bucket demo-bucket: turn it on."), 400, "ValidationException"),
        (RetryError("S3 does not answer."), 503, "ServiceUnavailableException"),
        (BrokenError("The data folder is full: make room."), 500, "InternalServerException"),
    ],
)
def test_trouble_with_the_bucket_is_told(
    mwaa: Any, behind: Any, creation: dict[str, Any], problem: Exception, status: int, code: str
) -> None:
    behind.preflight.bucket_problem = problem
    with pytest.raises(ClientError) as error:
        mwaa.create_environment(**creation)

    assert error.value.response["Error"] == {"Code": code, "Message": str(problem)}
    assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == status
    assert behind.environments.rows == {}


def test_a_mistake_of_ours_tells_its_kind_only(
    mwaa: Any, behind: Any, creation: dict[str, Any], logged: list[Any]
) -> None:
    behind.preflight.bucket_problem = KeyError("password=hunter2")
    with pytest.raises(ClientError) as error:
        mwaa.create_environment(**creation)

    assert error.value.response["Error"]["Code"] == "InternalServerException"
    assert "hunter2" not in error.value.response["Error"]["Message"]
    logged[:] = [event for event in logged if event["event"] != "unexpected_error"]
