"""Customer managed policies and their versions. Pure; documents were parsed before. AWS's own refuse every change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from aerodrome.model.iam import errors, holders, quotas
from aerodrome.model.iam.directory import Directory, key
from aerodrome.model.iam.entities import Holder, Policy, PolicyVersion, Role, User


def create(
    directory: Directory,
    name: str,
    document: str,
    *,
    path: str = "/",
    description: str = "",
    tags: Mapping[str, str] | None = None,
    unique_id: str,
    now: datetime,
) -> Directory:
    """With a new managed policy, whose first version is `v1`."""
    if key(name) in directory.policies:
        sentence = f"A policy called {name} already exists. Duplicate names are not allowed."
        raise errors.IamError(errors.ALREADY_EXISTS, sentence)
    quotas.check_count("PoliciesQuota", len(directory.policies) + 1)
    quotas.check_managed(document)
    policy = Policy(
        name=name,
        path=path,
        unique_id=unique_id,
        arn=directory.arn("policy", path, name),
        created_at=now,
        updated_at=now,
        versions={"v1": PolicyVersion(document=document, created_at=now)},
        default_version="v1",
        latest_number=1,
        description=description,
        tags=holders.checked_tags(tags or {}),
    )
    return directory.having(policy)


def create_version(
    directory: Directory, arn: str, document: str, *, set_as_default: bool, now: datetime
) -> tuple[Directory, str]:
    """With a new version, and what it is called."""
    policy = own(directory, arn)
    if len(policy.versions) >= quotas.QUOTAS["VersionsPerPolicyQuota"]:
        sentence = (
            f"A managed policy can have up to {quotas.QUOTAS['VersionsPerPolicyQuota']} versions. Before you create "
            "a new version, you must delete an existing version."
        )
        raise errors.IamError(errors.LIMIT_EXCEEDED, sentence)
    quotas.check_managed(document)
    number = policy.latest_number + 1
    version = f"v{number}"
    changed = replace(
        policy,
        versions={**policy.versions, version: PolicyVersion(document=document, created_at=now)},
        default_version=version if set_as_default else policy.default_version,
        latest_number=number,
        updated_at=now,
    )
    return directory.having(changed), version


def version_of(policy: Policy, version: str) -> PolicyVersion:
    """One version of a policy."""
    found = policy.versions.get(version)
    if found is None:
        sentence = f"Policy {policy.arn} version {version} does not exist or is not attachable."
        raise errors.IamError(errors.NO_SUCH_ENTITY, sentence)
    return found


def set_default_version(directory: Directory, arn: str, version: str, *, now: datetime) -> Directory:
    """With another version in force."""
    policy = own(directory, arn)
    version_of(policy, version)
    return directory.having(replace(policy, default_version=version, updated_at=now))


def delete_version(directory: Directory, arn: str, version: str) -> Directory:
    """Without the version, which must not be the one in force."""
    policy = own(directory, arn)
    version_of(policy, version)
    if version == policy.default_version:
        raise errors.IamError(errors.DELETE_CONFLICT, "Cannot delete the default version of a policy.")
    kept = {each: found for each, found in policy.versions.items() if each != version}
    return directory.having(replace(policy, versions=kept))


def delete(directory: Directory, arn: str) -> Directory:
    """Without the policy, which nobody may have any more."""
    policy = own(directory, arn)
    if attached_to(directory, arn) or bounded_by(directory, arn):
        raise errors.IamError(errors.DELETE_CONFLICT, "Cannot delete a policy attached to entities.")
    if len(policy.versions) > 1:
        sentence = (
            "This policy has more than one version. Before you delete a policy, you must delete the policy's "
            "versions. The default version is deleted with the policy."
        )
        raise errors.IamError(errors.DELETE_CONFLICT, sentence)
    return directory.lacking(policy)


def attached_to(directory: Directory, arn: str) -> list[Holder]:
    """Who has the policy attached."""
    return [holder for holder in directory.holders() if arn in holder.attached]


def bounded_by(directory: Directory, arn: str) -> list[User | Role]:
    """Whose permissions boundary the policy is."""
    bounded: list[User | Role] = [*directory.users.values(), *directory.roles.values()]
    return [each for each in bounded if each.boundary == arn]


def own(directory: Directory, arn: str) -> Policy:
    """The customer managed policy with this ARN, fit to be changed."""
    if arn in directory.aws_policies:
        sentence = f"Policy {arn} is an AWS managed policy: it is read-only and cannot be changed."
        raise errors.IamError(errors.ACCESS_DENIED, sentence)
    return directory.policy(arn)
