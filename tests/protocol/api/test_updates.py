"""UpdateEnvironment through unmodified boto3: which ones become a change, and which are refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from aerodrome import clock
from aerodrome.errors import CallerError
from aerodrome.model import updates
from aerodrome.model.change import ChangeKind, Strategy
from aerodrome.model.lifecycle import Event, Status
from protocol.api import raw

ARN = "arn:aws:airflow:us-east-1:000000000000:environment/demo"
BEFORE = {
    "AirflowVersion": "2.11.2",
    "AirflowConfigurationOptions": {"core.parallelism": "9"},
    "PluginsS3Path": "plugins.zip",
    "PluginsS3ObjectVersion": "p1",
    "RequirementsS3Path": "requirements.txt",
    "RequirementsS3ObjectVersion": "r1",
    "StartupScriptS3Path": "startup.sh",
    "StartupScriptS3ObjectVersion": "s1",
}

ACCEPTED: dict[str, Any] = {
    "AirflowConfigurationOptions": {"webserver.default_ui_timezone": "CET"},
    "AirflowVersion": "3.3.1",
    "DagS3Path": "elsewhere",
    "EnvironmentClass": "mw1.large",
    "ExecutionRoleArn": "arn:aws:iam::000000000000:role/other",
    "MaxWebservers": 4,
    "MaxWorkers": 7,
    "MinWebservers": 2,
    "MinWorkers": 2,
    "PluginsS3ObjectVersion": "p2",
    "PluginsS3Path": "other.zip",
    "RequirementsS3ObjectVersion": "r2",
    "RequirementsS3Path": "other.txt",
    "Schedulers": 3,
    "SourceBucketArn": "arn:aws:s3:::other",
    "StartupScriptS3ObjectVersion": "s2",
    "StartupScriptS3Path": "other.sh",
    "WebserverAccessMode": "PUBLIC_ONLY",
    "WeeklyMaintenanceWindowStart": "SUN:23:30",
}
"""Members whose value becomes the environment's own."""

ELSEWHERE = {"Name", "LoggingConfiguration", "NetworkConfiguration", "WorkerReplacementStrategy"}
"""Members that have a test to themselves."""


@pytest.fixture
def demo(mwaa: Any, behind: Any, creation: dict[str, Any]) -> Any:
    """A client; the environment `demo` is available."""
    mwaa.create_environment(**creation, **BEFORE)
    behind.environments.request("demo", Event.CREATED, clock.now())
    return mwaa


@pytest.fixture
def wanted(behind: Any) -> Callable[[], dict[str, Any]]:
    """What `demo` is being changed into."""

    def document() -> dict[str, Any]:
        found: dict[str, Any] = behind.environments.rows["demo"].change.spec.document()
        return found

    return document


def refused(demo: Any, **members: Any) -> str:
    """The sentence of the refusal."""
    with pytest.raises(ClientError) as error:
        demo.update_environment(Name="demo", **members)
    assert error.value.response["Error"]["Code"] == "ValidationException"
    return str(error.value.response["Error"]["Message"])


def assert_untouched(behind: Any) -> None:
    row = behind.environments.rows["demo"]
    assert (row.status, row.change, row.last_update.status) == (Status.AVAILABLE, None, "SUCCESS")
    assert len(behind.environments.revisions("demo")) == 1


def test_every_member_is_tried(demo: Any) -> None:
    assert {*ACCEPTED, *ELSEWHERE} == {
        *demo.meta.service_model.operation_model("UpdateEnvironment").input_shape.members
    }


@pytest.mark.parametrize("member", ACCEPTED)
def test_a_member_becomes_the_environments_when_the_update_is_done(demo: Any, behind: Any, member: str) -> None:
    def described() -> dict[str, Any]:
        answer = demo.get_environment(Name="demo")["Environment"]
        return {name: value for name, value in answer.items() if name in {*ACCEPTED, *ELSEWHERE}}

    before = described()
    assert demo.update_environment(Name="demo", **{member: ACCEPTED[member]})["Arn"] == ARN
    assert behind.environments.rows["demo"].status is Status.UPDATING
    assert described() == before
    behind.environments.request("demo", Event.UPDATED, clock.now())
    # Another file has versions of its own.
    version = {updates.FILES[member]: "latest"} if member in updates.FILES else {}
    assert described() == {**before, member: ACCEPTED[member], **version}


