"""The front door on a loopback port with memory behind it, and real clients before it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import pytest
import structlog
from botocore.config import Config

from aerodrome.api.app import create_app
from aerodrome.api.doors import Doors
from aerodrome.model.environment import Environment, Spec
from aerodrome.settings import Settings
from protocol.api.memory import MemoryEnvironments
from protocol.api.serving import served

NOW = datetime(2026, 11, 23, 12, 0, 0, 250000, tzinfo=UTC)

OUR_MISTAKES = {"undeclared_error", "unexpected_error"}


@dataclass
class Behind:
    """What stands behind the doors; a test arranges it and looks at it."""

    environments: MemoryEnvironments = field(default_factory=MemoryEnvironments)
    bucket_problem: Exception | None = None
    buckets_checked: list[Spec] = field(default_factory=list)
    rest_answer: tuple[int, Any] | Exception = (200, {"dags": []})
    rest_calls: list[tuple[str, str, str, Any, Any]] = field(default_factory=list)

    def check_bucket(self, spec: Spec) -> None:
        self.buckets_checked.append(spec)
        if self.bucket_problem:
            raise self.bucket_problem

    async def rest(self, environment: Environment, method: str, path: str, query: Any, body: Any) -> tuple[int, Any]:
        self.rest_calls.append((environment.name, method, path, query, body))
        if isinstance(self.rest_answer, Exception):
            raise self.rest_answer
        return self.rest_answer

    def change(self, name: str, **changes: Any) -> None:
        self.environments.rows[name] = replace(self.environments.rows[name], **changes)


@pytest.fixture
def behind() -> Behind:
    return Behind()


@pytest.fixture
def doors(behind: Behind, tmp_path: Path) -> Doors:
    return Doors(
        environments=behind.environments,
        check_bucket=behind.check_bucket,
        new_secrets=lambda: b"sealed",
        offered_versions=("3.3.1", "2.11.2"),
        latest_version="3.3.1",
        clock=lambda: NOW,
        settings=Settings(data=tmp_path, quota_environments=3),
        rest=behind.rest,
        aws_endpoint_url=None,
    )


@pytest.fixture(autouse=True)
def logged() -> Iterator[list[Any]]:
    """Every log event; a mistake of ours that no test expects fails it. A test that does expect one removes it."""
    with structlog.testing.capture_logs() as events:
        yield events
    assert [event for event in events if event["event"] in OUR_MISTAKES] == []


@pytest.fixture
def port(doors: Doors) -> Iterator[int]:
    with served(create_app(doors)) as found:
        yield found


@pytest.fixture(scope="session")
def session() -> Any:
    """One for all clients: it keeps the service models that it has read."""
    return boto3.Session(aws_access_key_id="AKID", aws_secret_access_key="secret", region_name="us-east-1")


@pytest.fixture
def client_of(session: Any) -> Iterator[Callable[..., Any]]:
    """Makes boto3 clients: (service, endpoint URL, configuration) → client."""
    with ExitStack() as stack:

        def make(service: str, endpoint_url: str, **configuration: Any) -> Any:
            config = Config(retries={"total_max_attempts": 1}, read_timeout=60, **configuration)
            client = session.client(service, endpoint_url=endpoint_url, config=config)
            stack.callback(client.close)
            return client

        yield make


@pytest.fixture
def mwaa(port: int, client_of: Callable[..., Any]) -> Any:
    return client_of("mwaa", f"http://127.0.0.1:{port}", inject_host_prefix=False)


@pytest.fixture
def careless(port: int, client_of: Callable[..., Any]) -> Any:
    """A client that checks nothing by itself, so that the server must."""
    return client_of("mwaa", f"http://127.0.0.1:{port}", inject_host_prefix=False, parameter_validation=False)


@pytest.fixture
def wish() -> dict[str, Any]:
    """The least that CreateEnvironment takes."""
    return {
        "Name": "demo",
        "ExecutionRoleArn": "arn:aws:iam::000000000000:role/demo",
        "SourceBucketArn": "arn:aws:s3:::demo-bucket",
        "DagS3Path": "dags/",
        "NetworkConfiguration": {"SubnetIds": ["subnet-1", "subnet-2"], "SecurityGroupIds": ["sg-1"]},
    }
