"""One MWAA request, from raw path to response: route, body, signature, input, permission, operation, output.

`front` calls it for requests signed for MWAA. The order matters: the signer is known before the input is read, and IAM
decides before an answer tells anything of an environment. Every failure becomes an error that the model declares, and
every request makes one entry in the audit log.
"""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import partial

import structlog
from anyio import to_thread
from starlette.requests import Request
from starlette.responses import Response

from aerodrome.api import authentication, bodies
from aerodrome.api.auditing import Trail
from aerodrome.api.dependencies import ApiDependencies
from aerodrome.api.wire import answers, errors, hints, requests, routes, service
from aerodrome.api.wire.errors import WireError
from aerodrome.budget import BusyError
from aerodrome.identity.authorizer import principal_context
from aerodrome.identity.errors import AuthenticationError
from aerodrome.identity.sigv4 import SignedRequest
from aerodrome.model.spec import Document
from aerodrome.operations import authorisation, permissions, table
from aerodrome.operations.grant import Grant

WANTED_ROLE = "x-aerodrome-role"
"""A header of ours: the caller wants this Airflow role instead of the highest that IAM grants. It can only lower."""

SERVICES = frozenset({service.SIGNING_NAME})

log = structlog.get_logger("aerodrome.api")


@dataclass(frozen=True, slots=True)
class _RoutedRequest:
    """A routed request with its body."""

    match: routes.Match
    signed: SignedRequest
    body: bytes
    wanted_role: str | None
    is_secure: bool


async def answer(deps: ApiDependencies, request: Request, raw_path: str) -> Response:
    """The response to a request for MWAA; `raw_path` begins with a slash and is not decoded."""
    match = routes.match(request.method, raw_path)
    name = match.operation.name if match else "UnknownOperation"
    trail = Trail(
        at=deps.operations.clock(),
        address=authentication.address(request),
        request_id=answers.new_request_id(),
        action=permissions.action(name),
    )
    try:
        if match is None:
            response = await _unknown(deps, request, raw_path, trail)
        else:
            response = await _answered(deps, request, raw_path, match, trail)
    finally:
        deps.record(trail.entry())
    outcome = {"operation": name, "environment": trail.environment, "error": trail.detail.get("error")}
    log.info("answered", **outcome, request_id=trail.request_id)
    return response


async def _answered(
    deps: ApiDependencies, request: Request, raw_path: str, match: routes.Match, trail: Trail
) -> Response:
    operation = match.operation
    try:
        async with _body(deps, request, raw_path) as body:
            signed = authentication.signed_request(request, raw_path, body)
            arrival = _RoutedRequest(match, signed, body, request.headers.get(WANTED_ROLE), request.url.is_secure)
            given, grant = await to_thread.run_sync(_admitted, deps, arrival, trail)
            output = await table.OPERATIONS[operation.name](deps.operations, given, grant)
            return answers.success(operation, output, request_id=trail.request_id)
    except AuthenticationError as error:
        return _unauthenticated(error, trail)
    except BusyError as error:
        return _busy(error, trail)
    except Exception as caught:  # noqa: BLE001 - every failure must leave as a declared error
        told = errors.translated(operation.name, caught)
        trail.failed(told.code, told.message)
        return answers.failure(told, request_id=trail.request_id)


def _admitted(deps: ApiDependencies, arrival: _RoutedRequest, trail: Trail) -> tuple[Document, Grant]:
    """The input of an authenticated request that IAM allows.

    Raises:
        AuthenticationError: the signer is unknown, or the signature is wrong.
        WireError: the input is not well formed, or IAM does not allow the operation.
    """
    principal = authentication.identified(deps.authenticator, arrival.signed, trail, SERVICES)
    query = arrival.signed.raw_query
    given = requests.read(arrival.match, query, arrival.body, hints.HINTS)
    trail.about(given)
    known = principal_context(principal, now=trail.at, source_ip=trail.address, secure=arrival.is_secure)
    operation = arrival.match.operation.name
    verdict = authorisation.judge(deps.operations, operation, given, principal, known, wanted=arrival.wanted_role)
    trail.action, trail.resource = verdict.action, verdict.resource
    trail.allowed, trail.sentence = verdict.allowed, verdict.sentence
    if not verdict.allowed:
        raise WireError(errors.ACCESS_DENIED, verdict.refusal)
    if verdict.role:
        trail.detail["role"] = verdict.role
    return given, Grant(principal=principal, at=trail.at, role=verdict.role)


async def _unknown(deps: ApiDependencies, request: Request, raw_path: str, trail: Trail) -> Response:
    """The answer for a path without an operation. A client that cannot sign does not learn which paths exist."""
    try:
        async with _body(deps, request, raw_path) as body:
            signed = authentication.signed_request(request, raw_path, body)
            await to_thread.run_sync(authentication.identified, deps.authenticator, signed, trail, SERVICES)
    except AuthenticationError as error:
        return _unauthenticated(error, trail)
    except BusyError as error:
        return _busy(error, trail)
    except WireError as error:
        trail.failed(error.code, error.message)
        return answers.failure(error, request_id=trail.request_id)
    sentence = f"MWAA has no operation {request.method[:16]} on this path."
    trail.failed("UnknownOperationException", sentence)
    return answers.foreign(404, "UnknownOperationException", sentence, request_id=trail.request_id)


def _body(deps: ApiDependencies, request: Request, raw_path: str) -> AbstractAsyncContextManager[bytes]:
    now = deps.operations.clock()
    recognised = partial(authentication.recognised, deps.authenticator, request, raw_path, now, SERVICES)
    return bodies.read(request, deps.bodies, recognised)


def _busy(error: BusyError, trail: Trail) -> Response:
    trail.failed(errors.UNAVAILABLE, str(error))
    return answers.foreign(503, errors.UNAVAILABLE, str(error), request_id=trail.request_id)


def _unauthenticated(error: AuthenticationError, trail: Trail) -> Response:
    code = authentication.REST_CODES.get(error.code, error.code)
    trail.failed(code, str(error))
    return answers.foreign(authentication.status(error), code, str(error), request_id=trail.request_id)
