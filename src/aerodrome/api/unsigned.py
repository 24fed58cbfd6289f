"""Unsigned requests of AWS's query protocol: whether one is for IAM or STS, told by the version of the API it names.

`front` asks, since nothing else says whose an unsigned request is; AssumeRoleWithWebIdentity is one by design, and what
else comes unsigned must be refused by us instead of being answered by the emulator's own IAM. A body that was looked
into goes on as it came.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.types import Message, Receive

from aerodrome.api import bodies

FORM = "application/x-www-form-urlencoded"

VERSIONS: Mapping[str, str] = {"2010-05-08": "iam", "2011-06-15": "sts"}
"""Version of the API → service; a test compares with botocore's models."""

WITHOUT_VERSION: Mapping[str, str] = {"AssumeRoleWithWebIdentity": "sts"}

LONGEST = bodies.SMALL
"""Bytes of a form that are looked into; a longer one is none of ours: a token has 20,000 characters at most."""

MOST_FIELDS = 2000


def may_be_query(request: Request) -> bool:
    """True when the request's body must be looked into: a form, not a long one, sent to the root of the endpoint."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    return request.method == "POST" and kind == FORM and (bodies.declared_length(request) or 0) <= LONGEST


def service(form: str) -> str | None:
    """`iam` or `sts` when a query string or a form's text is a request of theirs; else None."""
    if "Version=" not in form and "Action=" not in form:
        return None
    try:
        fields = dict(parse_qsl(form, max_num_fields=MOST_FIELDS))
    except ValueError:
        return None
    return VERSIONS.get(fields.get("Version", "")) or WITHOUT_VERSION.get(fields.get("Action", ""))


async def peeked(request: Request) -> tuple[bytes, Request]:
    """The beginning of the body, at most `LONGEST` bytes and a chunk, and the request with its body whole again."""
    found: list[Message] = []
    length = 0
    while length <= LONGEST:
        message = await request.receive()
        found.append(message)
        length += len(message.get("body", b""))
        if message["type"] != "http.request" or not message.get("more_body", False):
            break
    body = b"".join(message.get("body", b"") for message in found)
    return body, Request(request.scope, _again(found, request.receive))


def _again(messages: list[Message], rest: Receive) -> Receive:
    """Hands out the messages that were taken already, then those that come."""
    taken = iter(messages)

    async def receive() -> Message:
        for message in taken:
            return message
        return await rest()

    return receive
