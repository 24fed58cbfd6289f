"""Users and their access keys: making, renaming, deleting. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from aerodrome.model.iam import errors, holders, quotas, trusted
from aerodrome.model.iam.directory import Directory, key
from aerodrome.model.iam.entities import Key, User


def create(
    directory: Directory,
    name: str,
    *,
    path: str = "/",
    tags: Mapping[str, str] | None = None,
    boundary: str | None = None,
    unique_id: str,
    now: datetime,
) -> Directory:
    """With a new user."""
    _refuse_taken(directory, name)
    quotas.check_count("UsersQuota", len(directory.users) + 1)
    if boundary is not None:
        holders.attachable(directory, boundary)
    user = User(
        name=name,
        path=path,
        unique_id=unique_id,
        arn=directory.arn("user", path, name),
        created_at=now,
        tags=holders.checked_tags(tags or {}),
        boundary=boundary,
    )
    return directory.having(user)


def update(directory: Directory, name: str, *, new_name: str | None, new_path: str | None) -> Directory:
    """With another name or path; policies, groups and keys stay."""
    user = directory.user(name)
    if new_name is not None and key(new_name) != key(name):
        _refuse_taken(directory, new_name)
    name_then, path_then = new_name or user.name, new_path or user.path
    changed = replace(user, name=name_then, path=path_then, arn=directory.arn("user", path_then, name_then))
    return trusted.renamed(directory, user, changed.arn).having(changed, formerly=user.name)


def delete(directory: Directory, name: str) -> Directory:
    """Without the user, who must have nothing left."""
    user = directory.user(name)
    if directory.keys_of(user):
        raise errors.conflict("delete access keys")
    holders.check_bare(user)
    if directory.groups_of(user):
        raise errors.conflict("remove users from group")
    return trusted.gone(directory, user).lacking(user)


def create_key(
    directory: Directory, name: str, *, access_key_id: str, sealed_secret: bytes, now: datetime
) -> Directory:
    """With a new access key of the user, active at once."""
    user = directory.user(name)
    quotas.check_count("AccessKeysPerUserQuota", len(directory.keys_of(user)) + 1)
    added = Key(
        access_key_id=access_key_id, user_id=user.unique_id, sealed_secret=sealed_secret, active=True, created_at=now
    )
    return directory.with_key(added)


def key_of(directory: Directory, name: str, access_key_id: str) -> Key:
    """An access key of this user and no other's."""
    found = directory.keys.get(access_key_id)
    if found is None or found.user_id != directory.user(name).unique_id:
        raise unknown_key(access_key_id)
    return found


def unknown_key(access_key_id: str) -> errors.IamError:
    """There is no such access key, or it is somebody else's."""
    return errors.IamError(errors.NO_SUCH_ENTITY, f"The Access Key with id {access_key_id} cannot be found.")


def update_key(directory: Directory, name: str, access_key_id: str, *, active: bool) -> Directory:
    """With the key switched on or off."""
    return directory.with_key(replace(key_of(directory, name, access_key_id), active=active))


def delete_key(directory: Directory, name: str, access_key_id: str) -> Directory:
    """Without the key."""
    return directory.without_key(key_of(directory, name, access_key_id))


def _refuse_taken(directory: Directory, name: str) -> None:
    if key(name) in directory.users:
        raise errors.IamError(errors.ALREADY_EXISTS, f"User with name {name} already exists.")
