"""CloudWatch Logs' wire: requests read, answers and refusals written, by botocore's own model of `logs`. Pure.

JSON 1.1: the operation's name stands in a header, everything else in the body. What the model says of a member (its
type, length, range, values, pattern) is checked here, once for all operations.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from botocore.model import ListShape, MapShape, OperationModel, Shape, StringShape, StructureShape

from aerodrome import bounded_json, java_patterns, service_models
from aerodrome.telemetry.refusals import UNAVAILABLE, TelemetryRefusedError, invalid

SERVICE = "logs"

UNKNOWN = "UnknownOperationException"

LONGEST_ECHO = 100
"""Characters of a refused value that the answer repeats; arbitrary."""

Document = dict[str, Any]


def operation(target: str) -> OperationModel:
    """The operation that the header `X-Amz-Target` names.

    Raises:
        TelemetryRefusedError: the model has none.
    """
    found = service_models.targeted(SERVICE, target)
    if found is None:
        raise TelemetryRefusedError(UNKNOWN, f"There is no operation {target[:LONGEST_ECHO]!r}.")
    return found


def read(wanted: OperationModel, body: bytes) -> Document:
    """The members of a request; those that the model does not know are passed over, and so is null.

    Raises:
        TelemetryRefusedError: it is none that the model allows.
    """
    try:
        document = bounded_json.loads(body or b"{}")
    except (ValueError, RecursionError):
        raise TelemetryRefusedError("SerializationException", "The body of the request is not JSON.") from None
    if wanted.input_shape is None:
        return {}
    found = _read(wanted.input_shape, document, "")
    assert isinstance(found, dict)  # noqa: S101 - every input of the model is a structure
    return found


def checked(shape: Shape, document: Any) -> Any:
    """The members of a request, read already, that the model of whatever service knows.

    Raises:
        TelemetryRefusedError: they are not what the model allows.
    """
    return _read(shape, document, "")


def success(output: Mapping[str, Any]) -> bytes:
    """The body of an answer; members without a value are left out."""
    return json.dumps({name: value for name, value in output.items() if value is not None}).encode()


def failure(error: TelemetryRefusedError) -> bytes:
    """The body of a refusal."""
    return json.dumps({"__type": error.code, "message": str(error)}).encode()


def status(error: TelemetryRefusedError) -> int:
    """Its HTTP status."""
    return 503 if error.code == UNAVAILABLE else 400


def _read(shape: Shape, value: Any, path: str) -> Any:
    if isinstance(shape, StructureShape):
        return _structure(shape, value, path)
    if isinstance(shape, ListShape):
        _require(isinstance(value, list), value, path, "Member must be a list")
        _check_size(shape, value, path)
        return [_read(shape.member, each, f"{path}.{number}") for number, each in enumerate(value, start=1)]
    if isinstance(shape, MapShape):
        _require(isinstance(value, dict), value, path, "Member must be an object")
        _check_size(shape, value, path)
        return {_scalar(shape.key, key, path): _read(shape.value, each, f"{path}.{key}") for key, each in value.items()}
    return _scalar(shape, value, path)


def _structure(shape: StructureShape, value: Any, path: str) -> Document:
    _require(isinstance(value, dict), value, path or "body", "Member must be an object")
    missing = [name for name in shape.required_members if value.get(name) is None]
    _require(not missing, None, _joined(path, missing[0]) if missing else path, "Member must not be null")
    return {
        name: _read(inner, value[name], _joined(path, name))
        for name, inner in shape.members.items()
        if value.get(name) is not None
    }


def _scalar(shape: Shape, value: Any, path: str) -> Any:
    kind, words = _KINDS[shape.type_name]
    _require(kind(value), value, path, f"Member must be {words}")
    if not isinstance(shape, StringShape):
        least, most = shape.metadata.get("min"), shape.metadata.get("max")
        _require(
            least is None or value >= least, value, path, f"Member must have value greater than or equal to {least}"
        )
        _require(most is None or value <= most, value, path, f"Member must have value less than or equal to {most}")
        return value
    _check_size(shape, value, path)
    _require(not shape.enum or value in shape.enum, value, path, f"Member must satisfy enum value set: {shape.enum}")
    pattern = shape.metadata.get("pattern")
    is_fit = pattern is None or java_patterns.compiled(pattern).fullmatch(value) is not None
    _require(is_fit, value, path, f"Member must satisfy regular expression pattern: {pattern}")
    # Half of a surrogate pair, which JSON can write, is no text that could be stored.
    return value if value.isascii() else value.encode("utf-8", "replace").decode()


def _check_size(shape: Shape, value: Any, path: str) -> None:
    least, most = shape.metadata.get("min"), shape.metadata.get("max")
    _require(
        least is None or len(value) >= least, value, path, f"Member must have length greater than or equal to {least}"
    )
    _require(most is None or len(value) <= most, value, path, f"Member must have length less than or equal to {most}")


def _require(is_right: bool, value: Any, path: str, constraint: str) -> None:  # noqa: FBT001 - a condition
    if not is_right:
        shown = "" if not isinstance(value, str | int | float) else f" '{str(value)[:LONGEST_ECHO]}'"
        raise invalid(
            f"1 validation error detected: Value{shown} at '{path}' failed to satisfy constraint: {constraint}"
        )


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**62


_KINDS: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "string": (lambda value: isinstance(value, str), "a string"),
    "integer": (_is_whole, "a whole number"),
    "long": (_is_whole, "a whole number"),
    "boolean": (lambda value: isinstance(value, bool), "true or false"),
    "double": (lambda value: isinstance(value, int | float), "a number"),
    "float": (lambda value: isinstance(value, int | float), "a number"),
    "timestamp": (lambda value: isinstance(value, int | float), "a time"),
    "blob": (lambda value: isinstance(value, str), "a string"),
}


def _joined(path: str, member: str) -> str:
    return f"{path}.{member}" if path else member
