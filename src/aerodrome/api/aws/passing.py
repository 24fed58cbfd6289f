"""The way from the door to the emulator: one unix socket, requests in the one form that was decided on."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import aiohttp
from starlette.types import Receive, Scope, Send
from yarl import URL

from aerodrome import forwarding
from aerodrome.emulator import rules
from aerodrome.identity.payloads import Payload

CONNECT_SECONDS = 5.0
IDLE_SECONDS = 30.0
"""Less than the emulator keeps an idle connection, so that none is used just as it is closed."""

ANSWER_SECONDS = 20.0
"""For a question of our own; the emulator answers it beside everything else that it is asked."""

LONGEST_ANSWER = 4 * 2**20
"""Bytes of an answer to a question of our own: the names of ten thousand buckets have a sixth of it."""

_HOST = "localhost"

_JSON = {"content-type": "application/json"}
_LIST_TAGS = {"content-type": "application/x-amz-json-1.1", "x-amz-target": "Logs_20140328.ListTagsForResource"}

SIGNING = frozenset(
    {
        "x-amz-algorithm",
        "x-amz-credential",
        "x-amz-date",
        "x-amz-expires",
        "x-amz-signedheaders",
        "x-amz-signature",
        "x-amz-security-token",
    }
)
"""Parameters of a presigned URL, in lower case."""

_REPLACED = frozenset(
    {b"authorization", b"x-amz-security-token", b"host", b"content-length", rules.REACH_HEADER, rules.BODY_HEADER}
)

_MISLEADING = frozenset({b"x-amz-target", b"x-amz-request-route", b"smithy-protocol"})
"""Headers by which MiniStack would take a request to S3 for one to another service."""


_OF_S3 = frozenset({b"x-amz-content-sha256", b"x-amz-trailer"})
"""Headers by which MiniStack would unpack a body once more."""


class CheckedBody(forwarding.Body):
    """A body that is compared with its signature as it passes; its last piece only after that."""

    def __init__(self, scope: Scope, receive: Receive, payload: Payload, *, seconds: float) -> None:
        super().__init__(scope, receive, seconds=seconds)
        self._payload = payload

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body; it ends early where it differs from what was signed."""
        held = b""
        try:
            async for chunk in super().chunks():
                self._payload.feed(chunk)
                if held:
                    yield held
                held = chunk
            self._payload.finish()
        except Exception as error:
            self.failure = error
            raise
        if held:
            yield held


class EmbeddedService(forwarding.Onward):
    """The emulator, or the log store, behind its unix socket."""

    def __init__(self, socket: str) -> None:
        super().__init__(
            lambda: aiohttp.UnixConnector(socket, limit=0, keepalive_timeout=IDLE_SECONDS), connect=CONNECT_SECONDS
        )

    async def ask(self, question: str, given: Mapping[str, str]) -> Any:
        """The answer to a question that only the door may ask.

        Raises:
            UnansweredError: there is none.
        """
        status, answer = await self._posted(f"{rules.QUESTIONS}/{question}", json.dumps(dict(given)))
        if status != HTTPStatus.OK:
            raise forwarding.UnansweredError(f"status {status}", has_reached=True)
        return answer

    async def _posted(self, path: str, body: str, headers: Mapping[str, str] = _JSON) -> tuple[int, Any]:
        """Status and answer of a request of our own that changes nothing.

        Raises:
            UnansweredError: there is no answer.
        """
        try:
            return await self._posted_once(path, body, headers)
        except aiohttp.ServerDisconnectedError:  # a kept connection that was just closed, as when the emulator restarts
            return await self._posted_once(path, body, headers)

    async def _posted_once(self, path: str, body: str, headers: Mapping[str, str]) -> tuple[int, Any]:
        timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS)
        try:
            async with self.session.post(
                f"http://{_HOST}{path}", data=body, headers=headers, timeout=timeout
            ) as answer:
                return answer.status, json.loads(await _bounded(answer))
        except aiohttp.ServerDisconnectedError:
            raise
        except (aiohttp.ClientError, TimeoutError, ValueError, RecursionError) as error:
            raise forwarding.UnansweredError(type(error).__name__, has_reached=False) from error

    async def pass_on(
        self, method: str, target: str, headers: Sequence[tuple[bytes, bytes]], body: forwarding.Body, send: Send
    ) -> int | None:
        """Answer with what the emulator answers; the status, or None when the client went.

        Raises:
            UnansweredError: no answer came. AuthenticationError: the body is not what was signed.
            TooSlowError: the body did not arrive in time.
        """
        url = URL(f"http://{_HOST}{target}".replace("#", "%23"), encoded=True)
        return await forwarding.exchange(self.session, method, url, headers, body, send, returned=_returned)


