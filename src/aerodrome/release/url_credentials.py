"""Credentials within URLs, such as a package index's: found, and hidden from whatever people read. Pure."""

from __future__ import annotations

import re

_CREDENTIALS = re.compile(r"(?<=://)([^/@\s]+)@")


def hide(text: str) -> str:
    """The text with `***` in the place of whatever stands before the hosts of its URLs."""
    return _CREDENTIALS.sub("***@", text)


def found(text: str) -> list[str]:
    """What stands before the hosts in the URLs of a text, as it is written there."""
    return _CREDENTIALS.findall(text)
