"""Strict JSON for policy documents: no key twice, only what JSON allows, and bounds on everything.

`grammar` calls it. It knows no element of the policy language.
"""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

from aerodrome.identity.errors import MalformedPolicyError

MAX_LENGTH = 131072
"""Characters; the longest policy that IAM's own API takes."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class Number(str):
    """A JSON number as it was written: comparisons of conditions take it, and no other element does."""

    __slots__ = ()


def read(text: str) -> dict[str, Any]:
    """The document as nested dicts and lists; numbers stay texts."""
    if len(text) > MAX_LENGTH:
        raise MalformedPolicyError(f"The policy is longer than {MAX_LENGTH} characters.")
    try:
        found = json.loads(
            text, object_pairs_hook=_once, parse_int=Number, parse_float=Number, parse_constant=_refuse_constant
        )
    except ValueError:
        raise MalformedPolicyError("This policy contains invalid Json") from None
    except RecursionError:
        raise MalformedPolicyError("The policy is nested too deeply.") from None
    if not isinstance(found, dict):
        raise MalformedPolicyError("Syntax errors in policy: the document must be a JSON object.")
    return found


def text(value: object, element: str) -> str:
    """A string of the document, free of control characters."""
    if type(value) is not str:
        raise MalformedPolicyError(f"Syntax errors in policy: {element} must be a string.")
    if _CONTROL.search(value):
        raise MalformedPolicyError(f"Syntax errors in policy: {element} holds a control character.")
    return value


def texts(value: object, element: str) -> tuple[str, ...]:
    """A string or a list of strings."""
    return tuple(text(item, element) for item in (value if isinstance(value, list) else [value]))


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise MalformedPolicyError(f"Syntax errors in policy: {twice[:64]!r} stands twice in one object.")
    return found


def _refuse_constant(_: str) -> NoReturn:
    raise ValueError
