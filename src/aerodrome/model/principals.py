"""Who may sign a request: users, sessions of roles and services; and the policies that speak of them, as texts.

The ledger stores them, `identity` verifies and judges, the API and the gateway carry a `Principal` with each request.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

LONGEST_AIRFLOW_NAME = 64
"""Characters of a user name in Airflow, and of MWAA's AirflowIdentity."""


class PrincipalKind(StrEnum):
    """What kind of principal signed."""

    USER = "user"
    ASSUMED_ROLE = "assumed-role"
    SERVICE = "service"
    """Aerodrome's own part of an environment (its sidecar), which assumes the execution role as MWAA does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Who a request or a web session acts for."""

    kind: PrincipalKind
    account: str
    arn: str
    """Of the user; of the role's session (`arn:aws:sts::…:assumed-role/Role/session`); of a service, its name."""
    unique_id: str
    """`AIDA…`; `AROA…:session`; of a service, its name."""
    name: str
    """Of the user or of the role, without path; of a service, its name."""
    session_name: str | None = None
    role_arn: str | None = None
    """The ARN of the role behind a session, with its path."""
    session_policies: tuple[str, ...] = ()
    """Policy documents that AssumeRole was given: the session may do no more than they allow."""
    tags: Mapping[str, str] = field(default_factory=dict)
    """Of the user, or of the role and the session."""
    issued_at: datetime | None = None
    """When the session began; None for users and services."""
    expires_at: datetime | None = None
    environment: str | None = None
    """Of a service: the environment that it serves."""

    @property
    def airflow_name(self) -> str:
        """The user name in Airflow, as MWAA forms it: `user/ada`, `assumed-role/Engineer`.

        One longer than Airflow's column ends in a digest, so that no two principals share a name.
        """
        name = f"{self.kind}/{self.name}"
        if len(name) <= LONGEST_AIRFLOW_NAME:
            return name
        digest = hashlib.sha256(name.encode()).hexdigest()[:16]
        return f"{name[: LONGEST_AIRFLOW_NAME - len(digest) - 1]}-{digest}"

    @property
    def iam_arn(self) -> str:
        """The ARN that stands for the principal in policies: of a session, its role's."""
        return self.role_arn or self.arn


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyText:
    """A policy document and where it stands, such as "managed policy AmazonMWAAReadOnlyAccess of group data"."""

    source: str
    document: str
    arn: str = ""
    """Of a managed policy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Granted:
    """Every policy that limits or allows a principal, resource policies apart."""

    identity: tuple[PolicyText, ...]
    boundary: PolicyText | None = None
    """None: no permissions boundary."""
    session: tuple[PolicyText, ...] = ()
    """Empty: the session was made without session policies."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessKey:
    """A long-term access key of a user, or Aerodrome's own of an environment's service."""

    access_key_id: str
    sealed_secret: bytes = field(repr=False)
    """Opened by `identity.vault`."""
    principal: Principal
    active: bool
