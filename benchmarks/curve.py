"""Draw the picture of docs/scaling.md from a real run: tasks and workers over time.

    python -m benchmarks.curve                    writes docs/scaling.svg (three minutes on two cores)

Two waves of tasks reach an environment with MaxWorkers 6, whose workers leave after 10 s in which fewer were enough.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psycopg
from rich.console import Console

from benchmarks import book
from benchmarks.ours import Installation, wait_for
from benchmarks.scaling import begin

NAME = "curve"
WAVES = (40, 90)
"""Tasks of each."""

SECONDS = (2.0, 4.0)
"""What a task takes."""

SCALE_IN_AFTER = "10"
MOST = 6
EVERY = 0.5
"""Seconds between two samples."""

COUNT = "SELECT count(*) FILTER (WHERE state = 'queued'), count(*) FILTER (WHERE state = 'running') FROM task_instance"


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One moment; `at` in seconds from the beginning."""

    at: float
    queued: int
    running: int
    taking: int
    """Workers that take tasks."""

    workers: int
    """All, those that drain among them."""


def main() -> int:
    """Run and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--airflow-version", default="3.3.1")
    parser.add_argument("--versions", type=Path, help="a folder of installed Airflow versions; else one is installed")
    parser.add_argument("--picture", type=Path, default=Path(__file__).parents[1] / "docs" / "scaling.svg")
    arguments = parser.parse_args()
    os.environ["AERODROME_SCALE_IN_AFTER"] = SCALE_IN_AFTER
    with tempfile.TemporaryDirectory(prefix="aero-curve-") as made:
        folder = Path(made)
        folder.chmod(0o711)
        with (
            Installation(folder, arguments.airflow_version, Console(stderr=True), versions=arguments.versions) as ours,
            book.Book(folder / "rows.jsonl") as notes,
        ):
            samples = watched(ours, notes.dag("wave", *SECONDS), partial(waves, ours, notes))
    what = (
        f"Airflow {arguments.airflow_version}, mw1.small (5 tasks a worker), MaxWorkers {MOST}, {os.cpu_count()} cores"
    )
    arguments.picture.write_text(drawn(samples, what), encoding="utf-8")
    return 0


def waves(ours: Installation, notes: book.Book) -> None:
    """One wave after the other; at the end there is one worker again."""
    for number, count in enumerate(WAVES, start=1):
        begin(partial(ours.rest, NAME), "wave", count)
        wait_for(partial(_are_done, notes, sum(WAVES[:number])), every=0.5)
        if number < len(WAVES):
            time.sleep(float(SCALE_IN_AFTER) + 5.0)
    wait_for(lambda: len(_workers(ours)) == 1, every=0.5)
    time.sleep(2.0)


def watched(ours: Installation, dag: str, act: Callable[[], None]) -> list[Sample]:
    """Samples of an environment of its own, with the DAG `wave`, while something is done to it."""
    ours.create(NAME, MinWorkers=1, MaxWorkers=MOST)
    ours.put_dag("wave", dag)
    wait_for(lambda: ours.rest(NAME, "GET", "/dags/wave")[0] == 200)
    password = (ours.settings.paths.data / "keys" / "postgres").read_text().strip()
    database = f"env_{ours.status(NAME)['identifier']}"
    samples, over = [], threading.Event()

    def look() -> None:
        with psycopg.connect(
            host=str(ours.settings.paths.run / "pg"),
            dbname=database,
            user="postgres",
            password=password,
            autocommit=True,
        ) as connection:
            began = time.monotonic()
            while not over.wait(EVERY):
                row = connection.execute(COUNT).fetchone() or (0, 0)
                workers = _workers(ours)
                taking = sum(1 for worker in workers if worker["holds"] is None and worker["state"] != "stopping")
                samples.append(
                    Sample(
                        at=time.monotonic() - began, queued=row[0], running=row[1], taking=taking, workers=len(workers)
                    )
                )

    thread = threading.Thread(target=look)
    thread.start()
    try:
        act()
    finally:
        over.set()
        thread.join()
    ours.delete(NAME)
    return samples


def _are_done(notes: book.Book, count: int) -> bool:
    return notes.done() >= count


def _workers(ours: Installation) -> list[dict[str, object]]:
    return [unit for unit in ours.status(NAME)["units"] if unit["name"].startswith("worker-")]


WIDTH, HEIGHT, LEFT, RIGHT = 860, 200, 50, 20
TOPS = (60, 310)
"""Of the panel of tasks and of that of workers."""

INK, GRID = "#57606a", "#d0d7de"
QUEUED, RUNNING, TAKING, DRAINING = "#bf8700", "#0969da", "#1a7f37", "#8c959f"


def drawn(samples: Sequence[Sample], what: str) -> str:
    """The picture as SVG."""
    tasks, workers = TOPS
    longest = samples[-1].at
    most_tasks = max(max(each.queued, each.running) for each in samples)
    body = [
        f'<text x="{LEFT}" y="24" font-size="14">Tasks and workers over {longest:.0f} s: {what}</text>',
        *_panel(tasks, most_tasks, longest, (("queued", QUEUED), ("running", RUNNING))),
        _line(tasks, most_tasks, longest, [(each.at, each.queued) for each in samples], QUEUED),
        _line(tasks, most_tasks, longest, [(each.at, each.running) for each in samples], RUNNING),
        *_panel(workers, MOST, longest, (("workers that take tasks", TAKING), ("with those that drain", DRAINING))),
        _line(workers, MOST, longest, [(each.at, each.workers) for each in samples], DRAINING),
        _line(workers, MOST, longest, [(each.at, each.taking) for each in samples], TAKING),
        f'<text x="{LEFT + WIDTH / 2}" y="{workers + HEIGHT + 36}" text-anchor="middle">seconds</text>',
    ]
    width, height = LEFT + WIDTH + RIGHT, workers + HEIGHT + 50
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    style = f'font-family="sans-serif" font-size="12" fill="{INK}"'
    background = f'<rect width="{width}" height="{height}" fill="white"/>'
    return "\n".join([f"{head} {style}>", background, *body, "</svg>", ""])


def _panel(top: int, most: int, longest: float, names: Sequence[tuple[str, str]]) -> list[str]:
    """Axes, a grid and the names of the lines."""
    found = []
    for step in range(5):
        value, y = most * step / 4, top + HEIGHT - HEIGHT * step / 4
        found.append(f'<line x1="{LEFT}" x2="{LEFT + WIDTH}" y1="{y}" y2="{y}" stroke="{GRID}"/>')
        found.append(f'<text x="{LEFT - 8}" y="{y + 4}" text-anchor="end">{value:g}</text>')
    for second in range(0, int(longest) + 1, 20):
        x = LEFT + WIDTH * second / longest
        found.append(f'<text x="{x:.1f}" y="{top + HEIGHT + 16}" text-anchor="middle">{second}</text>')
    for number, (name, color) in enumerate(names):
        x = LEFT + 10 + 190 * number
        found.append(
            f'<line x1="{x}" x2="{x + 20}" y1="{top - 12}" y2="{top - 12}" stroke="{color}" stroke-width="3"/>'
        )
        found.append(f'<text x="{x + 26}" y="{top - 8}">{name}</text>')
    return found


def _line(top: int, most: int, longest: float, values: Sequence[tuple[float, int]], color: str) -> str:
    """A line of steps: each value holds until the next."""
    points: list[str] = []
    for at, value in values:
        x, y = LEFT + WIDTH * at / longest, top + HEIGHT - HEIGHT * value / most
        points.append(f"H{x:.1f}V{y:.1f}" if points else f"M{x:.1f},{y:.1f}")
    return f'<path d="{"".join(points)}" fill="none" stroke="{color}" stroke-width="2"/>'


if __name__ == "__main__":
    raise SystemExit(main())
