"""What the API's application works with, as one value that `assembly` fills in."""

from __future__ import annotations

from dataclasses import dataclass, field

from aerodrome.api import bodies
from aerodrome.api.query.dependencies import QueryDependencies
from aerodrome.budget import Budget
from aerodrome.identity.authenticator import Authenticator
from aerodrome.model.audit import Recorder
from aerodrome.operations.dependencies import Dependencies


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiDependencies:
    """What stands behind the front door."""

    operations: Dependencies
    """What MWAA's operations work with."""

    query: QueryDependencies
    """What IAM and STS work with, which speak AWS's query protocol."""

    authenticator: Authenticator

    record: Recorder
    """Takes what the audit log is to have of each request."""

    aws_endpoint_url: str | None
    """Where requests for other AWS services go; None when the real AWS is in use and clients must talk to it."""

    bodies: Budget = field(default_factory=bodies.budget)
    """What bodies that are not small may take together."""
