"""Passes requests for other AWS services on to the configured endpoint; requests and answers are streams.

`front` calls it for every request that is not ours. Path, query, Host and headers stay as they are, so that signatures
and virtual hosts remain valid. `forwarding` does the work; this module knows the endpoint, and words the refusals.
"""

from __future__ import annotations

import html
import json
from http import HTTPStatus

import aiohttp
import structlog
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Send
from yarl import URL

from aerodrome import forwarding
from aerodrome.api import credential_scope, unsigned
from aerodrome.listening import protocol as listener

log = structlog.get_logger("aerodrome.api")

CONNECT_SECONDS = 5.0
"""Arbitrary: a local endpoint answers at once, or not at all."""


class Upstream(forwarding.Onward):
    """The endpoint of other AWS services."""

    def __init__(self, endpoint_url: str | None) -> None:
        # The endpoint may close an idle connection just when it is used again, and a half-sent body cannot be sent
        # again. So every request has a connection of its own.
        super().__init__(lambda: aiohttp.TCPConnector(limit=0, force_close=True), connect=CONNECT_SECONDS)
        self._base = endpoint_url.rstrip("/") if endpoint_url else None

    async def pass_on(self, request: Request, raw_path: str, send: Send) -> None:
        """Answer `request` with what the endpoint answers; `raw_path` is not decoded."""
        if self._base is None:
            sentence = "Aerodrome answers for MWAA only; this request is for another AWS service: send it to AWS itself"
            await _refuse(request, send, 421, "MisdirectedRequest", sentence)
            return
        if not listener.may_pass_on(request.scope):
            await _refuse(request, send, 503, "SlowDown", "Too many requests are under way: reduce your request rate")
            return
        body = forwarding.Body(request.scope, request.receive, limit=_limit(request))
        url = _url(self._base, raw_path, request)
        headers = forwarding.passed(request.scope["headers"])
        try:
            await forwarding.exchange(self.session, request.method, url, headers, body, send, returned=_returned)
        except forwarding.TooLongError:
            sentence = f"A request without a signature may have a body of {unsigned.LONGEST} bytes: sign it"
            await _refuse(request, send, 403, "AccessDenied", sentence)
        except forwarding.UnansweredError as error:
            log.warning("upstream_away", error=str(error))
            sentence = "The AWS endpoint behind Aerodrome cannot be reached: see `aerodrome status`, then try again"
            await _refuse(request, send, 503, "ServiceUnavailable", sentence)


def _limit(request: Request) -> int | None:
    """Bytes of a body that may be passed on; None = any number, because the request is signed."""
    query = str(request.scope["query_string"], "latin-1")
    is_signed = credential_scope.is_presented(request.headers.get("authorization", ""), query)
    return None if is_signed else unsigned.LONGEST


def _returned(status: int, headers: forwarding.Headers) -> tuple[int, list[tuple[bytes, bytes]]]:
    return status, forwarding.passed(headers, also=forwarding.SET_BY_LISTENER)


def _url(base: str, raw_path: str, request: Request) -> URL:
    query = str(request.scope["query_string"], "latin-1")
    target = f"{raw_path}?{query}" if query else raw_path
    return URL(base + target.replace("#", "%23"), encoded=True)  # a bare '#' would cut the rest off


async def _refuse(request: Request, send: Send, status: int, code: str, sentence: str) -> None:
    """Answer with an error in the form of the request's protocol: JSON for JSON protocols, else XML."""
    kind = request.headers.get("content-type", "")
    if "x-amz-target" in request.headers or "json" in kind:
        content, media_type = json.dumps({"__type": code, "message": sentence}), "application/json"
    else:
        error = f"<Error><Code>{code}</Code><Message>{html.escape(sentence)}</Message></Error>"
        is_query = "x-www-form-urlencoded" in kind
        content, media_type = f"<ErrorResponse>{error}</ErrorResponse>" if is_query else error, "application/xml"
    headers = {"x-amzn-errortype": code}
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers["retry-after"] = "1"
    response = Response(content, status_code=status, headers=headers, media_type=media_type)
    await response(request.scope, request.receive, send)
