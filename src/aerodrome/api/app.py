"""The Starlette application of the front door; `runtime` serves it with uvicorn, on loopback only.

It only puts parts together; a request meets `front` first.
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
"""Of the listener, which code of every environment reaches. `passed_on` leaves places for MWAA, IAM and STS."""


def create_app(deps: ApiDependencies) -> Starlette:
    """The application; it needs a server that runs its lifespan."""
    upstream = Upstream(deps.aws_endpoint_url)

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        async with upstream:
            yield

    return Starlette(middleware=[Middleware(Front, deps=deps, upstream=upstream)], lifespan=lifespan)
