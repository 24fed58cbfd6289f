"""The audit log's entry for a request: gathered while the request is answered, recorded once at its end.

Bodies, secrets, tokens and signatures never come here. If a caller could not be identified, the entry has only the
access key's id.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from aerodrome.model.audit import AuditKind, Entry
from aerodrome.model.principals import Principal
from aerodrome.model.spec import Document
from aerodrome.operations import permissions


@dataclass(slots=True, kw_only=True)
class Trail:
    """What is known about one request so far; every step writes down what it found out."""

    at: datetime
    address: str
    request_id: str
    action: str
    resource: str = "*"
    environment: str | None = None
    principal: Principal | None = None
    allowed: bool = False
    is_free: bool = False
    sentence: str = ""
    detail: dict[str, Any] = field(default_factory=dict)

    def about(self, given: Document) -> None:
        """Note which environment a well-formed input is about, and a REST call's method and path without its query."""
        self.environment = permissions.environment_name(given)
        if "Method" in given:
            self.detail |= {"method": given["Method"], "path": given["Path"].partition("?")[0]}

    def failed(self, code: str, message: str) -> None:
        """Note that the answer is an error. The entry gets its sentence unless a decision was noted before."""
        self.detail["error"] = code
        self.sentence = self.sentence or message

    def entry(self) -> Entry:
        """The entry with what is known so far."""
        return Entry(
            at=self.at,
            kind=AuditKind.API_REQUEST,
            environment=self.environment,
            principal=self.principal.arn if self.principal else None,
            action=self.action,
            resource=self.resource,
            allowed=self.allowed,
            address=self.address,
            sentence=self.sentence,
            is_free=self.is_free,
            detail={"request_id": self.request_id, **self.detail},
        )
