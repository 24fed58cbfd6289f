"""Web pages of strangers must not reach services on this machine through a person's browser.

The API (`api.front`) and the embedded AWS emulator ask before anything else. A page elsewhere may send requests to
localhost (cross-site), or point a name of its own at 127.0.0.1 (DNS rebinding); both would let it write DAGs into a
bucket and so run code here. Clients that are not browsers are not concerned, whatever Host they use. Pure.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from urllib.parse import urlsplit


def refusal(headers: Mapping[str, str], *, domain: str) -> str | None:
    """Why a request is refused; None when it is not. Header names in lower case.

    `domain` is the one below which environments have their pages, which are strangers too, wherever they are served.
    """
    origin = headers.get("origin")
    if origin is not None and (_is_below(origin, domain) or not is_loopback(origin.partition("://")[2])):
        return "Requests from web pages of other sites are refused."
    cross_site = headers.get("sec-fetch-site") == "cross-site"
    if cross_site and origin is None:
        return "Requests that another site's page causes are refused: open the address yourself."
    from_browser = origin is not None or headers.get("user-agent", "").startswith("Mozilla/")
    if from_browser and not is_loopback(headers.get("host", "")):
        return "Browsers must use localhost, or a name below it, as the host."
    return None


def _is_below(origin: str, domain: str) -> bool:
    try:
        host = (urlsplit(origin).hostname or "").rstrip(".")
    except ValueError:
        return True
    return host == domain or host.endswith(f".{domain}")


def is_loopback(authority: str) -> bool:
    """True for localhost, names below it, and loopback addresses, with or without a port."""
    try:
        host = (urlsplit(f"//{authority}").hostname or "").rstrip(".")
    except ValueError:
        return False
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
