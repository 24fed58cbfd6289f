"""One request for IAM or STS, before and after `query` answers it: body, signature, condition keys, audit entry.

`front` calls it, and so does the AWS door for STS. An unsigned request has no principal; `query` answers one operation
without one.
"""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager, nullcontext
from functools import partial
from typing import Protocol

from anyio import CapacityLimiter, to_thread
from starlette.requests import Request
from starlette.responses import Response

from aerodrome.api import authentication, bodies
from aerodrome.api.auditing import Trail
from aerodrome.api.query import answers, errors, models
from aerodrome.api.query.dependencies import QueryDependencies
from aerodrome.api.query.service import UNKNOWN
from aerodrome.api.query.service import answer as answered
from aerodrome.api.wire.answers import new_request_id
from aerodrome.api.wire.errors import WireError
from aerodrome.budget import Budget, BusyError
from aerodrome.errors import CallerError
from aerodrome.identity.authenticator import Authenticator
from aerodrome.identity.errors import AuthenticationError, unknown_key
from aerodrome.identity.request_context import connection_context, principal_context
from aerodrome.identity.sigv4 import SignedRequest
from aerodrome.ledger.connection import LedgerError
from aerodrome.model.audit import Recorder
from aerodrome.model.principals import Principal


class AnswersQueries(Protocol):
    """What the dependencies of a door have that answers for IAM or STS."""

    @property
    def query(self) -> QueryDependencies:
        """What the operations work with."""

    @property
    def authenticator(self) -> Authenticator:
        """Knows the principals of `query`."""

    @property
    def record(self) -> Recorder:
        """Writes the audit log's entry of each request."""

    @property
    def bodies(self) -> Budget:
        """The memory that larger request bodies share."""


class LooksAgain(Protocol):
    """Brings in what another process has changed in IAM; a process that changes it itself needs none."""

    async def unknown(self) -> None:
        """Return when a key that was unknown is worth another look."""

    def threads(self, signed: SignedRequest) -> CapacityLimiter | None:
        """Those that look for the signer of a request, whose head counts alone; None = those that all share."""

    def proven(self, principal: Principal | None) -> AbstractAsyncContextManager[None]:
        """Answer this signer's request within it, by what IAM is now; None = the request is unsigned.

        Raises:
            BusyError: the signer has too many requests under way.
        """


async def answer(
    deps: AnswersQueries,
    service: models.Service,
    request: Request,
    raw_path: str,
    looks_again: LooksAgain | None = None,
) -> Response:
    """The response to a request for `service`; `raw_path` begins with a slash and is not decoded."""
    trail = Trail(
        at=deps.query.clock(),
        address=authentication.address(request),
        request_id=new_request_id(),
        action=f"{service}:{UNKNOWN}",
    )
    try:
        return await _answered(deps, service, request, raw_path, trail, looks_again)
    except (AuthenticationError, WireError, BusyError, LedgerError) as error:
        cause = CallerError(error.message) if isinstance(error, WireError) else error
        told = errors.translated(service, cause)
        trail.failed(told.code, told.message)
        return answers.failure(service, told, trail.request_id)
    finally:
        deps.record(trail.entry())


async def _answered(
    deps: AnswersQueries,
    service: models.Service,
    request: Request,
    raw_path: str,
    trail: Trail,
    looks_again: LooksAgain | None,
) -> Response:
    threads = None
    if looks_again is not None:
        threads = looks_again.threads(authentication.signed_request(request, raw_path, b""))
    recognised = partial(
        authentication.recognised,
        deps.authenticator,
        request,
        raw_path,
        trail.at,
        frozenset({service}),
        threads=threads,
    )
    async with bodies.read(request, deps.bodies, recognised) as body:
        identified = partial(_identified, deps, service, request, raw_path, body, trail)
        try:
            principal = await to_thread.run_sync(identified, limiter=threads)
        except AuthenticationError as error:
            if looks_again is None or error.code != unknown_key(service).code:
                raise
            await looks_again.unknown()
            principal = await to_thread.run_sync(identified, limiter=threads)
        async with looks_again.proven(principal) if looks_again is not None else nullcontext():
            return await _acted(deps, service, request, principal, body, trail)


async def _acted(
    deps: AnswersQueries,
    service: models.Service,
    request: Request,
    principal: Principal | None,
    body: bytes,
    trail: Trail,
) -> Response:
    now, address, is_secure = trail.at, trail.address, request.url.is_secure
    if principal is None:
        context = connection_context(now=now, source_ip=address, secure=is_secure)
    else:
        context = principal_context(principal, now=now, source_ip=address, secure=is_secure)
    found = await answered(
        deps.query,
        request,
        service=service,
        principal=principal,
        body=body,
        context=context,
        request_id=trail.request_id,
    )
    trail.action, trail.resource, trail.environment = found.action, found.resource, found.environment
    trail.allowed, trail.is_free, trail.sentence = found.allowed, found.is_free, found.sentence
    if found.federated is not None:
        trail.detail["federated"] = found.federated
    if found.error is not None:
        trail.failed(found.error, found.sentence)
    return found.response


def _identified(
    deps: AnswersQueries, service: models.Service, request: Request, raw_path: str, body: bytes, trail: Trail
) -> Principal | None:
    """The signer; None = the request is unsigned. May block: an environment's own key is looked up in the ledger."""
    signed = authentication.signed_request(request, raw_path, body)
    if not authentication.is_signed(signed):
        return None
    return authentication.identified(deps.authenticator, signed, trail, frozenset({service}))
