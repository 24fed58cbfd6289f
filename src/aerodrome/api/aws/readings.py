"""One reading of a request to a service other than S3: its operation and what it is given. Pure.

MiniStack takes an operation from wherever it finds one: a target, a query, a body of whatever type, a path. Here each
service's own protocol says where it stands, as botocore's models know it; what stands elsewhere too is refused, and so
is what the operation has no member for.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from botocore.model import OperationNotFoundError, ServiceModel
from ministack.core import iam_actions, router

from aerodrome import bounded_json, service_models
from aerodrome.api.aws import passing
from aerodrome.api.aws.requested import OnwardHead, UnclearError, parsed
from aerodrome.bounded_json import TooManyValuesError
from aerodrome.telemetry.metrics import protocols
from aerodrome.telemetry.metrics.protocols import UnreadableError

_FORMS = frozenset({"ec2", "monitoring", "ses", "sns", "sqs"})
"""Services that take forms."""

_NEVER_TARGETED = frozenset({"ec2", "scheduler", "ses", "sns"})
"""Services that know no `x-amz-target`; MiniStack ignores it."""

_MODELS = {"monitoring": "cloudwatch", "states": "stepfunctions", "tagging": "resourcegroupstaggingapi"}
"""MiniStack's name of a service → botocore's, where they differ."""

_FORM = "application/x-www-form-urlencoded"

_CBOR = re.compile(r"/service/GraniteServiceVersion20100801/operation/([A-Za-z0-9]+)")

_QUEUE_PATH = re.compile(r"/([0-9]{12}|queue)/[A-Za-z0-9_-]{1,80}(\.fifo)?/?")

_WAYS = frozenset({"keep-alive", "close", "upgrade", "http2-settings", ""})
"""What a Connection header may name; of the two offers nobody here takes."""


MOST_ESCAPES = 2**20
"""Of a form: as many bytes as the largest messages have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """An operation."""

    name: str | None
    """None: nobody knows it."""
    members: Mapping[str, Any]
    """Of a form: as strings, but those of CloudWatch, which are as its model has them whatever the protocol."""


def check_connection(head: OnwardHead) -> None:
    """Raise UnclearError when the request says that headers of its own are to be dropped on the way."""
    named = {each.strip().lower() for each in head.headers.get("connection", "").split(",")}
    if not named <= _WAYS:
        raise UnclearError("The Connection header names another header.")


def read(service: str, head: OnwardHead, body: bytes) -> Reading:
    """The operation, as the service's protocol has it.

    Raises:
        UnclearError: there is more than one reading, or none.
    """
    query = {name: values for name, values in head.query.items() if name.lower() not in passing.SIGNING}
    if service == "monitoring":
        return _of_cloudwatch(head, query, body)
    if service == "scheduler" or (service == "ses" and head.path.startswith("/v2/")):
        return _by_route(service, head, query, body)
    if "x-amz-target" in head.headers:
        return _by_target(service, head, query, body)
    if service not in _FORMS:
        raise UnclearError("The request names no operation.")
    return _by_form(service, head, query, body)


def _by_route(service: str, head: OnwardHead, query: Mapping[str, list[str]], body: bytes) -> Reading:
    is_form = head.headers.get("content-type", "").lower().startswith(_FORM)
    if "Action" in query or "x-amz-target" in head.headers or is_form:
        raise UnclearError("The request names its operation in two ways.")
    _check_once(query)
    name: str | None = iam_actions._match_rest_action(service, head.method, head.path, dict(query))  # noqa: SLF001 -- pinned version
    return Reading(name=name, members=_document(body))


def _by_target(service: str, head: OnwardHead, query: Mapping[str, list[str]], body: bytes) -> Reading:
    prefix, _, name = head.headers["x-amz-target"].rpartition(".")
    prefixes = router.SERVICE_PATTERNS.get(service, {}).get("target_prefixes", [])
    if service in _NEVER_TARGETED or prefix not in [each.rstrip(".") for each in prefixes]:
        raise UnclearError("The service has no such target.")
    is_form = head.headers.get("content-type", "").lower().startswith(_FORM)
    if query or head.method != "POST" or is_form:
        raise UnclearError("The request names its operation in two ways.")
    if head.path != "/" and not (service == "sqs" and _QUEUE_PATH.fullmatch(head.path)):
        raise UnclearError("The request has a path that its service does not know.")
    return _targeted(service, name, body)


