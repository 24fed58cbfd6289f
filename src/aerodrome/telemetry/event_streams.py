"""AWS's event streams: messages of headers and a JSON payload, each with its lengths and checksums. Pure.

botocore reads them and cannot write them; a message is a few numbers around its bytes.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from typing import Any
from zlib import crc32

CONTENT_TYPE = b"application/vnd.amazon.eventstream"

_STRING = 7
"""The type of a header that is a text."""

_FRAME = 16
"""Bytes of a message beside headers and payload."""


def event(kind: str, content: Mapping[str, Any]) -> bytes:
    """One event; `initial-response` is what the operation itself answers, before any other."""
    return _message({":message-type": "event", ":event-type": kind, ":content-type": "application/json"}, content)


def exception(kind: str, sentence: str) -> bytes:
    """The error that ends a stream."""
    headers = {":message-type": "exception", ":exception-type": kind, ":content-type": "application/json"}
    return _message(headers, {"message": sentence})


def _message(headers: Mapping[str, str], content: Mapping[str, Any]) -> bytes:
    payload = json.dumps(content).encode()
    head = b"".join(
        struct.pack("!B", len(name)) + name.encode() + struct.pack("!BH", _STRING, len(value)) + value.encode()
        for name, value in headers.items()
    )
    prelude = struct.pack("!II", len(head) + len(payload) + _FRAME, len(head))
    found = prelude + struct.pack("!I", crc32(prelude)) + head + payload
    return found + struct.pack("!I", crc32(found))
