"""Entities → the structures that IAM answers with. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from aerodrome.api.query.call import Output
from aerodrome.model.iam import policies
from aerodrome.model.iam.directory import Directory
from aerodrome.model.iam.entities import Group, Policy, Role, User
from aerodrome.model.iam.errors import INVALID_INPUT, IamError


def user(found: User, *, whole: bool = True) -> Output:
    """A User; lists leave tags and boundary out."""
    output: Output = {
        "Path": found.path,
        "UserName": found.name,
        "UserId": found.unique_id,
        "Arn": found.arn,
        "CreateDate": found.created_at,
    }
    return output | _tags_and_boundary(found) if whole else output


def group(found: Group) -> Output:
    return {
        "Path": found.path,
        "GroupName": found.name,
        "GroupId": found.unique_id,
        "Arn": found.arn,
        "CreateDate": found.created_at,
    }


def role(found: Role, *, whole: bool = True) -> Output:
    """A Role; lists leave tags and boundary out."""
    output: Output = {
        "Path": found.path,
        "RoleName": found.name,
        "RoleId": found.unique_id,
        "Arn": found.arn,
        "CreateDate": found.created_at,
        "AssumeRolePolicyDocument": found.trust,
        "MaxSessionDuration": found.max_session_seconds,
        "Description": found.description or None,
    }
    return output | _tags_and_boundary(found) if whole else output


def policy(directory: Directory, found: Policy, *, whole: bool = True) -> Output:
    """A managed policy without its documents; lists leave description and tags out."""
    output: Output = {
        "PolicyName": found.name,
        "PolicyId": found.unique_id,
        "Arn": found.arn,
        "Path": found.path,
        "DefaultVersionId": found.default_version,
        "AttachmentCount": len(policies.attached_to(directory, found.arn)),
        "PermissionsBoundaryUsageCount": len(policies.bounded_by(directory, found.arn)),
        "IsAttachable": True,
        "CreateDate": found.created_at,
        "UpdateDate": found.updated_at,
    }
    return output | {"Description": found.description or None, "Tags": tags(found.tags)} if whole else output


def policy_version(found: Policy, version: str, *, whole: bool = True) -> Output:
    """One version; lists leave the document out."""
    output: Output = {
        "VersionId": version,
        "IsDefaultVersion": version == found.default_version,
        "CreateDate": found.versions[version].created_at,
    }
    return output | {"Document": found.versions[version].document} if whole else output


def tags(found: Mapping[str, str]) -> list[Output]:
    return [{"Key": key, "Value": value} for key, value in sorted(found.items())]


def tags_of(given: Mapping[str, Any]) -> dict[str, str]:
    """The tags of an input.

    Raises:
        IamError: a key was given twice.
    """
    listed = given.get("Tags", ())
    found = {tag["Key"]: tag["Value"] for tag in listed}
    if len({key.lower() for key in found}) != len(listed):
        sentence = "Duplicate tag keys found. Please note that Tag keys are case insensitive."
        raise IamError(INVALID_INPUT, sentence)
    return found


def attached(directory: Directory, arns: Iterable[str]) -> list[Output]:
    found = directory.policies_by_arn
    names = {arn: found[arn].name if arn in found else arn.rpartition("/")[2] for arn in arns}
    return [{"PolicyName": name, "PolicyArn": arn} for arn, name in names.items()]


def _tags_and_boundary(found: User | Role) -> Output:
    boundary = {"PermissionsBoundaryType": "PermissionsBoundaryPolicy", "PermissionsBoundaryArn": found.boundary}
    return {"Tags": tags(found.tags), "PermissionsBoundary": boundary if found.boundary else None}
