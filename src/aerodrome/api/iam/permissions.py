"""What IAM must allow for each of its own operations: the resources and the condition keys of a call.

`table` asks before an operation runs. Resources are those of AWS's service authorization reference. An entity that does
not exist gets the ARN that it would have, so that a refusal does not tell what exists. This module only reads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from aerodrome.api.iam import callers
from aerodrome.api.query.call import Call, Context
from aerodrome.model.iam import roles
from aerodrome.model.iam.directory import key
from aerodrome.model.iam.entities import Entity, Group, Policy, Provider, Role, User

Subject = tuple[str, Entity | None]
"""A resource, and its entity if that exists."""

SubjectsOf = Callable[[Call], Iterable[Subject]]


def _anything(_call: Call) -> list[Subject]:
    return [("*", None)]


def _below(kind: str) -> SubjectsOf:
    """The subject of a list: everything below a path."""

    def subjects(call: Call) -> list[Subject]:
        return [(call.iam.arn(kind, call.given.get("PathPrefix", "/"), ""), None)]

    return subjects


def _user(call: Call) -> list[Subject]:
    return [_named(call, "user", call.iam.users, callers.user_name(call))]


def _user_and_target(call: Call) -> list[Subject]:
    """The subjects of a renaming, which needs permission on both names."""
    subject = _named(call, "user", call.iam.users, call.given["UserName"])
    return [subject, _target(call, "user", call.given["UserName"], call.given.get("NewUserName"), subject[1])]


def _group(call: Call) -> list[Subject]:
    return [_named(call, "group", call.iam.groups, call.given["GroupName"])]


def _group_and_target(call: Call) -> list[Subject]:
    subject = _named(call, "group", call.iam.groups, call.given["GroupName"])
    return [subject, _target(call, "group", call.given["GroupName"], call.given.get("NewGroupName"), subject[1])]


def _role(call: Call) -> list[Subject]:
    return [_named(call, "role", call.iam.roles, call.given["RoleName"])]


def _new_policy(call: Call) -> list[Subject]:
    return [(call.iam.arn("policy", call.given.get("Path", "/"), call.given["PolicyName"]), None)]


def _policy(call: Call) -> list[Subject]:
    arn = call.given["PolicyArn"]
    return [(arn, call.iam.policies_by_arn.get(arn))]


def _new_provider(call: Call) -> list[Subject]:
    name = call.given["Url"].partition("://")[2].rstrip("/")
    return [(call.iam.arn("oidc-provider", "/", name), None)]


def _provider(call: Call) -> list[Subject]:
    arn = call.given["OpenIDConnectProviderArn"]
    return [(arn, next((each for each in call.iam.providers.values() if each.arn == arn), None))]


def _providers(call: Call) -> list[Subject]:
    return [(call.iam.arn("oidc-provider", "/", ""), None)]


def _service_linked_role(call: Call) -> list[Subject]:
    path = f"/aws-service-role/{call.given['AWSServiceName']}/"
    return [(call.iam.arn("role", path, roles.SERVICE_LINKED_NAME), None)]


def _owner_of_key(call: Call) -> list[Subject]:
    owner = callers.owner_of_key(call)
    return [(owner.arn, owner)] if owner else [("*", None)]


def _simulated(call: Call) -> list[Subject]:
    return [(call.given["PolicySourceArn"], None)]


def _named(
    call: Call, kind: str, table: Mapping[str, User] | Mapping[str, Group] | Mapping[str, Role], name: str
) -> Subject:
    found = table.get(key(name))
    if found is not None and found.name == name:
        return found.arn, found
    return call.iam.arn(kind, call.given.get("Path", "/"), name), None


def _target(call: Call, kind: str, name: str, new_name: str | None, entity: Entity | None) -> Subject:
    path = call.given.get("NewPath") or (entity.path if isinstance(entity, User | Group) else "/")
    return call.iam.arn(kind, path, new_name or name), entity


_SUBJECTS: Mapping[SubjectsOf, str] = {
    _anything: "GetAccountSummary ListAccountAliases SimulateCustomPolicy ListPolicies",
    _below("user"): "ListUsers",
    _below("group"): "ListGroups",
    _below("role"): "ListRoles",
    _user: """CreateUser GetUser DeleteUser TagUser UntagUser ListUserTags
        CreateAccessKey ListAccessKeys UpdateAccessKey DeleteAccessKey ListGroupsForUser
        PutUserPolicy GetUserPolicy ListUserPolicies DeleteUserPolicy
        AttachUserPolicy DetachUserPolicy ListAttachedUserPolicies
        PutUserPermissionsBoundary DeleteUserPermissionsBoundary""",
    _user_and_target: "UpdateUser",
    _owner_of_key: "GetAccessKeyLastUsed",
    _group: """CreateGroup GetGroup DeleteGroup AddUserToGroup RemoveUserFromGroup
        PutGroupPolicy GetGroupPolicy ListGroupPolicies DeleteGroupPolicy
        AttachGroupPolicy DetachGroupPolicy ListAttachedGroupPolicies""",
    _group_and_target: "UpdateGroup",
    _role: """CreateRole GetRole UpdateRole UpdateRoleDescription UpdateAssumeRolePolicy DeleteRole
        TagRole UntagRole ListRoleTags ListInstanceProfilesForRole DeleteServiceLinkedRole
        PutRolePolicy GetRolePolicy ListRolePolicies DeleteRolePolicy
        AttachRolePolicy DetachRolePolicy ListAttachedRolePolicies
        PutRolePermissionsBoundary DeleteRolePermissionsBoundary""",
    _service_linked_role: "CreateServiceLinkedRole",
    _new_policy: "CreatePolicy",
    _policy: """GetPolicy DeletePolicy CreatePolicyVersion GetPolicyVersion ListPolicyVersions DeletePolicyVersion
        SetDefaultPolicyVersion ListEntitiesForPolicy TagPolicy UntagPolicy ListPolicyTags""",
    _new_provider: "CreateOpenIDConnectProvider",
    _provider: """GetOpenIDConnectProvider DeleteOpenIDConnectProvider AddClientIDToOpenIDConnectProvider
        RemoveClientIDFromOpenIDConnectProvider UpdateOpenIDConnectProviderThumbprint TagOpenIDConnectProvider
        UntagOpenIDConnectProvider ListOpenIDConnectProviderTags""",
    _providers: "ListOpenIDConnectProviders",
    _simulated: "SimulatePrincipalPolicy",
}

TABLE: Mapping[str, SubjectsOf] = {name: of for of, names in _SUBJECTS.items() for name in names.split()}
"""Operation → its subjects. Every operation that is offered has a row; a test compares."""


TAGGING: Mapping[str, str] = {
    "CreateUser": "iam:TagUser",
    "CreateRole": "iam:TagRole",
    "CreatePolicy": "iam:TagPolicy",
    "CreateOpenIDConnectProvider": "iam:TagOpenIDConnectProvider",
}
"""Operation → the action that it also needs when it gives tags."""


def check(call: Call, operation: str) -> None:
    """Ask IAM for everything that the operation needs.

    Raises:
        IamError: AccessDenied.
    """
    for resource, entity in TABLE[operation](call):
        call.authorise(resource, context(call, entity))
        if operation in TAGGING and call.given.get("Tags"):
            call.authorise(resource, context(call, entity), also=TAGGING[operation])


def context(call: Call, entity: Entity | None) -> Context:
    """The condition keys of an operation of IAM: tags, boundary, policy and service."""
    found: dict[str, tuple[str, ...]] = {}
    for tag in call.given.get("Tags", ()):
        _add(found, f"aws:requesttag/{tag['Key'].lower()}", tag["Value"])
    for name in [*(tag["Key"] for tag in call.given.get("Tags", ())), *call.given.get("TagKeys", ())]:
        _add(found, "aws:tagkeys", name)
    if isinstance(entity, User | Role | Policy | Provider):
        for name, value in entity.tags.items():
            _add(found, f"aws:resourcetag/{name.lower()}", value)
            _add(found, f"iam:resourcetag/{name.lower()}", value)
    boundary = call.given.get("PermissionsBoundary") or (entity.boundary if isinstance(entity, User | Role) else None)
    single = {
        "iam:permissionsboundary": boundary,
        "iam:policyarn": call.given.get("PolicyArn"),
        "iam:awsservicename": call.given.get("AWSServiceName"),
    }
    return found | {name: (value,) for name, value in single.items() if value is not None}


def _add(found: dict[str, tuple[str, ...]], name: str, value: str) -> None:
    found[name] = (*found.get(name, ()), value)
