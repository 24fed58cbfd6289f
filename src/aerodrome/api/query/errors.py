"""Turns an exception into a code and status of the query protocol.

It is the last step before `answers`. An unexpected error is logged with its cause, and answered as the service's own
failure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus

import structlog

from aerodrome import errors
from aerodrome.api.query import models
from aerodrome.identity.errors import AuthenticationError, MalformedPolicyError, PackedPolicyTooLargeError
from aerodrome.ledger.connection import LedgerError, reason
from aerodrome.model.iam.errors import ACCESS_DENIED, MALFORMED_POLICY, VALIDATION, IamError

log = structlog.get_logger("aerodrome.api")

INVALID_ACTION = "InvalidAction"
MISSING_ACTION = "MissingAction"
MISSING_TOKEN = "MissingAuthenticationToken"  # noqa: S105 - a code
UNAVAILABLE = "ServiceUnavailable"

INTERNAL: Mapping[models.Service, str] = {"iam": "ServiceFailure", "sts": "InternalFailure"}

COMMON: Mapping[str, HTTPStatus] = {
    ACCESS_DENIED: HTTPStatus.FORBIDDEN,
    VALIDATION: HTTPStatus.BAD_REQUEST,
    INVALID_ACTION: HTTPStatus.BAD_REQUEST,
    MISSING_ACTION: HTTPStatus.BAD_REQUEST,
    MISSING_TOKEN: HTTPStatus.FORBIDDEN,
    "InvalidClientTokenId": HTTPStatus.FORBIDDEN,
    "SignatureDoesNotMatch": HTTPStatus.FORBIDDEN,
    "ExpiredToken": HTTPStatus.FORBIDDEN,
    "IncompleteSignature": HTTPStatus.BAD_REQUEST,
    "RequestExpired": HTTPStatus.BAD_REQUEST,
    UNAVAILABLE: HTTPStatus.SERVICE_UNAVAILABLE,
    "InternalFailure": HTTPStatus.INTERNAL_SERVER_ERROR,
}
"""Codes that every service can answer and no model declares (AWS: common errors) → status."""


@dataclass(frozen=True, slots=True)
class QueryError:
    """The answer: code, status and a sentence."""

    code: str
    status: int
    message: str


def translated(service: models.Service, error: Exception) -> QueryError:
    """What a caller is told about `error`."""
    match error:
        case IamError() | AuthenticationError():
            return _coded(service, error.code, str(error))
        case MalformedPolicyError():
            return _coded(service, MALFORMED_POLICY, error.reason)
        case PackedPolicyTooLargeError():
            return _coded(service, "PackedPolicyTooLarge", str(error))
        case LedgerError() | errors.RetryError():
            return _coded(service, UNAVAILABLE, _away(error))
        case errors.CallerError():
            return _coded(service, VALIDATION, str(error))
        case _:
            log.error("unexpected_error", service=service, exc_info=error)
            sentence = "The request processing has failed because of an unknown error, exception or failure."
            return _coded(service, INTERNAL[service], sentence)


def _away(error: LedgerError | errors.RetryError) -> str:
    if isinstance(error, errors.RetryError):
        return str(error)
    log.warning("ledger_away", reason=reason(error))  # it may name addresses
    return "The ledger does not answer: see `aerodrome status`."


def _coded(service: models.Service, code: str, message: str) -> QueryError:
    status = models.statuses(service).get(code) or COMMON.get(code)
    if status is None:
        log.error("undeclared_error", service=service, error=code)
        return QueryError(INTERNAL[service], HTTPStatus.INTERNAL_SERVER_ERROR, message)
    return QueryError(code, status, message)
