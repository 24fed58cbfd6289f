"""Rows of PostgreSQL as the service shows them: columns described, values by kind, in pages. Pure.

Values come as PostgreSQL writes them in text. Numbers without a fraction are whole, `numeric` stays text, as the
service has it.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from psycopg.postgres import types
from psycopg.pq.abc import PGresult

PAGE_ROWS = 1000
PAGE_BYTES = 2**20
"""What one GetStatementResult brings at most, about."""

_HEADER = 4
"""A type's modifier counts it in."""

_BOOLEAN = frozenset({types["bool"].oid})
_WHOLE = frozenset(types[name].oid for name in ("int2", "int4", "int8", "oid"))
_BINARY = frozenset(types[name].oid for name in ("float4", "float8"))
_TEXT = frozenset(types[name].oid for name in ("text", "varchar", "bpchar"))
_NUMERIC = types["numeric"].oid
_BYTES = types["bytea"].oid


@dataclass(slots=True)
class Result:
    """The rows of one statement, kept as the JSON that they are sent as."""

    columns: list[dict[str, Any]]
    pages: list[bytes] = field(default_factory=list)
    rows: int = 0
    size: int = 0
    """Bytes of all pages."""
    _open: list[bytes] = field(default_factory=list)
    _open_size: int = 0

    def add(self, record: list[dict[str, Any]]) -> None:
        """One more row."""
        text = json.dumps(record).encode()
        self._open.append(text)
        self._open_size += len(text)
        self.rows += 1
        self.size += len(text)
        if len(self._open) >= PAGE_ROWS or self._open_size >= PAGE_BYTES:
            self.close()

    def close(self) -> None:
        """End the page; there is always one."""
        if self._open or not self.pages:
            self.pages.append(b"[" + b",".join(self._open) + b"]")
            self._open, self._open_size = [], 0


def columns(result: PGresult) -> list[dict[str, Any]]:
    """The columns of a result, as ColumnMetadata."""
    return [_column(result, number) for number in range(result.nfields)]


def record(result: PGresult, row: int = 0) -> list[dict[str, Any]]:
    """The fields of a row, each under the name of its kind."""
    return [_field(result.ftype(column), result.get_value(row, column)) for column in range(result.nfields)]


def _column(result: PGresult, number: int) -> dict[str, Any]:
    oid, modifier = result.ftype(number), result.fmod(number)
    known = types.get(oid)
    name = (result.fname(number) or b"").decode()
    length = precision = scale = 0
    if oid == _NUMERIC and modifier >= _HEADER:
        precision, scale = (modifier - _HEADER) >> 16, (modifier - _HEADER) & 0xFFFF
    elif oid in _TEXT and modifier >= _HEADER:
        length = precision = modifier - _HEADER
    return {
        "name": name,
        "label": name,
        "typeName": known.name if known else "unknown",
        "length": length,
        "precision": precision,
        "scale": scale,
        "nullable": 1,
        "isSigned": oid == _NUMERIC or oid in _WHOLE | _BINARY,
        "isCaseSensitive": oid in _TEXT,
        "isCurrency": False,
        "schemaName": "",
        "tableName": "",
    }


def _field(oid: int, value: bytes | None) -> dict[str, Any]:
    if value is None:
        return {"isNull": True}
    # A statement may choose another encoding, or another form of bytes, for itself.
    return _KINDS.get(oid, _text)(value.decode(errors="replace"))


def _text(value: str) -> dict[str, Any]:
    return {"stringValue": value}


def _number(value: str) -> dict[str, Any]:
    """JSON has no word for what is no finite number."""
    number = float(value)
    return {"doubleValue": number} if math.isfinite(number) else _text(value)


def _bytes(value: str) -> dict[str, Any]:
    if not value.startswith("\\x"):
        return _text(value)
    return {"blobValue": base64.b64encode(bytes.fromhex(value.removeprefix("\\x"))).decode()}


_KINDS: Mapping[int, Callable[[str], dict[str, Any]]] = {
    **dict.fromkeys(_BOOLEAN, lambda value: {"booleanValue": value == "t"}),
    **dict.fromkeys(_WHOLE, lambda value: {"longValue": int(value)}),
    **dict.fromkeys(_BINARY, _number),
    _BYTES: _bytes,
}
