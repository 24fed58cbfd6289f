"""The front endpoint: one address for all AWS services. It sorts requests by the service that they are signed for.

Requests whose SigV4 credential scope says `airflow`, `iam` or `sts` are ours; the module that answers one verifies its
signature first. All others are passed on to the configured AWS endpoint. This module reads the scope alone.
It accepts any Host, with or without the `api.`, `env.` or `ops.` that clients put before it, and request lines in
absolute form. The listener (uvicorn) limits the headers.
"""

from __future__ import annotations

import html
from collections.abc import Mapping
from importlib import metadata

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from aerodrome import browsers
from aerodrome.api import credential_scope, mwaa, prometheus, queries, unsigned
from aerodrome.api.dependencies import ApiDependencies
from aerodrome.api.query import models
from aerodrome.api.upstream import Upstream
from aerodrome.api.wire import answers, routes, service

HEALTH = "/_aerodrome/health"

QUERIES: Mapping[str | None, models.Service] = {"iam": "iam", "sts": "sts"}
"""Services of ours that speak the query protocol."""

_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Aerodrome</title>
<h1>Aerodrome {version}</h1>
<p>This address speaks the Amazon MWAA API and passes requests for other AWS services on.</p>
<p>Point a client at it: <code>export AWS_ENDPOINT_URL={url}</code>, then <code>aws mwaa list-environments</code>.</p>
<p><a href="{health}">Health</a></p></html>
"""


class Front:
    """The ASGI application that sorts requests; `inner` gets what is not HTTP."""

    def __init__(self, inner: ASGIApp, *, deps: ApiDependencies, upstream: Upstream) -> None:
        self._inner = inner
        self._deps = deps
        self._upstream = upstream

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._inner(scope, receive, send)
            return
        request = Request(scope, receive)
        raw_path = origin_form(scope["raw_path"].decode("latin-1"))
        response = self._refusal(request, raw_path)
        signed_for = credential_scope.service(request.headers.get("authorization", ""), _query(scope))
        if response is None and signed_for is None and raw_path == prometheus.PATH and request.method == "GET":
            response = await self._deps.exposition.answer(request)
        if response is None and signed_for is None:
            signed_for, request = await self._claimed(request, raw_path)
        if response is None and signed_for == service.SIGNING_NAME:
            response = await mwaa.answer(self._deps, request, raw_path)
        if response is None and signed_for in QUERIES:
            response = await queries.answer(self._deps, QUERIES[signed_for], request, raw_path)
        if response is None and signed_for is None:
            response = self._own_page(request, raw_path)
        if response is None:
            await self._upstream.pass_on(request, raw_path, send)
            return
        if signed_for is not None:
            self._deps.exposition.count(signed_for, response.status_code)
        await response(scope, request.receive, send)

    async def _claimed(self, request: Request, raw_path: str) -> tuple[str | None, Request]:
        """The service of ours that an unsigned request is for, and the request with all of its body."""
        if claims_mwaa(raw_path, request):
            return service.SIGNING_NAME, request
        return await unsigned.claimed(request, raw_path)

    def _refusal(self, request: Request, raw_path: str) -> Response | None:
        sentence = browsers.refusal(request.headers, domain=self._deps.operations.settings.domain)
        if sentence:
            return answers.foreign(403, "AccessDeniedException", sentence)
        if not raw_path.startswith("/"):
            return answers.foreign(400, "BadRequestException", "The request line has no path.")
        return None

    def _own_page(self, request: Request, raw_path: str) -> Response | None:
        """Pages of our own; None for anonymous requests to other services."""
        if request.method not in {"GET", "HEAD"} or _query(request.scope):
            return None
        if raw_path == HEALTH:
            return JSONResponse(self._health())
        if raw_path == "/" and _is_bare(request.headers.get("host", "")):
            return self._welcome(request)
        return None

    def _health(self) -> dict[str, str]:
        return {
            "status": "ok",
            "service": "aerodrome",
            "version": metadata.version("aerodrome"),
            "region": self._deps.operations.settings.region,
        }

    def _welcome(self, request: Request) -> Response:
        if "text/html" not in request.headers.get("accept", ""):
            return JSONResponse(self._health() | {"what": "The Amazon MWAA API; other AWS services are passed on."})
        url = html.escape(f"http://{request.headers['host']}")
        return HTMLResponse(_PAGE.format(version=metadata.version("aerodrome"), url=url, health=HEALTH))


def _query(scope: Scope) -> str:
    return str(scope["query_string"], "latin-1")


def origin_form(target: str) -> str:
    """The path of a request target, not decoded. Clients of a proxy send the target in absolute form."""
    scheme, separator, rest = target.partition("://")
    if not separator or scheme.lower() not in {"http", "https"}:
        return target
    slash = rest.find("/")
    return rest[slash:] if slash >= 0 else "/"


def claims_mwaa(raw_path: str, request: Request) -> bool:
    """True when an unsigned request looks like one for MWAA: by its path, or by AWS's host name of the service.

    The embedded emulator takes every path that begins with `/environments` for an MWAA of its own, which must never
    answer.
    """
    first = raw_path.split("/")[1] if raw_path.startswith("/") else ""
    return (
        first in routes.first_segments()
        or first.startswith("environments")
        or ".airflow." in f".{request.headers.get('host', '')}"
    )


def _is_bare(host: str) -> bool:
    """True when the host name has no bucket in front."""
    return browsers.is_loopback(host) and ".localhost" not in host.lower()
