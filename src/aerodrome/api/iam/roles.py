"""Operations on roles."""

from __future__ import annotations

import uuid

from aerodrome.api.iam import paging, shapes
from aerodrome.api.query.call import Call, Output
from aerodrome.identity.policy import grammar
from aerodrome.model.iam import identifiers, roles
from aerodrome.model.iam.entities import DEFAULT_SESSION_SECONDS


def create_role(call: Call) -> Output:
    name, given = call.given["RoleName"], call.given
    trust = given["AssumeRolePolicyDocument"]
    grammar.parse_trust(trust)
    unique_id = call.unique_id(identifiers.ROLE)
    after = call.change(
        lambda iam: roles.create(
            iam,
            name,
            trust,
            path=given.get("Path", "/"),
            description=given.get("Description", ""),
            max_session_seconds=given.get("MaxSessionDuration", DEFAULT_SESSION_SECONDS),
            tags=shapes.tags_of(given),
            boundary=given.get("PermissionsBoundary"),
            unique_id=unique_id,
            now=call.now,
        )
    )
    return {"Role": shapes.role(after.role(name))}


def get_role(call: Call) -> Output:
    return {"Role": shapes.role(call.iam.role(call.given["RoleName"]))}


def list_roles(call: Call) -> Output:
    shown, tail = paging.page_by_name(call.iam.roles.values(), call.given)
    return {"Roles": [shapes.role(role, whole=False) for role in shown], **tail}


def update_role(call: Call) -> Output:
    given = call.given
    call.change(
        lambda iam: roles.update(
            iam,
            given["RoleName"],
            description=given.get("Description"),
            max_session_seconds=given.get("MaxSessionDuration"),
        )
    )
    return {}


def update_role_description(call: Call) -> Output:
    name, description = call.given["RoleName"], call.given["Description"]
    after = call.change(lambda iam: roles.update(iam, name, description=description, max_session_seconds=None))
    return {"Role": shapes.role(after.role(name))}


def update_assume_role_policy(call: Call) -> Output:
    trust = call.given["PolicyDocument"]
    grammar.parse_trust(trust)
    call.change(lambda iam: roles.update_trust(iam, call.given["RoleName"], trust))
    return {}


def delete_role(call: Call) -> Output:
    call.change(lambda iam: roles.delete(iam, call.given["RoleName"]))
    return {}


def list_instance_profiles_for_role(call: Call) -> Output:
    """There are no instance profiles here, so no role is in one."""
    call.iam.role(call.given["RoleName"])
    return {"InstanceProfiles": [], "IsTruncated": False}


def create_service_linked_role(call: Call) -> Output:
    """Create MWAA's service-linked role, the only one here; it takes no suffix."""
    service, description = call.given["AWSServiceName"], call.given.get("Description", "")
    if "CustomSuffix" in call.given:
        raise roles.no_suffix(service)
    unique_id = call.unique_id(identifiers.ROLE)
    after = call.change(
        lambda iam: roles.create_service_linked(
            iam, service, description=description, unique_id=unique_id, now=call.now
        )
    )
    return {"Role": shapes.role(after.role(roles.SERVICE_LINKED_NAME))}


def delete_service_linked_role(call: Call) -> Output:
    """Delete the role at once. The task id in the answer has AWS's form; its status cannot be asked for here."""
    role = call.iam.role(call.given["RoleName"])
    call.change(lambda iam: roles.delete_service_linked(iam, role.name))
    return {"DeletionTaskId": f"task{role.path}{role.name}/{uuid.uuid4()}"}
