"""Roles, and the one service-linked role that MWAA has. Pure; trust policies were parsed before."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from aerodrome.model.iam import errors, holders, quotas, trusted
from aerodrome.model.iam.directory import Directory, key
from aerodrome.model.iam.entities import DEFAULT_SESSION_SECONDS, Role

MWAA_SERVICE = "airflow.amazonaws.com"
SERVICE_LINKED_NAME = "AWSServiceRoleForAmazonMWAA"
SERVICE_LINKED_PATH = f"{holders.SERVICE_LINKED_PATH}{MWAA_SERVICE}/"
SERVICE_LINKED_POLICY = "aws-service-role/AmazonMWAAServiceRolePolicy"
"""Path and name of the managed policy that the service-linked role has."""


def create(
    directory: Directory,
    name: str,
    trust: str,
    *,
    path: str = "/",
    description: str = "",
    max_session_seconds: int = DEFAULT_SESSION_SECONDS,
    tags: Mapping[str, str] | None = None,
    boundary: str | None = None,
    unique_id: str,
    now: datetime,
) -> Directory:
    """With a new role."""
    if path.startswith(holders.SERVICE_LINKED_PATH):
        sentence = f"The path {path} belongs to service-linked roles: use CreateServiceLinkedRole."
        raise errors.IamError(errors.INVALID_INPUT, sentence)
    if key(name) in directory.roles:
        raise errors.IamError(errors.ALREADY_EXISTS, f"Role with name {name} already exists.")
    quotas.check_count("RolesQuota", len(directory.roles) + 1)
    quotas.check_trust(trust)
    trusted.check(directory, trust)
    if boundary is not None:
        holders.attachable(directory, boundary)
    role = Role(
        name=name,
        path=path,
        unique_id=unique_id,
        arn=directory.arn("role", path, name),
        created_at=now,
        trust=trust,
        tags=holders.checked_tags(tags or {}),
        boundary=boundary,
        description=description,
        max_session_seconds=max_session_seconds,
    )
    return directory.having(role)


def create_service_linked(
    directory: Directory, service: str, *, description: str, unique_id: str, now: datetime
) -> Directory:
    """With MWAA's service-linked role; no other service has one here."""
    if service != MWAA_SERVICE:
        sentence = f"Service-linked roles exist here for {MWAA_SERVICE} only, not for {service}."
        raise errors.IamError(errors.INVALID_INPUT, sentence)
    if key(SERVICE_LINKED_NAME) in directory.roles:
        sentence = (
            f"Service role name {SERVICE_LINKED_NAME} has been taken in this account, please try a different suffix."
        )
        raise errors.IamError(errors.INVALID_INPUT, sentence)
    trust = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Principal": {"Service": MWAA_SERVICE}, "Action": "sts:AssumeRole"}],
    }
    role = Role(
        name=SERVICE_LINKED_NAME,
        path=SERVICE_LINKED_PATH,
        unique_id=unique_id,
        arn=directory.arn("role", SERVICE_LINKED_PATH, SERVICE_LINKED_NAME),
        created_at=now,
        trust=json.dumps(trust),
        description=description,
        attached=(f"arn:{directory.partition}:iam::aws:policy/{SERVICE_LINKED_POLICY}",),
    )
    return directory.having(role)


def no_suffix(service: str) -> errors.IamError:
    """The refusal of a suffix: MWAA has one service-linked role."""
    return errors.IamError(errors.INVALID_INPUT, f"Custom suffix is not allowed for {service}")


def update(directory: Directory, name: str, *, description: str | None, max_session_seconds: int | None) -> Directory:
    """With another description or longest session; what is None stays."""
    role = directory.role(name)
    if max_session_seconds is not None:
        holders.refuse_service_linked(role)
        role = replace(role, max_session_seconds=max_session_seconds)
    if description is not None:
        role = replace(role, description=description)
    return directory.having(role)


def update_trust(directory: Directory, name: str, trust: str) -> Directory:
    """With another trust policy; sessions that exist stay."""
    role = directory.role(name)
    holders.refuse_service_linked(role)
    quotas.check_trust(trust)
    trusted.check(directory, trust)
    return directory.having(replace(role, trust=trust))


def delete(directory: Directory, name: str) -> Directory:
    """Without the role, which must have no policies; its sessions end with it."""
    role = directory.role(name)
    holders.refuse_service_linked(role)
    holders.check_bare(role)
    return trusted.gone(directory, role).lacking(role)


def delete_service_linked(directory: Directory, name: str) -> Directory:
    """Without MWAA's service-linked role: nothing of ours depends on it."""
    role = directory.role(name)
    if not role.path.startswith(holders.SERVICE_LINKED_PATH):
        raise errors.IamError(errors.NO_SUCH_ENTITY, f"{name} is not a service-linked role: use DeleteRole.")
    return directory.lacking(role)
