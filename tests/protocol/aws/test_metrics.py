"""CloudWatch through the door, by boto3 unmodified."""

from __future__ import annotations

import json
import os
import signal
import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError
from sqlalchemy.exc import OperationalError

from aerodrome.model.principals import AccessKey, Principal, PrincipalKind
from aerodrome.services import daemon
from protocol.api.behind import VAULT
from protocol.api.memory import Key
from protocol.aws.world import ADMINISTRATOR, World, allow
from waiting import wait_for

DENIED = r"not authorized|AccessDenied"


@pytest.fixture
def cloudwatch(world: World) -> Any:
    return world.client("cloudwatch", world.user(ADMINISTRATOR))


@pytest.fixture
def namespace() -> str:
    return f"n{uuid.uuid4().hex}"


def put(client: Any, namespace: str, name: str, *values: float, before: float = 0.0, **dimensions: str) -> None:
    """One value a minute, the last one in this minute or so many seconds earlier."""
    now = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(seconds=before)
    named = [{"Name": key, "Value": value} for key, value in dimensions.items()]
    data = [
        {"MetricName": name, "Dimensions": named, "Timestamp": now - timedelta(minutes=age), "Value": value}
        for age, value in enumerate(reversed(values))
    ]
    client.put_metric_data(Namespace=namespace, MetricData=data)


def query(namespace: str, name: str, identifier: str, stat: str = "Sum", period: int = 60, **dimensions: str) -> Any:
    named = [{"Name": key, "Value": value} for key, value in dimensions.items()]
    metric = {"Namespace": namespace, "MetricName": name, "Dimensions": named}
    return {"Id": identifier, "MetricStat": {"Metric": metric, "Period": period, "Stat": stat}}


def values(client: Any, *queries: Any, **more: Any) -> dict[str, list[float]]:
    now = datetime.now(UTC)
    found = client.get_metric_data(
        MetricDataQueries=list(queries),
        StartTime=now - timedelta(hours=1),
        EndTime=now + timedelta(minutes=2),
        ScanBy="TimestampAscending",
        **more,
    )
    return {each["Label"]: each["Values"] for each in found["MetricDataResults"]}


def test_metrics_live(cloudwatch: Any, namespace: str) -> None:
    put(cloudwatch, namespace, "a", 1, 2, 3, Environment="one")
    put(cloudwatch, namespace, "b", 2, 2, 6, Environment="one")
    a, b = (query(namespace, name, name, Environment="one") for name in ("a", "b"))
    assert values(cloudwatch, a, {**b, "ReturnData": False}, {"Id": "e", "Expression": "a / b", "Label": "share"}) == {
        "a": [1, 2, 3],
        "share": [0.5, 1, 0.5],
    }
    text = f"SEARCH('{{{namespace},Environment}}', 'Maximum', 60)"
    assert values(cloudwatch, {"Id": "s", "Expression": text}) == {"a": [1, 2, 3], "b": [2, 2, 6]}
    pages = cloudwatch.get_paginator("list_metrics").paginate(Namespace=namespace)
    assert [each["MetricName"] for page in pages for each in page["Metrics"]] == ["a", "b"]
    assert (
        cloudwatch.list_metrics(Namespace=namespace, Dimensions=[{"Name": "Environment", "Value": "two"}])["Metrics"]
        == []
    )
    with pytest.raises(ClientError, match="no query 'zz'"):
        values(cloudwatch, {"Id": "e", "Expression": "zz + 1"})


def test_points_come_in_pages(cloudwatch: Any, namespace: str) -> None:
    put(cloudwatch, namespace, "a", *range(10))
    now = datetime.now(UTC)
    given = {
        "MetricDataQueries": [query(namespace, "a", "x"), query(namespace, "a", "y", stat="SampleCount")],
        "StartTime": now - timedelta(hours=1), "EndTime": now + timedelta(minutes=2), "MaxDatapoints": 7,
    }  # fmt: skip
    pages, found = [cloudwatch.get_metric_data(**given)], []
    while token := pages[-1].get("NextToken"):
        pages.append(cloudwatch.get_metric_data(**given, NextToken=token))
    for page in pages:
        found += [(each["Id"], value) for each in page["MetricDataResults"] for value in each["Values"]]
    assert found == [*(("x", value) for value in range(9, -1, -1)), *(("y", 1.0) for _ in range(10))]
    assert len(pages) == 3


