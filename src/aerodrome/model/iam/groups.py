"""Groups and who is in them. Pure."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from aerodrome.model.iam import errors, holders, quotas
from aerodrome.model.iam.directory import Directory, key
from aerodrome.model.iam.entities import Group


def create(directory: Directory, name: str, *, path: str = "/", unique_id: str, now: datetime) -> Directory:
    """With a new group."""
    _refuse_taken(directory, name)
    quotas.check_count("GroupsQuota", len(directory.groups) + 1)
    arn = directory.arn("group", path, name)
    return directory.having(Group(name=name, path=path, unique_id=unique_id, arn=arn, created_at=now))


def update(directory: Directory, name: str, *, new_name: str | None, new_path: str | None) -> Directory:
    """With another name or path; members and policies stay."""
    group = directory.group(name)
    if new_name is not None and key(new_name) != key(name):
        _refuse_taken(directory, new_name)
    name_then, path_then = new_name or group.name, new_path or group.path
    changed = replace(group, name=name_then, path=path_then, arn=directory.arn("group", path_then, name_then))
    return directory.having(changed, formerly=group.name)


def delete(directory: Directory, name: str) -> Directory:
    """Without the group, which must be empty."""
    group = directory.group(name)
    if directory.members(group):
        raise errors.conflict("remove users from group")
    holders.check_bare(group)
    return directory.lacking(group)


def add_user(directory: Directory, group_name: str, user_name: str) -> Directory:
    """With the user in the group; adding twice changes nothing."""
    group, user = directory.group(group_name), directory.user(user_name)
    if group.unique_id in user.groups:
        return directory
    quotas.check_count("GroupsPerUserQuota", len(user.groups) + 1)
    return directory.having(replace(user, groups=(*user.groups, group.unique_id)))


def remove_user(directory: Directory, group_name: str, user_name: str) -> Directory:
    """Without the user in the group; one who is not in it is no error, as AWS has it."""
    group, user = directory.group(group_name), directory.user(user_name)
    return directory.having(replace(user, groups=tuple(each for each in user.groups if each != group.unique_id)))


def _refuse_taken(directory: Directory, name: str) -> None:
    if key(name) in directory.groups:
        raise errors.IamError(errors.ALREADY_EXISTS, f"Group with name {name} already exists.")
