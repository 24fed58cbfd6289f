"""Shipping from real files to a service in memory; time is ours."""

from __future__ import annotations

import os
import secrets
import tempfile
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aerodrome.cell import logs as cell_logs
from aerodrome.sidecar.config import LogsConfig
from aerodrome.sidecar.logs import cloudwatch, folders, shipping
from aerodrome.sidecar.logs.events import ShippedEvent
from aerodrome.sidecar.logs.positions import FORGOTTEN_AFTER, Positions
from aerodrome.sidecar.logs.shipping import Shipper
from aerodrome.sidecar.signed_http import AwayError, RefusalError

TASK = "dag_id=d/run_id=r/task_id=t/attempt=1.log"


class Taken(NamedTuple):
    moment: int
    message: str


class Service:
    """CloudWatch Logs, as the shipper sees it."""

    def __init__(self) -> None:
        self.groups: set[str] = set()
        self.streams: dict[tuple[str, str], list[Taken]] = defaultdict(list)
        self.trouble: Exception | None = None
        self.troubled: str | None = None
        """The one group that has the trouble; None: all."""
        self.room: int | None = None
        """How many batches are taken before the trouble begins; None: none."""
        self.tries: list[str] = []

    def ensure_group(self, group: str) -> None:
        self._fail(group)
        self.groups.add(group)

    def put(self, group: str, stream: str, events: Sequence[ShippedEvent]) -> int:
        self.tries.append(group)
        if self.room:
            self.room -= 1
        else:
            self._fail(group)
        self.streams[group, stream] += [Taken(*event) for event in events]
        return 0

    def _fail(self, group: str) -> None:
        if self.trouble is not None and self.troubled in (None, group):
            raise self.trouble

    def said(self, stream: str = TASK, group: str = "airflow-blue-Task") -> list[str]:
        return [event.message for event in self.streams[group, stream]]


class Bench:
    def __init__(self, folder: Path) -> None:
        self.service = Service()
        self.now = datetime.now(UTC)
        self.moment = 0.0
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
            monotonic=lambda: self.moment,
        )

    def write(self, text: str, name: str = TASK) -> Path:
        path = self.config.tasks / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a") as file:
            file.write(text)
        return path

    def rounds(self, count: int = 4) -> None:
        """So far apart that nothing waits any more."""
        for _ in range(count):
            self.shipper.once()
            self.moment += shipping.LONGEST_PAUSE


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
    bench.rounds(1)
    bench.service.trouble = AwayError("logs does not answer")
    tried = []
    for number in range(200):
        if number < 8:
            bench.write(f"line {number}\n")
        before = len(bench.service.tries)
        assert bench.shipper.once() == 0.0
        if len(bench.service.tries) > before:
            tried.append(bench.moment)
        bench.moment += 1
    pauses = [after - before for before, after in pairwise(tried)]
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60]
    assert bench.shipper.status.error == "logs does not answer (airflow-blue-Task)"
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


@pytest.mark.parametrize(
    "trouble", [AwayError("throttled"), RefusalError("not authorized", code="AccessDeniedException")]
)
def test_a_group_that_takes_nothing_does_not_hold_the_others_up(bench, trouble):
    bench.service.trouble, bench.service.troubled = trouble, "airflow-blue-Worker"
    (bench.config.units / "4" / "worker-1.log").write_text("[2026-11-30T10:00:00.123+0000] {a.py:1} ERROR - w\n")
    bench.write("a\n")
    bench.rounds()
    assert bench.service.said() == ["a"]
    assert bench.shipper.status.error == f"{trouble} (airflow-blue-Worker)"
    assert bench.shipper.status.behind_since == bench.now
    bench.service.trouble = None
    bench.rounds()
    assert bench.shipper.status.error is None
    assert len(bench.service.streams) == 2


def test_a_failure_in_the_middle_of_a_piece_repeats_nothing(bench, monkeypatch):
    monkeypatch.setattr(cloudwatch, "BATCH_EVENTS", 3)
    bench.rounds(1)
    bench.service.trouble, bench.service.room = AwayError("away"), 2
    bench.write("".join(f"line {number}\n" for number in range(10)))
    bench.rounds()
    assert len(bench.service.said()) == 6
    bench.start()
    bench.service.trouble = None
    bench.rounds()
    assert bench.service.said() == [f"line {number}" for number in range(10)]