def test_statistics_and_percentiles(cloudwatch: Any, namespace: str) -> None:
    now = datetime.now(UTC)
    cloudwatch.put_metric_data(
        Namespace=namespace,
        MetricData=[{"MetricName": "m", "Values": [float(each) for each in range(100)], "Unit": "Seconds"}],
    )
    (found,) = cloudwatch.get_metric_statistics(
        Namespace=namespace, MetricName="m", StartTime=now - timedelta(hours=1), EndTime=now + timedelta(hours=1),
        Period=3600 * 24, Statistics=["Average", "SampleCount", "Minimum"], ExtendedStatistics=["p90"],
    )["Datapoints"]  # fmt: skip
    assert (found["Average"], found["SampleCount"], found["Minimum"], found["Unit"]) == (49.5, 100, 0, "Seconds")
    assert found["ExtendedStatistics"]["p90"] == pytest.approx(89, rel=0.1)


@pytest.mark.parametrize(
    ("datum", "told"),
    [
        ({"MetricName": "m"}, "must have one of"),
        ({"MetricName": "m", "Value": 1e300}, "not in the range"),
        ({"MetricName": "m", "Value": 1.0, "Timestamp": datetime(2020, 1, 1, tzinfo=UTC)}, "two weeks"),
        ({"MetricName": "m", "Values": [1.0], "Counts": [1.0, 2.0]}, "as many"),
        ({"MetricName": "m", "Value": 1.0, "Dimensions": [{"Name": "d", "Value": "v"}] * 2}, "twice"),
        ({"MetricName": "m", "Value": 1.0, "Unit": "Miles"}, "enum value set"),
    ],
)
def test_what_is_no_point_is_refused(cloudwatch: Any, namespace: str, datum: Any, told: str) -> None:
    with pytest.raises(ClientError, match=told):
        cloudwatch.put_metric_data(Namespace=namespace, MetricData=[datum])


def test_a_role_writes_to_its_own_namespace_alone(world: World, namespace: str) -> None:
    own = {**allow("cloudwatch:PutMetricData"), "Condition": {"StringEquals": {"cloudwatch:namespace": namespace}}}
    role = world.client("cloudwatch", world.session(own))
    put(role, namespace, "m", 1)
    for attempt in (
        lambda: put(role, f"{namespace}x", "m", 1),
        role.list_metrics,
        lambda: values(role, query(namespace, "m", "m")),
        lambda: role.put_dashboard(DashboardName="d", DashboardBody='{"widgets": []}'),
    ):
        with pytest.raises(ClientError, match=DENIED):
            attempt()


@pytest.fixture
def own_part(world: World) -> Iterator[Key]:
    """What the environment `one`'s sidecar has, and no DAG code."""
    key = Key("AKIAAERODROMEAAAAAAA", "the sidecar's")
    principal = Principal(
        kind=PrincipalKind.SERVICE, account="0" * 12, arn="airflow-env.amazonaws.com",
        unique_id="airflow-env.amazonaws.com", name="airflow-env.amazonaws.com", environment="one",
    )  # fmt: skip
    world.identity.keys[key.access_key_id] = AccessKey(
        access_key_id=key.access_key_id, sealed_secret=VAULT.seal_secret(key.secret), principal=principal, active=True
    )
    before = set(world.identity.environments)
    world.identity.environments.add("one")
    yield key
    del world.identity.keys[key.access_key_id]
    world.identity.environments = before


@pytest.mark.parametrize("reserved", ["AWS/MWAA", "AWS/EC2", "AWS/"])
def test_nobody_writes_in_the_name_of_a_service(world: World, cloudwatch: Any, reserved: str) -> None:
    role = world.client("cloudwatch", world.session(allow("cloudwatch:PutMetricData")))
    for client in (cloudwatch, role):
        world.entries.clear()
        with pytest.raises(ClientError, match=f"The value {reserved} for parameter Namespace is invalid") as refused:
            put(client, reserved, "QueuedTasks", 1, Environment="one")
        assert refused.value.response["Error"]["Code"] == "InvalidParameterValue"
        [entry] = world.entries  # the door itself refuses, whatever the store behind it knows
        assert (entry.action, entry.allowed) == ("cloudwatch:PutMetricData", False)


