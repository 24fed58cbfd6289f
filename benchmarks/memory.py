"""What processes weigh."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import psutil


def pss(processes: Iterable[psutil.Process]) -> float:
    """Summed proportional set size in MB: shared pages count once."""
    total = 0
    for process in processes:
        for line in Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1])
    return total / 1024
