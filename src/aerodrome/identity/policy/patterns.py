"""Patterns of policies: texts with the wildcards * and ? and with variables such as ${aws:username}.

A resolved pattern is called its *form*: a text in which two control characters stand for the wildcards. No document and
no resolved value may hold these characters, so a star that came out of a variable is a star and nothing more.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from aerodrome.identity.errors import MalformedPolicyError

ANY, ONE = "\x00", "\x01"
"""What * and ? are in a form."""

ARN_SEGMENTS = 6

MAX_PATTERN = 2048
"""Characters; no ARN is longer."""

Context = Mapping[str, tuple[str, ...]]
"""Condition keys of a request, in lower case, and their values."""

UNKNOWN: tuple[str, ...] = ("(unknown)",)
"""The value, told by its identity, of a key of which nobody can say what the request has: it meets every Deny."""

_WILDCARDS = str.maketrans({"*": ANY, "?": ONE})
_VARIABLE = re.compile(r"\$\{([^{}]*)\}")
_REFERENCE = re.compile(r"\s*([A-Za-z0-9.-]+:[^\s,']+)\s*(?:,\s*'([^']*)'\s*)?")


@dataclass(frozen=True, slots=True)
class Variable:
    """A reference to a condition key within a pattern."""

    key: str
    default: str | None


@dataclass(frozen=True, slots=True)
class Pattern:
    """One pattern as it stands in a policy."""

    text: str
    parts: tuple[str | Variable, ...]
    """Forms, and variables between them."""

    def form(self, context: Context) -> str | None:
        """The pattern with its variables' values; None if a variable has no value, or more than one."""
        if len(self.parts) == 1 and isinstance(self.parts[0], str):
            return self.parts[0]
        values = [part if isinstance(part, str) else _value(part, context) for part in self.parts]
        return None if None in values else "".join(value for value in values if value is not None)

    def is_unknown(self, context: Context) -> bool:
        """Whether one of the variables has a value that nobody can tell."""
        return any(isinstance(part, Variable) and context.get(part.key.lower()) is UNKNOWN for part in self.parts)


def _value(variable: Variable, context: Context) -> str | None:
    values = context.get(variable.key.lower(), ())
    if values is UNKNOWN:
        return None
    if not values:
        return variable.default
    if len(values) > 1 or ANY in values[0] or ONE in values[0]:
        return None
    return values[0]


def parse(text: str, *, variables: bool, wildcards: bool = True) -> Pattern:
    """Reads a pattern; policies of version 2008-10-17 know no variables."""
    if len(text) > MAX_PATTERN:
        raise MalformedPolicyError(f"A value of the policy is longer than {MAX_PATTERN} characters.")
    parts: list[str | Variable] = []
    position = 0
    for match in _VARIABLE.finditer(text) if variables else ():
        parts.append(_literal(text[position : match.start()], wildcards=wildcards))
        parts.append(_reference(match[1]))
        position = match.end()
    rest = text[position:]
    if variables and "${" in rest:
        raise MalformedPolicyError(f"Syntax errors in policy: a policy variable is not closed in {text[:64]!r}.")
    parts.append(_literal(rest, wildcards=wildcards))
    return Pattern(text, tuple(_joined(parts)))


def _literal(text: str, *, wildcards: bool) -> str:
    return text.translate(_WILDCARDS) if wildcards else text


def _reference(inside: str) -> str | Variable:
    if inside in {"*", "?", "$"}:
        return inside
    match = _REFERENCE.fullmatch(inside)
    if match is None:
        raise MalformedPolicyError(f"Syntax errors in policy: ${{{inside[:64]}}} is not a policy variable.")
    return Variable(match[1], match[2])


def _joined(parts: list[str | Variable]) -> list[str | Variable]:
    """Neighbouring texts made one; at least one part remains."""
    joined: list[str | Variable] = [""]
    for part in parts:
        last = joined[-1]
        if isinstance(part, str) and isinstance(last, str):
            joined[-1] = last + part
        else:
            joined.append(part)
    return joined[1:] if len(joined) > 1 and joined[0] == "" else joined


def matches(form: str, text: str) -> bool:
    """Whether the whole text is of the form."""
    if ANY not in form and ONE not in form:
        return form == text
    return form == ANY or _compiled(form).fullmatch(text) is not None


def arn_matches(form: str, arn: str) -> bool:
    """Whether the ARN is of the form, segment by segment; only in the sixth a wildcard reaches over colons."""
    if form == ANY:
        return True
    wanted, found = form.split(":", ARN_SEGMENTS - 1), arn.split(":", ARN_SEGMENTS - 1)
    if len(found) < ARN_SEGMENTS:
        return form == arn
    wanted += [ANY] * (ARN_SEGMENTS - len(wanted))  # an incomplete ARN stands for all ARNs that begin like it
    return all(matches(pattern, segment) for pattern, segment in zip(wanted, found, strict=True))


@lru_cache(maxsize=4096)
def _compiled(form: str) -> re.Pattern[str]:
    """The form as an expression that never backtracks over its stars, so hostile patterns cost no more than others."""
    first, *rest = (re.escape(piece).replace(re.escape(ONE), ".") for piece in form.split(ANY))
    if not rest:
        return re.compile(first, re.DOTALL)
    *middle, last = rest
    return re.compile(first + "".join(f"(?>.*?{piece})" for piece in middle) + f".*{last}", re.DOTALL)
