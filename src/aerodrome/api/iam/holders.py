"""Operations on the policies of users, groups and roles: inline, attached, boundary. Each kind gets the same set."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

from aerodrome.api.iam import paging, shapes
from aerodrome.api.query.call import Blocking, Call, Output
from aerodrome.identity.policy import grammar
from aerodrome.model.iam import holders
from aerodrome.model.iam.directory import Change, Directory
from aerodrome.model.iam.entities import Holder

Kind = Literal["User", "Group", "Role"]


def operations(kind: Kind) -> Mapping[str, Blocking]:
    """The operations on the policies of one kind, by name."""
    found: dict[str, Blocking] = {
        f"Put{kind}Policy": _put_inline(kind),
        f"Get{kind}Policy": _get_inline(kind),
        f"List{kind}Policies": _list_inline(kind),
        f"Delete{kind}Policy": _changing(kind, _delete_inline),
        f"Attach{kind}Policy": _changing(kind, _attach),
        f"Detach{kind}Policy": _changing(kind, _detach),
        f"ListAttached{kind}Policies": _list_attached(kind),
    }
    if kind != "Group":
        found[f"Put{kind}PermissionsBoundary"] = _changing(kind, _put_boundary)
        found[f"Delete{kind}PermissionsBoundary"] = _changing(kind, _delete_boundary)
    return found


def _holder(iam: Directory, kind: Kind, call: Call) -> Holder:
    if kind == "Group":
        return iam.group(call.given["GroupName"])
    return _bounded(iam, kind, call)


def _bounded(iam: Directory, kind: Kind, call: Call) -> holders.Bounded:
    return iam.user(call.given["UserName"]) if kind == "User" else iam.role(call.given["RoleName"])


def _changing(kind: Kind, change: Callable[[Kind, Call], Change]) -> Blocking:
    def run(call: Call) -> Output:
        call.change(change(kind, call))
        return {}

    return run


def _put_inline(kind: Kind) -> Blocking:
    def run(call: Call) -> Output:
        name, document = call.given["PolicyName"], call.given["PolicyDocument"]
        grammar.parse(document)
        call.change(lambda iam: holders.put_inline(iam, _holder(iam, kind, call), name, document))
        return {}

    return run


def _delete_inline(kind: Kind, call: Call) -> Change:
    return lambda iam: holders.delete_inline(iam, _holder(iam, kind, call), call.given["PolicyName"])


def _attach(kind: Kind, call: Call) -> Change:
    return lambda iam: holders.attach(iam, _holder(iam, kind, call), call.given["PolicyArn"])


def _detach(kind: Kind, call: Call) -> Change:
    return lambda iam: holders.detach(iam, _holder(iam, kind, call), call.given["PolicyArn"])


def _put_boundary(kind: Kind, call: Call) -> Change:
    return lambda iam: holders.put_boundary(iam, _bounded(iam, kind, call), call.given["PermissionsBoundary"])


def _delete_boundary(kind: Kind, call: Call) -> Change:
    return lambda iam: holders.delete_boundary(iam, _bounded(iam, kind, call))


def _get_inline(kind: Kind) -> Blocking:
    def run(call: Call) -> Output:
        holder, name = _holder(call.iam, kind, call), call.given["PolicyName"]
        document = holders.inline(holder, name)
        return {f"{kind}Name": holder.name, "PolicyName": name, "PolicyDocument": document}

    return run


def _list_inline(kind: Kind) -> Blocking:
    def run(call: Call) -> Output:
        shown, tail = paging.page(_holder(call.iam, kind, call).inline, call.given, str)
        return {"PolicyNames": shown, **tail}

    return run


def _list_attached(kind: Kind) -> Blocking:
    def run(call: Call) -> Output:
        iam = call.iam
        found = shapes.attached(iam, _holder(iam, kind, call).attached)
        prefix = call.given.get("PathPrefix", "/")
        fitting = [each for each in found if _path(each["PolicyArn"]).startswith(prefix)]
        shown, tail = paging.page(fitting, call.given, lambda each: f"{each['PolicyName']} {each['PolicyArn'][:128]}")
        return {"AttachedPolicies": shown, **tail}

    return run


def _path(policy_arn: str) -> str:
    """The path in a policy's ARN: `/` for `arn:aws:iam::aws:policy/AdministratorAccess`."""
    return "/" + policy_arn.partition(":policy/")[2].rpartition("/")[0]
