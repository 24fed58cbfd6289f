"""Texts of strangers (DAG code, packages, requests) as PostgreSQL stores them. Pure.

`audit`, `rows` and `environments` write nothing of theirs that did not pass here: for a NUL byte or half of a surrogate
pair the database would refuse the whole row.
"""

from __future__ import annotations

from typing import Any

LONGEST = 8192
"""Characters of one text; arbitrary, more than a person reads."""


def text(value: str, longest: int = LONGEST) -> str:
    """Bounded, without NUL and halves of surrogate pairs."""
    return value[:longest].replace("\x00", "").encode(errors="replace").decode()


def document(value: Any, longest: int = LONGEST) -> Any:
    """A JSON document with all its texts and keys so; what is no JSON becomes text."""
    match value:
        case str():
            return text(value, longest)
        case dict():
            return {text(str(key), longest): document(each, longest) for key, each in value.items()}
        case list() | tuple():
            return [document(each, longest) for each in value]
        case None | bool() | int() | float():
            return value
        case _:
            return text(str(value), longest)
