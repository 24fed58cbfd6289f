"""From an HTTP request to the principal who signed it: the raw request as `identity` verifies it.

`mwaa` and `queries` call it with the body read already, within bounds. How an error is told depends on the protocol:
`REST_CODES` has the words of the JSON services.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from anyio import to_thread
from starlette.requests import Request

from aerodrome.api.auditing import Trail
from aerodrome.api.dependencies import ApiDependencies
from aerodrome.identity import sigv4
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
"""Codes that AWS answers with another status than 403."""


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
        AuthenticationError: it has something that cannot be read as one.
    """
    return sigv4.presented(signed) is not None


def identified(deps: ApiDependencies, signed: sigv4.SignedRequest, trail: Trail, services: frozenset[str]) -> Principal:
    """Who signed for one of `services`; the trail gets to know, or at least which key was named. May block.

    Raises:
        AuthenticationError: nobody we know, or the signature is not right, or not of now.
    """
    presented = sigv4.presented(signed)
    if presented is not None:
        trail.detail["access_key_id"] = presented.access_key_id
    trail.principal = deps.authenticator.authenticate(signed, now=trail.at, services=services)
    return trail.principal


async def recognised(deps: ApiDependencies, request: Request, raw_path: str, services: frozenset[str]) -> str:
    """The ARN of who signed, if the signature is right; all that can be known of it without the body is looked at.

    Raises:
        AuthenticationError: it cannot be right, or there is none.
    """
    signed = signed_request(request, raw_path, b"")
    found = await to_thread.run_sync(
        lambda: deps.authenticator.recognise(
            signed, sigv4.presented(signed), now=deps.operations.clock(), services=services
        )
    )
    return found.arn


def status(error: AuthenticationError) -> int:
    """The HTTP status of an error."""
    return STATUSES.get(error.code, _FORBIDDEN)


def address(request: Request) -> str:
    """The client's IP address, as the connection has it; no header is believed."""
    return request.client.host if request.client else ""
