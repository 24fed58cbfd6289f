"""For whom IAM is read again before a request is denied: seldom for whoever is denied all the time. Pure.

PostgreSQL notifies of changes in IAM, so a read finds only what was committed some milliseconds ago.
"""

from __future__ import annotations

SPACING = 1.0
"""Seconds between two reads for one principal, on average."""

AT_ONCE = 3
"""Reads that a principal may have caused before that counts: what is denied, then granted, is allowed at once."""

MANY = 1000
"""Principals after which those that count no more are forgotten."""


class DeniedPrincipals:
    """Remembers for whom IAM was read."""

    def __init__(self) -> None:
        self._until: dict[str, float] = {}
        """Principal → when none of its reads counts any more."""

    def is_worth_a_read(self, principal: str, now: float) -> bool:
        """Whether IAM is to be read for this one, `now` in seconds of a clock that never goes back; yes counts."""
        until = max(self._until.get(principal, now), now)
        if until - now > (AT_ONCE - 1) * SPACING:
            return False
        if len(self._until) >= MANY:
            self._until = {name: each for name, each in self._until.items() if each > now}
        self._until[principal] = until + SPACING
        return True
