"""CloudWatch Logs through the door, by boto3 unmodified."""

from __future__ import annotations

import os
import signal
import threading
import time
from contextlib import suppress
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from aerodrome.services import daemon
from protocol.aws.world import ADMINISTRATOR, World, allow
from waiting import wait_for


@pytest.fixture
def logs(world: World) -> Any:
    return world.client("logs", world.user(ADMINISTRATOR))


def put(logs: Any, group: str, *messages: str, stream: str = "s") -> None:
    now = int(time.time() * 1000)
    events = [{"timestamp": now, "message": each} for each in messages]
    logs.put_log_events(logGroupName=group, logStreamName=stream, logEvents=events)


def test_a_group_lives(logs: Any) -> None:
    logs.create_log_group(logGroupName="life", tags={"team": "a"})
    with pytest.raises(logs.exceptions.ResourceAlreadyExistsException):
        logs.create_log_group(logGroupName="life")
    logs.create_log_stream(logGroupName="life", logStreamName="dag_id=d/run_id=r/task_id=t/attempt=1.log")
    put(logs, "life", "one", "two", stream="dag_id=d/run_id=r/task_id=t/attempt=1.log")
    logs.put_retention_policy(logGroupName="life", retentionInDays=14)

    pages = logs.get_paginator("filter_log_events").paginate(
        logGroupName="life", filterPattern="?one ?two", PaginationConfig={"PageSize": 1}
    )
    assert [event["message"] for page in pages for event in page["events"]] == ["one", "two"]
    (group,) = logs.describe_log_groups(logGroupNamePrefix="life")["logGroups"]
    assert (group["retentionInDays"], group["storedBytes"]) == (14, 58)
    assert logs.list_tags_for_resource(resourceArn=group["logGroupArn"])["tags"] == {"team": "a"}
    with pytest.raises(logs.exceptions.InvalidParameterException, match="chronological"):
        logs.put_log_events(
            logGroupName="life",
            logStreamName="dag_id=d/run_id=r/task_id=t/attempt=1.log",
            logEvents=[{"timestamp": 2, "message": "b"}, {"timestamp": 1, "message": "a"}],
        )
    logs.delete_log_group(logGroupName="life")
    with pytest.raises(logs.exceptions.ResourceNotFoundException):
        logs.get_log_events(logGroupName="life", logStreamName="s")


def test_what_is_not_offered_says_so(logs: Any) -> None:
    with pytest.raises(ClientError, match="PutMetricFilter is not offered"):
        logs.put_metric_filter(logGroupName="g", filterName="f", filterPattern="", metricTransformations=[
            {"metricName": "m", "metricNamespace": "n", "metricValue": "1"}
        ])  # fmt: skip


def test_a_group_is_not_said_to_be_encrypted(logs: Any) -> None:
    with pytest.raises(logs.exceptions.InvalidParameterException, match=r"not encrypted\. Leave it out"):
        logs.create_log_group(logGroupName="secret", kmsKeyId="arn:aws:kms:us-east-1:000000000000:key/k")
    assert logs.describe_log_groups(logGroupNamePrefix="secret")["logGroups"] == []


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({}, ["filtered-a", "filtered-b"]),
        ({"logGroupClass": "INFREQUENT_ACCESS"}, ["filtered-b"]),
        ({"logGroupTags": [{"key": "team"}]}, ["filtered-a"]),
        ({"logGroupTags": [{"key": "team", "values": ["x", "Data"]}]}, ["filtered-a"]),
        ({"logGroupTags": [{"key": "team", "values": ["dat*"]}]}, ["filtered-a"]),
        ({"logGroupTags": [{"key": "team", "values": ["data"]}]}, []),
        ({"logGroupTags": [{"key": "team", "values": ["!Data"]}]}, []),
        ({"logGroupTags": [{"key": "team"}, {"key": "tier"}]}, []),
    ],
)
def test_groups_are_listed_by_class_and_tags(logs: Any, more: Any, expected: list[str]) -> None:
    with suppress(logs.exceptions.ResourceAlreadyExistsException):
        logs.create_log_group(logGroupName="filtered-a", tags={"team": "Data"})
        logs.create_log_group(logGroupName="filtered-b", logGroupClass="INFREQUENT_ACCESS")
    found = logs.list_log_groups(logGroupNamePattern="filtered", **more)["logGroups"]
    assert [each["logGroupName"] for each in found] == expected


def test_a_filter_of_groups_that_is_not_offered_is_refused(logs: Any) -> None:
    with pytest.raises(logs.exceptions.InvalidParameterException, match="fieldIndexNames is not offered"):
        logs.list_log_groups(fieldIndexNames=["f"])


