"""What IAM and STS need from the rest of Aerodrome, as one value that `runtime` fills in."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Protocol

from aerodrome.api.sts.issuers import Issuers
from aerodrome.clock import Clock
from aerodrome.identity.authorizer import Authorizer
from aerodrome.identity.session_tokens import SessionTokens
from aerodrome.model.iam.directory import Change, Directory
from aerodrome.model.iam.entities import KeyUse


class PrincipalStore(Protocol):
    """IAM in the ledger, as the API sees it."""

    @property
    def directory(self) -> Directory:
        """IAM as it is now; costs nothing."""

    def change(self, decide: Change) -> Directory:
        """Change IAM in one transaction and return what it is then; blocks.

        Raises:
            IamError: the rules are against it; nothing was changed.
        """

    def last_use(self, access_key_id: str) -> KeyUse | None:
        """When an access key was used last; None: never."""


@dataclass(frozen=True, kw_only=True)
class QueryDependencies:
    """Everything behind the query protocol."""

    principals: PrincipalStore
    authorizer: Authorizer
    """Over the same principals."""
    session_tokens: SessionTokens
    region: str

    seal: Callable[[str], bytes]
    """Seals the secret of a new access key."""

    execution_roles_of: Callable[[str], Collection[str]]
    """Name of an environment → the ARNs of the roles that it may act as; none for no environment. Blocks."""

    issuers: Issuers
    """The OpenID Connect issuers whose tokens AssumeRoleWithWebIdentity takes."""

    clock: Clock
