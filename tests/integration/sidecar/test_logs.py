"""A real sidecar ships log files to a real CloudWatch Logs of the emulator's, through a door that can fail."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import pytest

from waiting import wait_for

STREAM = "dag_id=d/run_id=r/task_id=t/attempt=1.log"

MOST_LINES = 5_000
"""Fewer than one answer of the service holds, however slow the machine is."""


@pytest.fixture
def logs(ministack, client_of):
    made = client_of("logs", ministack.url)
    yield made
    made.close()


def said(logs, group: str) -> list[str]:
    try:
        events = logs.get_log_events(logGroupName=group, logStreamName=STREAM, startFromHead=True)["events"]
    except logs.exceptions.ResourceNotFoundException:
        return []
    return [event["message"] for event in events]


@pytest.fixture
def tasks(sidecar, request) -> Path:
    sidecar.config["environment"] = f"env{os.getpid()}{abs(hash(request.node.name)) % 10**6}"
    folder = sidecar.home / "tasks"
    (folder / STREAM).parent.mkdir(parents=True)
    (sidecar.home / "units").mkdir()
    sidecar.config["logs"] = {
        "levels": {"TaskLogs": "INFO"},
        "units": str(sidecar.home / "units"),
        "tasks": str(folder),
        "positions": str(sidecar.home / "shipped.json"),
    }
    return folder


def test_logs_arrive_through_a_kill_and_an_endpoint_that_throttles(sidecar, tasks, door, logs):
    group = f"airflow-{sidecar.config['environment']}-Task"
    sidecar.start()
    wait_for("the group", lambda: logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"])
    written: list[str] = []
    stop = threading.Event()

    def write() -> None:
        with (tasks / STREAM).open("a", buffering=1) as file:
            while len(written) < MOST_LINES and not stop.wait(0.02):
                written.append(f"line {len(written)}")
                file.write(f"{written[-1]}\n")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        wait_for("the first lines", lambda: said(logs, group))
        door.fault = lambda path: 429 if path == "/" else None
        wait_for("the failure is told", lambda: (sidecar.status.get("logs") or {}).get("error"))
        os.kill(sidecar.process.pid, signal.SIGKILL)
        sidecar.process.wait()
        sidecar.notified = b""
        door.fault = lambda _path: None
        sidecar.start()
        sent = len(written)
        wait_for("what was written meanwhile", lambda: len(said(logs, group)) >= sent)
    finally:
        stop.set()
        writer.join()
    wait_for("all lines", lambda: len(said(logs, group)) >= len(written))
    assert said(logs, group) == written
    wait_for("its status is well", lambda: (sidecar.status.get("logs") or {}).get("error", "?") is None)
    assert sidecar.status["logs"]["dropped"] == 0


def test_a_slow_bucket_does_not_hold_logs_up(sidecar, tasks, door, logs):
    group = f"airflow-{sidecar.config['environment']}-Task"
    sidecar.start()
    door.fault = lambda path: "hang" if path != "/" else None
    (tasks / STREAM).write_text("a\n")
    assert wait_for("the line", lambda: said(logs, group)) == ["a"]
