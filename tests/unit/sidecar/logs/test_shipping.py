"""Shipping from real files to a service in memory; time is ours."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from aerodrome.cell import logs as cell_logs
from aerodrome.sidecar.config import LogsConfig
from aerodrome.sidecar.logs import shipping
from aerodrome.sidecar.logs.events import Event
from aerodrome.sidecar.logs.positions import FORGOTTEN_AFTER, Positions
from aerodrome.sidecar.logs.shipping import Shipper
from aerodrome.sidecar.signed_http import AwayError, RefusalError

TASK = "dag_id=d/run_id=r/task_id=t/attempt=1.log"


class Service:
    """CloudWatch Logs, as the shipper sees it."""

    def __init__(self) -> None:
        self.groups: set[str] = set()
        self.streams: dict[tuple[str, str], list[Event]] = defaultdict(list)
        self.trouble: Exception | None = None

    def ensure_group(self, group: str) -> None:
        self._fail()
        self.groups.add(group)

    def put(self, group: str, stream: str, events: Sequence[Event]) -> int:
        self._fail()
        self.streams[group, stream] += events
        return 0

    def _fail(self) -> None:
        if self.trouble is not None:
            raise self.trouble

    def said(self, stream: str = TASK, group: str = "airflow-blue-Task") -> list[str]:
        return [event.message for event in self.streams[group, stream]]


class Bench:
    def __init__(self, folder: Path) -> None:
        self.service = Service()
        self.now = datetime.now(UTC)
        levels = {"TaskLogs": 20, "WorkerLogs": 30}
        self.config = LogsConfig(levels, folder / "units", folder / "tasks", folder / "shipped.json")
        (self.config.units / "4").mkdir(parents=True)
        self.config.tasks.mkdir()
        self.start(now=0)

    def start(self, *, now: float | None = None) -> None:
        """Begin anew, as after a crash."""
        positions = Positions.load(self.config.positions, now=self.now.timestamp() if now is None else now)
        self.shipper = Shipper(
            environment="blue",
            config=self.config,
            cloudwatch=self.service,
            positions=positions,
            clock=lambda: self.now,
        )

    def write(self, text: str, name: str = TASK) -> Path:
        path = self.config.tasks / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a") as file:
            file.write(text)
        return path

    def rounds(self, count: int = 4) -> None:
        for _ in range(count):
            self.shipper.once()


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_a_large_tree_is_looked_through_less_often_and_many_lines_are_not_held_up():
    assert shipping.rest(0.25, 0.01, 0.0) == 0.75
    assert shipping.rest(5.0, 0.1, 0.0) == 0.0
    assert shipping.rest(2.0, 2.0, 0.0) == 38.0
    assert shipping.rest(0.1, 0.0, 8.0) == 8.0


def test_each_line_comes_once_whatever_is_restarted(bench):
    for number in range(20):
        bench.write(f"line {number}\n")
        if number % 3 == 0:
            bench.rounds(1)
        if number % 5 == 0:
            bench.start()
    bench.rounds()
    assert bench.service.said() == [f"line {number}" for number in range(20)]
    assert bench.service.groups == {"airflow-blue-Task", "airflow-blue-Worker"}
    moments = [event.moment for event in bench.service.streams["airflow-blue-Task", TASK]]
    assert moments == sorted(moments)


def test_nothing_is_lost_while_the_service_is_away_and_the_pauses_grow(bench):
    bench.service.trouble = AwayError("logs does not answer")
    pauses = []
    for number in range(8):
        bench.write(f"line {number}\n")
        pauses.append(bench.shipper.once())
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60]
    assert bench.shipper.status.error == "logs does not answer"
    assert bench.shipper.status.behind_since == bench.now
    bench.service.trouble = None
    bench.rounds()
    assert bench.service.said() == [f"line {number}" for number in range(8)]
    assert bench.shipper.status.behind_since is None


def test_what_is_refused_for_good_is_counted_and_what_is_denied_waits(bench):
    bench.write("a\n")
    bench.service.trouble = RefusalError("logs answers 400", code="InvalidParameterException")
    bench.rounds()
    assert bench.shipper.status.dropped == 1
    bench.start()
    bench.service.trouble = RefusalError("not authorized to perform: logs:PutLogEvents", code="AccessDeniedException")
    bench.write("b\n")
    bench.rounds()
    assert "not authorized" in bench.shipper.status.error
    bench.service.trouble = None
    bench.rounds()
    assert bench.service.said() == ["b"]


def test_rotation_loses_nothing_and_repeats_nothing(bench):
    path = bench.config.units / "4" / "worker-1.log"
    wanted = []
    for number in range(60):
        line = f"[2026-11-30T10:00:00.123+0000] {{a.py:1}} ERROR - {number} {'x' * 50}"
        wanted.append(line)
        with path.open("a") as file:
            file.write(f"{line}\n")
        if number % 7 == 0:
            bench.rounds(1)
        cell_logs.rotate(str(path), 1500)
    bench.rounds()
    ((_, stream), events), *others = bench.service.streams.items()
    assert not others
    assert stream.startswith("worker_worker-1.4_")
    assert [event.message for event in events] == wanted
    assert bench.shipper.status.dropped == 0


def test_lines_that_rotation_has_overwritten_are_told(bench):
    path = bench.config.units / "4" / "worker-1.log"
    bench.shipper.config = replace(bench.config, levels={"WorkerLogs": 20})
    path.write_text("first\n")
    bench.rounds()
    for number in range(400):
        with path.open("a") as file:
            file.write(f"{number}\n")
        cell_logs.rotate(str(path), 100)
    bench.rounds()
    assert bench.shipper.status.dropped == 1
    (events,) = bench.service.streams.values()
    said = [event.message for event in events]
    assert said[0] == "first"
    assert said[-1] == "399"


def test_levels_hold_back_what_is_below_and_a_category_that_is_off_has_nothing_to_catch_up(bench):
    path = bench.config.units / "4" / "worker-1.log"
    path.write_text(
        "[2026-11-30T10:00:00.123+0000] {a.py:1} INFO - no\n[2026-11-30T10:00:00.123+0000] {a.py:1} ERROR - yes\n"
    )
    scheduler = bench.config.units / "4" / "scheduler.log"
    scheduler.write_text("while it was off\n")
    bench.rounds()
    bench.config = replace(bench.config, levels={"SchedulerLogs": 20, "WorkerLogs": 20})
    bench.start()
    with scheduler.open("a") as file:
        file.write("while it was on\n")
    bench.rounds()
    said = {group: [event.message[-3:] for event in events] for (group, _), events in bench.service.streams.items()}
    assert said == {"airflow-blue-Worker": ["yes"], "airflow-blue-Scheduler": [" on"]}


def test_finished_files_are_forgotten_and_not_shipped_again(bench):
    old = bench.write("done\n")
    bench.rounds()
    bench.now += timedelta(seconds=FORGOTTEN_AFTER + 60)
    young = bench.write("young\n", "dag_id=d/run_id=r/task_id=u/attempt=1.log")
    moment = bench.now.timestamp()
    os.utime(young, (moment, moment))
    bench.rounds()
    assert list(bench.shipper.positions.places) == [f"tasks/{young.relative_to(bench.config.tasks)}"]
    bench.start()
    bench.rounds()
    assert bench.service.said() == ["done"]
    old.write_text("done\nagain\n")
    os.utime(old, (moment, moment))
    bench.rounds()
    assert bench.service.said()[-1] == "again"


def test_what_was_there_before_shipping_began_is_not_shipped(bench):
    path = bench.write("old\n")
    os.utime(path, (bench.now.timestamp() - 60, bench.now.timestamp() - 60))
    bench.config.positions.unlink(missing_ok=True)
    bench.start()
    bench.rounds()
    assert bench.service.said() == []


def test_links_pipes_and_files_with_two_names_are_not_read(bench, tmp_path):
    secret = tmp_path / "secret.log"
    secret.write_text("secret\n")
    folder = bench.write("fine\n").parent
    (folder / "link.log").symlink_to(secret)
    os.link(secret, folder / "hard.log")
    os.mkfifo(folder / "pipe.log")
    (bench.config.tasks / "dag_id=e").symlink_to(tmp_path)
    (bench.config.tasks / "loop").symlink_to(bench.config.tasks)
    bench.rounds()
    assert {text for events in bench.service.streams.values() for text in (each.message for each in events)} == {"fine"}


def test_a_folder_that_becomes_a_link_before_it_is_read_is_not_followed(bench, tmp_path):
    from aerodrome.sidecar.logs import folders  # noqa: PLC0415 - the one look behind the shipper

    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "x.log").write_text("secret")
    (bench.config.tasks / "dag_id=d").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match=r"Not a directory|Too many levels"):
        folders.opened(str(bench.config.tasks), "dag_id=d/x.log")
