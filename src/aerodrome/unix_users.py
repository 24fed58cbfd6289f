"""The users of this machine, by number, that files belong to and programs run as; None stands for ourselves."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class UnixUser:
    """A user without rights of ours; no account need have these numbers."""

    uid: int
    gid: int
