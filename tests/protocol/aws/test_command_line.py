"""CloudWatch through the door, by the AWS CLI unmodified: commands of its own, which follow pages and ask again."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import aws_command
from aws_command import AwsCommand
from protocol.aws.world import ADMINISTRATOR, World
from waiting import wait_for

HOUR = 3_600_000
"""Milliseconds."""


@pytest.fixture
def logs(world: World) -> Any:
    return world.client("logs", world.user(ADMINISTRATOR))


@pytest.fixture
def aws(world: World, tmp_path: Path) -> AwsCommand:
    """One that has `aws logs tail`."""
    return aws_command.found(world.url, tmp_path, world.user(ADMINISTRATOR), offering="tail")


def made(logs: Any, group: str, *streams: str) -> None:
    logs.create_log_group(logGroupName=group)
    for stream in streams:
        logs.create_log_stream(logGroupName=group, logStreamName=stream)


def put(logs: Any, group: str, *messages: str, stream: str = "s", age: int = 0) -> None:
    now = int(time.time() * 1000) - age
    events = [{"timestamp": now, "message": each} for each in messages]
    logs.put_log_events(logGroupName=group, logStreamName=stream, logEvents=events)


def messages(lines: list[str]) -> list[str]:
    """What is said behind time and stream, as `aws logs tail` prints them."""
    return [line.split(" ", 2)[2] for line in lines if " " in line]


def test_logs_tail_prints_what_is_new_enough(logs: Any, aws: AwsCommand) -> None:
    made(logs, "tailed", "s", "t")
    put(logs, "tailed", "old", age=3 * HOUR)
    for first in (0, 6000):  # more than one page of FilterLogEvents
        put(logs, "tailed", *(f"line {number}" for number in range(first, first + 6000)))
    put(logs, "tailed", "ERROR of another", stream="t")

    everything = aws.run("logs", "tail", "tailed", "--since", "1d")
    recent = aws.run("logs", "tail", "tailed", "--since", "1h", "--format", "short", "--filter-pattern", "ERROR")
    of_stream = aws.run("logs", "tail", "tailed", "--since", "1h", "--log-stream-name-prefix", "t")

    assert everything.returncode == 0, everything.stderr
    printed = messages(everything.stdout.splitlines())
    assert printed[0] == "old"
    assert sorted(printed[1:]) == sorted([*(f"line {number}" for number in range(12_000)), "ERROR of another"])
    (line,) = recent.stdout.splitlines()
    assert line.endswith(" ERROR of another")
    assert messages(of_stream.stdout.splitlines()) == ["ERROR of another"]


def test_logs_tail_follows(logs: Any, aws: AwsCommand) -> None:
    made(logs, "followed", "s", "t")
    put(logs, "followed", "one", "two")
    with aws.printing("logs", "tail", "followed", "--follow", "--since", "1h", "--color", "off") as lines:
        wait_for("what was there", lambda: len(lines) == 2)
        put(logs, "followed", "three")
        put(logs, "followed", "four", stream="t")
        wait_for("what came in", lambda: len(lines) == 4)
        put(logs, "followed", "five")
        wait_for("what came in later", lambda: len(lines) == 5)
        assert sorted(messages(lines)[:2]) == ["one", "two"]
        assert sorted(messages(lines)[2:4]) == ["four", "three"]
        assert messages(lines)[4] == "five", "each line is printed once"
        assert lines[4].split()[1] == "s"


def test_logs_start_live_tail(logs: Any, world: World, tmp_path: Path) -> None:
    aws = aws_command.found(world.url, tmp_path, world.user(ADMINISTRATOR), offering="start-live-tail")
    made(logs, "live", "s")
    arn = f"arn:aws:logs:us-east-1:{'0' * 12}:log-group:live"
    with aws.printing("logs", "start-live-tail", "--log-group-identifiers", arn) as lines:

        def heard() -> bool:
            put(logs, "live", "here")  # the session begins at some moment; it hears only what comes in later
            return "here" in lines

        wait_for("a line of the session", heard)


def test_metric_data(aws: AwsCommand) -> None:
    now = datetime.now(UTC).replace(second=0, microsecond=0)
    data = [
        {"MetricName": "m", "Timestamp": (now - timedelta(minutes=age)).isoformat(), "Value": age, "Unit": "Count"}
        for age in (1, 2, 3)
    ]
    metric = {"Namespace": "command-line", "MetricName": "m"}
    queries = [
        {"Id": "a", "MetricStat": {"Metric": metric, "Period": 60, "Stat": "Sum"}},
        {"Id": "b", "Expression": "a * 2"},
    ]
    within = ("--start-time", f"{now - timedelta(hours=1):%FT%TZ}", "--end-time", f"{now:%FT%TZ}")

    sent = aws.run("cloudwatch", "put-metric-data", "--namespace", "command-line", "--metric-data", json.dumps(data))
    answer = aws.run("cloudwatch", "get-metric-data", "--metric-data-queries", json.dumps(queries), *within)
    listed = aws.run("cloudwatch", "list-metrics", "--namespace", "command-line")

    assert sent.returncode == 0, sent.stderr
    found = {each["Id"]: each["Values"] for each in json.loads(answer.stdout)["MetricDataResults"]}
    assert found == {"a": [1.0, 2.0, 3.0], "b": [2.0, 4.0, 6.0]}
    assert json.loads(listed.stdout)["Metrics"][0]["MetricName"] == "m"