def test_an_update_is_pending_under_its_callers_name(demo: Any, behind: Any) -> None:
    demo.update_environment(Name="demo", MaxWorkers=7)
    change = behind.environments.rows["demo"].change
    last = demo.get_environment(Name="demo")["Environment"]["LastUpdate"]
    assert (change.kind, change.revision, change.requested_by) == (
        ChangeKind.UPDATE,
        2,
        "arn:aws:iam::000000000000:user/admin",
    )
    assert (last["Status"], last["Source"]) == ("PENDING", "user")


def test_an_update_of_nothing_is_one(demo: Any, behind: Any) -> None:
    """On MWAA it is the way to have everything replaced."""
    spec = behind.environments.rows["demo"].spec
    demo.update_environment(Name="demo")
    assert behind.environments.rows["demo"].change.spec == spec


@pytest.mark.parametrize("options", [{}, {"core.default_timezone": "utc"}])
def test_options_are_replaced_as_a_whole(demo: Any, wanted: Any, options: dict[str, str]) -> None:
    demo.update_environment(Name="demo", AirflowConfigurationOptions=options)
    assert wanted()["AirflowConfigurationOptions"] == options


def test_modules_of_logging_change_alone(demo: Any, wanted: Any) -> None:
    demo.update_environment(Name="demo", LoggingConfiguration={"WorkerLogs": {"Enabled": True, "LogLevel": "ERROR"}})
    logging = wanted()["LoggingConfiguration"]
    assert logging["WorkerLogs"] == {"Enabled": True, "LogLevel": "ERROR"}
    assert logging["TaskLogs"] == {"Enabled": True, "LogLevel": "INFO"}


def test_security_groups_change_and_subnets_never(port: int, demo: Any, behind: Any, wanted: Any) -> None:
    network = {"SubnetIds": ["subnet-8", "subnet-9"], "SecurityGroupIds": ["sg-9"]}
    for members in ({}, {"SubnetIds": network["SubnetIds"]}):
        assert "securityGroupIds" in refused_raw(port, {"NetworkConfiguration": members})
    assert_untouched(behind)
    answer = raw.ask(port, "PATCH", "/environments/demo", body=json.dumps({"NetworkConfiguration": network}).encode())
    assert answer.status == 200
    assert wanted()["NetworkConfiguration"] == {"SubnetIds": ["subnet-1", "subnet-2"], "SecurityGroupIds": ["sg-9"]}
    assert demo.get_environment(Name="demo")["Environment"]["NetworkConfiguration"]["SecurityGroupIds"] == ["sg-1"]


def refused_raw(port: int, members: dict[str, Any]) -> str:
    answer = raw.ask(port, "PATCH", "/environments/demo", body=json.dumps(members).encode())
    assert (answer.status, answer.error) == (400, "ValidationException")
    return str(answer.json["message"])


@pytest.mark.usefixtures("demo")
@pytest.mark.parametrize(
    "members", [{"KmsKey": "alias/mine"}, {"EndpointManagement": "CUSTOMER"}, {"Tags": {"team": "data"}}]
)
def test_what_only_create_takes_changes_nothing(port: int, behind: Any, members: dict[str, Any]) -> None:
    row = behind.environments.rows["demo"]
    assert raw.ask(port, "PATCH", "/environments/demo", body=json.dumps(members).encode()).status == 200
    assert (behind.environments.rows["demo"].change.spec, behind.environments.rows["demo"].tags) == (row.spec, row.tags)


@pytest.mark.parametrize("status", [status for status in Status if status is not Status.DELETED])
def test_an_update_begins_in_two_statuses_alone(demo: Any, behind: Any, status: Status) -> None:
    behind.change("demo", status=status)
    if status in {Status.AVAILABLE, Status.UPDATE_FAILED}:
        demo.update_environment(Name="demo", MaxWorkers=7)
        return
    before = behind.environments.rows["demo"]
    assert refused(demo, MaxWorkers=7) == f"Environments with {status} status cannot be updated"
    assert behind.environments.rows["demo"] == before


