"""What an operation knows about its caller: who it is, and which Airflow role IAM granted."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from aerodrome.model.principals import Principal


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """An authenticated caller whom IAM allows this operation."""

    principal: Principal
    at: datetime
    """When the request arrived; the life of the tokens that it makes begins then."""
    role: str | None = None
    """Set for operations whose resource is an Airflow role."""

    @property
    def airflow_role(self) -> str:
        """The granted role, for operations that have one."""
        assert self.role is not None  # noqa: S101 - the table of permissions sees to it
        return self.role
