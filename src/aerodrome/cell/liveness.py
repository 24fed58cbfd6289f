"""Decides whether a unit still works, from what it shows of itself.

Pure: what was seen and the time since the last look go in, a pulse comes out. A unit that has beaten once must go on
beating: a thread of its own writes `WATCHDOG=1` into its pipe, and also watches its main loop. Units that never beat,
such as Redis, are dead when the kernel says that a signal has stopped them. The supervisor reads pipes and /proc, and
kills.

A silent unit may only be slow, where the machine is busy. One that computes all the while is not: what it has computed
since its last beat would have been enough for many. So it has less time.

Only time in which we looked counts. When the machine sleeps, the virtual machine is paused, or the cell itself gets no
processor time, that is no silence of a unit.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

LOOK_EVERY = 1.0  # seconds between two looks
LONGEST_LOOK = 2.0  # seconds that one look adds at most, however long ago the one before was
SILENT_AFTER = 30.0  # seconds without a beat; units beat every few, and a busy machine delays a thread by a second
COMPUTED_AFTER = 6.0  # seconds without a beat in which it computed as long: it holds its interpreter to no end
STOPPED_AFTER = 5.0  # seconds stopped by a signal: nothing else looks so, and it does not end by itself
SHOWN_AFTER = 12.0  # seconds without a beat after which the status says so

STOPPED = "T"  # states of proc(5)
EXCUSED = "Dt"  # waits for a disk or for memory, which no signal would end; or a person's debugger holds it


class Observation(NamedTuple):
    """What one look found."""

    beat: bool
    """It has beaten since the last look."""
    trouble: str
    """What its own watchdog says is wrong; empty when nothing is."""
    state: str
    """The state of its process in /proc; empty when there is none to be seen."""
    computed: float = 0.0
    """Seconds of the processor that its process has used since it started."""


@dataclass(frozen=True)
class Pulse:
    """What is known of a unit's life. In seconds."""

    beats: bool = False
    """It has beaten once, so it must go on."""
    silent: float = 0.0
    heard_at: float | None = None
    """What it had computed when it beat last, or was seen first."""
    computed: float = 0.0
    """What it has computed since."""
    stopped: float = 0.0
    trouble: str = ""


def looked(pulse: Pulse, sight: Observation, seconds: float) -> Pulse:
    """The pulse after a look that came `seconds` after the one before."""
    counted = min(max(seconds, 0.0), LONGEST_LOOK)
    stopped = pulse.stopped + counted if sight.state == STOPPED else 0.0
    if sight.beat:
        return Pulse(beats=True, heard_at=sight.computed, stopped=stopped, trouble=sight.trouble)
    is_silent = pulse.beats and (not sight.state or sight.state not in EXCUSED)
    silent = pulse.silent + counted if is_silent else pulse.silent
    before = sight.computed if pulse.heard_at is None else pulse.heard_at
    return replace(
        pulse, silent=silent, heard_at=before, computed=sight.computed - before, stopped=stopped, trouble=sight.trouble
    )


def verdict(pulse: Pulse) -> str:
    """Why the unit must be killed, in words that follow its name; empty when it works."""
    if pulse.trouble:
        return f"hung: {pulse.trouble}"
    if pulse.stopped >= STOPPED_AFTER:
        return f"was stopped by a signal for {pulse.stopped:.0f} s"
    if min(pulse.silent, pulse.computed) >= COMPUTED_AFTER:
        return f"gave no sign of life for {pulse.silent:.0f} s, in which it computed"
    if pulse.silent >= SILENT_AFTER:
        return f"gave no sign of life for {pulse.silent:.0f} s"
    return ""


def is_doubtful(pulse: Pulse) -> bool:
    """Whether to tell a person that the unit may not work any more."""
    return pulse.silent >= SHOWN_AFTER or pulse.stopped > LONGEST_LOOK
