"""Finds the principal who signed an HTTP request: `identity` verifies the raw request.

`mwaa` and `queries` call it after they have read the body, within bounds. Each protocol has its own words for an error:
`REST_CODES` has those of the JSON services.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime

from anyio import CapacityLimiter, to_thread
from starlette.requests import Request

from aerodrome.api.auditing import Trail
from aerodrome.identity import sigv4
from aerodrome.identity.authenticator import Authenticator
from aerodrome.identity.errors import AuthenticationError
from aerodrome.model.principals import Principal

REST_CODES: Mapping[str, str] = {
    "MissingAuthenticationToken": "MissingAuthenticationTokenException",
    "InvalidClientTokenId": "UnrecognizedClientException",
    "ExpiredToken": "ExpiredTokenException",
    "IncompleteSignature": "IncompleteSignatureException",
}
"""Codes of the query protocol → what AWS's JSON services say instead; all others are the same."""

_BAD_REQUEST, _FORBIDDEN = 400, 403

STATUSES: Mapping[str, int] = {"IncompleteSignature": _BAD_REQUEST, "RequestExpired": _BAD_REQUEST}
"""The codes that AWS does not answer with status 403 → the status that they have."""


def signed_request(request: Request, raw_path: str, body: bytes) -> sigv4.SignedRequest:
    """The request as it was signed; `raw_path` is not decoded, and headers keep their order and repetitions."""
    headers = tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in request.scope["headers"])
    return sigv4.SignedRequest(
        method=request.method,
        raw_path=raw_path,
        raw_query=str(request.scope["query_string"], "latin-1"),
        headers=headers,
        body_sha256=hashlib.sha256(body).hexdigest(),
    )


def is_signed(signed: sigv4.SignedRequest) -> bool:
    """True when the request has a signature, right or wrong.

    Raises:
        AuthenticationError: it has a signature that cannot be read.
    """
    return sigv4.presented(signed) is not None


def identified(
    authenticator: Authenticator, signed: sigv4.SignedRequest, trail: Trail, services: frozenset[str]
) -> Principal:
    """The principal who signed for one of `services`. May block.

    The trail records the principal, or at least the key that the request names.

    Raises:
        AuthenticationError: the signer is unknown, or the signature is wrong, or its time is too far from now.
    """
    presented = sigv4.presented(signed)
    if presented is not None:
        trail.detail["access_key_id"] = presented.access_key_id
    trail.principal = authenticator.authenticate(signed, now=trail.at, services=services)
    return trail.principal


async def recognised(
    authenticator: Authenticator,
    request: Request,
    raw_path: str,
    now: datetime,
    services: frozenset[str],
    *,
    threads: CapacityLimiter | None = None,
) -> str:
    """The ARN of the signer. The signature is checked as far as that is possible without the body.

    `threads` are those that look for the signer; None = those that all share.

    Raises:
        AuthenticationError: there is no signature, or it cannot be right.
    """
    signed = signed_request(request, raw_path, b"")
    found = await to_thread.run_sync(
        lambda: authenticator.recognise(signed, sigv4.presented(signed), now=now, services=services), limiter=threads
    )
    return found.arn


def status(error: AuthenticationError) -> int:
    """The HTTP status of an error."""
    return STATUSES.get(error.code, _FORBIDDEN)


def address(request: Request) -> str:
    """The client's IP address, by the connection; headers do not count."""
    return request.client.host if request.client else ""
