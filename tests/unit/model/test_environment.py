"""Spec, defaults, progress and ARNs."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import botocore.session
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aerodrome.model import arns, classes, defaults
from aerodrome.model.change import Change, ChangeKind, Strategy
from aerodrome.model.environment import Environment, Failure, LastUpdate, Progress
from aerodrome.model.lifecycle import Status
from aerodrome.model.spec import Spec

REQUEST = {
    "Name": "one",
    "ExecutionRoleArn": "arn:aws:iam::000000000000:role/execution",
    "SourceBucketArn": "arn:aws:s3:::bucket",
    "DagS3Path": "dags",
    "NetworkConfiguration": {"SubnetIds": ["subnet-a", "subnet-b"], "SecurityGroupIds": ["sg-a"]},
}
MIDNIGHT = datetime(2026, 1, 1, tzinfo=UTC)


def test_members_of_the_spec_are_members_of_the_api():
    shape = botocore.session.get_session().get_service_model("mwaa").shape_for("Environment")
    document = defaults.complete("one", REQUEST, latest_version="3.3.1").document()
    assert set(document) <= set(shape.members)


def test_an_environment_may_act_as_the_role_it_has_and_the_one_it_is_given():
    environment = Environment(
        name="one",
        identifier="0123abcd",
        arn=arns.environment(region="us-east-1", account="000000000000", name="one"),
        number=1,
        spec=defaults.complete("one", REQUEST, latest_version="3.3.1"),
        tags={},
        status=Status.UPDATING,
        created_at=MIDNIGHT,
        last_update=LastUpdate(status="PENDING", created_at=MIDNIGHT, source="user"),
        progress=Progress(phase="start", detail="", phase_started_at=MIDNIGHT),
    )
    other = environment.spec.execution_role_arn.replace("execution", "other")
    change = Change(
        kind=ChangeKind.UPDATE,
        spec=replace(environment.spec, execution_role_arn=other),
        revision=2,
        strategy=Strategy.GRACEFUL,
        requested_at=MIDNIGHT,
        requested_by="",
    )
    changing = replace(environment, change=change)
    assert environment.execution_roles == {environment.spec.execution_role_arn}
    assert changing.execution_roles == {environment.spec.execution_role_arn, other}
    failed = replace(changing, failure=Failure(code="X", message=""))
    assert failed.execution_roles == environment.execution_roles


def test_documented_defaults():
    spec = defaults.complete("one", REQUEST, latest_version="3.3.1")
    assert (spec.environment_class, spec.airflow_version) == ("mw1.small", "3.3.1")
    assert (spec.min_workers, spec.max_workers, spec.schedulers) == (1, 10, 2)
    assert (spec.min_webservers, spec.max_webservers) == (2, 2)
    assert (spec.webserver_access_mode, spec.endpoint_management) == ("PRIVATE_ONLY", "SERVICE")
    on = {name for name, module in spec.logging_configuration.items() if module["Enabled"]}
    assert on == {"TaskLogs"}


def test_micro_is_one_of_each():
    spec = defaults.complete("one", {**REQUEST, "EnvironmentClass": "mw1.micro"}, latest_version="3.3.1")
    assert (spec.max_workers, spec.schedulers, spec.min_webservers, spec.max_webservers) == (1, 1, 1, 1)


@pytest.mark.parametrize("number", ["1.10.15", "1.10.12"])
def test_airflow_1_10_has_one_scheduler(number):
    spec = defaults.complete("one", {**REQUEST, "AirflowVersion": number}, latest_version="3.3.1")
    assert (spec.airflow_version, spec.schedulers, spec.min_webservers) == (number, 1, 2)


@pytest.mark.parametrize("name", list(classes.CLASSES))
def test_what_is_given_wins_over_defaults(name):
    given_values = {"EnvironmentClass": name, "MinWorkers": 1, "MaxWorkers": 1, "DagS3Path": "elsewhere"}
    document = defaults.complete("one", {**REQUEST, **given_values}, latest_version="3.3.1").document()
    assert given_values.items() <= document.items()


def test_a_spec_survives_its_document():
    spec = defaults.complete("one", {**REQUEST, "KmsKey": "alias/x"}, latest_version="3.3.1")
    assert Spec.of(spec.document()) == spec


def test_options_are_not_shown_when_a_spec_is_printed():
    options = {"core.secret": "hidden-value"}
    spec = defaults.complete("one", {**REQUEST, "AirflowConfigurationOptions": options}, latest_version="3.3.1")
    assert "hidden-value" not in repr(spec)


@given(st.text(min_size=1))
def test_the_maintenance_window_is_one_that_the_api_accepts(name):
    day, hour, minute = defaults.maintenance_window(name).split(":")
    assert day in {"MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN"}
    assert 0 <= int(hour) < 24
    assert minute in {"00", "30"}


def test_progress_closes_a_phase_with_its_duration():
    start = Progress(phase="install", detail="a", phase_started_at=MIDNIGHT)
    still = start.moved("install", "b", 0.5, MIDNIGHT + timedelta(seconds=1))
    then = still.moved("database", "c", None, MIDNIGHT + timedelta(seconds=3))
    assert (still.detail, still.fraction, still.phases) == ("b", 0.5, ())
    assert [(phase.name, phase.seconds) for phase in then.phases] == [("install", 3.0)]
    assert then.phase_started_at == MIDNIGHT + timedelta(seconds=3)


@pytest.mark.parametrize(
    ("region", "partition"), [("us-east-1", "aws"), ("cn-north-1", "aws-cn"), ("us-gov-west-1", "aws-us-gov")]
)
def test_an_arn_names_its_environment(region, partition):
    arn = arns.environment(region=region, account="000000000000", name="one")
    assert arn == f"arn:{partition}:airflow:{region}:000000000000:environment/one"
    assert arns.environment_name(arn) == "one"


@pytest.mark.parametrize("arn", ["", "one", "arn:aws:s3:::bucket", "arn:aws:airflow:x:1:environment/one"])
def test_other_arns_name_none(arn):
    assert arns.environment_name(arn) is None


def test_progress_after_ready_is_work_of_its_own():
    start = Progress(phase="start", detail="a", phase_started_at=MIDNIGHT)
    ready = start.moved("ready", "b", None, MIDNIGHT + timedelta(seconds=1))
    assert [phase.name for phase in ready.phases] == ["start"]
    assert ready.moved("lost", "c", None, MIDNIGHT + timedelta(hours=1)).phases == ()