def test_insights_by_boto3(logs: Any) -> None:
    for group in ("insights-1", "insights-2"):
        logs.create_log_group(logGroupName=group)
        logs.create_log_stream(logGroupName=group, logStreamName="s")
        put(logs, group, '{"level": "error", "ms": 5}', '{"level": "info", "ms": 7}')
    now = int(time.time())
    query = logs.start_query(
        logGroupNames=["insights-1", "insights-2"],
        startTime=now - 600,
        endTime=now + 600,
        queryString="stats sum(ms) as ms, count(*) by level, @log | sort level, @log | limit 3",
    )["queryId"]
    found = wait_for("the end", lambda: (r := logs.get_query_results(queryId=query))["status"] == "Complete" and r)
    account = "0" * 12
    assert [{each["field"]: each["value"] for each in row} for row in found["results"]] == [
        {"level": level, "@log": f"{account}:insights-{number}", "ms": ms, "count(*)": "1"}
        for level, number, ms in (("error", 1, "5"), ("error", 2, "5"), ("info", 1, "7"))
    ]
    assert logs.describe_queries(logGroupName="insights-1")["queries"][0]["queryId"] == query
    with pytest.raises(logs.exceptions.MalformedQueryException, match="ends too early"):
        logs.start_query(logGroupName="insights-1", startTime=now - 9, endTime=now, queryString="fields")


def test_live_tail_by_boto3(world: World, logs: Any) -> None:
    for stream in ("s", "t"):
        if stream == "s":
            logs.create_log_group(logGroupName="tail")
        logs.create_log_stream(logGroupName="tail", logStreamName=stream)
    key = world.user(ADMINISTRATOR)
    client = world.client("logs", key, inject_host_prefix=False)
    arn = f"arn:aws:logs:us-east-1:{'0' * 12}:log-group:tail"
    put(logs, "tail", "before ERROR")
    asked = {"logGroupIdentifiers": [arn], "logStreamNamePrefixes": ["s"], "logEventFilterPattern": "ERROR"}
    stream = client.start_live_tail(**asked)["responseStream"]
    messages = iter(stream)
    begun = next(messages)["sessionStart"]
    assert begun["logEventFilterPattern"] == "ERROR"
    assert next(messages)["sessionUpdate"] == {"sessionMetadata": {"sampled": False}, "sessionResults": []}
    put(logs, "tail", "one ERROR", "two", "three ERROR")
    put(logs, "tail", "four ERROR", stream="t")
    found: list[Any] = []
    while len(found) < 2:
        found += next(messages)["sessionUpdate"]["sessionResults"]
    assert [each["message"] for each in found] == ["one ERROR", "three ERROR"]
    assert (found[0]["logStreamName"], found[0]["logGroupIdentifier"]) == ("s", f"{'0' * 12}:tail")
    others = [client.start_live_tail(logGroupIdentifiers=[arn])["responseStream"] for _ in range(4)]
    with pytest.raises(client.exceptions.LimitExceededException):
        client.start_live_tail(logGroupIdentifiers=[arn])
    for each in (stream, *others):
        each.close()

    def again() -> Any:
        try:
            return client.start_live_tail(logGroupIdentifiers=[arn])["responseStream"]
        except client.exceptions.LimitExceededException:
            return None

    wait_for("room for another session", again).close()


def test_a_role_reads_its_own_group_alone(world: World, logs: Any) -> None:
    for group in ("airflow-one-Task", "airflow-two-Task"):
        logs.create_log_group(logGroupName=group)
        logs.create_log_stream(logGroupName=group, logStreamName="s")
        put(logs, group, f"secret of {group}")
    own = f"arn:aws:logs:us-east-1:{'0' * 12}:log-group:airflow-one-*"
    role = world.client("logs", world.session(allow("logs:*", own)), inject_host_prefix=False)
    assert len(role.filter_log_events(logGroupName="airflow-one-Task")["events"]) == 1
    other = f"arn:aws:logs:us-east-1:{'0' * 12}:log-group:airflow-two-Task"
    for attempt in (
        lambda: role.filter_log_events(logGroupName="airflow-two-Task"),
        lambda: role.filter_log_events(logGroupIdentifier=other),
        lambda: role.get_log_events(logGroupName="airflow-two-Task", logStreamName="s"),
        lambda: role.delete_log_group(logGroupName="airflow-two-Task"),
        lambda: role.start_live_tail(logGroupIdentifiers=[other]),
        lambda: role.start_query(
            logGroupNames=["airflow-one-Task", "airflow-two-Task"], startTime=0, endTime=1, queryString="limit 1"
        ),
        lambda: put(role, "airflow-two-Task", "forged"),
    ):
        with pytest.raises(ClientError, match="AccessDenied"):
            attempt()


def test_what_was_acknowledged_is_there_after_a_kill(world: World, logs: Any) -> None:
    logs.create_log_group(logGroupName="kill")
    logs.create_log_stream(logGroupName="kill", logStreamName="s")
    acknowledged: list[str] = []
    stop = threading.Event()

    def write() -> None:
        number = 0
        while not stop.is_set():
            try:
                put(logs, "kill", f"{number}")
            except (ClientError, EndpointConnectionError):
                return
            acknowledged.append(f"{number}")
            number += 1

    writer = threading.Thread(target=write)
    writer.start()
    wait_for("some acknowledged events", lambda: len(acknowledged) >= 20 or not writer.is_alive())
    assert len(acknowledged) >= 20, "the writer has ended"
    running = daemon.find(world.logs)
    assert running is not None
    os.kill(running.pid, signal.SIGKILL)
    writer.join(60)
    stop.set()
    world.start_logs()
    found = [event["message"] for event in logs.filter_log_events(logGroupName="kill")["events"]]
    once = list(dict.fromkeys(found))  # botocore sends one again that was stored when its answer was lost
    assert once[: len(acknowledged)] == acknowledged
    assert len(once) <= len(acknowledged) + 1, "at most the one that nobody heard an answer to"