def test_of_two_updates_the_second_is_refused(demo: Any, wanted: Any) -> None:
    demo.update_environment(Name="demo", MaxWorkers=7)
    assert refused(demo, MaxWorkers=8) == "Environments with UPDATING status cannot be updated"
    assert wanted()["MaxWorkers"] == 7


def test_nobody_of_that_name(demo: Any) -> None:
    with pytest.raises(ClientError, match="other") as error:
        demo.update_environment(Name="other", MaxWorkers=7)
    assert error.value.response["Error"]["Code"] == "ResourceNotFoundException"


@pytest.mark.parametrize("path", updates.FILES)
def test_an_empty_path_removes_the_file(demo: Any, behind: Any, wanted: Any, path: str) -> None:
    demo.update_environment(Name="demo", **{path: ""})
    gone = {path, updates.FILES[path]}
    assert {**wanted(), **{member: BEFORE[member] for member in gone}} == behind.environments.rows[
        "demo"
    ].spec.document()
    assert not gone & {*wanted()}
    behind.environments.request("demo", Event.UPDATED, clock.now())
    assert not gone & {*demo.get_environment(Name="demo")["Environment"]}


@pytest.mark.parametrize(("path", "version"), updates.FILES.items())
def test_a_version_without_a_file_is_refused(demo: Any, behind: Any, path: str, version: str) -> None:
    removed = updates.updated(behind.environments.rows["demo"].spec, {path: ""})
    behind.change("demo", spec=removed)
    assert f"{version} was given without {path}" in refused(demo, **{version: "2"})
    assert f"{version} was given without {path}" in refused(demo, **{path: "", version: "2"})
    assert_untouched(behind)


@pytest.mark.parametrize("strategy", [None, *Strategy])
def test_workers_are_replaced_as_it_was_asked_for(demo: Any, behind: Any, strategy: Strategy | None) -> None:
    demo.update_environment(Name="demo", **({"WorkerReplacementStrategy": str(strategy)} if strategy else {}))
    expected = strategy or Strategy.GRACEFUL
    assert behind.environments.rows["demo"].change.strategy is expected
    assert demo.get_environment(Name="demo")["Environment"]["LastUpdate"]["WorkerReplacementStrategy"] == expected


# (what is wrong, members of the request, words that the sentence must have)
REFUSED: list[tuple[str, dict[str, Any], list[str]]] = [
    ("a strategy that is none", {"WorkerReplacementStrategy": "GENTLE"}, ["'GENTLE'", "[FORCED, GRACEFUL]"]),
    ("a strategy in small letters", {"WorkerReplacementStrategy": "forced"}, ["enum value set"]),
    *(
        (f"the window {window!r}", {"WeeklyMaintenanceWindowStart": window}, ["'weeklyMaintenanceWindowStart'"])
        for window in ("", "MON:24:00", "MON:12:15", "MON:3:00", "mon:03:00", "FUN:03:00", "MON", "MON:03:00Z")
    ),
    ("a version that is not offered", {"AirflowVersion": "9.9.9"}, ["AirflowVersion '9.9.9'", "3.3.1, 2.11.2"]),
    ("a class that is none", {"EnvironmentClass": "mw1.huge"}, ["EnvironmentClass", "mw1.small"]),
    ("a class for fewer workers", {"EnvironmentClass": "mw1.micro"}, ["MaxWorkers is 10", "Schedulers is 2"]),
    ("more workers at least than at most", {"MinWorkers": 11}, ["MinWorkers (11)", "MaxWorkers (10)"]),
    ("more web servers at least", {"MinWebservers": 3}, ["MinWebservers (3)", "MaxWebservers (2)"]),
    ("one scheduler", {"Schedulers": 1}, ["Schedulers is 1", "2 to 5"]),
    ("both access modes on an old line", {"WebserverAccessMode": "PUBLIC_AND_PRIVATE"}, ["Airflow 3.2"]),
    ("no DAG folder", {"DagS3Path": ""}, ["DagS3Path is empty"]),
    ("a bucket's folder", {"SourceBucketArn": "arn:aws:s3:::b/dags"}, ["'sourceBucketArn'"]),
    ("plugins by address", {"PluginsS3Path": "s3://bucket/p.zip"}, ["PluginsS3Path", "leave out the bucket"]),
    ("requirements that climb", {"RequirementsS3Path": "../r.txt"}, ["RequirementsS3Path", "'..'"]),
    ("an absolute script", {"StartupScriptS3Path": "/startup.sh"}, ["StartupScriptS3Path", "begins with '/'"]),
    ("an option that MWAA forbids", {"AirflowConfigurationOptions": {"core.multi_team": "True"}}, ["core.multi_team"]),
    ("an option without a section", {"AirflowConfigurationOptions": {"parallelism": "1"}}, ["section.option"]),
    ("two mistakes", {"MinWorkers": 11, "DagS3Path": ""}, ["MinWorkers (11)", "DagS3Path is empty"]),
]


