"""IAM's entities as they are at one moment: users, groups, roles, managed policies, OIDC providers, access keys.

Built by the rules beside this module and read back by the ledger. Policy documents are texts here: `identity.policy`
has judged them before they come in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

DEFAULT_SESSION_SECONDS = 3600
"""MaxSessionDuration of a role that was created without one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """An IAM user."""

    name: str
    path: str
    unique_id: str
    arn: str
    created_at: datetime
    attached: tuple[str, ...] = ()
    """ARNs of managed policies."""
    inline: Mapping[str, str] = field(default_factory=dict)
    """Name → document."""
    tags: Mapping[str, str] = field(default_factory=dict)
    boundary: str | None = None
    """The ARN of the managed policy that is the permissions boundary."""
    groups: tuple[str, ...] = ()
    """Unique ids of its groups, so that a group may change its name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """An IAM group; its members are told by the users."""

    name: str
    path: str
    unique_id: str
    arn: str
    created_at: datetime
    attached: tuple[str, ...] = ()
    inline: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """An IAM role."""

    name: str
    path: str
    unique_id: str
    arn: str
    created_at: datetime
    trust: str
    """Its trust policy (AssumeRolePolicyDocument)."""
    attached: tuple[str, ...] = ()
    inline: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    boundary: str | None = None
    description: str = ""
    max_session_seconds: int = DEFAULT_SESSION_SECONDS


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyVersion:
    """One version of a managed policy."""

    document: str
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """A managed policy: a customer's, or one of AWS's, which nobody changes."""

    name: str
    path: str
    unique_id: str
    arn: str
    created_at: datetime
    updated_at: datetime
    versions: Mapping[str, PolicyVersion]
    """`v1`, `v2` and so on; a number is never used again."""
    default_version: str
    latest_number: int
    """Of the version that was made last, though it may be deleted."""
    description: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def document(self) -> str:
        """The document of the default version: what the policy says."""
        return self.versions[self.default_version].document


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """An OpenID Connect provider whose tokens roles may trust."""

    name: str
    """Its URL without the scheme, as it stands in the ARN and in condition keys."""
    url: str
    arn: str
    created_at: datetime
    client_ids: tuple[str, ...]
    thumbprints: tuple[str, ...]
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """An access key of a user, without its last use, which the ledger keeps apart."""

    access_key_id: str
    user_id: str
    """The unique id of the user, who may change names."""
    sealed_secret: bytes = field(repr=False)
    active: bool
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyUse:
    """When, for which service and in which region a key signed last."""

    at: datetime
    service: str
    region: str


Holder = User | Group | Role
"""Who can have policies."""

Entity = User | Group | Role | Policy | Provider