def test_an_environments_own_part_writes_what_the_service_measures_of_it(
    world: World, cloudwatch: Any, own_part: Key
) -> None:
    name = f"m{uuid.uuid4().hex}"
    client = world.client("cloudwatch", own_part)
    put(client, "AWS/MWAA", name, 1, Queue="default", Environment="one")
    assert values(cloudwatch, query("AWS/MWAA", name, name, Queue="default", Environment="one")) == {name: [1]}
    two = [
        {"MetricName": name, "Value": 1, "Dimensions": [{"Name": "Environment", "Value": each}]}
        for each in ("one", "two")
    ]
    for attempt in (
        lambda: put(client, "AWS/MWAA", name, 1, Environment="two"),
        lambda: put(client, "AWS/MWAA", name, 1),
        lambda: client.put_metric_data(Namespace="AWS/MWAA", MetricData=two),
        lambda: put(client, "AWS/EC2", name, 1, Environment="one"),
        lambda: put(client, "AmazonMWAA", name, 1, Environment="one"),
        client.list_metrics,
    ):
        with pytest.raises(ClientError, match=DENIED):
            attempt()
    with pytest.raises(ClientError, match=r"InvalidClientTokenId|UnrecognizedClient"):
        world.client("sqs", own_part).list_queues()


def test_a_ledger_that_hangs_holds_up_nobody_but_who_names_a_service_key(
    world: World, own_part: Key, monkeypatch: pytest.MonkeyPatch
) -> None:
    hanging, ending = threading.Event(), threading.Event()
    access_key = world.identity.access_key

    def away(access_key_id: str) -> AccessKey | None:
        if access_key_id != own_part.access_key_id:
            return access_key(access_key_id)
        hanging.set()
        ending.wait(30)
        raise OperationalError("SELECT", {}, Exception("connection refused at 192.0.2.1"))

    monkeypatch.setattr(world.identity, "access_key", away)
    client, s3 = world.client("cloudwatch", own_part), world.client("s3", world.user(ADMINISTRATOR), read_timeout=20)
    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(put, client, "AWS/MWAA", "m", 1, Environment="one")
        try:
            assert hanging.wait(30)
            s3.list_buckets()
        finally:
            ending.set()
        with pytest.raises(ClientError, match="The ledger does not answer") as told:
            asking.result()
    assert told.value.response["ResponseMetadata"]["HTTPStatusCode"] == 503
    assert "192.0.2.1" not in str(told.value)


def alarm(name: str, namespace: str, **more: Any) -> dict[str, Any]:
    return {
        "AlarmName": name, "Namespace": namespace, "MetricName": "m", "Statistic": "Sum", "Period": 60,
        "EvaluationPeriods": 1, "Threshold": 5, "ComparisonOperator": "GreaterThanThreshold", **more,
    }  # fmt: skip


def test_an_alarm_tells_its_topic(world: World, cloudwatch: Any, namespace: str) -> None:
    name = f"alarm-{namespace}"
    sns, sqs = (world.client(service, world.user(ADMINISTRATOR)) for service in ("sns", "sqs"))
    topic = sns.create_topic(Name=name)["TopicArn"]
    queue = sqs.create_queue(QueueName=name)["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)

    cloudwatch.put_metric_alarm(**alarm(name, namespace, AlarmActions=[topic]))
    cloudwatch.set_alarm_state(AlarmName=name, StateValue="OK", StateReason="by hand")
    cloudwatch.set_alarm_state(AlarmName=name, StateValue="ALARM", StateReason="by hand")
    received = wait_for("the message", lambda: sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=1).get("Messages"))
    message = json.loads(json.loads(received[0]["Body"])["Message"])
    assert (message["AlarmName"], message["OldStateValue"], message["NewStateValue"]) == (name, "OK", "ALARM")
    kinds = {each["HistoryItemType"] for each in cloudwatch.describe_alarm_history(AlarmName=name)["AlarmHistoryItems"]}
    assert kinds == {"ConfigurationUpdate", "StateUpdate", "Action"}
    cloudwatch.delete_alarms(AlarmNames=[name])
    assert cloudwatch.describe_alarms(AlarmNames=[name])["MetricAlarms"] == []


