"""A matched request → the operation's input as Python values, or a ValidationException that names what is wrong.

It knows where members are sent (path, query, body), not what they mean. Unknown members are ignored, as AWS ignores
them. Pure; a large body can take long, so this runs in a worker thread.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, NoReturn
from urllib.parse import parse_qsl, unquote

from botocore.model import ListShape, Shape, StructureShape

from aerodrome import bounded_json
from aerodrome.api.wire import constraints, errors, routes

MOST_QUERY_FIELDS = 200
"""A tag request has at most 50 keys, a presigned one about ten more fields; the rest is a margin."""

_INTEGER_DIGITS = 20
"""More than any 64-bit number has."""

_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
"""An escape that may be half of a pair; rare enough to look more closely at every body that has one."""


def read(match: routes.Match, query: str, body: bytes, hints: constraints.Hints) -> dict[str, Any]:
    """The validated input.

    Raises:
        WireError: ValidationException with every violation found, up to a bound.
    """
    shape = match.operation.input_shape
    if shape is None:
        return {}
    assert isinstance(shape, StructureShape)  # noqa: S101 - inputs are structures in every model of botocore
    given = {
        **_from_body(shape, body),
        **_from_query(shape, query),
        **_from_path(shape, match.labels),
    }
    walk = constraints.Walk(hints)
    found = walk.read(shape, given)
    if walk.sentences:
        raise errors.WireError(errors.VALIDATION, summary(walk.sentences))
    return dict(found)


def summary(sentences: list[str]) -> str:
    """Violations as one message, worded as AWS words it."""
    noun = "validation error" if len(sentences) == 1 else "validation errors"
    return f"{len(sentences)} {noun} detected: {'; '.join(sentences)}"


def _located(shape: StructureShape, location: str | None) -> dict[str, tuple[str, Shape]]:
    """Members that are sent at `location` (None = in the body) → their name there and their shape."""
    return {
        member: (inner.serialization.get("name", member), inner)
        for member, inner in shape.members.items()
        if inner.serialization.get("location") == location
    }


def _from_body(shape: StructureShape, body: bytes) -> dict[str, Any]:
    members = _located(shape, None)
    if not members or not body.strip():
        return {}
    document = _json(body)
    if not isinstance(document, dict):
        _refuse("The body of the request must be a JSON object, such as {}")
    return {member: document[name] for member, (name, _) in members.items() if name in document}


def _json(body: bytes) -> Any:
    try:
        document = bounded_json.loads(body, parse_constant=_no_constant)
        if _SURROGATE.search(body):
            json.dumps(document, ensure_ascii=False).encode()
    except UnicodeDecodeError:
        _refuse("The body of the request is not UTF-8: send JSON encoded as UTF-8")
    except UnicodeEncodeError:
        _refuse("The body of the request has half of a surrogate pair: escape whole characters")
    except RecursionError:
        _refuse("The body of the request is nested too deeply")
    except json.JSONDecodeError as error:
        _refuse(f"The body of the request is not JSON: {error.msg} at line {error.lineno}, column {error.colno}")
    except ValueError as error:
        _refuse(f"The body of the request is not acceptable JSON: {str(error).split(':', maxsplit=1)[0]}")
    return document


def _no_constant(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a JSON number")


def _from_query(shape: StructureShape, query: str) -> dict[str, Any]:
    members = _located(shape, "querystring")
    if not members:
        return {}
    try:
        pairs = parse_qsl(query, keep_blank_values=True, errors="strict", max_num_fields=MOST_QUERY_FIELDS)
    except ValueError:
        _refuse(f"The query of the request must be UTF-8 and have at most {MOST_QUERY_FIELDS} fields")
    found: dict[str, Any] = {}
    for member, (name, inner) in members.items():
        values = [value for key, value in pairs if key == name]
        if isinstance(inner, ListShape):
            found[member] = values  # on the wire an empty list and no list look the same
        elif len(values) > 1:
            _refuse(f"The query parameter '{name}' was given {len(values)} times: give it once")
        elif values:
            found[member] = _from_text(inner, values[0])
    return found


def _from_path(shape: StructureShape, labels: Mapping[str, str]) -> dict[str, Any]:
    found = {}
    for member, (name, _) in _located(shape, "uri").items():
        try:
            found[member] = unquote(labels[name], errors="strict")
        except UnicodeDecodeError:
            _refuse(f"'{name}' in the path of the request is not UTF-8: percent-encode its UTF-8 bytes")
    return found


def _from_text(shape: Shape, text: str) -> Any:
    """Text of a query as its shape's type; text that does not fit stays text, and validation refuses it."""
    if shape.type_name in constraints.INTEGER_BITS:
        digits = text.removeprefix("-")
        fits = digits.isascii() and digits.isdigit() and len(digits) <= _INTEGER_DIGITS
        return int(text) if fits else text
    if shape.type_name == "boolean":
        return {"true": True, "false": False}.get(text, text)
    return text


def _refuse(sentence: str) -> NoReturn:
    raise errors.WireError(errors.VALIDATION, sentence)
