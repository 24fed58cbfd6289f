"""Users' requirements, read by somebody who can do nothing else: `requirements` as the builder, through `confined`.

`building` and `user_files` call it. The process there has no files but those that it is given. It answers with the
names of those that it lacks, is asked again with them, and at last answers with what the requirements ask for.
"""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from pydantic import TypeAdapter, ValidationError

from aerodrome.errors import RetryError
from aerodrome.release import confined, requirements, requirements_text
from aerodrome.release.failures import RELEASE_BUILD_FAILED, REQUIREMENTS_INVALID, ReleaseError
from aerodrome.release.requirements import Reader, Requirements
from aerodrome.release.sandbox import SandboxLimits
from aerodrome.unix_users import UnixUser

MOST_FILES = 50
"""Files that are asked for."""

LARGEST = 8 * 2**20
"""Bytes of all files together; the longest lock of a whole company is a tenth of it."""

MOST_NAMED = 1000
"""Names of files in one answer."""

_LIMITS = SandboxLimits(60.0, memory=2**30, file=0, processes=16)

_INCLUDED = re.compile(r"(?:-r|-c|--requirements?|--constraints?)(?:\s*=\s*|\s*)(\S+)")

_MAY_INCLUDE = re.compile(rb"(?:^|[^A-Za-z0-9_.\-])--?[rc]|\0")
"""Bytes without it name no file: an option begins a word. Whatever has a zero may be in another encoding."""


@dataclass(frozen=True, kw_only=True)
class ConfinedReading:
    """What the process answers: the names of files that it lacks, or what the requirements ask for."""

    lacks: tuple[str, ...] = ()
    found: Requirements | None = None


_NAMES = TypeAdapter(list[str])
_ANSWERS = TypeAdapter(ConfinedReading)
"""Strict: of a process that somebody might have taken over, only the form that it shall have is believed."""


def read(
    data: bytes,
    *,
    version: str,
    python: str,
    files: Reader,
    variables: Mapping[str, str],
    user: UnixUser | None,
    tick: Callable[[], None] = lambda: None,
) -> Requirements:
    """As `requirements.read`, with `files` called here. Raises a ReleaseError if that breaks off, too."""
    known: dict[str, bytes | None] = {}
    while True:
        request = {
            "data": _written(data),
            "version": version,
            "python": python,
            "variables": dict(variables),
            "known": {path: _written(each) for path, each in known.items()},
        }
        answer = confined.call(parse, request, user=user, limits=_LIMITS, tick=tick)
        try:
            told = _ANSWERS.validate_json(answer if isinstance(answer, bytes) else b"", strict=True)
        except ValidationError as error:
            raise ReleaseError("the requirements could not be read", code=RELEASE_BUILD_FAILED) from error
        if told.found is not None:
            return told.found
        new = [path for path in told.lacks if path not in known]
        known |= {path: files(path) for path in new[: MOST_FILES - len(known)]}
        if sum(len(each) for each in known.values() if each) > LARGEST or len(known) >= MOST_FILES or not new:
            what = f"it includes more than {MOST_FILES} files, or more than {LARGEST // 2**20} MiB"
            raise ReleaseError(f"requirements.txt: {what}", code=REQUIREMENTS_INVALID, file="requirements.txt")


def included(files: Mapping[str, bytes], user: UnixUser | None) -> list[str]:
    """The paths of what files include, by their own paths; nothing where they cannot be read, for a build says that.

    Raises:
        RetryError: the process broke off, or took too long, which says nothing about the files.
    """
    may = {path: data for path, data in files.items() if _MAY_INCLUDE.search(data)}
    if not may or sum(map(len, may.values())) > LARGEST:
        return []
    try:
        told = confined.call(names, {path: _written(data) for path, data in may.items()}, user=user, limits=_LIMITS)
        return _NAMES.validate_json(told if isinstance(told, bytes) else b"", strict=True)[:MOST_NAMED]
    except ReleaseError as error:
        if error.code == REQUIREMENTS_INVALID:
            return []
        raise RetryError(f"requirements.txt: {error}") from error
    except ValidationError as error:
        raise RetryError("requirements.txt: the files that it includes could not be found out") from error


class _LacksError(Exception):
    """A file is asked for that the process was not given."""


def parse(request: Mapping[str, Any]) -> bytes:
    """In a process of its own: the answer to `read`."""
    known = {path: None if text is None else base64.b64decode(text) for path, text in request["known"].items()}
    data = base64.b64decode(request["data"])
    lacks: list[str] = []

    def given(path: str) -> bytes | None:
        if path not in known:
            lacks.append(path)
            raise _LacksError
        return known[path]

    try:
        found = requirements.read(
            data,
            version=request["version"],
            python=request["python"],
            files=given,
            variables=request["variables"],
        )
    except _LacksError:
        # Probably also these: each round costs a process.
        more = included_by({"": data, **{path: each for path, each in known.items() if each is not None}})
        lacks += [path for path in more if path not in known and path not in lacks]
        return _ANSWERS.dump_json(ConfinedReading(lacks=tuple(lacks)))
    return _ANSWERS.dump_json(ConfinedReading(found=found))


def names(request: Mapping[str, str]) -> bytes:
    """In a process of its own: the answer to `included`."""
    return _NAMES.dump_json(included_by({path: base64.b64decode(text) for path, text in request.items()}))


def included_by(files: Mapping[str, bytes]) -> list[str]:
    """The paths that files name. Pure."""
    found: dict[str, None] = {}
    for name, data in files.items():
        try:
            lines = requirements_text.lines(data, name)
        except ReleaseError:
            continue  # the build will say so
        named = [match[1].strip("\"'") for line in lines if (match := _INCLUDED.match(line.text))]
        folder = PurePosixPath(name).parent
        paths = [os.path.normpath(folder / each) for each in named if "://" not in each]
        found |= dict.fromkeys(path for path in paths if not path.startswith(".."))
    return list(found)


def _written(data: bytes | None) -> str | None:
    return None if data is None else base64.b64encode(data).decode()
