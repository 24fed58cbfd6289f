"""One call of an IAM or STS operation: what came in, who asks, and what IAM said about it.

`service` makes it, and the operations read it. The audit log's entry is made from it at the end.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from aerodrome.api.query.dependencies import QueryDependencies
from aerodrome.identity import authorizer
from aerodrome.model.iam import identifiers
from aerodrome.model.iam.directory import Change, Directory
from aerodrome.model.iam.errors import ACCESS_DENIED, IamError
from aerodrome.model.principals import Principal

Context = Mapping[str, tuple[str, ...]]

Output = dict[str, Any]


@dataclass(kw_only=True)
class Call:
    """A call while it is answered; the audit log gets `action` and the members that follow."""

    deps: QueryDependencies
    given: Mapping[str, Any]
    """The validated input."""
    principal: Principal | None
    """Who signed; None only for AssumeRoleWithWebIdentity."""
    now: datetime
    context: Context
    """The condition keys that every request has."""
    action: str
    resource: str = "*"
    allowed: bool = False
    is_free: bool = False
    """Whether the answer needs no permission, and tells nothing but who asks."""
    sentence: str = ""
    federated: str | None = None
    """Who asks with a web identity token, after it is verified."""
    environment: str | None = field(default=None)
    """The environment, if its own service asks."""

    @property
    def iam(self) -> Directory:
        return self.deps.principals.directory

    @property
    def caller(self) -> Principal:
        """Who signed.

        Raises:
            IamError: nobody signed.
        """
        if self.principal is None:
            raise IamError(ACCESS_DENIED, "The request is not signed.")
        return self.principal

    def change(self, decide: Change) -> Directory:
        """Change IAM; blocks."""
        return self.deps.principals.change(decide)

    def unique_id(self, prefix: str) -> str:
        """A new unique id."""
        return identifiers.unique_id(prefix, secrets.token_bytes(identifiers.RANDOM_BYTES))

    def authorise(self, resource: str, context: Context, *, also: str | None = None) -> None:
        """Ask IAM about this call, or about another action that it needs (`also`), and note the answer.

        Raises:
            IamError: AccessDenied, in AWS's words.
        """
        request = authorizer.Request(action=also or self.action, resource=resource, context={**self.context, **context})
        decision = self.deps.authorizer.decide(self.caller, request)
        self.resource, self.allowed, self.sentence = resource, decision.allowed, decision.sentence
        if not decision.allowed:
            self.action = request.action
            raise IamError(ACCESS_DENIED, authorizer.refusal(self.caller, request, decision))

    def let(self, resource: str, sentence: str, *, is_free: bool = False) -> None:
        """Note that this call needs no permission; `is_free` is the member of that name."""
        self.resource, self.allowed, self.sentence, self.is_free = resource, True, sentence, is_free


Blocking = Callable[[Call], Output]
Operation = Callable[[Call], Awaitable[Output]]
