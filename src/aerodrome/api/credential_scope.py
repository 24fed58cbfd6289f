"""Which AWS service a request was signed for: the credential scope of its SigV4 signature.

`front` and the AWS door route by it, and decide nothing else by it: the module that answers verifies the signature, for
that service only. Pure.
"""

from __future__ import annotations

import re
from urllib.parse import parse_qs

_IN_HEADER = re.compile(r"AWS4-[A-Z0-9-]+\s.*?Credential=([^,\s]+)")

_IN_QUERY = ("X-Amz-Signature=", "Signature=")
"""What presigned URLs contain; the second is of S3's older signatures."""

_TERMINATOR = "aws4_request"


def service(authorization: str, query: str) -> str | None:
    """The service of the scope in the Authorization header or in a presigned query; None = not signed by SigV4."""
    match = _IN_HEADER.match(authorization)
    if match:
        return _service(match[1])
    if "X-Amz-Credential=" not in query:
        return None
    try:
        values = parse_qs(query, max_num_fields=1000).get("X-Amz-Credential", [])
    except ValueError:
        return None
    return _service(values[0]) if len(values) == 1 else None


def is_presented(authorization: str, query: str) -> bool:
    """Whether a request has a signature of any kind, right or wrong."""
    return bool(authorization) or any(mark in query for mark in _IN_QUERY)


def _service(credential: str) -> str | None:
    """The service in `key/date/region/service/aws4_request`. SigV4A has no region, and a key may contain slashes."""
    parts = credential.split("/")
    if len(parts) < len(("key", "date", "service", _TERMINATOR)) or parts[-1] != _TERMINATOR:
        return None
    return parts[-2]
