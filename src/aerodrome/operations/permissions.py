"""What IAM must allow for each MWAA operation: action, resource and condition keys, as AWS's reference lists them.

`authorisation` asks IAM by it, and `tools/reference.py` writes the reference's page "Permissions" from it. Operations
beyond MWAA's API have no row: AWS has no action for them, and only the machine's owner can ask for them. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from aerodrome.model import arns
from aerodrome.model.spec import Document

PREFIX = "airflow"
"""The prefix of MWAA's actions in a policy."""

TAG_RESOURCE = "TagResource"
"""The operation whose permission CreateEnvironment needs as well, when it gives tags."""

WEB_LOGIN = "CreateWebLoginToken"
"""The operation whose permission a web session needs as long as it lasts."""

PASS_ROLE = "iam:PassRole"  # noqa: S105 - an action
PASSED_TO = "airflow.amazonaws.com"
"""The value of iam:PassedToService: MWAA's name as a service."""


class Scope(StrEnum):
    """The kinds of resource that MWAA's actions are about, as the last part of an ARN."""

    ANYTHING = "*"
    ENVIRONMENT = "environment/${EnvironmentName}"
    ROLE = "role/${EnvironmentName}/${RoleName}"
    """An Airflow role in an environment; the highest one that is granted counts."""


@dataclass(frozen=True, slots=True)
class Permission:
    """What one operation needs."""

    scope: Scope
    keys: tuple[str, ...] = ()
    """Condition keys beside the global ones."""
    passes_role: bool = False
    """Whether a request that names an execution role needs iam:PassRole on it as well."""
    tags: bool = False
    """Whether a request with tags needs the permission of TagResource as well."""


_REQUEST_TAG, _TAG_KEYS, _RESOURCE_TAG = "aws:RequestTag/${TagKey}", "aws:TagKeys", "aws:ResourceTag/${TagKey}"

TABLE: Mapping[str, Permission] = {
    "CreateEnvironment": Permission(Scope.ENVIRONMENT, (_REQUEST_TAG, _TAG_KEYS), passes_role=True, tags=True),
    "GetEnvironment": Permission(Scope.ENVIRONMENT, (_RESOURCE_TAG,)),
    "ListEnvironments": Permission(Scope.ANYTHING),
    "UpdateEnvironment": Permission(Scope.ENVIRONMENT, (_RESOURCE_TAG,), passes_role=True),
    "DeleteEnvironment": Permission(Scope.ENVIRONMENT, (_RESOURCE_TAG,)),
    WEB_LOGIN: Permission(Scope.ROLE),
    "CreateCliToken": Permission(Scope.ENVIRONMENT, (_RESOURCE_TAG,)),
    "InvokeRestApi": Permission(Scope.ROLE),
    "PublishMetrics": Permission(Scope.ENVIRONMENT, (_RESOURCE_TAG,)),
    "TagResource": Permission(Scope.ENVIRONMENT, (_REQUEST_TAG, _TAG_KEYS, _RESOURCE_TAG)),
    "UntagResource": Permission(Scope.ENVIRONMENT, (_TAG_KEYS, _RESOURCE_TAG)),
    "ListTagsForResource": Permission(Scope.ENVIRONMENT, (_RESOURCE_TAG,)),
}
"""Operation → permission. Every operation of the service model has a row; a test compares."""


def action(operation: str) -> str:
    """The action of an operation, as policies name it."""
    return f"{PREFIX}:{operation}"


def environment_name(given: Document) -> str | None:
    """The name of the environment that an input is about; None for ListEnvironments, and for another resource's ARN."""
    if "ResourceArn" in given:
        return arns.environment_name(given["ResourceArn"])
    name: str | None = given.get("Name", given.get("EnvironmentName"))
    return name


def environment_arn(given: Document, *, region: str, account: str) -> str:
    """The resource of an action on an environment; an ARN in the input is used as it was given, whatever it names."""
    if "ResourceArn" in given:
        return str(given["ResourceArn"])
    return arns.environment(region=region, account=account, name=environment_name(given) or "")


def tag_context(given: Document, tags: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """The condition keys of tags: those of the request, and the environment's own (`tags`)."""
    found: dict[str, tuple[str, ...]] = {}
    requested: Mapping[str, str] = given.get("Tags") or {}
    for key, value in requested.items():
        _add(found, f"aws:requesttag/{key.lower()}", value)
    for key in [*requested, *(given.get("tagKeys") or ())]:
        _add(found, "aws:tagkeys", key)
    for key, value in tags.items():
        _add(found, f"aws:resourcetag/{key.lower()}", value)
    return found


def _add(found: dict[str, tuple[str, ...]], key: str, value: str) -> None:
    """Add a value. Keys that differ only by case are one key with several values: IAM does not tell them apart."""
    found[key] = (*found.get(key, ()), value)
