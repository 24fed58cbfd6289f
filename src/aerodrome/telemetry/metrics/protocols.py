"""CloudWatch's wire: a request of any of its three protocols read, and its answer written in the same one. Pure.

CBOR (an operation in the path), JSON (in a header) and forms (in a field); botocore's model of `cloudwatch` has the
shapes. Times are seconds since 1970 here, whatever they are on the wire. The AWS door reads requests by this too, so
that what it decides about is what is carried out.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from functools import cache
from typing import Any
from urllib.parse import parse_qsl
from xml.etree import ElementTree as ET

import cbor2
from botocore.model import ListShape, MapShape, OperationModel, Shape, StructureShape

from aerodrome import bounded_json, query_forms, service_models
from aerodrome.bounded_json import TooManyValuesError

SERVICE = "cloudwatch"
"""botocore's name."""

SIGNED_FOR = "monitoring"

TARGET = "GraniteServiceVersion20100801"

PATH = f"/service/{TARGET}/operation/"

XMLNS = "http://monitoring.amazonaws.com/doc/2010-08-01/"

MOST_FIELDS = 200_000
"""A thousand metrics with thirty dimensions have sixty thousand."""

DEEPEST = 12
"""Parts that a field's name may have; no input has more than nine."""

LONGEST_ECHO = 100
"""Characters of a wrong value that the answer repeats; arbitrary."""

Document = dict[str, Any]


class Protocol(StrEnum):
    """How a request is written, and so its answer."""

    CBOR = "cbor"
    JSON = "json"
    QUERY = "query"


class UnreadableError(Exception):
    """The body is not what the protocol says, or there is no such operation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Called:
    """Which operation, and how it is asked for."""

    protocol: Protocol
    name: str
    fields: Mapping[str, str] | None = None
    """Of a form."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsFailure:
    """Why a request is not carried out."""

    code: str
    """In the words of the query protocol."""
    sentence: str


def called(path: str, target: str, query: str, body: bytes) -> Called:
    """Which operation a request asks for.

    Raises:
        UnreadableError: none that can be told.
    """
    if path.startswith(PATH):
        return Called(protocol=Protocol.CBOR, name=path.removeprefix(PATH))
    if target:
        prefix, _, name = target.partition(".")
        if prefix != TARGET:
            raise UnreadableError(f"There is no target {prefix[:LONGEST_ECHO]!r}.")
        return Called(protocol=Protocol.JSON, name=name)
    fields = _fields(query, body)
    return Called(protocol=Protocol.QUERY, name=fields.get("Action", ""), fields=fields)


def operation(name: str) -> OperationModel:
    """An operation of the model.

    Raises:
        UnreadableError: there is none of that name.
    """
    if name not in _names():
        raise UnreadableError(f"There is no operation {name[:LONGEST_ECHO]!r}.")
    return service_models.of(SERVICE).operation_model(name)


def document(asked: Called, wanted: OperationModel, body: bytes) -> Document:
    """The members of a request, unchecked but for times, which are seconds since 1970.

    Raises:
        UnreadableError: the body is not what the protocol says.
    """
    shape = wanted.input_shape
    if shape is None:
        return {}
    found: Any
    if asked.fields is not None:
        tree = query_forms.tree(asked.fields, deepest=DEEPEST, passed_over=("Action", "Version"))
        found = query_forms.value(shape, tree)
    else:
        found = _cbor(body) if asked.protocol is Protocol.CBOR else _json(body)
    if not isinstance(found, dict):
        raise UnreadableError("The body of the request is no structure.")
    plain: Document = _plain(shape, found)
    return plain


def success(asked: Protocol, wanted: OperationModel, output: Mapping[str, Any], request_id: str) -> bytes:
    """The body of an answer; members without a value are left out."""
    shape = wanted.output_shape
    if asked is not Protocol.QUERY:
        return _dumped(asked, _wire(shape, output, asked) if shape is not None else {})
    root = ET.Element(f"{wanted.name}Response", xmlns=XMLNS)
    if shape is not None:
        query_forms.fill(ET.SubElement(root, f"{wanted.name}Result"), shape, output, _text)
    ET.SubElement(ET.SubElement(root, "ResponseMetadata"), "RequestId").text = request_id
    return bytes(ET.tostring(root, encoding="utf-8"))


def failure(asked: Called, error: MetricsFailure, request_id: str) -> tuple[int, bytes]:
    """Status and body of a refusal."""
    operation = asked.name if asked.name in _names() else ""  # what is remembered is of the model alone
    name, status = _errors(operation).get(error.code, (error.code, 503 if error.code == "ServiceUnavailable" else 400))
    if asked.protocol is not Protocol.QUERY:
        told = {"__type": f"com.amazonaws.cloudwatch.v2010_08_01#{name}", "message": error.sentence}
        return status, _dumped(asked.protocol, told)
    root = ET.Element("ErrorResponse", xmlns=XMLNS)
    element = ET.SubElement(root, "Error")
    for tag, text in (("Type", _side(status)), ("Code", error.code), ("Message", error.sentence)):
        ET.SubElement(element, tag).text = text
    ET.SubElement(root, "RequestId").text = request_id
    return status, bytes(ET.tostring(root, encoding="utf-8"))


