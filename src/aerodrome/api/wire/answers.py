"""Outputs and errors → HTTP responses, by the model's shapes.

The last step of a request for MWAA. It leaves out members that the shape does not declare, for these are a mistake of
ours, and members without a value, as AWS does.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from datetime import datetime
from http import HTTPStatus
from typing import Any

from botocore.model import ListShape, MapShape, OperationModel, Shape, StructureShape
from starlette.responses import Response

from aerodrome.api.wire import service
from aerodrome.api.wire.errors import WireError

REQUEST_ID = "x-amzn-RequestId"
ERROR_TYPE = "x-amzn-errortype"


def new_request_id() -> str:
    """The id of a request, for its answer, its log line and its audit entry."""
    return str(uuid.uuid4())


def success(operation: OperationModel, output: Mapping[str, Any], *, request_id: str) -> Response:
    """The response of an operation that succeeded."""
    shape = operation.output_shape
    document = {} if shape is None else serialised(shape, output)
    return _response(operation.http.get("responseCode", 200), document, {REQUEST_ID: request_id})


def failure(error: WireError, *, request_id: str) -> Response:
    """The response of an error that the model declares."""
    shape = service.model().shape_for(error.code)
    assert isinstance(shape, StructureShape)  # noqa: S101 - every exception of the model is a structure
    members = {member: error.message for member in shape.members if member.lower() == "message"} | error.members
    status = shape.metadata["error"]["httpStatusCode"]
    return _response(status, serialised(shape, members), {REQUEST_ID: request_id, ERROR_TYPE: error.code})


def foreign(status: int, code: str, message: str, *, request_id: str | None = None) -> Response:
    """An error before the operation is known, in the form of AWS's own gateways."""
    return _response(status, {"message": message}, {REQUEST_ID: request_id or new_request_id(), ERROR_TYPE: code})


def serialised(shape: Shape, value: Any) -> Any:
    """A value in JSON, as its shape says."""
    if getattr(shape, "is_document_type", False):
        return value
    if isinstance(shape, StructureShape):
        return {
            member: serialised(inner, value[member])
            for member, inner in shape.members.items()
            if value.get(member) is not None
        }
    if isinstance(shape, MapShape):
        return {key: serialised(shape.value, each) for key, each in value.items()}
    if isinstance(shape, ListShape):
        return [serialised(shape.member, each) for each in value]
    return value.timestamp() if isinstance(value, datetime) else value


def _response(status: int, document: Any, headers: dict[str, str]) -> Response:
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers["Retry-After"] = "1"
    return Response(json.dumps(document), status_code=status, headers=headers, media_type="application/json")
