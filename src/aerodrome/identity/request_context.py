"""The condition keys that every request has: who asks, when, from where, and how safely.

Callers add those of the operation. Pure.
"""

from __future__ import annotations

from datetime import UTC, datetime

from aerodrome.model.principals import Principal, PrincipalKind

_TYPES = {
    PrincipalKind.USER: "User",
    PrincipalKind.ASSUMED_ROLE: "AssumedRole",
    PrincipalKind.SERVICE: "Service",
}


def principal_context(
    principal: Principal, *, now: datetime, source_ip: str, secure: bool
) -> dict[str, tuple[str, ...]]:
    """The keys, in lower case, with their values; `secure` when the connection is encrypted."""
    service = principal.kind is PrincipalKind.SERVICE
    found = {
        "aws:principalarn": principal.iam_arn,
        "aws:principalaccount": principal.account,
        "aws:principaltype": _TYPES[principal.kind],
        "aws:principalisawsservice": str(service).lower(),
        "aws:userid": principal.unique_id,
    }
    if principal.kind is PrincipalKind.USER:
        found["aws:username"] = principal.name
    if service:
        found["aws:principalservicename"] = principal.name
    if principal.issued_at is not None:
        found["aws:tokenissuetime"] = principal.issued_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    context = connection_context(now=now, source_ip=source_ip, secure=secure)
    context |= {key: (value,) for key, value in found.items()}
    for key, value in principal.tags.items():
        name = f"aws:principaltag/{key.lower()}"
        context[name] = (*context.get(name, ()), value)
    return context


def connection_context(*, now: datetime, source_ip: str, secure: bool) -> dict[str, tuple[str, ...]]:
    """The keys of a request whose sender is not known yet: when, from where, and how safely."""
    found = {
        "aws:currenttime": now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "aws:epochtime": str(int(now.timestamp())),
        "aws:securetransport": str(secure).lower(),
        "aws:viaawsservice": "false",
    }
    if source_ip:
        found["aws:sourceip"] = source_ip
    return {key: (value,) for key, value in found.items()}
