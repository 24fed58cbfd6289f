"""The user that an operation is about: the named one, or the user who signed."""

from __future__ import annotations

from aerodrome.api.query.call import Call
from aerodrome.model.iam.entities import User
from aerodrome.model.iam.errors import VALIDATION, IamError
from aerodrome.model.principals import PrincipalKind


def user_name(call: Call) -> str:
    """The UserName that was given, or the caller's own.

    Raises:
        IamError: none was given, and the caller is not a user.
    """
    given: str | None = call.given.get("UserName")
    if given is not None:
        return given
    if call.caller.kind is not PrincipalKind.USER:
        raise IamError(VALIDATION, "Must specify userName when calling with non-User credentials")
    return call.caller.name


def owner_of_key(call: Call) -> User | None:
    """The user who has the access key that the call names; None when nobody has it."""
    found = call.iam.keys.get(call.given["AccessKeyId"])
    return call.iam.users_by_id.get(found.user_id) if found else None
