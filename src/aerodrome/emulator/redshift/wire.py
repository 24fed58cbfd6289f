"""The service's wire: requests read, and answers and errors written, by botocore's own model of `redshift-data`.

JSON 1.1: the operation's name stands in a header, everything else in the body. Pure.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from botocore.model import ListShape, OperationModel, Shape, StringShape, StructureShape
from botocore.validate import ParamValidator

from aerodrome import service_models

SERVICE = "redshift-data"

VALIDATION = "ValidationException"
NOT_FOUND = "ResourceNotFoundException"
TOO_MANY = "ActiveStatementsExceededException"
TOO_MANY_WAITING = "ActiveWaitingRequestsExceededException"
NO_CONNECTION = "DatabaseConnectionException"
TIMEOUT = "QueryTimeoutException"
INTERNAL = "InternalServerException"

LONGEST_ECHO = 100
"""Characters of a refused value that the answer repeats; arbitrary."""


class ServiceError(Exception):
    """An answer that is one of the model's error shapes; `members` beside the message."""

    def __init__(self, code: str, message: str, **members: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.members = members


def operation(target: str) -> OperationModel:
    """The operation that the header `X-Amz-Target` names.

    Raises:
        ServiceError: the model has none.
    """
    found = service_models.targeted(SERVICE, target)
    if found is None:
        raise ServiceError(VALIDATION, f"There is no operation {target[:LONGEST_ECHO]!r}.")
    return found


def read(wanted: OperationModel, body: bytes) -> dict[str, Any]:
    """The members of a request; those that the model does not know are passed over.

    Raises:
        ServiceError: it is none that the model allows.
    """
    try:
        document = json.loads(body or b"{}")
    except (ValueError, RecursionError):
        raise ServiceError(VALIDATION, "The body of the request is not JSON.") from None
    if not isinstance(document, dict):
        raise ServiceError(VALIDATION, "The body of the request must be a JSON object.")
    shape = wanted.input_shape
    assert isinstance(shape, StructureShape)  # noqa: S101 - every input of the model is a structure
    given = {name: document[name] for name in shape.members if document.get(name) is not None}
    report = ParamValidator().validate(given, shape)
    if report.has_errors():
        raise ServiceError(VALIDATION, " ".join(report.generate_report().split()))
    for name, value in given.items():
        for complaint in _complaints(shape.members[name], value):
            raise ServiceError(VALIDATION, f"{name}: {complaint}")
    return given


def success(wanted: OperationModel, output: Mapping[str, Any]) -> bytes:
    """The body of an answer; members without a value are left out."""
    shape = wanted.output_shape
    return json.dumps({} if shape is None else _written(shape, output)).encode()


def failure(error: ServiceError) -> bytes:
    """The body of an error."""
    return json.dumps({"__type": error.code, "Message": error.message, **error.members}).encode()


def status(error: ServiceError) -> int:
    """Its HTTP status: this protocol knows two."""
    return 500 if error.code == INTERNAL else 400


def _complaints(shape: Shape, value: Any) -> Iterator[str]:
    """What botocore's own validator, which is a client's, leaves to the server."""
    most = shape.metadata.get("max")
    if isinstance(shape, StringShape):
        if shape.enum and value not in shape.enum:
            yield f"must be one of {', '.join(shape.enum)}"
        if most is not None and len(value) > most:
            yield f"may have {most} characters"
        elif "pattern" in shape.metadata and not re.fullmatch(shape.metadata["pattern"], value):
            yield f"{value[:LONGEST_ECHO]!r} is not of the form {shape.metadata['pattern']}"
    elif isinstance(shape, ListShape):
        if most is not None and len(value) > most:
            yield f"may have {most} members"
    elif most is not None and value > most:
        yield f"may be {most}"


def _written(shape: Shape, value: Any) -> Any:
    if isinstance(shape, StructureShape):
        members = shape.members.items()
        return {name: _written(inner, value[name]) for name, inner in members if value.get(name) is not None}
    if isinstance(shape, ListShape):
        return [_written(shape.member, each) for each in value]
    return value.timestamp() if isinstance(value, datetime) else value