def test_what_a_walk_did_not_reach_is_not_forgotten(bench, monkeypatch):
    bench.write("a\n")
    bench.rounds()
    with monkeypatch.context() as fewer:
        fewer.setattr(folders, "MOST", 2)
        bench.rounds()
    bench.rounds()
    assert bench.service.said() == ["a"]
    (bench.config.tasks / TASK).unlink()
    bench.rounds()
    assert bench.shipper.positions.places == {}


def test_a_hole_is_not_shipped(bench):
    path = bench.write("a\n")
    os.truncate(path, 1 << 40)
    bench.rounds()
    bench.write("b\n")
    bench.rounds()
    assert bench.service.said() == ["a", "b"]


def test_positions_are_not_written_after_each_file(bench, monkeypatch):
    written = []
    monkeypatch.setattr(Positions, "save", lambda positions: written.append(len(positions.places)))
    for number in range(20):
        bench.write("a\n", f"dag_id=d/run_id=r/task_id=t{number}/attempt=1.log")
    bench.moment += 10
    bench.shipper.once()
    bench.shipper.once()
    assert len(written) <= 4


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
    assert bench.service.said() == ["done", "again"]


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
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "x.log").write_text("secret")
    (bench.config.tasks / "dag_id=d").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match=r"Not a directory|Too many levels"):
        folders.opened(str(bench.config.tasks), "dag_id=d/x.log")


def unit_log(bench: Bench) -> Path:
    return bench.config.units / "4" / "scheduler.log"


def rotated_by_name(path: Path, keep: int = 5) -> None:
    """As Python's RotatingFileHandler does it."""
    for number in range(keep, 0, -1):
        older = path if number == 1 else path.with_name(f"{path.name}.{number - 1}")
        if older.exists():
            older.replace(path.with_name(f"{path.name}.{number}"))
    path.touch()


def said_of_scheduler(bench: Bench) -> list[str]:
    streams = [events for (group, _), events in bench.service.streams.items() if group == "airflow-blue-Scheduler"]
    assert len(streams) <= 1
    return [event.message for events in streams for event in events]


@pytest.mark.parametrize("rotate", [lambda path: cell_logs.rotate(str(path), 34), rotated_by_name])
@pytest.mark.parametrize("shipped", [0, 1, 4])
def test_several_rotations_in_an_outage_lose_nothing(bench, rotate, shipped):
    bench.shipper.config = replace(bench.config, levels={"SchedulerLogs": 20})
    path = unit_log(bench)
    wanted = []

    def say(count: int) -> None:
        with path.open("a") as file:
            for _ in range(count):
                wanted.append(f"same {len(wanted) // 4}")  # so the same line stands before and after a place
                file.write(f"{wanted[-1]}\n")

    if shipped:
        say(shipped)
        bench.rounds()
    bench.service.trouble = AwayError("away")
    for _ in range(2):
        say(5)
        rotate(path)
    say(5)
    bench.rounds()
    bench.service.trouble = None
    bench.rounds(8)
    assert said_of_scheduler(bench) == wanted
    assert bench.shipper.status.dropped == 0
    say(4)
    rotate(path)
    say(1)
    bench.rounds()
    assert said_of_scheduler(bench) == wanted


def test_a_cell_that_is_killed_before_it_truncates_has_nothing_shipped_twice(bench, monkeypatch):
    bench.shipper.config = replace(bench.config, levels={"SchedulerLogs": 20})
    path = unit_log(bench)
    path.write_text("one\ntwo\n")
    bench.rounds()
    with path.open("a") as file:
        file.write("three\n")
    with monkeypatch.context() as killed:
        killed.setattr(os, "ftruncate", lambda *_: None)
        cell_logs.rotate(str(path), 10)
    bench.rounds()
    with path.open("a") as file:
        file.write("four\n")
    bench.rounds()
    assert said_of_scheduler(bench) == ["one", "two", "three", "four"]
    assert bench.shipper.status.dropped == 0


