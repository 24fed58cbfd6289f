"""What the embedded emulator answers, and which requests change its state. Pure; `__main__` applies it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qs

from aerodrome import browsers

HEALTH = "/_ministack/health"
"""The one path of MiniStack's own that is answered; our program answers it itself."""

QUESTIONS = "/_aerodrome"
"""Below it the emulator answers questions of the door's, on its unix socket alone."""

DOOR_HEALTH = f"{QUESTIONS}/door"
"""Where the door says that it serves, and what it answers by itself."""

REACH_HEADER = b"x-aerodrome-buckets"
"""Names the buckets that SQL may read for who sends a request; only the door sets it."""

BODY_HEADER = b"x-aerodrome-body"
"""Names the file that has a request's body; only the door sets it."""

_PRIVATE = ("/_ministack", "/_localstack", "/_aws", "/_aerodrome")

SERVICES = (
    "acm",
    "athena",
    "dynamodb",
    "dynamodbstreams",
    "ec2",
    "events",
    "firehose",
    "glue",
    "kinesis",
    "kms",
    "logs",
    "monitoring",
    "s3",
    "scheduler",
    "secretsmanager",
    "ses",
    "sns",
    "sqs",
    "ssm",
    "states",
    "tagging",
)
"""What MiniStack serves by itself in one process: no containers, no code of users, no listeners of their own."""

OURS = frozenset({"airflow", "iam", "sts"})
"""What requests are signed for that Aerodrome answers itself; MiniStack's own IAM would let anybody do anything."""

REDSHIFT_DATA = "redshift-data"
"""What requests are signed for that `redshift` answers; MiniStack knows no such service."""

REDSHIFT_TARGET = "redshiftdata."
"""How such a request's target begins, in lower case."""

BODY_LIMIT = 128 * 2**20
"""Bytes of one request, which MiniStack holds in memory; SDKs send more than 8 MiB in parts."""

SIGNED_BY = re.compile(r"Credential=([^/,\s]+)/")

SIGNED_FOR = re.compile(r"Credential=[^/,\s]+/[^/,\s]+/[^/,\s]+/([^/,\s]+)/")

READING_TARGET = re.compile(r"\.(?:Get|BatchGet|List|Describe|Query|Scan|Search|Lookup|Select)[A-Za-z]*$")

READING_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True, slots=True)
class EmulatorRefusal:
    """Why a request is not passed on to MiniStack."""

    status: int
    code: str
    message: str


def is_private(path: str) -> bool:
    """Whether it is administration, such as wiping everything, which MiniStack serves to anybody."""
    return path.startswith(_PRIVATE) or path == "/health" or path.startswith("/health/")


def refusal(path: str, query: str, headers: Mapping[str, str], *, domain: str) -> EmulatorRefusal | None:
    """Why this request is refused, or None. Header names are in lower case.

    `domain` is the one below which environments have their pages.
    """
    if signed_for(query, headers) in OURS:
        return EmulatorRefusal(
            403,
            "AccessDeniedException",
            "the embedded emulator does not serve Amazon MWAA, IAM and STS; send this to Aerodrome's own endpoint",
        )
    if is_private(path) or path.startswith("//"):
        return EmulatorRefusal(403, "AccessDeniedException", "the emulator's administration is not served")
    if sentence := browsers.refusal(headers, domain=domain):
        return EmulatorRefusal(403, "AccessDeniedException", sentence)
    if int_or_zero(headers.get("content-length", "")) > BODY_LIMIT:
        return EmulatorRefusal(
            413, "EntityTooLarge", f"a request may have {BODY_LIMIT} bytes; upload larger objects in parts"
        )
    return None


def signed_for(query: str, headers: Mapping[str, str]) -> str | None:
    """The service that the signature's credential scope names, from the header or a presigned URL."""
    match = SIGNED_FOR.search(headers.get("authorization", ""))
    if match:
        return match.group(1)
    credential = parse_qs(query).get("X-Amz-Credential", [""])[0].split("/")
    return credential[3] if len(credential) > 3 else None  # noqa: PLR2004 -- key, date, region, service, terminator


def signed_by(headers: Mapping[str, str]) -> str:
    """The access key id of a signature in the header; empty without one."""
    match = SIGNED_BY.search(headers.get("authorization", ""))
    return match.group(1) if match else ""


def is_for_redshift(headers: Mapping[str, str]) -> bool:
    """Whether a request is one to the Redshift Data API."""
    is_signed_for_it = signed_for("", headers) == REDSHIFT_DATA
    return is_signed_for_it or headers.get("x-amz-target", "").lower().startswith(REDSHIFT_TARGET)


def changes_state(method: str, headers: Mapping[str, str]) -> bool:
    """Whether the request may change something; in doubt it does."""
    if method in READING_METHODS:
        return False
    return not READING_TARGET.search(headers.get("x-amz-target", ""))


def body_length(method: str, headers: Mapping[str, str]) -> int:
    """The bytes that a request's body may have: what it declares, or all that is allowed when it declares nothing."""
    if "content-length" in headers:
        return min(int_or_zero(headers["content-length"]), BODY_LIMIT)
    return 0 if "transfer-encoding" not in headers or method in READING_METHODS else BODY_LIMIT


def int_or_zero(text: str) -> int:
    """A header's number; anything else is left for the server to refuse."""
    return int(text) if text.isascii() and text.isdigit() else 0
