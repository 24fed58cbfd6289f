"""Bodies that the door leaves in files: they are read when MiniStack asks for them, in one piece."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any

from aerodrome.emulator import rules

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]


def given(file: Path, scope: MutableMapping[str, Any], headers: dict[str, str], rest: Receive) -> Receive:
    """What hands out the file's content as the body of a request that came without one, then what comes.

    `scope` and `headers` are those of the request; they get the length of the body.
    """
    length = str(file.stat().st_size)
    headers["content-length"] = length
    others = [header for header in scope["headers"] if header[0] not in {b"content-length", rules.BODY_HEADER}]
    scope["headers"] = [*others, (b"content-length", length.encode())]
    is_read = False

    async def receive() -> Message:
        nonlocal is_read
        if is_read:
            return await rest()
        is_read = True
        return {"type": "http.request", "body": _read(file), "more_body": False}

    return receive


def _read(file: Path) -> bytes:
    """At once: the door has just written it."""
    return file.read_bytes()
