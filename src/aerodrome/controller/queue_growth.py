"""Hears at once of a queue that grows, where workers may follow it: a look a second would find it late.

It asks each such queue for one number, many times a second. It decides nothing: it has the environment looked at.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from aerodrome.backends.contract import Runtime
from aerodrome.controller import scaling
from aerodrome.model import lifecycle
from aerodrome.model.environment import Environment
from aerodrome.model.observed import Cell, CellState
from aerodrome.model.tenant import Tenant

LOOK_EVERY = 0.2
"""Seconds between two questions."""


def may_help(environment: Environment, found: Cell) -> bool:
    """Whether more workers may come to the cell that serves."""
    spec = environment.spec
    if environment.status not in lifecycle.SETTLED or found.state is not CellState.RUNNING:
        return False
    return spec.min_workers < spec.max_workers and len(scaling.standing(spec, found).active) < spec.max_workers


class QueueGrowth:
    """The queues that are followed. `tell` is called with the name of an environment whose queue has grown."""

    def __init__(self, runtime: Runtime, tell: Callable[[str], None]) -> None:
        self._runtime = runtime
        self._tell = tell
        self._followed: dict[str, Tenant] = {}
        self._waiting: dict[str, int] = {}

    def follow(self, name: str, tenant: Tenant | None) -> None:
        """Follow the queue of an environment from now on; None = no more."""
        if tenant is None:
            self._followed.pop(name, None)
        else:
            self._followed[name] = tenant

    def run(self, stop: threading.Event) -> None:
        """Look until told to stop."""
        while not stop.wait(LOOK_EVERY):
            self.look()

    def look(self) -> None:
        """Ask each queue once."""
        followed = dict(self._followed)  # other threads change it meanwhile
        self._waiting = {name: length for name, length in self._waiting.items() if name in followed}
        for name, tenant in followed.items():
            length = self._runtime.waiting(tenant) or 0
            if length > self._waiting.get(name, 0):
                self._tell(name)
            self._waiting[name] = length
