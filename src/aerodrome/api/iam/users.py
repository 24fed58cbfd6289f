"""Operations on users and their access keys."""

from __future__ import annotations

import secrets

from aerodrome.api.iam import callers, paging, shapes
from aerodrome.api.query.call import Call, Output
from aerodrome.model.iam import identifiers, users
from aerodrome.model.iam.errors import INVALID_INPUT, IamError

_STATUSES = {"Active": True, "Inactive": False}

NEVER = "N/A"
"""The service and region that are answered for a key that was never used."""


def create_user(call: Call) -> Output:
    name, given = call.given["UserName"], call.given
    unique_id = call.unique_id(identifiers.USER)
    after = call.change(
        lambda iam: users.create(
            iam,
            name,
            path=given.get("Path", "/"),
            tags=shapes.tags_of(given),
            boundary=given.get("PermissionsBoundary"),
            unique_id=unique_id,
            now=call.now,
        )
    )
    return {"User": shapes.user(after.user(name))}


def get_user(call: Call) -> Output:
    return {"User": shapes.user(call.iam.user(callers.user_name(call)))}


def list_users(call: Call) -> Output:
    shown, tail = paging.page_by_name(call.iam.users.values(), call.given)
    return {"Users": [shapes.user(user, whole=False) for user in shown], **tail}


def update_user(call: Call) -> Output:
    given = call.given
    call.change(
        lambda iam: users.update(
            iam, given["UserName"], new_name=given.get("NewUserName"), new_path=given.get("NewPath")
        )
    )
    return {}


def delete_user(call: Call) -> Output:
    call.change(lambda iam: users.delete(iam, call.given["UserName"]))
    return {}


def list_groups_for_user(call: Call) -> Output:
    found = call.iam.groups_of(call.iam.user(call.given["UserName"]))
    shown, tail = paging.page(found, call.given, lambda group: group.name)
    return {"Groups": [shapes.group(group) for group in shown], **tail}


def create_access_key(call: Call) -> Output:
    """Create a key. Its secret is in this answer and, sealed, in the ledger; nowhere else."""
    name = callers.user_name(call)
    key_id = identifiers.access_key_id(secrets.token_bytes(identifiers.RANDOM_BYTES))
    secret = identifiers.secret_access_key(secrets.token_bytes(identifiers.RANDOM_BYTES))
    sealed = call.deps.seal(secret)
    call.change(lambda iam: users.create_key(iam, name, access_key_id=key_id, sealed_secret=sealed, now=call.now))
    key: Output = {
        "UserName": name,
        "AccessKeyId": key_id,
        "Status": "Active",
        "SecretAccessKey": secret,
        "CreateDate": call.now,
    }
    return {"AccessKey": key}


def list_access_keys(call: Call) -> Output:
    name = callers.user_name(call)
    found = call.iam.keys_of(call.iam.user(name))
    shown, tail = paging.page(found, call.given, lambda key: key.access_key_id)
    metadata = [
        {
            "UserName": name,
            "AccessKeyId": key.access_key_id,
            "Status": "Active" if key.active else "Inactive",
            "CreateDate": key.created_at,
        }
        for key in shown
    ]
    return {"AccessKeyMetadata": metadata, **tail}


def update_access_key(call: Call) -> Output:
    name, given = callers.user_name(call), call.given
    if given["Status"] not in _STATUSES:
        raise IamError(INVALID_INPUT, f"Status {given['Status']} cannot be set: use Active or Inactive.")
    active = _STATUSES[given["Status"]]
    call.change(lambda iam: users.update_key(iam, name, given["AccessKeyId"], active=active))
    return {}


def delete_access_key(call: Call) -> Output:
    name = callers.user_name(call)
    call.change(lambda iam: users.delete_key(iam, name, call.given["AccessKeyId"]))
    return {}


def get_access_key_last_used(call: Call) -> Output:
    owner = callers.owner_of_key(call)
    if owner is None:
        raise users.unknown_key(call.given["AccessKeyId"])
    use = call.deps.principals.last_use(call.given["AccessKeyId"])
    last: Output = {"ServiceName": NEVER, "Region": NEVER}
    if use is not None:
        last = {"LastUsedDate": use.at, "ServiceName": use.service, "Region": use.region}
    return {"UserName": owner.name, "AccessKeyLastUsed": last}
