"""Says whether an unsigned request of AWS's query protocol is for IAM or STS, by the API version that it names.

`front` and the AWS door ask, because nothing else tells the service of an unsigned request. AssumeRoleWithWebIdentity
is unsigned by design. We must refuse all others ourselves, or the emulator's own IAM would answer them. A look into a
body leaves the body as it is.
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
"""Bytes of a form that we look into. A longer one is not ours: a token has 20,000 characters at most."""

MOST_FIELDS = 2000


def may_be_query(request: Request) -> bool:
    """True when the request's body may name the service: it is a form, and not a long one."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    return request.method == "POST" and kind == FORM and (bodies.declared_length(request) or 0) <= LONGEST


def service(form: str) -> str | None:
    """`iam` or `sts`, if the text of a query string or form is a request for it; else None."""
    if "Version=" not in form and "Action=" not in form:
        return None
    try:
        fields = dict(parse_qsl(form, max_num_fields=MOST_FIELDS))
    except ValueError:
        return None
    return VERSIONS.get(fields.get("Version", "")) or WITHOUT_VERSION.get(fields.get("Action", ""))


async def claimed(request: Request, raw_path: str) -> tuple[str | None, Request]:
    """The service of an unsigned request, by its query or its form, and the request with its body whole again."""
    if raw_path != "/":
        return None, request
    found = service(str(request.scope["query_string"], "latin-1"))
    if found is None and may_be_query(request):
        body, request = await peeked(request)
        found = service(body.decode("latin-1")) if len(body) <= LONGEST else None
    return found, request


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
    """Returns the messages that were received already, then those that arrive."""
    taken = iter(messages)

    async def receive() -> Message:
        for message in taken:
            return message
        return await rest()

    return receive