@pytest.mark.parametrize(("members", "words"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
@pytest.mark.usefixtures("demo")
def test_a_bad_member_is_named_and_nothing_begins(
    careless: Any, behind: Any, members: dict[str, Any], words: list[str]
) -> None:
    sentence = refused(careless, **members)
    assert [word for word in words if word not in sentence] == []
    assert_untouched(behind)


@pytest.mark.parametrize(
    ("current", "version", "words"),
    [
        ("2.11.2", "3.3.1", None),
        ("3.3.1", "2.11.2", None),
        ("2.10.3", "2.11.2", None),
        ("3.0.6", "3.3.1", None),
        ("1.10.12", "1.10.15", None),
        ("1.10.15", "1.10.12", None),
        ("2.10.3", "2.10.3", None),  # no longer offered, but it runs
        ("2.10.3", "3.3.1", "leads by 2.11"),
        ("1.10.15", "2.11.2", "create an environment with 2.11.2"),
        ("1.10.12", "3.3.1", "create an environment with 3.3.1"),
        ("3.3.1", "1.10.15", "create an environment with 1.10.15"),
        ("2.11.2", "1.10.12", "create an environment with 1.10.12"),
        ("3.3.1", "3.2.1", "'3.2.1' is not offered"),
    ],
)
def test_versions_move_as_airflows_migrations_can(
    demo: Any, behind: Any, current: str, version: str, words: str | None
) -> None:
    spec = behind.environments.rows["demo"].spec
    schedulers = 1 if current.startswith("1.") else 2
    behind.change("demo", spec=replace(spec, airflow_version=current, schedulers=schedulers))
    if words is None:
        demo.update_environment(Name="demo", AirflowVersion=version)
        assert behind.environments.rows["demo"].change.spec.airflow_version == version
    else:
        assert words in refused(demo, AirflowVersion=version)
        assert_untouched(behind)


def test_a_downgrade_below_what_the_access_mode_needs_is_refused(demo: Any, behind: Any) -> None:
    spec = behind.environments.rows["demo"].spec
    behind.change("demo", spec=replace(spec, airflow_version="3.3.1", webserver_access_mode="PUBLIC_AND_PRIVATE"))
    assert "needs Airflow 3.2 or later" in refused(demo, AirflowVersion="2.11.2")
    assert_untouched(behind)
    demo.update_environment(Name="demo", AirflowVersion="2.11.2", WebserverAccessMode="PRIVATE_ONLY")


@pytest.mark.parametrize(
    ("trouble", "members"),
    [
        ("bucket_problem", {}),
        ("role_problem", {"ExecutionRoleArn": "arn:aws:iam::000000000000:role/other"}),
        ("version_problem", {"AirflowVersion": "3.3.1"}),
    ],
)
def test_trouble_behind_the_door_is_told_and_nothing_begins(
    demo: Any, behind: Any, trouble: str, members: dict[str, Any]
) -> None:
    setattr(behind.preflight, trouble, CallerError("It is not fit. Make it so."))
    assert refused(demo, **members) == "It is not fit. Make it so."
    assert_untouched(behind)


@pytest.mark.parametrize("trouble", ["role_problem", "version_problem"])
def test_what_does_not_change_is_not_asked_for_again(demo: Any, behind: Any, trouble: str) -> None:
    setattr(behind.preflight, trouble, CallerError("It is not fit."))
    demo.update_environment(Name="demo", AirflowVersion="2.11.2", MaxWorkers=7)
