"""Signature Version 4, as a server checks it: in the Authorization header, or in the query of a presigned URL.

`authenticator` calls it with the request as received. It knows no store of keys and no HTTP server, and raises nothing
but AuthenticationError, whatever a client sends. The path is signed in its normal form, so whoever routes a request
must not read `/a/../b` as anything else.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from aerodrome.identity import canonical_request
from aerodrome.identity.errors import AuthenticationError, incomplete, mismatch
from aerodrome.model import arns

ALGORITHM = "AWS4-HMAC-SHA256"
TERMINATOR = "aws4_request"
UNSIGNED = "UNSIGNED-PAYLOAD"
STREAMING = frozenset(
    {
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
        "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
    }
)
"""What a request to S3 may say of a body that comes in chunks; `payloads` reads them."""
SKEW = timedelta(minutes=15)
LONGEST_EXPIRY = 604800
"""Seconds; a week is the longest time for which a presigned URL may be valid."""

GLOBAL_SERVICES = frozenset({"iam", "sts"})
"""Services whose clients sign for one region of the partition, whatever region they are set to."""
GLOBAL_REGIONS = {"aws": "us-east-1", "aws-cn": "cn-north-1", "aws-us-gov": "us-gov-west-1"}

MAX_PATH = 8 * 1024
MAX_QUERY = 64 * 1024
MAX_HEADERS = 64 * 1024
MAX_HEADER_COUNT = 200

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}")
_TIMESTAMP = re.compile(r"[0-9]{8}T[0-9]{6}Z")
_SIGNATURE = re.compile(r"[0-9a-f]{64}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_SCOPE_PART = re.compile(r"[!-.0-~]{1,128}")
_IN_QUERY = ("X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-Expires", "X-Amz-SignedHeaders")
_QUERY_MARKS = {b"X-Amz-Algorithm", b"X-Amz-Signature", b"X-Amz-Credential"}
_ONCE = ("authorization", "host", "x-amz-date", "x-amz-content-sha256", "x-amz-security-token")


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """A request as it came over the wire: its bytes read as Latin-1, nothing decoded."""

    method: str
    raw_path: str
    raw_query: str
    headers: Sequence[tuple[str, str]] = field(repr=False)
    """In the order received, names in any case, one pair a line."""
    body_sha256: str | None
    """Lower-case hex. None = the body was not read, so only a signature that leaves it out can be valid, or one for S3,
    whose body `payloads` compares with what the head says of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Presented:
    """What a request says of its signature; nothing of it is proven before `verify`."""

    access_key_id: str
    date: str
    region: str
    service: str
    signed_headers: tuple[str, ...]
    signature: str = field(repr=False)
    stamp: str
    """The timestamp as it was signed, `20150830T123600Z`."""
    timestamp: datetime
    expires: int | None
    """Seconds for which a presigned URL is valid; None in the header form."""
    session_token: str | None = field(repr=False)
    is_presigned: bool

    @property
    def scope(self) -> str:
        """The credential scope: the whole credential without the key."""
        return f"{self.date}/{self.region}/{self.service}/{TERMINATOR}"


def presented(request: SignedRequest) -> Presented | None:
    """What the request presents; None when it is not signed by Signature Version 4 at all."""
    _check_sizes(request)
    headers = _lines(request)
    authorization = headers.get("authorization", [""])[0].strip()
    in_header = authorization.startswith("AWS4-")
    in_query = "X-Amz-" in request.raw_query and any(
        name in _QUERY_MARKS for name, _ in canonical_request.pairs(request.raw_query)
    )
    if in_header and in_query:
        raise incomplete("Only one of the Authorization header and the query may carry the signature.")
    if in_header:
        _check_single(headers)
        return _from_header(authorization, headers)
    return _from_query(request, headers) if in_query else None


