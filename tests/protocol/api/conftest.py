"""The front door on a loopback port with memory behind it, and real clients before it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import boto3
import pytest
import structlog
from botocore.config import Config

from aerodrome.api.app import create_app
from aerodrome.api.dependencies import ApiDependencies
from aerodrome.settings import Settings
from protocol.api import raw
from protocol.api.behind import Behind
from protocol.api.serving import served

OUR_MISTAKES = {"undeclared_error", "unexpected_error"}


@pytest.fixture
def behind() -> Behind:
    return Behind()


@pytest.fixture
def deps(behind: Behind, tmp_path: Path) -> ApiDependencies:
    return behind.deps(Settings(data=tmp_path, quota_environments=3))


@pytest.fixture(autouse=True)
def logged() -> Iterator[list[Any]]:
    """Every log event; a mistake of ours that no test expects fails it. A test that does expect one removes it."""
    with structlog.testing.capture_logs() as events:
        yield events
    assert [event for event in events if event["event"] in OUR_MISTAKES] == []


@pytest.fixture
def port(deps: ApiDependencies) -> Iterator[int]:
    with served(create_app(deps)) as found:
        yield found


@pytest.fixture(scope="session")
def session() -> Any:
    """One for all clients: it keeps the service models that it has read."""
    return boto3.Session(raw.ADMIN.access_key_id, raw.ADMIN.secret, region_name="us-east-1")


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
def creation() -> dict[str, Any]:
    """The least that CreateEnvironment takes."""
    return {
        "Name": "demo",
        "ExecutionRoleArn": "arn:aws:iam::000000000000:role/demo",
        "SourceBucketArn": "arn:aws:s3:::demo-bucket",
        "DagS3Path": "dags/",
        "NetworkConfiguration": {"SubnetIds": ["subnet-1", "subnet-2"], "SecurityGroupIds": ["sg-1"]},
    }
