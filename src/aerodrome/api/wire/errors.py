"""Turns an exception into one of the error shapes that the operation declares.

It is the last step before `answers`. An error that the operation does not declare becomes one that it declares, and is
logged as our own mistake. The one exception is AccessDeniedException: AWS answers it for every operation, whether or
not the model declares it.
"""

from __future__ import annotations

from typing import Any

import structlog

from aerodrome import errors
from aerodrome.api.wire import service
from aerodrome.operations.rest import RestApiError

log = structlog.get_logger("aerodrome.api")

VALIDATION = "ValidationException"
NOT_FOUND = "ResourceNotFoundException"
UNAVAILABLE = "ServiceUnavailableException"
INTERNAL = "InternalServerException"
ACCESS_DENIED = "AccessDeniedException"
REST_CLIENT = "RestApiClientException"
REST_SERVER = "RestApiServerException"

_SERVER_ERROR = 500
"""The first status of Airflow that is an error of the server."""

INSTEAD = {
    VALIDATION: NOT_FOUND,  # CreateCliToken declares nothing else
    NOT_FOUND: VALIDATION,  # no operation lacks both
    UNAVAILABLE: INTERNAL,
}
"""Fitting error shape → what is answered when the operation does not declare it."""


class WireError(Exception):
    """An answer by one of the model's error shapes, with its members; the shape may spell `message` its own way."""

    def __init__(self, code: str, message: str = "", **members: Any) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.members = members


def translated(operation: str, error: Exception) -> WireError:
    """The declared error that tells a caller of `operation` about `error`."""
    found = _on_the_wire(error)
    declared = service.declared_errors(operation)
    if found.code in declared or found.code == ACCESS_DENIED:
        return found
    instead = INSTEAD.get(found.code)
    if instead in declared:
        return WireError(instead, found.message)
    if found.code != INTERNAL:
        log.error("undeclared_error", operation=operation, error=found.code)
    return WireError(INTERNAL, found.message)


def _on_the_wire(error: Exception) -> WireError:
    match error:
        case WireError():
            return error
        case RestApiError(status=status, document=document):
            code = REST_CLIENT if status < _SERVER_ERROR else REST_SERVER
            return WireError(code, RestApiStatusCode=status, RestApiResponse=document)
        case _:
            return WireError(_code(error), _sentence(error))


def _code(error: Exception) -> str:
    match error:
        case errors.NotFoundError():
            return NOT_FOUND
        case errors.CallerError():
            return VALIDATION
        case errors.RetryError():
            return UNAVAILABLE
        case _:
            return INTERNAL


def _sentence(error: Exception) -> str:
    """The sentence of an error of ours, which is for people; for any other error only its kind, and a log entry."""
    if isinstance(error, errors.AerodromeError):
        return str(error)
    log.error("unexpected_error", exc_info=error)
    return f"Aerodrome failed on this request ({type(error).__name__}); its log has the details."