def verify(
    request: SignedRequest,
    presented: Presented,
    secret: str,
    *,
    now: datetime,
    services: frozenset[str],
    region: str,
) -> None:
    """Returns when the request was signed with `secret`, for one of `services` in `region`, at a time near `now`."""
    check_head(request, presented, now=now, services=services, region=region)
    headers = _lines(request)
    expected = _signature(request, presented, headers, secret)
    if not _SIGNATURE.fullmatch(presented.signature) or not hmac.compare_digest(expected, presented.signature):
        raise mismatch(
            "The request signature we calculated does not match the signature you provided. Check your AWS Secret "
            "Access Key and signing method. Consult the service documentation for details."
        )


def check_head(
    request: SignedRequest, presented: Presented, *, now: datetime, services: frozenset[str], region: str
) -> None:
    """Returns when all is right that is known without the secret and the body; a part of `verify`."""
    _check_scope(presented, services, region)
    _check_time(presented, now)
    _check_signed_headers(presented, _lines(request))


def declared_payload(request: SignedRequest, presented: Presented) -> str:
    """What the head of a request to S3 says of its body: a digest, or how the body is signed if it is at all."""
    declared = _single(_lines(request), "x-amz-content-sha256")
    if declared is None:
        if presented.is_presigned:
            return UNSIGNED
        raise incomplete("Missing required header for this request: x-amz-content-sha256.")
    if declared not in STREAMING and declared != UNSIGNED and not _DIGEST.fullmatch(declared):
        raise incomplete("x-amz-content-sha256 must be UNSIGNED-PAYLOAD, a way of streaming, or a valid sha256 value.")
    return declared


def _check_sizes(request: SignedRequest) -> None:
    headers = sum(len(name) + len(value) for name, value in request.headers)
    if (
        len(request.raw_path) > MAX_PATH
        or len(request.raw_query) > MAX_QUERY
        or headers > MAX_HEADERS
        or len(request.headers) > MAX_HEADER_COUNT
    ):
        raise incomplete("The request's path, query or headers are too large.")
    texts = [request.method, request.raw_path, request.raw_query, *(text for pair in request.headers for text in pair)]
    if any(not text.isascii() and max(text) > "\xff" for text in texts):
        raise incomplete("The request is not what came over the wire.")  # a character that is no byte
    if not _TOKEN.fullmatch(request.method) or any(mark in request.raw_path for mark in "\r\n?#"):
        raise incomplete("The request line is malformed.")


def _lines(request: SignedRequest) -> dict[str, list[str]]:
    """Header values by lower-case name."""
    lines: dict[str, list[str]] = {}
    for name, value in request.headers:
        lines.setdefault(name.lower(), []).append(value)
    return lines


def _single(headers: dict[str, list[str]], name: str) -> str | None:
    values = headers.get(name, [])
    if len(values) > 1:
        raise incomplete(f"The request has more than one '{name}' header.")
    return values[0].strip() if values else None


def _check_single(headers: dict[str, list[str]]) -> None:
    for name in _ONCE:
        _single(headers, name)


def _from_header(authorization: str, headers: dict[str, list[str]]) -> Presented:
    algorithm, _, rest = authorization.partition(" ")
    if algorithm != ALGORITHM:
        raise incomplete(f"Unsupported AWS 'algorithm': only {ALGORITHM} is understood.")
    fields: dict[str, str] = {}
    for part in rest.split(","):
        name, equals, value = part.strip().partition("=")
        if not equals:
            raise incomplete("A part of the Authorization header is not a valid key=value pair (missing equal-sign).")
        if name in fields:
            raise incomplete("The Authorization header has a parameter twice.")
        fields[name] = value
    missing = [name for name in ("Credential", "Signature", "SignedHeaders") if not fields.get(name)]
    if missing:
        raise incomplete(" ".join(f"Authorization header requires '{name}' parameter." for name in missing))
    stamp = _header_stamp(headers)
    return _presented(
        credential=fields["Credential"],
        signed_headers=fields["SignedHeaders"],
        signature=fields["Signature"],
        stamp=stamp,
        expires=None,
        session_token=_single(headers, "x-amz-security-token"),
    )


