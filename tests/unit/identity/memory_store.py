"""An identity store in memory, and principals and policies to fill it with."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from aerodrome.model.principals import AccessKey, Granted, PolicyText, Principal, PrincipalKind

ACCOUNT = "123456789012"
ENVIRONMENT = f"arn:aws:airflow:eu-west-1:{ACCOUNT}:environment/one"
ADA = Principal(
    kind=PrincipalKind.USER,
    account=ACCOUNT,
    arn=f"arn:aws:iam::{ACCOUNT}:user/ada",
    unique_id="AIDAAAAAAAAAAAAAAAAAA",
    name="ada",
    tags={"Team": "data"},
)
ENGINEER = f"arn:aws:iam::{ACCOUNT}:role/teams/Engineer"
SESSION = Principal(
    kind=PrincipalKind.ASSUMED_ROLE,
    account=ACCOUNT,
    arn=f"arn:aws:sts::{ACCOUNT}:assumed-role/Engineer/today",
    unique_id="AROAAAAAAAAAAAAAAAAAA:today",
    name="Engineer",
    session_name="today",
    role_arn=ENGINEER,
)
SIDECAR = Principal(
    kind=PrincipalKind.SERVICE,
    account=ACCOUNT,
    arn="airflow-env.amazonaws.com",
    unique_id="airflow-env.amazonaws.com",
    name="airflow-env.amazonaws.com",
    environment="one",
)


def document(*statements: dict[str, Any], version: str = "2012-10-17") -> str:
    return json.dumps({"Version": version, "Statement": list(statements)})


def statement(effect: str = "Allow", action: Any = "*", resource: Any = "*", **elements: Any) -> dict[str, Any]:
    return {"Effect": effect, "Action": action, "Resource": resource, **elements}


def trusting(principal: Any, effect: str = "Allow", action: Any = "sts:AssumeRole", **elements: Any) -> dict[str, Any]:
    return {"Effect": effect, "Principal": principal, "Action": action, **elements}


def texts(documents: Sequence[str], kind: str = "policy") -> tuple[PolicyText, ...]:
    return tuple(PolicyText(source=f"{kind} {number}", document=text) for number, text in enumerate(documents, start=1))


def grants(*identity: str, boundary: str | None = None, session: Sequence[str] = ()) -> Granted:
    return Granted(
        identity=texts(identity),
        boundary=PolicyText(source="the boundary", document=boundary) if boundary else None,
        session=texts(session, "session policy"),
    )


@dataclass
class MemoryIdentityStore:
    """Whatever a test puts into it; `uses` are the notes of `used`."""

    keys: dict[str, AccessKey] = field(default_factory=dict)
    grants: dict[str, Granted] = field(default_factory=dict)
    """By unique id without a session's name."""
    arns: dict[str, str] = field(default_factory=dict)
    """Of users and roles by unique id: who has another by now is not the one it was. May be left out."""
    trusts: dict[str, str] = field(default_factory=dict)
    """Documents by the ARN of their role."""
    environments: set[str] = field(default_factory=lambda: {"one"})
    """Those whose services exist."""
    uses: list[tuple[str, str, str]] = field(default_factory=list)

    def access_key(self, access_key_id: str) -> AccessKey | None:
        found = self.keys.get(access_key_id)
        return found if found is not None and self._serves(found.principal) else None

    def granted(self, principal: Principal) -> Granted | None:
        if principal.kind is PrincipalKind.SERVICE:
            return Granted(identity=()) if self._serves(principal) else None
        unique_id = principal.unique_id.partition(":")[0]
        found = self.grants.get(unique_id)
        if found is None or self.arns.get(unique_id, principal.iam_arn) != principal.iam_arn:
            return None
        return replace(found, session=found.session + texts(principal.session_policies, "session policy"))

    def trust(self, role_arn: str) -> PolicyText | None:
        found = self.trusts.get(role_arn)
        name = role_arn.rpartition("/")[2]
        return PolicyText(source=f"trust policy of role {name}", document=found) if found else None

    def used(self, access_key_id: str, service: str, region: str, now: datetime) -> None:
        assert now.tzinfo is not None
        self.uses.append((access_key_id, service, region))

    def _serves(self, principal: Principal) -> bool:
        """Not the service of an environment that is gone."""
        return principal.environment is None or principal.environment in self.environments
