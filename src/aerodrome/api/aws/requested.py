"""What a request asks of IAM, as values that `s3` and `operations` make and `app` decides on. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qs

from aerodrome.api.aws.knowledge import RequestTags
from aerodrome.identity.policy.patterns import Context
from aerodrome.identity.sigv4 import Presented

BEYOND_ROLE = "aerodrome:ActBeyondRole"
"""An action of no AWS service, asked for on `*` beside an operation after which the emulator acts with rights of its
own, and beside one whose action nobody can tell. Administrators have it, by `Action: *`."""


class UnclearError(Exception):
    """A request that can be read in two ways, or in none: nothing is decided about it."""


class UnservedError(Exception):
    """A request that AWS serves and we do not; the message says what to send in its place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OnwardHead:
    """A request without its body, as the emulator is to get it."""

    method: str
    path: str
    """Decoded."""
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]
    """Names in lower case; lines of one name joined."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NeededPermission:
    """One thing that must be allowed."""

    action: str
    resource: str
    """An ARN, or `*`."""
    context: Context = field(default_factory=dict)
    """Condition keys of the operation, in lower case."""
    named: str = ""
    """How the request names the resource, when only the emulator can tell which that is."""
    is_as_named: bool = False
    """True when the ARN itself is meant and not what it stands for, as an alias that is made."""
    is_of_all: bool = False
    """True when the ARN stands for no particular resource: it has neither a policy nor tags."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Requested:
    """What a request asks for."""

    checks: tuple[NeededPermission, ...]
    """All must be allowed; the first names the request in the audit log."""
    tags: RequestTags = dict
    """What it says of tags."""
    policies: tuple[str, ...] = ()
    """Policies that it gives to resources, as texts."""
    reads_buckets: bool = False
    """True when the emulator will read objects for it that only its text names: SQL."""


def parsed(query: str) -> dict[str, list[str]]:
    """A query string as the emulator reads it.

    Raises:
        UnclearError: it has too many parts.
    """
    try:
        return parse_qs(query, keep_blank_values=True, max_num_fields=2000)
    except ValueError:
        raise UnclearError("The query has too many parts.") from None


def context(head: OnwardHead, presented: Presented | None, region: str, account: str) -> dict[str, tuple[str, ...]]:
    """The condition keys that every request to these services has, beside those of who asks."""
    found: dict[str, tuple[str, ...]] = {
        "aws:requestedregion": (presented.region if presented else region,),
        "aws:resourceaccount": (account,),
    }
    found |= {"s3:resourceaccount": (account,), "kms:calleraccount": (account,)}
    for key, name in (("aws:useragent", "user-agent"), ("aws:referer", "referer")):
        if name in head.headers:
            found[key] = (head.headers[name],)
    if presented is not None:
        found["s3:signatureversion"] = ("AWS4-HMAC-SHA256",)
        found["s3:authtype"] = ("REST-QUERY-STRING" if presented.is_presigned else "REST-HEADER",)
    if "x-amz-content-sha256" in head.headers:
        found["s3:x-amz-content-sha256"] = (head.headers["x-amz-content-sha256"],)
    return found


BEYOND = NeededPermission(action=BEYOND_ROLE, resource="*")
