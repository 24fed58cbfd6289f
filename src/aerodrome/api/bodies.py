"""Request bodies of MWAA operations: read within bounds of size and time.

A body that is too long is read on and thrown away up to a second bound, since a client that is still sending cannot see
the answer; never more than one chunk of it is kept.
"""

from __future__ import annotations

import asyncio

from starlette.requests import Request

from aerodrome.api.wire.errors import VALIDATION, WireError

LONGEST = 1024 * 1024
"""Bytes; far above what the model's members can sum up to in practice."""

MOST_DISCARDED = 64 * 1024 * 1024
"""Bytes of an overlong body that are read before the connection is given up; arbitrary."""

PATIENCE = 60.0
"""Seconds for a whole body to arrive; arbitrary, above botocore's own read timeout it would make no sense."""


async def read(request: Request) -> bytes:
    """The body.

    Raises:
        WireError: ValidationException, when it is too long or too slow.
    """
    try:
        async with asyncio.timeout(PATIENCE):
            return await _bounded(request)
    except TimeoutError:
        raise WireError(VALIDATION, f"The body of the request did not arrive within {PATIENCE:.0f} seconds") from None


async def _bounded(request: Request) -> bytes:
    kept = bytearray()
    length = 0
    async for chunk in request.stream():
        length += len(chunk)
        if length <= LONGEST:
            kept += chunk
        elif length > MOST_DISCARDED:
            break
    if length > LONGEST:
        raise WireError(VALIDATION, f"The body of the request is longer than {LONGEST} bytes: send less")
    return bytes(kept)
