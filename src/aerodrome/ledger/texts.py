"""Texts from outside (DAG code, packages, requests), made fit for PostgreSQL. Pure.

`audit`, `rows` and `environments` pass every such text through here: the database would refuse the whole row for one
NUL byte or half of a surrogate pair.
"""

from __future__ import annotations

from typing import Any

LONGEST = 8192
"""Characters of one text; arbitrary, more than a person reads."""


def text(value: str, longest: int = LONGEST) -> str:
    """The text, no longer than `longest`, without NUL and halves of surrogate pairs."""
    return value[:longest].replace("\x00", "").encode(errors="replace").decode()


def document(value: Any, longest: int = LONGEST) -> Any:
    """A JSON document with all its texts and keys made fit; a value that is no JSON becomes text."""
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
