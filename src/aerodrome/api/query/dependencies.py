"""What IAM and STS need from the rest of Aerodrome, as one value that `assembly` makes."""

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
        """Change IAM in one transaction and return the new directory; blocks.

        Raises:
            IamError: the rules do not allow the change; nothing was changed.
        """

    def last_use(self, access_key_id: str) -> KeyUse | None:
        """When an access key was used last; None = never."""


@dataclass(frozen=True, kw_only=True)
class QueryDependencies:
    """Everything that IAM and STS work with."""

    principals: PrincipalStore
    authorizer: Authorizer
    """Asks about the same principals."""
    session_tokens: SessionTokens
    region: str

    seal: Callable[[str], bytes]
    """Seals the secret of a new access key."""

    execution_roles_of: Callable[[str], Collection[str]]
    """Name of an environment → the ARNs of the roles that it may act as; none if it does not exist. Blocks."""

    issuers: Issuers
    """The OpenID Connect issuers whose tokens AssumeRoleWithWebIdentity accepts."""

    clock: Clock
