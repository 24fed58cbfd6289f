"""What the audit log need not hold twice: refusals, and answers that need no permission, of one principal in a minute.

A program may try a thousand times a second. Whatever changed or showed something by a permission is always recorded.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable

from aerodrome.model.audit import Entry, Recorder, holder

REPEATED_AFTER = 60.0
"""Seconds in which the same is recorded once, however often a program tries again."""

MOST_OF_ONE = 120
"""Such entries of one holder that are recorded in that time."""

MOST_REMEMBERED = 10_000


def once_a_minute(record: Recorder, monotonic: Callable[[], float] = time.monotonic) -> Recorder:
    """A recorder that takes the same refusal, or free answer, again only after a while, and so many of one holder.

    Whoever proves nothing is one holder, and what he says of himself counts for nothing.
    """
    recorded: dict[tuple[object, ...], float] = {}
    counted: Counter[str | None] = Counter()
    began = monotonic()
    alone = threading.Lock()

    def is_repeated(entry: Entry) -> bool:
        nonlocal began
        now, who = monotonic(), holder(entry.principal)
        if now - began >= REPEATED_AFTER:
            counted.clear()
            began = now
        said = (entry.environment, entry.sentence[:200]) if entry.principal else ()
        kind = (entry.principal, entry.action, entry.allowed, entry.detail.get("error"), said)
        if now - recorded.get(kind, -REPEATED_AFTER) < REPEATED_AFTER or counted[who] >= MOST_OF_ONE:
            return True
        counted[who] += 1
        if len(recorded) >= MOST_REMEMBERED:
            recorded.clear()
        recorded[kind] = now
        return False

    def recording(entry: Entry) -> None:
        if not entry.allowed or entry.is_free:
            with alone:
                if is_repeated(entry):
                    return
        record(entry)

    return recording
