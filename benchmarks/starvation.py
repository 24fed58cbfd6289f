"""What an environment notices of a neighbour that takes all it can get: its chain of tasks, alone and beside that."""

from __future__ import annotations

import statistics
from functools import partial
from pathlib import Path

from rich.console import Console

from benchmarks import chains
from benchmarks.ours import BUCKET, Installation, wait_for
from benchmarks.table import Row

STARVING = Path(__file__).with_name("starving_dag.txt")

SECONDS = 240
"""For so long the neighbour goes on; all chains beside it take half of that."""

CHAINS = 3
"""Of each side; the medians count."""

BAR = 1.5


def starvation(ours: Installation, console: Console) -> list[Row]:
    """A chain of tasks beside hundreds of connections, processes and bodies, and gigabytes, of another environment."""
    text = STARVING.read_text()
    for name, value in {"seconds": str(SECONDS), "bucket": BUCKET}.items():
        text = text.replace(f"{{{name}}}", value)
    ours.put_dag("starving", text, "starving")
    ours.put_dag("chain", chains.A_CHAIN.format(length=chains.LENGTH), "calm")
    ours.create("starving", folder="starving")
    ours.create("calm", folder="calm")
    rest = partial(ours.rest, "calm")
    chains.run(rest)  # the first tasks of an environment wait for what the later ones find
    alone = [chains.run(rest) for _ in range(CHAINS)]
    run = chains.begin(partial(ours.rest, "starving"), "starving")
    wait_for(lambda: _state(ours, run) == "running")
    beside = [chains.run(rest) for _ in range(CHAINS)]
    still = _state(ours, run)
    for what, found in {"alone": alone, "beside it": beside}.items():
        console.print(f"  {what}: " + ", ".join(f"{each:.1f}" for each in found) + " s")
    ours.delete("starving")
    ours.delete("calm")
    if still != "running":
        raise RuntimeError(f"the neighbour was {still} before the chain had ended: nothing was measured")
    return [
        Row(
            what="chain beside a neighbour that takes all it gets / alone",
            ours=statistics.median(beside),
            stock=statistics.median(alone),
            unit="s",
            bar=BAR,
        )
    ]


def _state(ours: Installation, run: str) -> str:
    """What the neighbour's task does now."""
    path = f"/dags/starving/dagRuns/{run}/taskInstances/starve"
    return str((ours.rest("starving", "GET", path)[1] or {}).get("state"))
