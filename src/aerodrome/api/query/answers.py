"""Outputs and errors → XML, by the model's shapes.

The last step of a request for IAM or STS. It leaves out members without a value. It percent-encodes policy documents;
every AWS SDK decodes them.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any
from urllib.parse import quote
from xml.etree import ElementTree as ET

from botocore.model import OperationModel, Shape
from starlette.responses import Response

from aerodrome import query_forms
from aerodrome.api.query import models
from aerodrome.api.query.errors import QueryError
from aerodrome.api.wire.answers import REQUEST_ID

POLICY_DOCUMENT = "policyDocumentType"
"""IAM's shape of policy documents, whose values are percent-encoded."""

_SERVER_FAULT = 500


def success(service: models.Service, operation: OperationModel, output: Mapping[str, Any], request_id: str) -> Response:
    """The response of an operation that succeeded."""
    root = ET.Element(f"{operation.name}Response", xmlns=models.XMLNS[service])
    shape = operation.output_shape
    if shape is not None:
        query_forms.fill(ET.SubElement(root, f"{operation.name}Result"), shape, output, _text)
    ET.SubElement(ET.SubElement(root, "ResponseMetadata"), "RequestId").text = request_id
    return _response(200, root, request_id)


def failure(service: models.Service, error: QueryError, request_id: str) -> Response:
    """The response of an error."""
    root = ET.Element("ErrorResponse", xmlns=models.XMLNS[service])
    element = ET.SubElement(root, "Error")
    ET.SubElement(element, "Type").text = "Receiver" if error.status >= _SERVER_FAULT else "Sender"
    ET.SubElement(element, "Code").text = error.code
    ET.SubElement(element, "Message").text = error.message
    ET.SubElement(root, "RequestId").text = request_id
    return _response(error.status, root, request_id)


def _text(shape: Shape, value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return quote(value, safe="") if shape.name == POLICY_DOCUMENT else str(value)


def _response(status: int, root: ET.Element, request_id: str) -> Response:
    content = ET.tostring(root, encoding="utf-8", xml_declaration=False)
    headers = {REQUEST_ID: request_id}
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers["Retry-After"] = "1"
    return Response(content, status_code=status, headers=headers, media_type="text/xml")