def test_who_puts_an_alarm_must_be_allowed_to_tell_its_topics(world: World, namespace: str) -> None:
    owner = world.client("sns", world.user(ADMINISTRATOR))
    topic = owner.create_topic(Name=f"own-{namespace}")["TopicArn"]
    another = owner.create_topic(Name=f"other-{namespace}")["TopicArn"]
    role = world.client("cloudwatch", world.session(allow("cloudwatch:PutMetricAlarm"), allow("sns:Publish", topic)))
    role.put_metric_alarm(**alarm(f"mine-{namespace}", namespace, AlarmActions=[topic]))
    for member in ("AlarmActions", "OKActions", "InsufficientDataActions"):
        with pytest.raises(ClientError, match="sns:Publish"):
            role.put_metric_alarm(**alarm(f"mine-{namespace}", namespace, **{member: [topic, another]}))


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"AlarmActions": ["arn:aws:lambda:us-east-1:000000000000:function:f"]}, "SNS topics"),
        ({"Period": 90}, "multiple of 60"),
        ({"DatapointsToAlarm": 2}, "must not be more"),
        ({"ComparisonOperator": "GreaterThanUpperThreshold"}, "ComparisonOperators"),
        ({"Metrics": [{"Id": "m1", "Expression": "1"}]}, "either Metrics or MetricName"),
        ({"Period": 86_400, "EvaluationPeriods": 8}, "seven days"),
    ],
)
def test_alarms_that_cannot_be_evaluated_are_refused(cloudwatch: Any, namespace: str, more: Any, told: str) -> None:
    with pytest.raises(ClientError, match=told):
        cloudwatch.put_metric_alarm(**alarm("a", namespace, **more))


def test_dashboards_and_tags_live(cloudwatch: Any, namespace: str) -> None:
    body = json.dumps({"widgets": []})
    cloudwatch.put_dashboard(DashboardName=namespace, DashboardBody=body)
    assert cloudwatch.get_dashboard(DashboardName=namespace)["DashboardBody"] == body
    assert [each["DashboardName"] for each in cloudwatch.list_dashboards(DashboardNamePrefix=namespace)[
        "DashboardEntries"]] == [namespace]  # fmt: skip
    with pytest.raises(ClientError, match="widgets"):
        cloudwatch.put_dashboard(DashboardName=namespace, DashboardBody="[]")
    cloudwatch.delete_dashboards(DashboardNames=[namespace])
    with pytest.raises(cloudwatch.exceptions.ClientError, match="does not exist"):
        cloudwatch.get_dashboard(DashboardName=namespace)

    cloudwatch.put_metric_alarm(**alarm(namespace, namespace, Tags=[{"Key": "team", "Value": "a"}]))
    (found,) = cloudwatch.describe_alarms(AlarmNames=[namespace])["MetricAlarms"]
    cloudwatch.tag_resource(ResourceARN=found["AlarmArn"], Tags=[{"Key": "tier", "Value": "b"}])
    cloudwatch.untag_resource(ResourceARN=found["AlarmArn"], TagKeys=["team"])
    assert cloudwatch.list_tags_for_resource(ResourceARN=found["AlarmArn"])["Tags"] == [{"Key": "tier", "Value": "b"}]
    cloudwatch.disable_alarm_actions(AlarmNames=[namespace])
    (found,) = cloudwatch.describe_alarms(AlarmNames=[namespace])["MetricAlarms"]
    assert not found["ActionsEnabled"]
    cloudwatch.delete_alarms(AlarmNames=[namespace])


def test_what_is_not_offered_says_so(cloudwatch: Any) -> None:
    with pytest.raises(ClientError, match="PutCompositeAlarm is not offered"):
        cloudwatch.put_composite_alarm(AlarmName="a", AlarmRule="ALARM(b)")


def test_points_are_there_after_the_store_was_killed(world: World, cloudwatch: Any, namespace: str) -> None:
    put(cloudwatch, namespace, "m", 1, 2, 3)
    running = daemon.find(world.logs)
    assert running is not None
    os.kill(running.pid, signal.SIGKILL)
    wait_for("the end of the store", lambda: not daemon.is_running(world.logs))
    world.start_logs()
    assert values(cloudwatch, query(namespace, "m", "m")) == {"m": [1, 2, 3]}
