"""Whom an operation is about when it names nobody: the user who signed."""

from __future__ import annotations

from aerodrome.api.query.call import Call
from aerodrome.model.iam.entities import User
from aerodrome.model.iam.errors import VALIDATION, IamError
from aerodrome.model.principals import PrincipalKind


def user_name(call: Call) -> str:
    """The UserName that was given, or the caller's own.

    Raises:
        IamError: none was given and the caller is no user.
    """
    given: str | None = call.given.get("UserName")
    if given is not None:
        return given
    if call.caller.kind is not PrincipalKind.USER:
        raise IamError(VALIDATION, "Must specify userName when calling with non-User credentials")
    return call.caller.name


def owner_of_key(call: Call) -> User | None:
    """Whose the access key is that was asked about."""
    found = call.iam.keys.get(call.given["AccessKeyId"])
    return call.iam.users_by_id.get(found.user_id) if found else None