class EmbeddedLogs(EmbeddedService):
    """The log store behind its own; it answers no question but those of CloudWatch Logs."""

    async def tags(self, arn: str) -> Mapping[str, str] | None:
        """The tags of a log group, or of the group of a stream; none if it is not there. None: nobody can tell them.

        Raises:
            UnansweredError: the store does not answer.
        """
        group = arn.partition(":log-stream:")[0]
        if ":log-group:" not in group or group.endswith(":log-group:") or set(group) & set("*?"):
            return None
        status, told = await self._posted("/", json.dumps({"resourceArn": group}), _LIST_TAGS)
        if status == HTTPStatus.OK:
            return dict(told.get("tags", {}))
        return {} if str(told.get("__type", "")).endswith("ResourceNotFoundException") else None


async def _bounded(answer: aiohttp.ClientResponse) -> bytes:
    """The whole of it. Whoever has taken over the emulator might answer without end."""
    found = bytearray()
    async for piece in answer.content.iter_any():
        found += piece
        if len(found) > LONGEST_ANSWER:
            raise forwarding.UnansweredError("an endless answer", has_reached=True)
    return bytes(found)


def target(path: str, raw_query: str) -> str:
    """The request target for a decoded path, without what signed a URL."""
    kept = [pair for pair in raw_query.split("&") if pair and pair.partition("=")[0].lower() not in SIGNING]
    raw = quote(path, safe="/-_.~!$&'()*+,;=:@")
    return f"{raw}?{'&'.join(kept)}" if kept else raw


def headers(
    found: Sequence[tuple[bytes, bytes]],
    *,
    service: str,
    region: str,
    caller: str,
    date: str,
    length: int | None,
    reach: Sequence[str] | None = None,
    file: str | None = None,
) -> list[tuple[bytes, bytes]]:
    """The headers for the emulator: who asks stands in a credential scope that nobody verifies any more.

    `length` replaces the declared one (None = as declared); `reach` are the buckets that SQL may read. `file` is the
    name of one in the spool that has the body, of which the request itself has nothing.
    """
    dropped = _REPLACED | (_MISLEADING if service == "s3" else _OF_S3)
    if length is not None:
        dropped |= set() if service == "s3" else {b"content-encoding"}  # which has been taken off
    elif file is None:
        dropped -= {b"content-length"}
    kept = forwarding.passed(found, also=dropped)
    scope = f"{caller}/{date}/{region}/{service}/aws4_request"
    kept += [
        (b"host", _HOST.encode()),
        (b"authorization", f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0".encode()),
    ]
    if length is not None:
        kept.append((b"content-length", str(length).encode()))
    if file is not None:
        kept += [(rules.BODY_HEADER, file.encode()), (b"content-length", b"0")]
    if reach is not None:
        kept.append((rules.REACH_HEADER, ",".join(reach).encode()))
    return kept


def _returned(status: int, found: forwarding.Headers) -> tuple[int, list[tuple[bytes, bytes]]]:
    return status, forwarding.passed(found, also=forwarding.SET_BY_LISTENER)
