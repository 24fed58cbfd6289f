"""IAM and STS on a loopback port with memory behind them, and boto3 before them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import boto3
import pytest
import structlog
from botocore import UNSIGNED
from botocore.config import Config

from protocol.api.serving import served
from protocol.iam.world import ADMIN_KEY, World, policy

OUR_MISTAKES = {"undeclared_error", "unexpected_error"}


@pytest.fixture(autouse=True)
def logged() -> Iterator[list[Any]]:
    """Every log event; a mistake of ours that no test expects fails it."""
    with structlog.testing.capture_logs() as events:
        yield events
    assert [event for event in events if event["event"] in OUR_MISTAKES] == []


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def port(world: World) -> Iterator[int]:
    with served(world) as found:
        yield found


@pytest.fixture(scope="session")
def session() -> Any:
    """One for all clients: it keeps the service models that it has read."""
    return boto3.Session(aws_access_key_id="AKID", aws_secret_access_key="secret", region_name="us-east-1")


@pytest.fixture
def client(port: int, session: Any) -> Iterator[Callable[..., Any]]:
    """Makes clients: (service, key id and secret, and a session token perhaps) → client; no key: unsigned."""
    with ExitStack() as stack:

        def make(service: str, key: tuple[str, ...] | None = ADMIN_KEY, **configuration: Any) -> Any:
            if key is None:
                configuration["signature_version"] = UNSIGNED
            config = Config(retries={"total_max_attempts": 1}, read_timeout=60, **configuration)
            names = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")
            made = session.client(
                service,
                endpoint_url=f"http://127.0.0.1:{port}",
                config=config,
                **dict(zip(names, key or (), strict=False)),
            )
            stack.callback(made.close)
            return made

        yield make


@pytest.fixture
def iam(client: Callable[..., Any]) -> Any:
    """The administrator's."""
    return client("iam")


@pytest.fixture
def sts(client: Callable[..., Any]) -> Any:
    return client("sts")


@pytest.fixture
def person(iam: Any) -> Callable[..., tuple[str, str]]:
    """Makes users with a policy and an access key: (name, actions, resources) → key."""

    def make(name: str, action: Any = None, resource: Any = "*", **more: Any) -> tuple[str, str]:
        iam.create_user(UserName=name)
        if action is not None:
            document = policy(action, resource, **more)
            iam.put_user_policy(UserName=name, PolicyName="own", PolicyDocument=document)
        key = iam.create_access_key(UserName=name)["AccessKey"]
        return key["AccessKeyId"], key["SecretAccessKey"]

    return make
