"""Request bodies that are held in memory: bounded in size and time, each by itself and all together.

Whoever presents no signature, or one that cannot be right by what the head says alone, sends a small body or none: a
larger one is refused before it is read. Larger bodies share a budget, of which one principal has a part. A body that is
too long for anything is read on and thrown away up to a second bound, since a client that is still sending cannot see
the answer; never more than one chunk of it is kept.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager

from starlette.requests import ClientDisconnect, Request

from aerodrome.api.wire.errors import VALIDATION, WireError
from aerodrome.budget import Budget

SMALL = 64 * 1024
"""Bytes that anybody may send; the listener's bound on connections bounds these bodies too."""

LONGEST = 1024 * 1024
"""Bytes; far above what the model's members can sum up to in practice."""

MOST_DISCARDED = 64 * 1024 * 1024
"""Bytes of an overlong body that are read before the connection is given up; arbitrary."""

TOTAL = 32 * 1024 * 1024
"""Bytes of all bodies that are not small, at one time."""

EACH = 8 * 1024 * 1024
"""Of these, bytes for one principal."""

PATIENCE = 60.0
"""Seconds for a whole body to arrive; arbitrary, above botocore's own read timeout it would make no sense."""

Recognised = Callable[[], Awaitable[str]]
"""Says whose request it is by its head alone, or raises AuthenticationError."""


def budget() -> Budget:
    """What bodies that are not small may take together."""
    return Budget(TOTAL, each=EACH, patience=0)


@asynccontextmanager
async def read(request: Request, budget: Budget, recognised: Recognised) -> AsyncIterator[bytes]:
    """The body, which may be held within the block. `recognised` is asked before more than `SMALL` bytes are read.

    Raises:
        WireError: ValidationException, when it is too long or too slow.
        AuthenticationError: it is not small, and nobody is known to send it.
        BusyError: it is not small, and there is no room for it now.
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
    """How long a body that is not small may be."""
    owner = await recognised()
    if declared is None or declared <= LONGEST:  # else it is thrown away as it comes
        await held.enter_async_context(budget.share(declared or LONGEST, owner))
    return LONGEST


def declared_length(request: Request) -> int | None:
    """Bytes of the body by its head; None when it comes in chunks."""
    if "transfer-encoding" in request.headers:
        return None
    return int(request.headers.get("content-length", "0"))
