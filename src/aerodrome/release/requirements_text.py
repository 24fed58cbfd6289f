"""The bytes of a requirements file as numbered lines: encodings, byte order marks, continuations, comments. Pure.

`requirements` calls it for each file; it knows nothing of what a line means.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass

from aerodrome.release.failures import REQUIREMENTS_INVALID, ReleaseError

LARGEST = 1024 * 1024
"""Bytes; the longest lock of a whole company is a tenth of it."""

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)

_DECLARED = re.compile(rb"coding[:=]\s*([-\w.]+)")
_DECLARABLE = frozenset({"ascii", "cp1252", "iso-8859-1", "iso-8859-15", "latin-1", "latin1", "utf-8", "utf8"})

_END = r"\r\n|\r|\n"

_COMMENT = re.compile(r"(?:^|(?<=\s))#.*$")
"""Blanks before it are no part of it: looking for them, the machine would begin anew at each of a million."""

MOST = 25_000
"""Lines; a lock of five hundred packages with twenty hashes each has less than half of them."""

LONGEST = 64 * 1024
"""Letters of a logical line; one with five hundred hashes is shorter. What reads lines takes time by their squares."""


@dataclass(frozen=True)
class Line:
    """One logical line without its comment."""

    file: str
    number: int
    """Of its first physical line; the first is 1."""

    text: str


def lines(data: bytes, file: str) -> list[Line]:
    """The lines that are not empty. Raises ReleaseError for bytes that are no text."""
    if len(data) > LARGEST:
        raise _invalid(
            f"{file} has more than {LARGEST // 1024} KiB; nobody can have written so many requirements", file
        )
    joined: list[Line] = []
    parts: list[str] = []
    first = 0
    physical = re.split(_END, _decoded(data, file))
    if len(physical) > MOST:
        raise _invalid(f"{file} has more than {MOST} lines; nobody can have written so many requirements", file)
    for number, raw in enumerate(physical, start=1):
        first = first if parts else number
        # A comment ends a continuation, and its own backslash continues nothing.
        goes_on = raw.endswith("\\") and not raw.lstrip().startswith("#")
        parts.append(raw[:-1] if goes_on else raw if not raw.lstrip().startswith("#") else f" {raw.lstrip()}")
        if not goes_on:
            joined.append(Line(file, first, "".join(parts)))
            parts = []
    if parts:
        joined.append(Line(file, first, "".join(parts)))
    stripped = (Line(file, line.number, _COMMENT.sub("", line.text).strip()) for line in joined)
    kept = [line for line in stripped if line.text]
    for line in kept:
        if len(line.text) > LONGEST:
            what = f"the line has more than {LONGEST // 1024} KiB"
            raise _invalid(f"{file}, line {line.number}: {what}", file, line.number)
    return kept


def raw(data: bytes, file: str) -> list[Line]:
    """Every physical line, comments among them. Raises ReleaseError for bytes that are no text."""
    return [Line(file, number, text) for number, text in enumerate(re.split(_END, _decoded(data, file)), start=1)]


def _decoded(data: bytes, file: str) -> str:
    mark, encoding = next(((mark, name) for mark, name in _MARKS if data.startswith(mark)), (b"", _declared(data)))
    body = data[len(mark) :]
    try:
        text = body.decode(encoding)
    except UnicodeDecodeError as error:
        before = body[: error.start].decode(encoding, errors="replace")
        raise _not_text(file, encoding, len(re.findall(_END, before)) + 1) from None
    at = text.find("\0")
    if at >= 0:
        raise _not_text(file, encoding, text.count("\n", 0, at) + 1)
    return text


def _declared(data: bytes) -> str:
    """The encoding that one of the first two lines declares, as in Python's own sources; else UTF-8."""
    for line in data.split(b"\n")[:2]:
        found = _DECLARED.search(line) if line.lstrip().startswith(b"#") else None
        if found and found[1].decode("ascii", errors="replace").lower() in _DECLARABLE:
            return found[1].decode("ascii")
    return "utf-8"


def _not_text(file: str, encoding: str, line: int) -> ReleaseError:
    return _invalid(f"{file}, line {line}: not {encoding.upper()} text; save the file as UTF-8", file, line)


def _invalid(message: str, file: str, line: int | None = None) -> ReleaseError:
    return ReleaseError(message, code=REQUIREMENTS_INVALID, file=file, line=line)
