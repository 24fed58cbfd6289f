"""The rows of a COPY: objects fetched from S3, unpacked, and their lines read as Redshift reads them.

`running` writes them into the table. Nothing is held whole: an object, a packed one even, may be larger than memory.
"""

from __future__ import annotations

import bz2
import csv
import gzip
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from aerodrome.emulator.redshift.copying import S3, CopyRefusedError, Load

LONGEST_LINE = 4 * 2**20
"""Characters; Redshift's longest row has 4 MB."""

_OPENERS: dict[str, Callable[[Any], Any]] = {
    "": io.BufferedReader,
    "gzip": lambda body: gzip.GzipFile(fileobj=body),
    "bzip2": bz2.BZ2File,
}


@dataclass(frozen=True, slots=True)
class Row:
    """One row, and where it stands."""

    fields: list[str]
    key: str
    line: int


def rows(s3: Any, wanted: Load, check: Callable[[], None]) -> Iterator[Row]:
    """All rows of all objects, in the order of their keys; `check` is called at each line.

    Raises:
        CopyRefusedError: there is no object, or one cannot be fetched or read.
    """
    try:
        keys = _keys(s3, wanted)
        if not keys:
            raise CopyRefusedError(
                f"the specified S3 prefix '{wanted.prefix}' does not exist in the bucket '{wanted.bucket}'"
            )
        for key in keys:
            body = s3.get_object(Bucket=wanted.bucket, Key=key)["Body"]
            try:
                yield from _rows(body, wanted, key, check)
            finally:
                body.close()
    except (BotoCoreError, ClientError) as error:
        raise CopyRefusedError(f"S3 gives no objects of {wanted.source}: {error}") from error


def _keys(s3: Any, wanted: Load) -> list[str]:
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=wanted.bucket, Prefix=wanted.prefix)
    found = [entry["Key"] for page in pages for entry in page.get("Contents", ()) if entry["Size"]]
    return sorted(found)


def _rows(body: Any, wanted: Load, key: str, check: Callable[[], None]) -> Iterator[Row]:
    number = 0
    try:
        lines = _lines(_OPENERS[wanted.compression](body), check)
        for _ in islice(lines, wanted.header):
            number += 1
        reader = _reader(lines, wanted)
        for fields in reader:
            number = wanted.header + reader.line_num
            if fields or not wanted.skips_blank_lines:
                yield Row(fields or [""], key, number)
    except (csv.Error, UnicodeDecodeError, EOFError, OSError, ValueError) as error:
        where = f"{S3}{wanted.bucket}/{key}, behind line {number}"
        raise CopyRefusedError(f"{where}: {' '.join(str(error).split())[:200]}") from error


def _reader(lines: Iterator[str], wanted: Load) -> Any:
    if wanted.is_csv:
        return csv.reader(lines, delimiter=wanted.delimiter, quotechar=wanted.quote, doublequote=True, strict=True)
    escape = "\\" if wanted.is_escaped else None
    return csv.reader(lines, delimiter=wanted.delimiter, quoting=csv.QUOTE_NONE, escapechar=escape)


def _lines(packed: Any, check: Callable[[], None]) -> Iterator[str]:
    text = io.TextIOWrapper(packed, encoding="utf-8", newline="")
    while line := text.readline(LONGEST_LINE):
        check()
        if len(line) == LONGEST_LINE:
            raise ValueError(f"a line is longer than {LONGEST_LINE} characters")
        yield line
