"""Threads that must never be missing: one that ends by an error is restarted, one that hangs is reported.

Nobody watches over a thread. Without this module, one unforeseen error would leave a process that answers and does
nothing. A thread cannot be killed, so a thread that hangs is only reported; `assembly` says to whom.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import structlog

SHORTEST_PAUSE = 0.5
LONGEST_PAUSE = 30.0
"""Seconds before work that has ended by an error is restarted; the pause doubles with each such end."""

SOUND_AFTER = 60.0
"""Seconds of work after which earlier ends are forgotten."""

LOOK_EVERY = 2.0
"""Seconds between two looks at all threads."""

LONGEST_ROUND = 10.0
"""If the pause between two looks was longer, the whole process had been stopped."""

log = structlog.get_logger("threads")


def pause(failures: int) -> float:
    """Seconds to wait after so many ends in a row (at least 1)."""
    return min(LONGEST_PAUSE, SHORTEST_PAUSE * 2.0 ** min(failures - 1, 16))


class SupervisedThread:
    """A thread whose work is restarted when it ends by an error; the thread ends when the work returns."""

    def __init__(self, name: str, work: Callable[[], None], *, patience: float | None = None) -> None:
        """After `patience` seconds without a `beat` the thread counts as hung; None = it never does."""
        self.name = name
        self.patience = patience
        self.falls = 0
        """How often it has ended by an error."""

        self.reason = ""
        """The error that ended it the last time."""

        self._work = work
        self._beat_at = time.monotonic()
        self._ended = threading.Event()
        # A daemon: the interpreter must be able to end although it hangs.
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin to work."""
        self.beat()
        self._thread.start()

    def beat(self) -> None:
        """Called by the work, to show that it goes on."""
        self._beat_at = time.monotonic()

    def join(self, timeout: float | None = None) -> None:
        """Restart nothing any more, and wait until the work has returned; `timeout` in seconds."""
        self._ended.set()
        if self._thread.ident is not None:
            self._thread.join(timeout)

    def quiet_for(self, now: float) -> float:
        """Seconds since the last beat; `now` is of the monotonic clock."""
        return now - self._beat_at

    def _run(self) -> None:
        failures = 0
        while True:
            began = time.monotonic()
            try:
                self._work()
            except BaseException as error:  # whatever it is, nobody else would restart the work
                self.falls, self.reason = self.falls + 1, f"{type(error).__name__}: {error}"
                log.exception("thread ended; it is begun anew", thread=self.name)
            else:
                return
            failures = 1 if time.monotonic() - began >= SOUND_AFTER else failures + 1
            if self._ended.wait(pause(failures)):
                return
            self.beat()


@dataclass(frozen=True, slots=True, kw_only=True)
class ThreadReport:
    """What has been reported of a thread."""

    falls: int = 0
    hung: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ThreadEvent:
    """Something to report of a thread. `kind` is a word for the event log."""

    kind: str
    thread: str
    sentence: str


def news(
    name: str, known: ThreadReport, *, falls: int, reason: str, quiet: float, patience: float | None
) -> list[ThreadEvent]:
    """What must be reported of a thread as it is now; `known` has been reported already. Pure."""
    found = []
    if falls > known.falls:
        sentence = f"Aerodrome's thread {name} ended by an error and was begun anew: {reason}"
        found.append(ThreadEvent(kind="THREAD_RESTARTED", thread=name, sentence=sentence))
    is_hung = patience is not None and quiet > patience
    if is_hung and not known.hung:
        sentence = (
            f"Aerodrome's thread {name} has not moved for {quiet:.0f} s: what it does stands still. If that lasts: "
            "aerodrome down, then up; running environments are not touched by a restart of the control plane alone."
        )
        found.append(ThreadEvent(kind="THREAD_HUNG", thread=name, sentence=sentence))
    if known.hung and not is_hung:
        found.append(ThreadEvent(kind="THREAD_MOVES", thread=name, sentence=f"Aerodrome's thread {name} moves again."))
    return found


class ThreadSupervisor:
    """All supervised threads, with what was reported of each. If `tell` raises, it is called again later."""

    def __init__(self, threads: Iterable[SupervisedThread], tell: Callable[[ThreadEvent], None]) -> None:
        self._threads = [*threads]
        self._tell = tell
        self._known = {each.name: ThreadReport() for each in self._threads}
        self._untold: list[ThreadEvent] = []
        self._stop = threading.Event()
        self._watch = SupervisedThread("watch", self._run)

    def start(self) -> None:
        """Watch them from now on."""
        self._watch.start()

    def stop(self) -> None:
        """Stop watching."""
        self._stop.set()
        self._watch.join()

    def hung(self) -> list[str]:
        """Names of the threads that do not move."""
        return [name for name, known in self._known.items() if known.hung]

    def troubles(self) -> list[str]:
        """A sentence for each thread that does not move, for `aerodrome status`."""
        return [f"Aerodrome's thread {name} does not move: see aerodrome events." for name in self.hung()]

    def look(self, now: float) -> None:
        """Find what is new, and report it; `now` is of the monotonic clock."""
        for each in self._threads:
            known, quiet = self._known[each.name], each.quiet_for(now)
            falls = each.falls
            found = news(each.name, known, falls=falls, reason=each.reason, quiet=quiet, patience=each.patience)
            hung = each.patience is not None and quiet > each.patience
            self._known[each.name] = replace(known, falls=falls, hung=hung)
            for one in found:
                log.warning("thread", what=one.kind, sentence=one.sentence)
            self._untold += found
        while self._untold:
            self._tell(self._untold[0])
            del self._untold[0]

    def _run(self) -> None:
        looked_at = time.monotonic()
        while not self._stop.wait(LOOK_EVERY):
            now, before = time.monotonic(), looked_at
            looked_at = now
            if now - before > LONGEST_ROUND:
                continue  # the whole process stood still; the others have not had their turn yet
            try:
                self.look(now)
            except Exception as error:  # noqa: BLE001 - the ledger is away; what is untold stays
                log.warning("thread's news not told yet", error=type(error).__name__)