def _header_stamp(headers: dict[str, list[str]]) -> str:
    """The request's time: `X-Amz-Date`, else `Date` in either form that AWS takes."""
    stamp = _single(headers, "x-amz-date") or _single(headers, "date")
    if stamp is None:
        raise incomplete("Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.")
    if _TIMESTAMP.fullmatch(stamp) or "x-amz-date" in headers:
        return stamp
    try:
        date = parsedate_to_datetime(stamp)
        return date.replace(tzinfo=date.tzinfo or UTC).astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    except (ValueError, OverflowError, IndexError, TypeError):
        raise incomplete("Date must be in ISO-8601 'basic format' or in HTTP's.") from None


def _from_query(request: SignedRequest, headers: dict[str, list[str]]) -> Presented:
    found: dict[str, list[str]] = {}
    for name, value in canonical_request.pairs(request.raw_query):
        if name.startswith(b"X-Amz-"):
            found.setdefault(name.decode("latin-1"), []).append(value.decode("latin-1"))
    if any(len(values) > 1 for values in found.values()):
        raise incomplete("The query has a signature parameter twice.")
    fields = {name: values[0] for name, values in found.items()}
    missing = [name for name in (*_IN_QUERY, "X-Amz-Signature") if not fields.get(name)]
    if missing:
        raise incomplete(" ".join(f"AWS query-string parameters must include '{name}'." for name in missing))
    if fields["X-Amz-Algorithm"] != ALGORITHM:
        raise incomplete(f"Unsupported AWS 'algorithm': only {ALGORITHM} is understood.")
    _check_single(headers)
    return _presented(
        credential=fields["X-Amz-Credential"],
        signed_headers=fields["X-Amz-SignedHeaders"],
        signature=fields["X-Amz-Signature"],
        stamp=fields["X-Amz-Date"],
        expires=_expires(fields["X-Amz-Expires"]),
        session_token=fields.get("X-Amz-Security-Token"),
    )


