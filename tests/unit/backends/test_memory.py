"""The public fake runs commands by the same contract as the real backend."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from aerodrome.backends.contract import COMMAND_TIMEOUT, CommandResult
from aerodrome.backends.memory import MemoryBackend
from aerodrome.controller import ordering
from aerodrome.errors import RetryError
from aerodrome.model import defaults
from aerodrome.model.environment import Environment, LastUpdate, Progress
from aerodrome.model.lifecycle import Status
from aerodrome.model.release import Deployed

NOW = datetime(2026, 1, 1, tzinfo=UTC)
REQUEST = {
    "ExecutionRoleArn": "arn:aws:iam::000000000000:role/execution",
    "SourceBucketArn": "arn:aws:s3:::bucket",
    "DagS3Path": "dags",
    "NetworkConfiguration": {"SubnetIds": ["subnet-a", "subnet-b"], "SecurityGroupIds": ["sg-a"]},
}
ENVIRONMENT = Environment(
    name="one",
    identifier="0123abcd",
    arn="arn:aws:airflow:us-east-1:000000000000:environment/one",
    number=1,
    spec=defaults.complete("one", REQUEST, latest_version="3.3.1"),
    tags={},
    status=Status.AVAILABLE,
    created_at=NOW,
    last_update=LastUpdate(status="SUCCESS", created_at=NOW, source="user"),
    progress=Progress(phase="start", detail="", phase_started_at=NOW),
)


ORDER = ordering.cell(ENVIRONMENT, 1, Deployed(identifier="f00d", version="3.3.1", lock="10ck"))


def test_a_command_needs_a_cell():
    backend = MemoryBackend()
    with pytest.raises(RetryError):
        backend.parts.runtime.run_command(ENVIRONMENT.tenant, 1, ["version"])
    assert backend.commands == []


def test_a_command_is_kept_and_ends_as_it_was_told():
    backend = MemoryBackend(installed={"3.3.1"}, result=CommandResult(stdout=b"3.3.1\n", stderr=b"", exit_code=0))
    runtime = backend.parts.runtime
    runtime.carry_out(ENVIRONMENT.tenant, ORDER)

    assert runtime.run_command(ENVIRONMENT.tenant, 1, ["version"]).stdout == b"3.3.1\n"
    runtime.run_command(ENVIRONMENT.tenant, 1, ["dags", "list"], timeout=5.0)

    assert backend.commands == [("one", ("version",), COMMAND_TIMEOUT), ("one", ("dags", "list"), 5.0)]
