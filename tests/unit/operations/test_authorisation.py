"""Whether a web session may go on: IAM is asked anew, for this role, this environment and this client."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

from aerodrome.identity.authorizer import Authorizer
from aerodrome.operations import authorisation
from aerodrome.settings import Settings
from unit.identity.memory_store import ACCOUNT, ADA, MemoryIdentityStore, document, grants, statement

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
OP = f"arn:aws:airflow:us-east-1:{ACCOUNT}:role/demo/Op"


def still_granted(*statements: dict[str, Any], name: str = "demo", role: str = "Op", address: str = "10.1.1.1") -> bool:
    store = MemoryIdentityStore(grants={ADA.unique_id: grants(document(*statements))} if statements else {})
    deps: Any = SimpleNamespace(authorizer=Authorizer(store), settings=Settings(account_id=ACCOUNT), clock=lambda: NOW)
    environment: Any = SimpleNamespace(name=name)
    return authorisation.still_granted(deps, ADA, environment, role, address)


LOGIN = statement(action="airflow:CreateWebLoginToken", resource=OP)
NEAR = statement(
    action="airflow:CreateWebLoginToken", resource=OP, Condition={"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}
)


def test_a_session_goes_on_where_iam_still_grants_its_login() -> None:
    assert still_granted(LOGIN)
    assert not still_granted(LOGIN, role="Admin")
    assert not still_granted(LOGIN, name="other")


def test_a_session_of_somebody_who_is_gone_or_lost_the_right_ends() -> None:
    assert not still_granted()
    assert not still_granted(statement(action="airflow:InvokeRestApi", resource=OP))
    assert not still_granted(LOGIN, statement("Deny", "airflow:*"))


def test_a_session_is_granted_to_the_client_where_it_is_now() -> None:
    assert still_granted(NEAR)
    assert not still_granted(NEAR, address="192.0.2.7")
