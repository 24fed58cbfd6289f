"""Workers that follow the load: how soon they are there, what they weigh, and whether it costs to wait for them."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

from rich.console import Console

from benchmarks import book, stock
from benchmarks.consumption import pss
from benchmarks.ours import Installation, wait_for
from benchmarks.table import Row

NAME = "scaling"
MOST = 10
SLOTS = 5
CROWD = 100
"""Tasks that are queued at once."""

LONG = (20.0, 25.0)
"""Seconds of each: longer than it takes until all workers are there."""

SHORT = 500
"""Tasks that do nothing."""

SETTLE = 15.0
"""Seconds before idle workers are measured."""

Rest = Callable[..., tuple[int, Any]]


def scaling(ours: Installation, console: Console) -> list[Row]:
    """All rows."""
    with book.Book(ours.folder / "scaling.jsonl") as notes:
        ours.create(NAME, MinWorkers=1, MaxWorkers=MOST)
        ours.put_dag("crowd", notes.dag("crowd", *LONG))
        ours.put_dag("short", notes.dag("short", 0.0, 0.0))
        first, all_of_them = _crowd(ours, notes)
        console.print(f"  first task of an added worker after {first:.1f} s, of ten workers after {all_of_them:.1f} s")
        wait_for(partial(_has_workers, ours, 1))
        mine = _run(partial(ours.rest, NAME), "short", SHORT)
        wait_for(partial(_has_workers, ours, 1))
        alone = pss(ours.processes(NAME))
        ours.update(NAME, MaxWorkers=MOST + 1, MinWorkers=MOST + 1)
        wait_for(partial(_has_workers, ours, MOST + 1))
        time.sleep(SETTLE)
        extra = pss(ours.processes(NAME)) - alone
        ours.delete(NAME)
        dags = {"short": notes.dag("short", 0.0, 0.0)}
        with stock.Separate(ours, dags, workers=(MOST * SLOTS,), name="all_slots") as theirs:
            wait_for(lambda: theirs.rest("GET", "/dags/short")[0] == 200)
            other = _run(theirs.rest, "short", SHORT)
        with stock.Separate(ours, dags, workers=(SLOTS, SLOTS, SLOTS), name="three") as theirs:
            time.sleep(SETTLE)
            weight = pss(theirs.workers(2)) / 2 * MOST
    console.print(f"  {SHORT} tasks: {mine:.1f} s against {other:.1f} s; {extra:.0f} MB against {weight:.0f} MB")
    what = f"{CROWD} tasks queued on one worker → "
    return [
        Row(what=what + "first task on an added worker", ours=first, stock=None, unit="s", bar=2),
        Row(what=what + "ten workers consume", ours=all_of_them, stock=None, unit="s", bar=6),
        Row(what="memory of ten idle extra workers (PSS)", ours=extra, stock=weight, unit="MB", bar=0.4),
        Row(
            what=f"{SHORT} short tasks, from one worker / all slots from the start",
            ours=mine,
            stock=other,
            unit="s",
            bar=1.0,
        ),
    ]


def _crowd(ours: Installation, notes: book.Book) -> tuple[float, float]:
    """Seconds from the first task's begin on the one worker: to the first on another, and to the first on a tenth."""
    wait_for(lambda: ours.rest(NAME, "GET", "/dags/crowd")[0] == 200)
    begin(partial(ours.rest, NAME), "crowd", CROWD)

    def hosts() -> dict[str, float]:
        found: dict[str, float] = {}
        for entry in list(notes.entries):
            if entry.what == "begun":
                found[entry.host] = min(entry.at, found.get(entry.host, entry.at))
        return found

    wait_for(lambda: len(hosts()) >= MOST)
    times = sorted(hosts().values())
    wait_for(lambda: notes.done() >= CROWD, every=0.5)
    return times[1] - times[0], times[MOST - 1] - times[0]


def begin(rest: Rest, dag: str, count: int) -> str:
    """Start a run of so many tasks; its id."""
    rest("PATCH", f"/dags/{dag}", {"is_paused": False})
    status, run = rest("POST", f"/dags/{dag}/dagRuns", {"logical_date": None, "conf": {"count": count}})
    assert status == 200, run
    return str(run["dag_run_id"])


def _run(rest: Rest, dag: str, count: int) -> float:
    """Wall time of a run, as Airflow recorded it."""
    wait_for(lambda: rest("GET", f"/dags/{dag}")[0] == 200)
    run = begin(rest, dag, count)

    def ended() -> Any:
        found = rest("GET", f"/dags/{dag}/dagRuns/{run}")[1]
        return found if found and found["state"] in {"success", "failed"} else None

    found = wait_for(ended, every=0.5)
    assert found["state"] == "success", found
    return float(found["duration"])


def _has_workers(ours: Installation, count: int) -> bool:
    units = [unit for unit in ours.status(NAME)["units"] if unit["name"].startswith("worker-")]
    return len(units) == count and all(unit["state"] == "ready" for unit in units)
