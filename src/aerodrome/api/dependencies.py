"""What the API's application needs, as one value that `assembly` makes."""

from __future__ import annotations

from dataclasses import dataclass, field

from aerodrome.api import bodies
from aerodrome.api.prometheus import Exposition
from aerodrome.api.query.dependencies import QueryDependencies
from aerodrome.budget import Budget
from aerodrome.identity.authenticator import Authenticator
from aerodrome.model.audit import Recorder
from aerodrome.operations.dependencies import Dependencies


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiDependencies:
    """What stands behind the front door."""

    operations: Dependencies
    """What MWAA's operations need."""

    query: QueryDependencies
    """What IAM and STS need; they speak AWS's query protocol."""

    authenticator: Authenticator

    record: Recorder
    """Writes the audit log's entry of each request."""

    aws_endpoint_url: str | None
    """Where requests for other AWS services go; None = clients must send them to the real AWS themselves."""

    exposition: Exposition
    """What Prometheus is shown."""

    bodies: Budget = field(default_factory=bodies.budget)
    """The memory that larger request bodies share."""
