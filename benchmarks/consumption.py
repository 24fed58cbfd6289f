"""What processes weigh and spend."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path

import psutil


def pss(processes: Iterable[psutil.Process]) -> float:
    """Summed proportional set size in MB: shared pages count once, and what has ended since it was found not at all."""
    total = 0
    for process in processes:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            for line in Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1])
    return total / 1024


def families(tops: Iterable[psutil.Process]) -> list[psutil.Process]:
    """These processes, and all below each."""
    return [each for top in tops for each in (top, *top.children(recursive=True))]


def spent(process: psutil.Process) -> float:
    """Seconds of processors, those of its children that have ended included."""
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:  # it counts among the children of the one that started it
        return 0.0
    return float(times.user + times.system + times.children_user + times.children_system)
