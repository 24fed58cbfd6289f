"""Heads that no listener of ours takes: the cases of one strictness, for the test of each listener.

`HOST` is the listener's own name. What follows in `smuggled` would be a second request to whoever reads otherwise.
"""

from __future__ import annotations

import re

_STATUS = re.compile(rb"HTTP/1\.1 [0-9]{3} ")

GET = b"GET /x HTTP/1.1\r\nHost: HOST\r\n"
POST = b"POST /x HTTP/1.1\r\nHost: HOST\r\n"
MARK = b"/smuggled"
_SECOND = b"GET " + MARK + b" HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\n\r\n"

CASES = {
    "a length beside chunks": POST + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks beside a length": POST + b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
    "two lengths": POST + b"Content-Length: 0\r\nContent-Length: 44\r\n\r\n",
    "one length twice": POST + b"Content-Length: 0\r\nContent-Length: 0\r\n\r\n",
    "a list of lengths": POST + b"Content-Length: 0, 44\r\n\r\n",
    "a list of equal lengths": POST + b"Content-Length: 0, 0\r\n\r\n",
    "a length with a sign": POST + b"Content-Length: +0\r\n\r\n",
    "a length below zero": POST + b"Content-Length: -1\r\n\r\n",
    "a length in hexadecimal": POST + b"Content-Length: 0x0\r\n\r\n",
    "a length beyond 64 bits": POST + b"Content-Length: 99999999999999999999999\r\n\r\n",
    "a blank before the colon of a length": POST + b"Content-Length : 0\r\n\r\n",
    "an unknown coding": POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "identity": POST + b"Transfer-Encoding: identity\r\n\r\n",
    "two codings": POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "chunked twice": POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    "two headers of codings": POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
    "a blank before the colon of a coding": POST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "a vertical tab before a coding": POST + b"Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n",
    "chunks in HTTP/1.0": POST.replace(b"1.1", b"1.0") + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a folded line": GET + b"X-A: a\r\n b: c\r\n\r\n",
    "a folded line with a tab": GET + b"X-A: a\r\n\tContent-Length: 44\r\n\r\n",
    "a first line that is folded": GET + b" X-A: a\r\n\r\n",
    "a bare line feed": GET + b"X-A: a\nContent-Length: 44\r\n\r\n",
    "bare line feeds alone": GET.replace(b"\r\n", b"\n") + b"\n",
    "a bare line feed at the end": GET + b"X-A: a\r\n\n",
    "a bare carriage return": GET + b"X-A: a\rX-B: b\r\n\r\n",
    "a NUL in a value": GET + b"X-A: a\x00b\r\n\r\n",
    "a control character in a value": GET + b"X-A: a\x01b\r\n\r\n",
    "DEL in a value": GET + b"X-A: a\x7fb\r\n\r\n",
    "a header without a colon": GET + b"X-A\r\n\r\n",
    "a header without a name": GET + b": a\r\n\r\n",
    "a blank in a name": GET + b"X A: a\r\n\r\n",
    "a bracket in a name": GET + b"X(A): a\r\n\r\n",
    "a byte beyond ASCII in a name": GET + b"X-\xc3\xa4: a\r\n\r\n",
    "two hosts": GET + b"Host: other\r\n\r\n",
    "no host": GET.replace(b"Host: HOST\r\n", b"") + b"\r\n",
    "another host in the request line": GET.replace(b"/x", b"http://other.example/x") + b"\r\n",
    "a user in the request line": GET.replace(b"/x", b"http://user@HOST/x") + b"\r\n",
    "another scheme in the request line": GET.replace(b"/x", b"ftp://HOST/x") + b"\r\n",
    "an asterisk": GET.replace(b"GET /x", b"OPTIONS *") + b"\r\n",
    "no slash": GET.replace(b"/x", b"x") + b"\r\n",
    "a fragment": GET.replace(b"/x", b"/x#y") + b"\r\n",
    "a byte beyond ASCII in the path": GET.replace(b"/x", b"/\xff") + b"\r\n",
    "a byte beyond ASCII in the query": GET.replace(b"/x", b"/x?\xff") + b"\r\n",
    "a blank in the path": GET.replace(b"/x", b"/x y") + b"\r\n",
    "two blanks after the method": GET.replace(b"GET ", b"GET  ").replace(b"/x", b"\t/x") + b"\r\n",
    "a method in small letters": GET.replace(b"GET", b"get") + b"\r\n",
    "a method that is none": GET.replace(b"GET", b"G@T") + b"\r\n",
    "HTTP/2.0": GET.replace(b"HTTP/1.1", b"HTTP/2.0") + b"\r\n",
    "HTTP/1.2": GET.replace(b"HTTP/1.1", b"HTTP/1.2") + b"\r\n",
    "HTTP/1.10": GET.replace(b"HTTP/1.1", b"HTTP/1.10") + b"\r\n",
    "HTTP/0.9": b"GET /x\r\n",
    "HTTP/0.9 with headers": GET.replace(b" HTTP/1.1", b"") + b"\r\n",
    "a tunnel": b"CONNECT HOST HTTP/1.1\r\nHost: HOST\r\n\r\n",
    "HTTP/2 itself": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "TLS": b"\x16\x03\x01\x00\xa5",
    "129 headers": GET + b"".join(b"X-%d: 1\r\n" % number for number in range(128)) + b"\r\n",
    "a header of 70,000 bytes": GET + b"X-A: " + b"x" * 70_000 + b"\r\n\r\n",
}


def smuggled(name: str, host: str) -> bytes:
    """The bytes of a case and of the request behind it."""
    return (CASES[name] + _SECOND).replace(b"HOST", host.encode())


def is_refused(answer: bytes) -> bool:
    """Whether the listener answered nothing but that this is no request, or closed without a word."""
    return not answer or (answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 431 ")) and len(_STATUS.findall(answer)) == 1)
