"""One request for IAM or STS, from form fields to XML; `queries` calls it after the signature is verified.

Every failure becomes an error of the query protocol, and the answer has everything for the audit log.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import structlog
from anyio import to_thread
from botocore.model import OperationModel
from starlette.requests import Request
from starlette.responses import Response

from aerodrome.api.iam import table as iam_table
from aerodrome.api.query import answers, errors, models, requests
from aerodrome.api.query.call import Call, Context, Operation, Output
from aerodrome.api.query.dependencies import QueryDependencies
from aerodrome.api.sts import table as sts_table
from aerodrome.api.wire.answers import new_request_id
from aerodrome.identity.errors import NOT_VALID, AuthenticationError
from aerodrome.model.iam.errors import IamError
from aerodrome.model.principals import Principal, PrincipalKind

TABLES: Mapping[models.Service, Mapping[str, Operation]] = {"iam": iam_table.OPERATIONS, "sts": sts_table.OPERATIONS}

UNKNOWN = "Unknown"
"""The operation of a request that names none."""

log = structlog.get_logger("aerodrome.api")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A response, and what the audit log gets about its request."""

    response: Response
    action: str
    """Such as `iam:CreateUser`."""
    resource: str
    allowed: bool
    is_free: bool
    """See `Call.is_free`."""
    sentence: str
    """Why; for the audit log, not for the caller."""
    error: str | None
    """The code of the error that the caller got."""
    federated: str | None
    """Who asked without a signature: the ARN of an OIDC provider, and the subject there."""
    environment: str | None
    """The environment that asked for its own role."""


async def answer(
    deps: QueryDependencies,
    request: Request,
    *,
    service: models.Service,
    principal: Principal | None,
    body: bytes,
    context: Context,
    request_id: str | None = None,
) -> Answer:
    """The answer to a request whose signature is verified; `context` are the condition keys that every request has.

    `principal` is None when there is no signature: then only AssumeRoleWithWebIdentity is answered.
    """
    request_id = request_id or new_request_id()
    call = Call(
        deps=deps,
        given={},
        principal=principal,
        now=deps.clock(),
        context=context,
        action=f"{service}:{UNKNOWN}",
        environment=principal.environment if principal else None,
    )
    try:
        operation, output = await _done(call, service, request, body)
        response = answers.success(service, operation, output, request_id)
        found = None
    except Exception as caught:  # noqa: BLE001 - every failure must leave as an error of the protocol
        found = errors.translated(service, caught)
        response = answers.failure(service, found, request_id)
    log.info("answered", operation=call.action, request_id=request_id, error=found.code if found else None)
    return Answer(
        response=response,
        action=call.action,
        resource=call.resource,
        allowed=call.allowed,
        is_free=call.is_free,
        sentence=found.message if found and (call.allowed or not call.sentence) else call.sentence,
        error=found.code if found else None,
        federated=call.federated,
        environment=call.environment,
    )


async def _done(call: Call, service: models.Service, request: Request, body: bytes) -> tuple[OperationModel, Output]:
    """The operation that the request names, and what it answered."""
    fields = requests.fields(str(request.scope["query_string"], "latin-1"), body)
    operation = requests.operation(service, fields)
    call.action = f"{service}:{operation.name}"
    if call.principal is None and operation.name != requests.UNSIGNED:
        raise AuthenticationError(errors.MISSING_TOKEN, "Request is missing Authentication Token")
    if service == "iam" and _is_users_session(call.principal):
        raise AuthenticationError("InvalidClientTokenId", NOT_VALID)
    act = TABLES[service].get(operation.name)
    if act is None:
        raise IamError(errors.INVALID_ACTION, f"{operation.name} is not offered by this release of Aerodrome.")
    call.given = await to_thread.run_sync(requests.read, operation, fields)
    return operation, await act(call)


def _is_users_session(principal: Principal | None) -> bool:
    """True for credentials by GetSessionToken. They may not call IAM: stolen ones could make keys that outlive them."""
    return principal is not None and principal.kind is PrincipalKind.USER and principal.expires_at is not None
