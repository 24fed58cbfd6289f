"""Which heads of requests are refused: one strictness for all listeners, so that no two read a request differently.

llhttp, behind httptools, refuses what request smuggling is made of (two lengths, a length beside chunks, folded lines,
bare line feeds, odd characters in names). Here is the rest, which it lets pass. `protocol` asks for each request of
uvicorn's listeners; `read` is for listeners that take whole heads themselves. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import httptools

LONGEST = 64 * 1024
"""Bytes of request line and headers; browsers' cookies and presigned addresses stay far below."""

MOST_HEADERS = 128

_TARGET = re.compile(rb"[!-\"$-~]+")
"""Visible ASCII without `#`: a fragment is none of a server's business, and some would cut it off."""

_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
"""What no value of a header may have."""

_BAD_REQUEST, _TOO_LARGE = 400, 431


class BadHeadError(Exception):
    """This is no request. `str()` is fit for the client."""

    def __init__(self, sentence: str, *, status: int = _BAD_REQUEST) -> None:
        super().__init__(sentence)
        self.status = status


@dataclass(slots=True)
class Head:
    """A request's head, names of headers in lower case."""

    method: bytes = b""
    target: bytes = b""
    version: str = ""
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)


def origin_form(head: Head) -> bytes:
    """The target of a request that is one, in origin form: path and query, as they came.

    Raises:
        BadHeadError: it is none.
    """
    size = len(head.target) + sum(len(name) + len(value) for name, value in head.headers)
    if size > LONGEST or len(head.headers) > MOST_HEADERS:
        raise BadHeadError("The request's head is too long.", status=_TOO_LARGE)
    if head.version not in {"1.0", "1.1"} or head.method == b"CONNECT":
        raise BadHeadError("Only HTTP/1.1 and HTTP/1.0 are spoken here.")
    if any(_CONTROL.search(value) for _, value in head.headers):
        raise BadHeadError("A header has a control character.")
    hosts = _values(head.headers, b"host")
    if len(hosts) > 1 or (not hosts and head.version == "1.1"):
        raise BadHeadError("A request has one Host header.")
    codings = _values(head.headers, b"transfer-encoding")
    if codings and (codings != [b"chunked"] or head.version == "1.0"):
        raise BadHeadError("The one transfer coding that is understood is chunked.")
    if not _TARGET.fullmatch(head.target):
        raise BadHeadError("The request line has a character that no target may have.")
    return head.target if head.target.startswith(b"/") else _of_absolute(head.target, hosts)


def framing(headers: Sequence[tuple[bytes, bytes]]) -> bytes | None:
    """The header that says where the body of a request with these headers ends; None: it has none."""
    if _values(headers, b"transfer-encoding"):
        return b"Transfer-Encoding: chunked"
    lengths = _values(headers, b"content-length")
    return b"Content-Length: " + lengths[0] if lengths and int(lengths[0]) else None


def read(raw: bytes) -> Head:
    """One whole head, its target in origin form.

    Raises:
        BadHeadError: it is none.
    """
    head = Head()
    collector = _Collector(head)
    parser = httptools.HttpRequestParser(collector)
    collector.parser = parser
    try:
        parser.feed_data(raw)
    except httptools.HttpParserError:
        raise BadHeadError("This is no HTTP request.") from None
    except httptools.HttpParserUpgrade:
        pass  # an offer to speak another protocol, which is ignored
    if not collector.is_whole:
        raise BadHeadError("This is no HTTP request.")
    head.target = origin_form(head)
    return head


def _values(headers: Sequence[tuple[bytes, bytes]], wanted: bytes) -> list[bytes]:
    return [value.lower() for name, value in headers if name == wanted]


def _of_absolute(target: bytes, hosts: Sequence[bytes]) -> bytes:
    """A request line with a whole URL, as to a proxy: it must name the host that the Host header names."""
    try:
        parsed = httptools.parse_url(target)
    except httptools.HttpParserInvalidURLError:
        raise BadHeadError("The request line has no path.") from None
    authority = parsed.host or b""
    if parsed.port is not None:
        authority += b":%d" % parsed.port
    if (parsed.schema or b"").lower() not in {b"https", b"http"} or parsed.userinfo or [authority.lower()] != [*hosts]:
        raise BadHeadError("The request line is for another host, or has no path.")
    path = parsed.path or b"/"
    return path if parsed.query is None else path + b"?" + parsed.query


class _Collector:
    """What the parser calls."""

    def __init__(self, head: Head) -> None:
        self._head = head
        self.parser: httptools.HttpRequestParser | None = None
        self.is_whole = False

    def on_url(self, url: bytes) -> None:
        self._head.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.is_whole:  # else a trailer
            self._head.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        assert self.parser is not None  # noqa: S101 - it calls
        self._head.method = self.parser.get_method()
        self._head.version = self.parser.get_http_version()
        self.is_whole = True
