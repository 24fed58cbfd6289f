"""How many requests of one principal the door serves at one time.

The listener bounds connections for each peer: but one user of the machine may be many principals (sidecars, whatever
the API passes on), and one principal many users. So whoever has proven who he is counts as himself. Pure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from aerodrome.budget import BusyError

MOST_OF_ONE = 256
"""Requests of one principal, such as the role of an environment with all its tasks."""

CROWDED = 384
"""Requests of all from which the rest, up to what the emulator takes, is for those who have few."""

FEW = 48


class ConcurrencyLimit:
    """Counts the requests that are served."""

    def __init__(self) -> None:
        self._taken: Counter[str] = Counter()

    @contextmanager
    def taken(self, principal: str) -> Iterator[None]:
        """The block serves one request of the principal.

        Raises:
            BusyError: it has as many as it may have now.
        """
        most = FEW if self._taken.total() >= CROWDED else MOST_OF_ONE
        if self._taken[principal] >= most:
            raise BusyError("Other requests of yours are under way")
        self._taken[principal] += 1
        try:
            yield
        finally:
            self._taken[principal] -= 1
            if not self._taken[principal]:
                del self._taken[principal]
