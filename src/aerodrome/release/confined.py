"""Functions of ours that read what users wrote (parsers, decompressors), run as somebody who can do nothing else.

`plugins` and `confined_requirements` call `call`: the function runs in a process of its own, as the builder where we
are root, under the limits of `sandbox`. There `inside/supervise.py` asks `found` for it.
"""

from __future__ import annotations

import base64
import importlib
import json
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from aerodrome.release import sandbox
from aerodrome.release.failures import RELEASE_BUILD_FAILED, ReleaseError
from aerodrome.release.sandbox import SandboxLimits, WritablePaths
from aerodrome.unix_users import UnixUser

LARGEST_ANSWER = 32 * 2**20
"""Bytes; the largest file that requirements include is far smaller."""

_FIELDS = ("code", "tail", "file", "line", "package")


def call(
    function: Callable[[Any], Any],
    request: object,
    *,
    user: UnixUser | None,
    limits: SandboxLimits,
    writable: Sequence[Path] = (),
    given: Sequence[int] = (),
    tick: Callable[[], None] = lambda: None,
) -> Any:
    """What the function, which has a name in its module, answers to the request; both are JSON, and bytes.

    It may write to the folders `writable` alone, and has the descriptors `given` under the numbers that they have here.
    Raises the ReleaseError or OSError that it raises, and a ReleaseError if it breaks off or takes too long.
    """
    answer = bytearray()
    with tempfile.TemporaryDirectory(prefix="aerodrome-call-") as name:
        scratch = Path(name)
        ended = sandbox.run(
            [],
            call=(f"{function.__module__}:{function.__name__}", request),
            environ={},
            cwd=Path("/"),
            limits=limits,
            user=user,
            umask=0o077,
            writable=WritablePaths((scratch, *writable), scratch),
            given=given,
            tick=tick,
            on_message=lambda data: answer.extend(data[: LARGEST_ANSWER - len(answer)]),
        )
    try:
        told = json.loads(answer) if ended.code == 0 else None
    except ValueError:
        told = None
    if not isinstance(told, dict):
        how = "took too long" if not ended.in_time else "broke off"
        raise ReleaseError(f"reading the files {how}", code=RELEASE_BUILD_FAILED, tail=ended.tail)
    if "failed" in told:
        raise OSError(*told["failed"])
    if "error" in told:
        fields = {name: told["error"][name] for name in _FIELDS}
        raise ReleaseError(told["error"]["message"], **{**fields, "tail": tuple(fields["tail"])})
    return base64.b64decode(told["bytes"]) if "bytes" in told else told["value"]


def found(name: str) -> Callable[[Any], bytes]:
    """The function `module:name`, as one that answers in the form that `call` reads."""
    module, _, attribute = name.partition(":")
    function = getattr(importlib.import_module(module), attribute)

    def answered(request: Any) -> bytes:
        try:
            value = function(request)
        except ReleaseError as error:
            told = {"message": str(error), **{each: getattr(error, each) for each in _FIELDS}}
            return json.dumps({"error": told}).encode()
        except OSError as error:
            return json.dumps({"failed": [error.errno, error.strerror, str(error.filename)]}).encode()
        if isinstance(value, bytes):
            return json.dumps({"bytes": base64.b64encode(value).decode()}).encode()
        return json.dumps({"value": value}).encode()

    return answered