TROUBLES = [
    None,
    None,
    AwayError("logs answers 429 ThrottlingException"),
    AwayError("logs answers 500"),
    AwayError("logs does not answer: timed out"),
    RefusalError("logs answers 400", code="AccessDeniedException"),
    RefusalError("logs answers 400", code="InvalidParameterException"),
]

STEPS = st.one_of(
    st.tuples(st.just("say"), st.integers(1, 30)),
    st.tuples(st.just("round"), st.integers(1, 3)),
    st.tuples(st.just("rotated"), st.just(0)),
    st.tuples(st.just("killed"), st.just(0)),
    st.tuples(st.just("trouble"), st.integers(0, len(TROUBLES) - 1)),
    st.tuples(st.just("clock"), st.sampled_from([-7200, -60, 60, 7200])),
)


def happens(bench: Bench, path: Path, rotate: Callable[[Path], object], what: str, number: int) -> list[str]:
    """Carry a step out; the lines that it writes."""
    lines = []
    if what == "say":
        lines = [f"[2026-11-30T10:00:00.123+0000] {{a.py:1}} INFO - {secrets.token_hex(8)}" for _ in range(number)]
        with path.open("a") as file:
            file.writelines(f"{line}\n" for line in lines)
    elif what == "round":
        bench.rounds(number)
    elif what == "rotated":
        rotate(path)
    elif what == "killed":
        bench.start(now=0)
    elif what == "trouble":
        bench.service.trouble = TROUBLES[number]
    else:
        bench.now += timedelta(seconds=number)
    return lines


@given(st.lists(STEPS, max_size=40), st.sampled_from([lambda path: cell_logs.rotate(str(path), 600), rotated_by_name]))
def test_whatever_happens_each_line_comes_once_and_in_order_or_is_counted(steps, rotate):
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder))
        bench.config = replace(bench.config, levels={"SchedulerLogs": 20})
        bench.start(now=0)
        path = unit_log(bench)
        path.touch()
        wanted = [
            line
            for what, number in [*steps, ("trouble", 0), ("round", 12)]
            for line in happens(bench, path, rotate, what, number)
        ]
        said = said_of_scheduler(bench)
        places = [wanted.index(line) for line in said if line in wanted]  # a copy that was cut says so in a line
        assert places == sorted(set(places)), "none twice, and all in order"
        if bench.shipper.status.dropped == 0 and not any("were not kept" in line for line in said):
            assert said == wanted


def test_a_clock_that_is_set_back_lets_no_event_lie_in_the_future(bench):
    bench.write("[2026-11-30T10:00:00.123+0000] {a.py:1} INFO - before\n")
    bench.now += timedelta(hours=5)
    bench.write("printed\n")
    bench.rounds()
    bench.now -= timedelta(hours=5)
    bench.write("after\n")
    bench.rounds()
    last = bench.service.streams["airflow-blue-Task", TASK][-1]
    assert last.message == "after"
    assert last.moment <= bench.now.timestamp() * 1000


def test_what_builds_print_is_shipped_though_it_is_older_than_the_sidecar_and_from_info_upwards(bench):
    bench.config = replace(bench.config, levels={"SchedulerLogs": 40, "TaskLogs": 20})
    for component in ("scheduler", "worker"):
        path = bench.config.units / "builds" / component / "requirements_install_127.0.0.1_1.log"
        path.parent.mkdir(parents=True)
        path.write_text("Resolved 2 packages\nERROR: no such package\n")
    bench.config.positions.unlink(missing_ok=True)
    bench.now += timedelta(seconds=60)
    bench.start()
    bench.rounds()
    bench.start()
    bench.rounds()
    (((group, stream), events),) = bench.service.streams.items()
    assert (group, stream) == ("airflow-blue-Scheduler", "requirements_install_127.0.0.1_1.log")
    assert [event.message for event in events] == ["Resolved 2 packages", "ERROR: no such package"]
    bench.config = replace(bench.config, levels={"WorkerLogs": 20})
    bench.start()
    bench.rounds()
    assert {group for group, _ in bench.service.streams} == {"airflow-blue-Scheduler", "airflow-blue-Worker"}
