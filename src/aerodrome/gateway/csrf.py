"""Whether a browser sends a request because its user wants it: the defence against cross-site request forgery. Pure.

Environments share a domain and are one site to a browser. So SameSite cookies and the value `same-site` do not protect
one from another: only the very same origin counts. Clients that are not browsers send neither header and need no
protection.
"""

from __future__ import annotations

from collections.abc import Mapping

from aerodrome.gateway.hosts import Host

READS = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that change nothing."""


def is_own(headers: Mapping[bytes, bytes], host: Host) -> bool:
    """True when no other page caused the request, as far as the browser tells."""
    origin = headers.get(b"origin")
    if origin is not None:
        return _same(origin.decode("latin-1").lower(), host)
    return headers.get(b"sec-fetch-site", b"none") in {b"same-origin", b"none"}


def _same(origin: str, host: Host) -> bool:
    scheme, _, authority = origin.partition("://")
    return scheme == "https" and authority.removesuffix(":443") == host.authority.removesuffix(":443")
