"""Fetches one document of an OpenID Connect issuer over HTTP, within bounds of size and time.

`issuers` calls it with addresses that it has checked. It follows no redirect: an issuer says where its keys are.
"""

from __future__ import annotations

from http import HTTPStatus

import aiohttp

LONGEST = 256 * 1024
"""Bytes that a document may have; key sets of large issuers have about ten thousand."""

PATIENCE = 5.0
"""Seconds for a whole document; clients wait for it."""

_CHUNK = 16 * 1024


class FetchError(Exception):
    """The document could not be fetched; the message is for a person."""


async def fetch(url: str) -> bytes:
    """The document at `url`.

    Raises:
        FetchError: the document could not be fetched, or is too long.
    """
    timeout = aiohttp.ClientTimeout(total=PATIENCE)
    # Uncompressed, so that the bytes that are counted are those that are kept.
    headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
    try:
        async with (
            aiohttp.ClientSession(
                timeout=timeout, auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar()
            ) as client,
            client.get(url, headers=headers, allow_redirects=False) as response,
        ):
            if response.status != HTTPStatus.OK:
                raise FetchError(f"{url} answered with status {response.status}")
            kept = bytearray()
            async for chunk in response.content.iter_chunked(_CHUNK):
                kept += chunk
                if len(kept) > LONGEST:
                    raise FetchError(f"{url} is longer than {LONGEST} bytes")
            return bytes(kept)
    except TimeoutError:
        raise FetchError(f"{url} did not answer within {PATIENCE:.0f} seconds") from None
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise FetchError(f"{url} cannot be reached: {type(error).__name__}") from error
