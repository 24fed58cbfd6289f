"""IAM's default quotas, under the names that GetAccountSummary tells them by, and how policies are measured."""

from __future__ import annotations

from collections.abc import Mapping

from aerodrome.model.iam import errors
from aerodrome.model.iam.entities import Group, Holder, Role, User

QUOTAS: Mapping[str, int] = {
    "UsersQuota": 5000,
    "GroupsQuota": 300,
    "RolesQuota": 1000,
    "PoliciesQuota": 1500,
    "AccessKeysPerUserQuota": 2,
    "GroupsPerUserQuota": 10,
    "AttachedPoliciesPerUserQuota": 10,
    "AttachedPoliciesPerGroupQuota": 10,
    "AttachedPoliciesPerRoleQuota": 10,
    "VersionsPerPolicyQuota": 5,
    "PolicySizeQuota": 6144,
    "UserPolicySizeQuota": 2048,
    "GroupPolicySizeQuota": 5120,
    "RolePolicySizeQuota": 10240,
    "AssumeRolePolicySizeQuota": 2048,
}

MOST_PROVIDERS = 100
MOST_TAGS = 50
"""Tags of one entity."""

_HOLDERS: Mapping[type[Holder], str] = {User: "User", Group: "Group", Role: "Role"}


def check_count(quota: str, wanted: int) -> None:
    """Raises LimitExceeded when there would be more than the quota allows."""
    most = QUOTAS[quota]
    if wanted > most:
        raise errors.limit(quota.removesuffix("Quota"), most)


def check_attached(holder: Holder, wanted: int) -> None:
    """Raises LimitExceeded when the holder would have too many managed policies."""
    most = QUOTAS[f"AttachedPoliciesPer{_HOLDERS[type(holder)]}Quota"]
    if wanted > most:
        raise errors.limit(f"PoliciesPer{_HOLDERS[type(holder)]}", most)


def check_inline(holder: Holder, documents: Mapping[str, str]) -> None:
    """Raises LimitExceeded when the inline policies together would be too long."""
    kind = _HOLDERS[type(holder)]
    most = QUOTAS[f"{kind}PolicySizeQuota"]
    if sum(map(size, documents.values())) > most:
        sentence = f"Maximum policy size of {most} bytes exceeded for {kind.lower()} {holder.name}"
        raise errors.IamError(errors.LIMIT_EXCEEDED, sentence)


def check_managed(document: str) -> None:
    """Raises LimitExceeded when a managed policy is too long."""
    if size(document) > QUOTAS["PolicySizeQuota"]:
        raise errors.limit("PolicySize", QUOTAS["PolicySizeQuota"])


def check_trust(document: str) -> None:
    """Raises LimitExceeded when a trust policy is too long."""
    if size(document) > QUOTAS["AssumeRolePolicySizeQuota"]:
        raise errors.limit("ACLSizePerRole", QUOTAS["AssumeRolePolicySizeQuota"])


def size(document: str) -> int:
    """Characters of a policy as IAM counts them: white space is free."""
    return sum(not character.isspace() for character in document)
