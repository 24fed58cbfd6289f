"""Operations on managed policies and their versions."""

from __future__ import annotations

from aerodrome.api.iam import paging, shapes
from aerodrome.api.query.call import Call, Output
from aerodrome.identity.policy import grammar
from aerodrome.model.iam import identifiers, policies
from aerodrome.model.iam.directory import Directory
from aerodrome.model.iam.entities import Group, Holder, Policy, Role, User
from aerodrome.model.iam.errors import INVALID_INPUT, IamError

BOUNDARY = "PermissionsBoundary"


def create_policy(call: Call) -> Output:
    name, given = call.given["PolicyName"], call.given
    path = given.get("Path", "/")
    grammar.parse(given["PolicyDocument"])
    unique_id = call.unique_id(identifiers.POLICY)
    after = call.change(
        lambda iam: policies.create(
            iam,
            name,
            given["PolicyDocument"],
            path=path,
            description=given.get("Description", ""),
            tags=shapes.tags_of(given),
            unique_id=unique_id,
            now=call.now,
        )
    )
    return {"Policy": shapes.policy(after, after.policy(after.arn("policy", path, name)))}


def get_policy(call: Call) -> Output:
    return {"Policy": shapes.policy(call.iam, call.iam.policy(call.given["PolicyArn"]))}


def list_policies(call: Call) -> Output:
    iam, given = call.iam, call.given
    scope, prefix = given.get("Scope", "All"), given.get("PathPrefix", "/")
    own, of_aws = list(iam.policies.values()), list(iam.aws_policies.values())
    found = [*(own if scope in {"All", "Local"} else []), *(of_aws if scope in {"All", "AWS"} else [])]
    fitting = [policy for policy in found if policy.path.startswith(prefix) and _is_used_as(iam, policy, call)]
    shown, tail = paging.page(fitting, given, lambda policy: f"{policy.name} {policy.unique_id}")
    return {"Policies": [shapes.policy(iam, policy, whole=False) for policy in shown], **tail}


def _is_used_as(iam: Directory, policy: Policy, call: Call) -> bool:
    usage = call.given.get("PolicyUsageFilter")
    if usage == BOUNDARY:
        return bool(policies.bounded_by(iam, policy.arn))
    wants_use = call.given.get("OnlyAttached", False) or usage is not None
    return not wants_use or bool(policies.attached_to(iam, policy.arn))


def delete_policy(call: Call) -> Output:
    call.change(lambda iam: policies.delete(iam, call.given["PolicyArn"]))
    return {}


def create_policy_version(call: Call) -> Output:
    arn, document = call.given["PolicyArn"], call.given["PolicyDocument"]
    default = call.given.get("SetAsDefault", False)
    grammar.parse(document)
    made = []

    def change(iam: Directory) -> Directory:
        after, version = policies.create_version(iam, arn, document, set_as_default=default, now=call.now)
        made.append(version)
        return after

    after = call.change(change)
    return {"PolicyVersion": shapes.policy_version(after.policy(arn), made[-1], whole=False)}


def get_policy_version(call: Call) -> Output:
    found, version = call.iam.policy(call.given["PolicyArn"]), call.given["VersionId"]
    policies.version_of(found, version)
    return {"PolicyVersion": shapes.policy_version(found, version)}


def list_policy_versions(call: Call) -> Output:
    """The newest first, as AWS lists them."""
    found = call.iam.policy(call.given["PolicyArn"])
    shown, tail = paging.page(found.versions, call.given, lambda version: f"{2**31 - int(version[1:]):010}")
    return {"Versions": [shapes.policy_version(found, version, whole=False) for version in shown], **tail}


def delete_policy_version(call: Call) -> Output:
    call.change(lambda iam: policies.delete_version(iam, call.given["PolicyArn"], call.given["VersionId"]))
    return {}


def set_default_policy_version(call: Call) -> Output:
    given = call.given
    call.change(lambda iam: policies.set_default_version(iam, given["PolicyArn"], given["VersionId"], now=call.now))
    return {}


def list_entities_for_policy(call: Call) -> Output:
    iam, given = call.iam, call.given
    policy, prefix = iam.policy(given["PolicyArn"]), given.get("PathPrefix", "/")
    wanted = given.get("EntityFilter")
    if wanted in {"LocalManagedPolicy", "AWSManagedPolicy"}:
        raise IamError(INVALID_INPUT, f"EntityFilter {wanted} is not a kind of entity here: use User, Role or Group.")
    usage = given.get("PolicyUsageFilter")
    users: list[Holder] = [] if usage == BOUNDARY else policies.attached_to(iam, policy.arn)
    bounded = [] if usage not in {None, BOUNDARY} else policies.bounded_by(iam, policy.arn)
    found = {holder.unique_id: holder for holder in [*users, *bounded]}.values()
    fitting = [each for each in found if each.path.startswith(prefix) and wanted in {None, type(each).__name__}]
    shown, tail = paging.page(fitting, given, lambda each: f"{type(each).__name__} {each.name}")
    return {
        "PolicyGroups": [{"GroupName": it.name, "GroupId": it.unique_id} for it in shown if isinstance(it, Group)],
        "PolicyUsers": [{"UserName": it.name, "UserId": it.unique_id} for it in shown if isinstance(it, User)],
        "PolicyRoles": [{"RoleName": it.name, "RoleId": it.unique_id} for it in shown if isinstance(it, Role)],
        **tail,
    }
