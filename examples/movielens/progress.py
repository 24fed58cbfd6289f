"""What the bars show, computed from what the API says. Pure: the time is an argument."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

PIPELINE = (
    "check_s3_for_key",
    "files_to_s3",
    "create_athena_movie_table",
    "create_athena_ratings_table",
    "create_athena_tags_table",
    "create_warehouse_table_if_not_exists",
    "join_athena_tables",
    "clean_up_csv",
    "load",
)
"""The DAG's tasks in the order in which they are shown; Airflow lists them by name."""

WAITING, UNDER_WAY, DONE, FAILED = "waiting", "under way", "done", "failed"

MEANING = {
    None: WAITING,
    "scheduled": WAITING,
    "queued": WAITING,
    "up_for_retry": WAITING,
    "up_for_reschedule": WAITING,
    "running": UNDER_WAY,
    "deferred": UNDER_WAY,
    "restarting": UNDER_WAY,
    "success": DONE,
    "skipped": DONE,
    "removed": DONE,
    "failed": FAILED,
    "upstream_failed": FAILED,
}
"""A task's state in Airflow → what its bar says."""


@dataclass(frozen=True)
class Bar:
    """One line on the screen.

    `seconds` is None for what has not begun; `share` (0..1) how much is done, None where nobody can tell.
    """

    name: str
    meaning: str
    note: str = ""
    seconds: float | None = None
    share: float | None = None


def task_bars(instances: Sequence[Mapping[str, Any]], now: datetime) -> list[Bar]:
    """One bar a task, in the pipeline's order; tasks that the pipeline does not know come last."""
    places = {task: place for place, task in enumerate(PIPELINE)}
    ordered = sorted(instances, key=lambda task: (places.get(task["task_id"], len(places)), task["task_id"]))
    return [
        Bar(task["task_id"], MEANING.get(task["state"], WAITING), task["state"] or "waiting", _seconds(task, now))
        for task in ordered
    ]


def creation_bars(status: str | None, progress: Mapping[str, Any], now: datetime) -> list[Bar]:
    """One bar for each phase of an environment's creation that is over, and one for the phase it is in, if any."""
    over = [Bar(phase["name"], DONE, "", phase["seconds"]) for phase in progress.get("phases") or []]
    if not status:
        return over
    now_doing = Bar(
        progress.get("phase") or status.lower(),
        UNDER_WAY,
        progress.get("detail") or "",
        _since(progress.get("phase_started_at"), now),
        progress.get("fraction"),
    )
    return [*over, now_doing]


def run_bar(run_id: str, state: str, tasks: Sequence[Bar]) -> Bar:
    """Sum the tasks' bars up in one for the whole run, which is in `state`."""
    done = sum(bar.meaning == DONE for bar in tasks)
    note = f"{state}, {done} of {len(tasks)} tasks"
    return Bar(f"run {run_id}", MEANING.get(state, WAITING), note, share=done / max(1, len(tasks)))


def culprits(instances: Sequence[Mapping[str, Any]]) -> list[str]:
    """Name the tasks that failed themselves, without those that merely came after."""
    return sorted(task["task_id"] for task in instances if task["state"] == "failed")


@dataclass
class Phases:
    """How long each phase of the quickstart took, in seconds, in the order in which they began."""

    now: Callable[[], float]
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def measure(self, name: str) -> Iterator[None]:
        """Measure the block, even when it fails."""
        began = self.now()
        self.seconds[name] = 0.0
        try:
            yield
        finally:
            self.seconds[name] = self.now() - began

    @property
    def total(self) -> float:
        return sum(self.seconds.values())


def _seconds(task: Mapping[str, Any], now: datetime) -> float | None:
    if task.get("duration") is not None:
        return float(task["duration"])
    return _since(task.get("start_date"), now)


def _since(moment: str | None, now: datetime) -> float | None:
    return max(0.0, (now - datetime.fromisoformat(moment)).total_seconds()) if moment else None
