"""GetCallerIdentity, GetSessionToken and GetAccessKeyInfo: who the caller is."""

from __future__ import annotations

from datetime import timedelta

from aerodrome.api.query.call import Call, Output
from aerodrome.api.sts import sessions
from aerodrome.model.iam.errors import ACCESS_DENIED, VALIDATION, IamError
from aerodrome.model.principals import PrincipalKind

DEFAULT_SECONDS = 43200
"""How long credentials by GetSessionToken are valid if the request does not say."""

TEMPORARY = "ASIA"
"""The prefix of temporary access keys' ids."""


async def get_caller_identity(call: Call) -> Output:
    """Who signed. This needs no permission and cannot be denied, because it tells nothing else."""
    caller = call.caller
    call.let("*", "GetCallerIdentity needs no permission.", is_free=True)
    return {"UserId": caller.unique_id, "Account": caller.account, "Arn": caller.arn}


async def get_session_token(call: Call) -> Output:
    """Temporary credentials of the same user; needs no permission."""
    caller = call.caller
    if caller.kind is not PrincipalKind.USER or caller.expires_at is not None:
        raise IamError(ACCESS_DENIED, "Cannot call GetSessionToken with session credentials")
    call.let(caller.arn, "GetSessionToken needs no permission.")
    sessions.refuse_unoffered(call)
    wanted = timedelta(seconds=call.given.get("DurationSeconds", DEFAULT_SECONDS))
    issued = call.deps.session_tokens.issue(caller, now=call.now, duration=wanted)
    return {"Credentials": sessions.credentials(issued)}


async def get_access_key_info(call: Call) -> Output:
    """The account of a key; every temporary key is of our account, because no other is accepted."""
    call.authorise("*", {})
    key_id = call.given["AccessKeyId"]
    if key_id not in call.iam.keys and not key_id.startswith(TEMPORARY):
        raise IamError(VALIDATION, f"The access key {key_id} belongs to no account that is known here.")
    return {"Account": call.iam.account}
