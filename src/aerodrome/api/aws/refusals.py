"""A refusal in the words and the form that each service's clients read. Pure.

MiniStack's own table has the form of each protocol: XML of S3 and of queries, JSON, CBOR. What S3 calls an unproven
signature stands here: it differs from all others.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from xml.sax.saxutils import escape

from ministack.core import iam_actions

DENIED = "AccessDenied"

_MALFORMED: Mapping[str, str] = {
    "s3": "MalformedPolicy",
    "sqs": "InvalidAttributeValue",
    "sns": "InvalidParameter",
    "kinesis": "ValidationException",
}
"""What services call a policy that is none; the others have KMS's word."""

_S3: Mapping[str, tuple[str, int]] = {
    "UnrecognizedClientException": ("InvalidAccessKeyId", 403),
    "InvalidClientTokenId": ("InvalidAccessKeyId", 403),
    "ExpiredToken": ("ExpiredToken", 400),
    "SignatureDoesNotMatch": ("SignatureDoesNotMatch", 403),
    "RequestExpired": ("RequestTimeTooSkewed", 403),
    "IncompleteSignature": ("AuthorizationHeaderMalformed", 400),
    "MissingAuthenticationToken": (DENIED, 403),
    "XAmzContentSHA256Mismatch": ("XAmzContentSHA256Mismatch", 400),
    "IncompleteBody": ("IncompleteBody", 400),
}
"""Codes of `AuthenticationError` → what S3 says, and its status."""

_OTHERS: Mapping[str, str] = {"ExpiredToken": "ExpiredTokenException"}
"""The same → MiniStack's word, where it has another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """What is answered in the place of the service."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    code: str


def unproven(service: str, code: str, sentence: str, headers: Mapping[str, str], request_id: str) -> Refusal:
    """Nobody has proven who sent this; `code` is an `AuthenticationError`'s."""
    if service == "s3":
        name, status = _S3.get(code, (code, 403))
        return _xml(name, status, sentence, request_id)
    return _told(service, _OTHERS.get(code, code), sentence, headers, request_id)


def denied(service: str, sentence: str, headers: Mapping[str, str], request_id: str) -> Refusal:
    """IAM does not allow it."""
    if service == "s3":
        return _xml(DENIED, 403, sentence, request_id)
    return _told(service, "", sentence, headers, request_id)


def unclear(service: str, sentence: str, headers: Mapping[str, str], request_id: str) -> Refusal:
    """The request can be read in two ways, or not at all."""
    if service == "s3":
        return _xml("InvalidRequest", 400, sentence, request_id)
    found = _told(service, "ValidationException", sentence, headers, request_id)
    return Refusal(status=400, headers=found.headers, body=found.body, code=found.code)


def malformed(service: str, reason: str, headers: Mapping[str, str], request_id: str) -> Refusal:
    """The refusal of a resource policy that is not one."""
    return failed(
        service, 400, _MALFORMED.get(service, "MalformedPolicyDocumentException"), reason, headers, request_id
    )


def invalid(service: str, sentence: str, headers: Mapping[str, str], request_id: str) -> Refusal:
    """A parameter has a value that nobody may give."""
    return failed(service, 400, "InvalidParameterValue", sentence, headers, request_id)


def failed(service: str, status: int, code: str, sentence: str, headers: Mapping[str, str], request_id: str) -> Refusal:
    """The door itself cannot answer."""
    if service == "s3":
        return _xml(code, status, sentence, request_id)
    found = _told(service, code, sentence, headers, request_id)
    return Refusal(status=status, headers=found.headers, body=found.body, code=code)


def _told(service: str, code: str, sentence: str, headers: Mapping[str, str], request_id: str) -> Refusal:
    answer: Any = iam_actions.access_denied_response(
        service, "", "", request_id, error_code=code or _denied_code(service), message=sentence, headers=dict(headers)
    )
    status, given, body = answer
    if "json" in given.get("Content-Type", "") and "x-amz-target" in headers:
        status = 400  # as the services with targets answer
    return Refusal(status=status, headers=given, body=body, code=code or DENIED)


def _denied_code(service: str) -> str:
    return "AuthorizationError" if service == "sns" else DENIED


def _xml(code: str, status: int, sentence: str, request_id: str) -> Refusal:
    body = (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f"<Error><Code>{code}</Code><Message>{escape(sentence)}</Message><RequestId>{request_id}</RequestId></Error>"
    )
    headers = {"Content-Type": "application/xml", "x-amz-request-id": request_id}
    return Refusal(status=status, headers=headers, body=body.encode(), code=code)
