"""What every session of a role has: its duration, its policies, its credentials. `assume` calls it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

from aerodrome.api.query.call import Call, Output
from aerodrome.identity.policy import grammar
from aerodrome.identity.session_tokens import TemporaryCredentials
from aerodrome.model.iam import grants
from aerodrome.model.iam.entities import Role
from aerodrome.model.iam.errors import VALIDATION, IamError
from aerodrome.model.principals import Principal, PrincipalKind

DEFAULT_SECONDS = 3600
LONGEST_CHAINED = 3600
"""Seconds that a session may last if another role's session begins it."""

MOST_MANAGED = 10
"""Managed policies that may limit one session."""

UNOFFERED = ("SerialNumber", "TokenCode", "SourceIdentity", "ProvidedContexts", "TransitiveTagKeys")
"""Members of AssumeRole that would change what a session may do, and are not offered here: refused, not ignored."""


def refuse_unoffered(call: Call) -> None:
    """Raise ValidationError for members that are not offered."""
    for member in UNOFFERED:
        if call.given.get(member):
            sentence = f"{member} is not offered by this release of Aerodrome: leave it out."
            raise IamError(VALIDATION, sentence)


def duration(call: Call, role: Role) -> timedelta:
    """How long the session lasts.

    Raises:
        IamError: the request asks for more than the role allows.
    """
    seconds = call.given.get("DurationSeconds", min(DEFAULT_SECONDS, role.max_session_seconds))
    chained = call.principal is not None and call.principal.kind is PrincipalKind.ASSUMED_ROLE
    if chained and seconds > LONGEST_CHAINED:
        sentence = "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining"
        raise IamError(VALIDATION, sentence)
    if seconds > role.max_session_seconds:
        sentence = "The requested DurationSeconds exceeds the MaxSessionDuration set for this role."
        raise IamError(VALIDATION, sentence)
    return timedelta(seconds=seconds)


def policies(call: Call) -> tuple[str, ...]:
    """The policies that limit the session: the given one, and the managed ones that the request names."""
    given = call.given
    own = (given["Policy"],) if "Policy" in given else ()
    for document in own:
        grammar.parse(document)
    arns = [each.get("arn", "") for each in given.get("PolicyArns", ())]
    if len(arns) > MOST_MANAGED:
        raise IamError(VALIDATION, f"{len(arns)} PolicyArns were given: give at most {MOST_MANAGED}.")
    known = call.iam.policies_by_arn
    for arn in arns:
        if arn not in known:
            raise IamError(VALIDATION, f"The session policy {arn} does not exist.")
    return (*own, *(known[arn].document for arn in arns))


def begin(call: Call, role: Role, tags: Mapping[str, str]) -> tuple[Principal, TemporaryCredentials]:
    """The session and its credentials; the session's tags override the role's."""
    wanted = duration(call, role)
    session = grants.session_principal(role, call.iam, call.given["RoleSessionName"])
    given = {key.lower() for key in tags}
    kept = {key: value for key, value in session.tags.items() if key.lower() not in given}
    session = replace(session, session_policies=policies(call), tags={**kept, **tags})
    return session, call.deps.session_tokens.issue(session, now=call.now, duration=wanted)


def credentials(issued: TemporaryCredentials) -> Output:
    """The structure `Credentials` of an answer."""
    return {
        "AccessKeyId": issued.access_key_id,
        "SecretAccessKey": issued.secret_access_key,
        "SessionToken": issued.session_token,
        "Expiration": issued.expiration,
    }


def answer(session: Principal, issued: TemporaryCredentials) -> Output:
    """What the answers of AssumeRole and AssumeRoleWithWebIdentity have in common."""
    limited = bool(session.session_policies) or None
    return {
        "Credentials": credentials(issued),
        "AssumedRoleUser": {"AssumedRoleId": session.unique_id, "Arn": session.arn},
        "PackedPolicySize": issued.packed_size if limited else None,
    }
