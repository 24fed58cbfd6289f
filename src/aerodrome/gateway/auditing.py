"""The gateway's entries in the audit log. Plain reads of a page, a file or a document are not recorded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aerodrome.gateway.dependencies import GatewayDependencies
from aerodrome.gateway.requests import GatewayRequest
from aerodrome.model.audit import AuditKind, Entry
from aerodrome.model.principals import Principal

LONGEST_ACTION = 256
"""Characters; a path that a stranger sent may be longer."""


def record(
    deps: GatewayDependencies,
    visit: GatewayRequest,
    kind: AuditKind,
    sentence: str,
    *,
    principal: Principal | None = None,
    allowed: bool = True,
    action: str | None = None,
    detail: Mapping[str, Any] | None = None,
) -> None:
    """Record an act on the request's environment; without `action` it is named by method and path."""
    deps.record(
        Entry(
            at=deps.clock(),
            kind=kind,
            environment=visit.environment.name,
            principal=principal.arn if principal else None,
            action=(action or f"{visit.method} {visit.path}")[:LONGEST_ACTION],
            resource=visit.environment.arn,
            allowed=allowed,
            address=visit.address,
            sentence=sentence,
            detail=detail or {},
        )
    )
