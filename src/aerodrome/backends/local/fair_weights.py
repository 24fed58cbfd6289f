"""Whoever wants far more processors than there are, for seconds, weighs less where they are short.

Equal weights are not enough. Tasks of a chain run one after the other: each of their many short steps waits behind one
of the hundred processes of a neighbour, which always want to run. So an environment weighs less while it has so many.
It still has what nobody else wants, and its part where all want much.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence

import structlog

from aerodrome.backends.local import groups
from aerodrome.backends.local.groups import Groups
from aerodrome.model.tenant import Tenant
from aerodrome.threads import SupervisedThread

RHYTHM = 1.0
"""Seconds between two looks."""

PATIENCE = 60.0
"""Seconds that a look may take."""

LOOKS = 5
"""That count together, so that a short crowd, such as a start, changes nothing."""

CROWD = 2.0
"""Processes that want to run, for each processor of the machine: an environment with more of them weighs less."""

CALM = 1.0
"""The same: it has its whole weight again with fewer than that."""

log = structlog.get_logger("fair weights")


def is_crowd(looks: Sequence[int], processors: int, *, was: bool) -> bool:
    """Whether an environment weighs less; `looks` is how many of its processes wanted to run, lately. Pure.

    `was` = it does so now.
    """
    if len(looks) < LOOKS:
        return was
    return sum(looks) / len(looks) > (CALM if was else CROWD) * processors


class FairWeights:
    """The weights of the environments of one installation, and the thread that changes them."""

    def __init__(self, found: Groups, weigh: Callable[[Tenant], None], tenants: Callable[[], Iterable[Tenant]]) -> None:
        """`weigh` sets the weight of an environment, and `tenants` are all of them."""
        self._groups = found
        self._weigh = weigh
        self._tenants = tenants
        self._looks: dict[str, deque[int]] = {}
        self._stop = threading.Event()
        self.thread = SupervisedThread("fair weights", self._keep, patience=PATIENCE)

    def start(self) -> None:
        """Look from now on."""
        self.thread.start()

    def close(self) -> None:
        """Look no more; the weights of the last look hold."""
        self._stop.set()
        self.thread.join()

    def _keep(self) -> None:
        self._change(self._groups.runnable().keys())  # an earlier control plane may have left one that weighs less
        while not self._stop.wait(RHYTHM):
            self.thread.beat()
            # On an idle machine nobody waits, and nobody is counted: that would cost each environment a thousandth.
            self.look(self._groups.runnable() if groups.is_busy() else dict.fromkeys(self._looks, 0))

    def look(self, runnable: Mapping[str, int]) -> None:
        """Take in how many processes of each environment want to run now, and change weights if need be."""
        before, processors = self._groups.lighter, groups.processors()
        self._looks = {name: self._looks.get(name, deque(maxlen=LOOKS)) for name in runnable}
        for name, count in runnable.items():
            self._looks[name].append(count)
        self._groups.lighter = frozenset(
            name for name, looks in self._looks.items() if is_crowd(looks, processors, was=name in before)
        )
        changed = before ^ self._groups.lighter
        if changed:
            log.info("other environments weigh less", now=sorted(self._groups.lighter), before=sorted(before))
            self._change(changed & runnable.keys())

    def _change(self, identifiers: Iterable[str]) -> None:
        chosen = set(identifiers)
        for tenant in self._tenants() if chosen else ():
            if tenant.identifier in chosen:
                self._weigh(tenant)