def headers(asked: Protocol, error: MetricsFailure | None, status: int) -> list[tuple[bytes, bytes]]:
    """The headers of an answer that the protocol demands."""
    found = [(b"content-type", _TYPES[asked])]
    if asked is Protocol.CBOR:
        found.append((b"smithy-protocol", b"rpc-v2-cbor"))
    if error is not None and asked is not Protocol.QUERY:
        found.append((b"x-amzn-query-error", f"{error.code};{_side(status)}".encode()))
    return found


_TYPES = {
    Protocol.CBOR: b"application/cbor",
    Protocol.JSON: b"application/x-amz-json-1.0",
    Protocol.QUERY: b"text/xml",
}

_SERVER_FAULT = 500


def _dumped(asked: Protocol, found: Any) -> bytes:
    return bytes(cbor2.dumps(found)) if asked is Protocol.CBOR else json.dumps(found).encode()


def _side(status: int) -> str:
    return "Receiver" if status >= _SERVER_FAULT else "Sender"


@cache
def _names() -> frozenset[str]:
    return frozenset(service_models.of(SERVICE).operation_names)


@cache
def _errors(operation: str) -> Mapping[str, tuple[str, int]]:
    """The query protocol's code of each error → its shape's name and status; the operation's own shapes come first."""
    model = service_models.of(SERVICE)
    own = model.operation_model(operation).error_shapes if operation else []
    found: dict[str, tuple[str, int]] = {}
    for shape in (*own, *map(model.shape_for, model.shape_names)):
        declared = shape.metadata.get("error")
        if declared and "code" in declared:
            found.setdefault(declared["code"], (shape.name, declared["httpStatusCode"]))
    return found


def _fields(query: str, body: bytes) -> dict[str, str]:
    found: dict[str, str] = {}
    for part in (query.encode("latin-1", "replace"), body):
        try:
            pairs = parse_qsl(part.decode(), keep_blank_values=True, errors="strict", max_num_fields=MOST_FIELDS)
        except ValueError:
            raise UnreadableError("The body of the request is no form.") from None
        found |= pairs
    return found


def _json(body: bytes) -> Any:
    try:
        return bounded_json.loads(body or b"{}")
    except (ValueError, RecursionError):
        raise UnreadableError("The body of the request is not JSON.") from None


class _CountedReads(io.BytesIO):
    """The bytes of a body; the decoder reads once or more for each value."""

    def __init__(self, body: bytes) -> None:
        super().__init__(body)
        self._left = bounded_json.MOST_VALUES

    def read(self, size: int | None = -1, /) -> bytes:
        """As of any file."""
        self._left -= 1
        if self._left < 0:
            raise TooManyValuesError(bounded_json.MOST_VALUES)
        return super().read(size)

    def seekable(self) -> bool:
        """No: the decoder would read ahead."""
        return False


def _cbor(body: bytes) -> Any:
    if not body:
        return {}
    try:
        # A value has one byte at least: only a longer body can have too many.
        return cbor2.load(_CountedReads(body)) if len(body) > bounded_json.MOST_VALUES else cbor2.loads(body)
    except Exception:  # noqa: BLE001 - what a hostile body makes of the decoder is its sender's affair
        raise UnreadableError("The body of the request is not CBOR.") from None


def _plain(shape: Shape, value: Any) -> Any:
    """The value with times as seconds, and numbers of forms as numbers; what is of another type stays as it is."""
    if isinstance(shape, StructureShape) and isinstance(value, dict):
        return {
            name: _plain(shape.members[name], each) if name in shape.members else each for name, each in value.items()
        }
    if isinstance(shape, ListShape) and isinstance(value, list):
        return [_plain(shape.member, each) for each in value]
    if shape.type_name == "timestamp":
        return _seconds(value)
    if shape.type_name in {"double", "float"} and isinstance(value, str):
        return _number(value)
    return value


def _seconds(value: Any) -> Any:
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return _number(value)
    if isinstance(value, datetime):
        try:
            return (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
        except (ValueError, OverflowError):
            return None
    return value


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def _wire(shape: Shape, value: Any, asked: Protocol) -> Any:
    if isinstance(shape, StructureShape):
        return {
            name: _wire(inner, value[name], asked)
            for name, inner in shape.members.items()
            if value.get(name) is not None
        }
    if isinstance(shape, ListShape):
        return [_wire(shape.member, each, asked) for each in value]
    if isinstance(shape, MapShape):
        return {key: _wire(shape.value, each, asked) for key, each in value.items()}
    if shape.type_name == "timestamp":
        return cbor2.CBORTag(1, value) if asked is Protocol.CBOR else value
    return float(value) if shape.type_name == "double" else value


def _text(shape: Shape, value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if shape.type_name == "timestamp":
        return datetime.fromtimestamp(value, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
    return str(value)
