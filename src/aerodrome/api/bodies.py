"""Reads request bodies into memory, with bounds on size and time, for each body and for all together.

A request without a signature, or with one that its head alone proves wrong, may have a small body: a larger one is
refused before it is read. Larger bodies share a budget, and each principal may use a part of it. The rest of a body
that is too long is read and dropped, up to a second bound, because a client that is still sending would not see the
answer. At most one chunk of it is kept.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager

from starlette.requests import ClientDisconnect, Request

from aerodrome.api.wire.errors import VALIDATION, WireError
from aerodrome.budget import Budget

SMALL = 64 * 1024
"""Bytes that every client may send. The listener limits the connections, and so the sum of these bodies."""

LONGEST = 1024 * 1024
"""Bytes; real requests stay far below."""

MOST_DISCARDED = 64 * 1024 * 1024
"""Bytes of an overlong body that are read before the connection is given up; arbitrary."""

TOTAL = 32 * 1024 * 1024
"""Bytes of all larger bodies together, at one time."""

EACH = 8 * 1024 * 1024
"""Bytes of them that one principal may use."""

PATIENCE = 60.0
"""Seconds in which a whole body must arrive; arbitrary, and as long as botocore waits for an answer."""

Recognised = Callable[[], Awaitable[str]]
"""Returns whose request it is, from its head alone, or raises AuthenticationError."""


def budget() -> Budget:
    """What bodies that are not small may take together."""
    return Budget(TOTAL, each=EACH, patience=0)


@asynccontextmanager
async def read(request: Request, budget: Budget, recognised: Recognised) -> AsyncIterator[bytes]:
    """The body, to be kept within the block only. `recognised` must name the signer before a larger body is read.

    Raises:
        WireError: ValidationException, because the body is too long or too slow.
        AuthenticationError: the body is larger than `SMALL`, and the signer is unknown.
        BusyError: the body is larger than `SMALL`, and the budget is used up now.
    """
    async with AsyncExitStack() as held:
        try:
            async with asyncio.timeout(PATIENCE):
                body = await _bounded(request, budget, recognised, held)
        except TimeoutError:
            sentence = f"The body of the request did not arrive within {PATIENCE:.0f} seconds"
            raise WireError(VALIDATION, sentence) from None
        except ClientDisconnect:
            raise WireError(VALIDATION, "The client left before the body of the request had arrived") from None
        yield body


async def _bounded(request: Request, budget: Budget, recognised: Recognised, held: AsyncExitStack) -> bytes:
    kept = bytearray()
    length, allowed = 0, SMALL
    declared = declared_length(request)
    if declared is not None and declared > SMALL:
        allowed = await _admitted(declared, budget, recognised, held)
    async for chunk in request.stream():
        length += len(chunk)
        if length > allowed == SMALL:
            allowed = await _admitted(None, budget, recognised, held)
        if length <= LONGEST:
            kept += chunk
        elif length > MOST_DISCARDED:
            break
    if length > LONGEST:
        raise WireError(VALIDATION, f"The body of the request is longer than {LONGEST} bytes: send less")
    return bytes(kept)


async def _admitted(declared: int | None, budget: Budget, recognised: Recognised, held: AsyncExitStack) -> int:
    """How long a larger body may be."""
    owner = await recognised()
    if declared is None or declared <= LONGEST:  # a longer one is dropped as it arrives
        await held.enter_async_context(budget.share(declared or LONGEST, owner))
    return LONGEST


def declared_length(request: Request) -> int | None:
    """Bytes of the body, as the head says; None for a chunked body."""
    if "transfer-encoding" in request.headers:
        return None
    return int(request.headers.get("content-length", "0"))
