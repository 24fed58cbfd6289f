"""What the operator's application works with, as one value that `assembly` fills in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from aerodrome.backends.contract import Runtime
from aerodrome.ledger.audit import Audit
from aerodrome.model.iam.directory import Directory
from aerodrome.model.limits import Enforcement
from aerodrome.operations.dependencies import Dependencies
from aerodrome.services.clusters import Cluster


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorDependencies:
    """What stands behind the operator's socket."""

    operations: Dependencies
    audit: Audit
    directory: Callable[[], Directory]
    """IAM as it is now."""
    runtime: Runtime
    cluster: Callable[[], Cluster]
    services: Callable[[], list[dict[str, Any]]]
    """Name and state of each service."""
    troubles: Callable[[], list[str]]
    """What a person should mend now, in sentences that say how."""
    uids: Callable[[], str]
    """The ranges of uids that environments run under; empty where that is whoever started us."""
    primed: Callable[[], list[str]]
    """The Airflow versions that the next creation finds imported already."""
    limits: Callable[[], Enforcement]
    """What sees to the limits of environments and units."""
    user_databases: Path
    api: str
    """The address of the API."""
    port: int
    started_at: datetime
