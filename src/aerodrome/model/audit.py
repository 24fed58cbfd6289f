"""One entry of the audit log: who did, or was refused, what, on which resource, from where."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any


class AuditKind(StrEnum):
    """What an entry is about."""

    API_REQUEST = "API_REQUEST"
    """A request to the MWAA, IAM or STS API."""
    WEB_LOGIN = "WEB_LOGIN"
    WEB_LOGOUT = "WEB_LOGOUT"
    CLI_COMMAND = "CLI_COMMAND"
    WEB_REQUEST = "WEB_REQUEST"
    """A request that the gateway passed to Airflow, or refused; reads of pages and static files are not recorded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One audited act."""

    at: datetime
    kind: AuditKind
    environment: str | None
    """None: it concerns no single environment."""
    principal: str | None
    """ARN; None when nobody could be identified."""
    action: str
    """Such as `airflow:CreateWebLoginToken`, `dags trigger`, `POST /api/v2/dags/x/dagRuns`. Never with a secret."""
    resource: str
    allowed: bool
    address: str
    """The client's IP address."""
    sentence: str
    """For a person: what happened, or why it was refused."""
    detail: Mapping[str, Any] = field(default_factory=dict)
    is_free: bool = False
    """Whether it needed no permission, and told nothing but who asked."""


SESSION = r"^(arn:aws:sts::[0-9]+:assumed-role/[^/]+)/.*$"
"""The ARN of a role's session, whose name its holder chooses; the first group is the role's part."""


def holder(principal: str | None) -> str | None:
    """Whose entries count together: those of a role's sessions are the role's."""
    return re.sub(SESSION, r"\1", principal, flags=re.DOTALL) if principal else principal


Recorder = Callable[[Entry], None]
"""Takes an entry and returns at once; the entry is in the ledger within a second."""
