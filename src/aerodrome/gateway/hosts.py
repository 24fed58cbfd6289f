"""Host names of environments, read back out of requests. Pure; `model.web_address` makes them."""

from __future__ import annotations

import re
from dataclasses import dataclass

_AUTHORITY = re.compile(r"(?P<name>[a-z0-9.-]{1,253}?)\.?(:(?P<port>[0-9]{1,5}))?")
_IDENTIFIER = re.compile(r"[0-9a-f]{8}")


@dataclass(frozen=True, slots=True)
class Host:
    """A host that names an environment below our domain."""

    identifier: str
    authority: str
    """Name and port as the client wrote them, in lower case."""
    port: int | None


def parse(authority: str, domain: str) -> Host | None:
    """The host in a Host header; None when it names no environment below `domain`."""
    written = authority.lower()
    match = _AUTHORITY.fullmatch(written)
    if match is None:
        return None
    label, _, rest = match["name"].partition(".")
    if rest != domain or not _IDENTIFIER.fullmatch(label):
        return None
    return Host(identifier=label, authority=written, port=int(match["port"]) if match["port"] else None)
