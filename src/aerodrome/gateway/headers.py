"""Headers on their way to Airflow and back. Pure.

Airflow believes the token in Authorization and the proxy headers, so no such header of a client's may pass. Headers
whose names have an underscore are dropped: a WSGI server cannot tell them from those with a hyphen, and gunicorn even
takes its script name and path from such.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from aerodrome import forwarding
from aerodrome.gateway import cookies
from aerodrome.gateway.hosts import Host
from aerodrome.model.web_address import HTTPS_PORT

_SET_BY_US = frozenset({b"authorization", b"cookie", b"forwarded", b"host", b"proxy", b"remote-user", b"x-real-ip"})
_PREFIXES_SET_BY_US = (b"x-forwarded-", b"x-aerodrome-", b"x-remote-", b"x-original-", b"x-rewrite-")

_NOT_RETURNED = forwarding.SET_BY_LISTENER | {b"clear-site-data", b"strict-transport-security", b"alt-svc"}
"""Headers whose effect would go beyond the one environment: a browser keeps these by host name, whatever the port."""

NO_SNIFFING = (b"x-content-type-options", b"nosniff")


class ForeignRedirectError(Exception):
    """Airflow redirects to another host; the message is that host."""


def towards(received: forwarding.Headers, *, token: str, host: Host, address: str) -> list[tuple[bytes, bytes]]:
    """The headers that Airflow gets."""
    kept = [
        (name, value)
        for name, value in forwarding.passed(received, also=_SET_BY_US)
        if b"_" not in name and not name.startswith(_PREFIXES_SET_BY_US)
    ]
    authority = host.authority.encode()
    kept += [
        (b"host", authority),
        (b"authorization", b"Bearer " + token.encode()),
        (b"x-forwarded-for", address.encode()),
        (b"x-forwarded-host", authority),
        (b"x-forwarded-port", str(host.port or HTTPS_PORT).encode()),
        (b"x-forwarded-proto", b"https"),
    ]
    remaining = cookies.without_ours(value for name, value in received if name == b"cookie")
    if remaining is not None:
        kept.append((b"cookie", remaining))
    return kept


def back(given: forwarding.Headers, *, host: Host) -> list[tuple[bytes, bytes]]:
    """The headers that the client gets.

    Raises:
        ForeignRedirectError: they would lead it to another host.
    """
    found = []
    for name, value in forwarding.passed(given, also=_NOT_RETURNED):
        if name == b"set-cookie":
            cookie = cookies.returned(value)
            if cookie is not None:
                found.append((name, cookie))
        elif name == b"location":
            found.append((name, _location(value, host)))
        elif name != b"x-content-type-options":
            found.append((name, value))
    found.append(NO_SNIFFING)
    return found


def _location(value: bytes, host: Host) -> bytes:
    """A redirect as path and query, which stay on the host; Airflow may have written its own name without the port."""
    # Browsers read a backslash as a slash, and ignore tabs and the like.
    text = "".join(char for char in value.decode("latin-1") if char > " ").replace("\\", "/")
    try:
        parts = urlsplit(text)
        name = parts.hostname or ""
    except ValueError:
        raise ForeignRedirectError("an address that cannot be read") from None
    is_relative = not parts.scheme and not parts.netloc and not text.startswith("//")
    if is_relative and ":" not in parts.path.partition("/")[0]:
        return text.encode("latin-1")
    if parts.scheme not in {"http", "https", ""} or name != host.authority.partition(":")[0].rstrip("."):
        raise ForeignRedirectError(name or parts.scheme)
    path = "/" + parts.path.lstrip("/")
    return parts._replace(scheme="", netloc="", path=path).geturl().encode("latin-1")
