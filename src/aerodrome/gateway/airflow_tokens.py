"""The tokens that requests carry to Airflow: `identity` mints them, and each is used for half of its minute.

A signature costs about a millisecond of the event loop, which the fifty requests of a page need not pay each.
"""

from __future__ import annotations

from collections import OrderedDict
from datetime import datetime, timedelta

from aerodrome.identity.tokens import LIFETIME, Minter

USED_FOR = LIFETIME / 2
MOST_KEPT = 1024


class Tokens:
    """Tokens by environment, user and role."""

    def __init__(self, minter: Minter) -> None:
        self._minter = minter
        self._kept: OrderedDict[tuple[str, str, str], tuple[str, datetime]] = OrderedDict()

    def get(self, *, environment: str, subject: str, role: str, now: datetime) -> str:
        """A token that lives for at least half of its minute."""
        key = (environment, subject, role)
        kept = self._kept.get(key)
        if kept is not None and timedelta() <= now - kept[1] < USED_FOR:
            return kept[0]
        token = self._minter.mint(environment=environment, subject=subject, role=role, now=now)
        self._kept[key] = (token, now)
        self._kept.move_to_end(key)
        if len(self._kept) > MOST_KEPT:
            self._kept.popitem(last=False)
        return token