def _expires(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise incomplete("X-Amz-Expires should be a number.")
    seconds = int(text)
    if not 1 <= seconds <= LONGEST_EXPIRY:
        raise incomplete("X-Amz-Expires must be at least 1 second and at most a week (604800 seconds).")
    return seconds


def _presented(
    *, credential: str, signed_headers: str, signature: str, stamp: str, expires: int | None, session_token: str | None
) -> Presented:
    parts = credential.split("/")
    if len(parts) != len(("keyid", "date", "region", "service", "term")):
        raise incomplete(
            "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term."
        )
    if any(not _SCOPE_PART.fullmatch(part) for part in parts):
        raise incomplete("An element of the Credential is empty, too long or not printable.")
    key, date, region, service, terminator = parts
    if terminator != TERMINATOR:
        raise mismatch(f"Credential should be scoped with a valid terminator: '{TERMINATOR}'.")
    names = tuple(signed_headers.split(";"))
    if any(not _TOKEN.fullmatch(name) for name in names) or list(names) != sorted({name.lower() for name in names}):
        raise incomplete("SignedHeaders must be lower-case header names, sorted and joined by semicolons.")
    return Presented(
        access_key_id=key,
        date=date,
        region=region,
        service=service,
        signed_headers=names,
        signature=signature,
        stamp=stamp,
        timestamp=_time(stamp),
        expires=expires,
        session_token=session_token,
        is_presigned=expires is not None,
    )


def _time(stamp: str) -> datetime:
    if _TIMESTAMP.fullmatch(stamp):
        try:
            return datetime.fromisoformat(stamp)
        except ValueError:
            pass
    raise incomplete("Date must be in ISO-8601 'basic format', such as 20150830T123600Z.")


def _check_scope(presented: Presented, services: frozenset[str], region: str) -> None:
    if presented.service not in services:
        raise mismatch(f"Credential should be scoped to correct service: '{', '.join(sorted(services))}'.")
    regions = {region}
    if presented.service in GLOBAL_SERVICES:
        regions.add(GLOBAL_REGIONS[arns.partition(region)])
    if presented.region not in regions:
        raise mismatch(f"Credential should be scoped to a valid region: '{', '.join(sorted(regions))}'.")
    if presented.date != presented.stamp[:8]:
        raise mismatch("Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP.")


def _check_time(presented: Presented, now: datetime) -> None:
    if presented.timestamp > now + SKEW:
        raise AuthenticationError(
            "RequestExpired",
            f"Signature not yet current: {presented.stamp} is still later than {_stamp(now + SKEW)} "
            f"({_stamp(now)} + 15 min.)",
        )
    lifetime = SKEW if presented.expires is None else timedelta(seconds=presented.expires)
    if presented.timestamp + lifetime < now:
        raise AuthenticationError(
            "RequestExpired",
            f"Signature expired: {presented.stamp} is now earlier than {_stamp(now - lifetime)} "
            f"({_stamp(now)} - {lifetime.total_seconds() / 60:g} min.)",
        )


def _stamp(time: datetime) -> str:
    return time.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")


def _check_signed_headers(presented: Presented, headers: dict[str, list[str]]) -> None:
    signed = set(presented.signed_headers)
    if "host" not in signed:
        raise mismatch("'Host' must be a 'SignedHeader' in the AWS Authorization.")
    if not presented.is_presigned and ("x-amz-date" if "x-amz-date" in headers else "date") not in signed:
        raise mismatch("'X-Amz-Date' or 'Date' must be a 'SignedHeader' in the AWS Authorization.")
    if any(name.startswith("x-amz-") and name not in signed for name in headers):
        raise mismatch("Every 'X-Amz-*' header of the request must be a 'SignedHeader' in the AWS Authorization.")
    if not signed <= headers.keys():
        raise mismatch("A 'SignedHeader' of the AWS Authorization is not among the request's headers.")


def _signature(request: SignedRequest, presented: Presented, headers: dict[str, list[str]], secret: str) -> str:
    s3 = presented.service == "s3"
    pairs = canonical_request.pairs(request.raw_query)
    if presented.is_presigned:
        pairs = [pair for pair in pairs if pair[0] != b"X-Amz-Signature"]
    text = canonical_request.request(
        method=request.method,
        path=canonical_request.path(request.raw_path, literal=s3),
        query=canonical_request.query(pairs),
        headers=[(name, canonical_request.header_value(headers[name])) for name in presented.signed_headers],
        signed=";".join(presented.signed_headers),
        payload=_payload(request, presented, headers),
    )
    to_sign = f"{ALGORITHM}\n{presented.stamp}\n{presented.scope}\n{hashlib.sha256(text).hexdigest()}"
    return hmac.digest(signing_key(secret, presented), to_sign.encode("latin-1"), "sha256").hex()


def _payload(request: SignedRequest, presented: Presented, headers: dict[str, list[str]]) -> str:
    """The payload hash of the canonical request: the real body's, unless the body may be left unsigned."""
    s3 = presented.service == "s3"
    declared = _single(headers, "x-amz-content-sha256") or (UNSIGNED if s3 and presented.is_presigned else None)
    if declared == UNSIGNED and (s3 or presented.is_presigned):
        return UNSIGNED
    if s3 and request.body_sha256 is None:
        return declared_payload(request, presented)
    if request.body_sha256 is None or not _DIGEST.fullmatch(request.body_sha256):
        raise mismatch("The signature does not leave the request's body out, and the body was not read.")
    if declared is not None and declared != request.body_sha256:
        raise mismatch("The provided 'x-amz-content-sha256' header does not match what was computed.")
    return request.body_sha256


def signing_key(secret: str, presented: Presented) -> bytes:
    """The key that a secret has for one day, region and service."""
    # Derived anew each time: four short hashes cost less than a cache that holds secrets.
    key = f"AWS4{secret}".encode()
    for part in (presented.date, presented.region, presented.service, TERMINATOR):
        key = hmac.digest(key, part.encode(), "sha256")
    return key
