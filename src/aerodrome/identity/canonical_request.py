"""The canonical request of Signature Version 4: what client and server hash, however a proxy has rewritten the request.

`sigv4` calls it. Pure. Every text holds the bytes from the wire, read as Latin-1, as ASGI passes them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from urllib.parse import quote_from_bytes, unquote_to_bytes

UNRESERVED = "-_.~"


def path(raw: str, *, literal: bool) -> str:
    """The canonical URI; `literal` for S3, which neither normalises nor encodes again."""
    if literal:
        return raw or "/"
    return quote_from_bytes(_without_dots(raw).encode("latin-1"), safe=f"/{UNRESERVED}")


def _without_dots(raw: str) -> str:
    """RFC 3986's removal of dot segments; doubled slashes go too."""
    kept: list[str] = []
    for segment in raw.split("/"):
        if segment == "..":
            del kept[-1:]
        elif segment not in {"", "."}:
            kept.append(segment)
    if not kept:
        return "/"
    return f"{'/' if raw.startswith('/') else ''}{'/'.join(kept)}{'/' if raw.endswith('/') else ''}"


def pairs(raw_query: str) -> list[tuple[bytes, bytes]]:
    """The query's names and values, decoded; a plus sign is a space, as forms have it."""
    if not raw_query:
        return []
    decoded = []
    for pair in raw_query.replace("+", "%20").split("&"):
        name, _, value = pair.partition("=")
        decoded.append((_decoded(name), _decoded(value)))
    return decoded


def _decoded(text: str) -> bytes:
    return unquote_to_bytes(text.encode("latin-1"))


def query(decoded: Iterable[tuple[bytes, bytes]]) -> str:
    """The canonical query string of names and values."""
    encoded = sorted(
        (quote_from_bytes(name, UNRESERVED), quote_from_bytes(value, UNRESERVED)) for name, value in decoded
    )
    return "&".join(f"{name}={value}" for name, value in encoded)


def header_value(values: Sequence[str]) -> str:
    """The values of one header's lines: trimmed, runs of blanks made one space, joined by commas."""
    # Only ASCII blanks: a UTF-8 letter may hold the byte of Latin-1's no-break space.
    return ",".join(b" ".join(value.encode("latin-1").split()).decode("latin-1") for value in values)


def request(
    *, method: str, path: str, query: str, headers: Sequence[tuple[str, str]], signed: str, payload: str
) -> bytes:
    """The canonical request; `headers` are the signed ones, in order, with canonical values."""
    lines = [method, path, query, *(f"{name}:{value}" for name, value in headers), "", signed, payload]
    return "\n".join(lines).encode("latin-1")
