"""Operations on groups."""

from __future__ import annotations

from aerodrome.api.iam import paging, shapes
from aerodrome.api.query.call import Call, Output
from aerodrome.model.iam import groups, identifiers


def create_group(call: Call) -> Output:
    name, path = call.given["GroupName"], call.given.get("Path", "/")
    unique_id = call.unique_id(identifiers.GROUP)
    after = call.change(lambda iam: groups.create(iam, name, path=path, unique_id=unique_id, now=call.now))
    return {"Group": shapes.group(after.group(name))}


def get_group(call: Call) -> Output:
    found = call.iam.group(call.given["GroupName"])
    shown, tail = paging.page(call.iam.members(found), call.given, lambda user: user.name)
    return {"Group": shapes.group(found), "Users": [shapes.user(user, whole=False) for user in shown], **tail}


def list_groups(call: Call) -> Output:
    shown, tail = paging.page_by_name(call.iam.groups.values(), call.given)
    return {"Groups": [shapes.group(group) for group in shown], **tail}


def update_group(call: Call) -> Output:
    given = call.given
    call.change(
        lambda iam: groups.update(
            iam, given["GroupName"], new_name=given.get("NewGroupName"), new_path=given.get("NewPath")
        )
    )
    return {}


def delete_group(call: Call) -> Output:
    call.change(lambda iam: groups.delete(iam, call.given["GroupName"]))
    return {}


def add_user_to_group(call: Call) -> Output:
    call.change(lambda iam: groups.add_user(iam, call.given["GroupName"], call.given["UserName"]))
    return {}


def remove_user_from_group(call: Call) -> Output:
    call.change(lambda iam: groups.remove_user(iam, call.given["GroupName"], call.given["UserName"]))
    return {}
