"""The Starlette application of the front door; `runtime` serves it with uvicorn, on loopback only.

A composition and nothing else: what a request meets first is `front`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.middleware import Middleware

from aerodrome.api.dependencies import ApiDependencies
from aerodrome.api.front import Front
from aerodrome.api.upstream import Upstream
from aerodrome.listening.crowd import ConnectionLimits

LIMITS = ConnectionLimits(total=768, each_peer=512, bodies_each_peer=192, passed_on=320, passed_on_each_peer=160)
"""Of the listener. Code of every environment reaches it; what may not be passed on is kept for MWAA, IAM and STS."""


def create_app(deps: ApiDependencies) -> Starlette:
    """The application; it needs a server that runs its lifespan."""
    upstream = Upstream(deps.aws_endpoint_url)

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        async with upstream:
            yield

    return Starlette(middleware=[Middleware(Front, deps=deps, upstream=upstream)], lifespan=lifespan)