def read_target(service: str, head: OnwardHead, body: bytes) -> Reading:
    """The operation of a service of which MiniStack knows nothing: as its target has it.

    Raises:
        UnclearError: there is more than one reading, or none.
    """
    query = [name for name in head.query if name.lower() not in passing.SIGNING]
    if query or head.method != "POST" or head.path != "/":
        raise UnclearError("The request names its operation in two ways.")
    return _targeted(service, head.headers.get("x-amz-target", "").rpartition(".")[2], body)


def _targeted(service: str, name: str, body: bytes) -> Reading:
    known = _members(service, name)
    if known is None:
        return Reading(name=None, members={})
    found = _document(body)
    _check_known(found, known)
    return Reading(name=name, members=found)


def _of_cloudwatch(head: OnwardHead, query: Mapping[str, list[str]], body: bytes) -> Reading:
    """As the log store reads it, once there is one reading alone."""
    if "x-amz-target" in head.headers:
        name = _by_target("monitoring", head, query, b"").name
    elif head.path != "/":
        name = _by_cbor(head, query).name
    else:
        name = _by_form("monitoring", head, query, body).name
    target, raw = head.headers.get("x-amz-target", ""), urlencode({key: each[0] for key, each in query.items()})
    try:
        called = protocols.called(head.path, target, raw, body)
        wanted = protocols.operation(called.name)
        members = protocols.document(called, wanted, body)
    except UnreadableError:
        return Reading(name=None, members={})
    if called.name != name:
        raise UnclearError("The request names its operation in two ways.")
    return Reading(name=name, members=members)


def _by_cbor(head: OnwardHead, query: Mapping[str, list[str]]) -> Reading:
    found = _CBOR.fullmatch(head.path)
    is_cbor = head.headers.get("content-type", "") == "application/cbor"
    if found is None or query or head.method != "POST" or not is_cbor:
        raise UnclearError("The request names its operation in two ways.")
    return Reading(name=found[1], members={})


def _by_form(service: str, head: OnwardHead, query: Mapping[str, list[str]], body: bytes) -> Reading:
    if head.path != "/" and not (service == "sqs" and _QUEUE_PATH.fullmatch(head.path)):
        raise UnclearError("The request has a path that its service does not know.")
    kind = head.headers.get("content-type", "").lower()
    is_form = head.method == "POST" and kind.startswith(_FORM)
    if head.method not in {"GET", "POST"} or (body and not is_form) or "cbor" in kind or "json" in kind:
        raise UnclearError("The request is no form.")
    if "smithy-protocol" in head.headers:
        raise UnclearError("The request names its operation in two ways.")
    if body.count(b"%") > MOST_ESCAPES:
        raise UnclearError("The form has too many escapes.")
    form = parsed(body.decode("utf-8", "replace"))
    if set(form) & set(query):
        raise UnclearError("The request gives a parameter twice.")
    found = {**form, **query}
    _check_once(found)
    members = {name: values[0] for name, values in found.items() if name not in {"Action", "Version"}}
    name = found.get("Action", [""])[0] or None
    if service in {"sns", "ses"} and name is not None:
        known = _members(service, name)
        if known is None:
            return Reading(name=None, members={})
        _check_known({each.partition(".")[0]: None for each in members}, known)
    return Reading(name=name, members=members)


def _check_once(found: Mapping[str, list[str]]) -> None:
    if any(len(values) > 1 for values in found.values()):
        raise UnclearError("The request gives a parameter twice.")


def _check_known(found: Mapping[str, Any], known: frozenset[str]) -> None:
    unknown = sorted(set(found) - known)
    if unknown:
        raise UnclearError(f"The operation has no member {unknown[0]!r}.")


def _document(body: bytes) -> dict[str, Any]:
    try:
        found = bounded_json.loads(body, object_pairs_hook=_once) if body else {}
    except TooManyValuesError as error:
        raise UnclearError(f"The body cannot be read: {error}.") from None
    except (ValueError, RecursionError):
        raise UnclearError("The body is no JSON.") from None
    if not isinstance(found, dict):
        raise UnclearError("The body is no JSON object.")
    return found


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise UnclearError("The request gives a member twice.")
    return found


def _model(service: str) -> ServiceModel:
    return service_models.of(_MODELS.get(service, service))


def _members(service: str, operation: str) -> frozenset[str] | None:
    """The names of an operation's members, as they are sent; None: there is no such operation."""
    try:
        shape = _model(service).operation_model(operation).input_shape
    except OperationNotFoundError:
        return None
    found = shape.members if shape is not None else {}
    return frozenset(str(member.serialization.get("name", name)) for name, member in found.items())
