"""The names of a folder's environment, bucket and role. Pure: the same folder always gives the same names."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from aerodrome.errors import CallerError
from aerodrome.model.environment import NAME

LONGEST_DERIVED = 40
"""Characters of a name that is derived from a folder's."""

LONGEST_BUCKET = 63
LONGEST_ROLE = 64
PREFIX = "aerodrome-dev-"

_HASH = 6


def environment(folder: Path) -> str:
    """The environment's name: the folder's, in the letters that MWAA allows."""
    slug = re.sub(r"[^0-9a-zA-Z_-]+", "-", folder.name).strip("-_")[:LONGEST_DERIVED].strip("-_")
    if not slug:
        return f"airflow-{_digest(str(folder))}"
    return slug if slug[0].isalpha() else f"env-{slug}"


def checked(name: str) -> str:
    """A name that was given on the command line.

    Raises:
        CallerError: MWAA would refuse it.
    """
    if not NAME.fullmatch(name):
        raise CallerError(f"--name {name[:100]}: use at most 80 letters, digits, - and _, a letter first.")
    return name


def bucket(environment: str) -> str:
    """The environment's own bucket; names of buckets have no capitals and no underscores."""
    plain = environment.lower().replace("_", "-").strip("-")
    return _fitted(PREFIX + plain, LONGEST_BUCKET, of=environment, exact=plain == environment)


def role(environment: str) -> str:
    """The environment's own execution role."""
    return _fitted(PREFIX + environment, LONGEST_ROLE, of=environment, exact=True)


def mark(folder: Path) -> str:
    """The value of the environment's tag, which tells this folder's environments from those of others."""
    return hashlib.sha256(str(folder).encode(errors="surrogateescape")).hexdigest()[:16]


def _fitted(text: str, limit: int, *, of: str, exact: bool) -> str:
    """The text; if it had to be changed or cut, its beginning with a hash, because another text may give the same."""
    if exact and len(text) <= limit:
        return text
    return f"{text[: limit - _HASH - 1].rstrip('-')}-{_digest(of)}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:_HASH]
