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
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import JsonValue, TypeAdapter, ValidationError

from aerodrome.release import sandbox
from aerodrome.release.failures import RELEASE_BUILD_FAILED, ReleaseError
from aerodrome.release.sandbox import SandboxLimits, WritablePaths
from aerodrome.unix_users import UnixUser

LARGEST_ANSWER = 32 * 2**20
"""Bytes; the largest file that requirements include is far smaller."""

_FIELDS = ("code", "tail", "file", "line", "package")


@dataclass(frozen=True, kw_only=True)
class ToldError:
    """A ReleaseError on its way out of the process."""

    message: str
    code: str
    tail: list[str]
    file: str | None
    line: int | None
    package: str | None


@dataclass(frozen=True, kw_only=True)
class ConfinedAnswer:
    """What the process answers: one of these."""

    value: JsonValue = None
    bytes: str | None = None
    """In base64."""
    error: ToldError | None = None
    failed: tuple[int | None, str | None, str] | None = None
    """The number, text and file of an OSError."""


_ANSWERS = TypeAdapter(ConfinedAnswer)


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
    Raises the ReleaseError or OSError that it raises, and a ReleaseError if it breaks off, takes too long, or answers
    in another form, for somebody might have taken it over. Of a value the caller checks the type.
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
        told = _ANSWERS.validate_json(answer, strict=True) if ended.code == 0 else None
    except ValidationError:
        told = None
    if told is None:
        how = "took too long" if not ended.in_time else "broke off"
        raise ReleaseError(f"reading the files {how}", code=RELEASE_BUILD_FAILED, tail=ended.tail)
    if told.failed is not None:
        raise OSError(*told.failed)
    if told.error is not None:
        fields = asdict(told.error)
        raise ReleaseError(fields.pop("message"), **{**fields, "tail": tuple(told.error.tail)})
    return base64.b64decode(told.bytes) if told.bytes is not None else told.value


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
