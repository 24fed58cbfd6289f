"""Cookies: ours are read and set, everybody else's are passed on without ours. Pure.

Airflow's web servers never see our session cookies. They may not set cookies of those names, and none for the whole
domain, where other environments would get them.
"""

from __future__ import annotations

from collections.abc import Iterable

SESSION = {1: "session", 2: "session", 3: "_token"}
"""By the line of Airflow: MWAA's names of the session cookie."""

OURS = frozenset(name.encode() for name in SESSION.values())

MOST = 16
"""Cookies of one name that are looked at: pages of other environments may have set some before the right one."""

LONGEST = 128
"""Characters; a longer value is no session of ours."""


def values(cookie_headers: Iterable[bytes], name: str) -> list[str]:
    """The values of the cookies called `name`, in the order sent."""
    wanted = name.encode()
    found = [value for own, value in _pairs(cookie_headers) if own == wanted and 0 < len(value) <= LONGEST]
    return [value.decode("latin-1") for value in found[:MOST]]


def without_ours(cookie_headers: Iterable[bytes]) -> bytes | None:
    """One Cookie header with all cookies but ours; None when none is left."""
    kept = [name + b"=" + value for name, value in _pairs(cookie_headers) if name not in OURS]
    return b"; ".join(kept) or None


def session(name: str, secret: str, seconds: int) -> str:
    """The Set-Cookie header that opens a session in the browser."""
    return f"{name}={secret}; Path=/; Max-Age={seconds}; Secure; HttpOnly; SameSite=Lax"


def ended(name: str) -> str:
    """The Set-Cookie header that removes it."""
    return session(name, "", 0)


def returned(set_cookie: bytes) -> bytes | None:
    """A Set-Cookie header of Airflow's for the client, for this host alone and over TLS; None when it may not pass."""
    first, *attributes = [part.strip() for part in set_cookie.split(b";")]
    name, separator, _ = first.partition(b"=")
    # A cookie without a name comes back as its bare value, which may read like one of ours.
    if not separator or not name.strip() or name.strip() in OURS:
        return None
    kept = [each for each in attributes if each.partition(b"=")[0].strip().lower() not in {b"domain", b"secure", b""}]
    return b"; ".join([first, *kept, b"Secure"])


def _pairs(cookie_headers: Iterable[bytes]) -> list[tuple[bytes, bytes]]:
    found = []
    for header in cookie_headers:
        for part in header.split(b";"):
            name, separator, value = part.partition(b"=")
            if separator:
                found.append((name.strip(), value.strip()))
    return found
