"""Small request bodies, for the endpoints that the gateway answers itself: read whole, bounded in size and time."""

from __future__ import annotations

from aerodrome import forwarding
from aerodrome.gateway.requests import GatewayRefusal, GatewayRequest

SECONDS = 10.0


async def read(visit: GatewayRequest, longest: int) -> bytes:
    """The body.

    Raises:
        GatewayRefusal: 413 or 408.
        forwarding.GoneError: the client has gone.
    """
    body = forwarding.Body(visit.scope, visit.receive, limit=longest, seconds=SECONDS)
    too_long = GatewayRefusal(413, f"The body is longer than {longest} bytes.")
    if body.is_too_long:
        raise too_long
    try:
        return b"".join([chunk async for chunk in body.chunks()])
    except forwarding.TooLongError:
        raise too_long from None
    except forwarding.TooSlowError:
        raise GatewayRefusal(408, f"The body did not arrive within {SECONDS:.0f} seconds.") from None
