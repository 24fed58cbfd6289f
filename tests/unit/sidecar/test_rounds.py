"""The rhythm, its patience, and what the status file says."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aerodrome.sidecar import backoff, parsing
from aerodrome.sidecar.config import AccessKeys
from aerodrome.sidecar.credentials import RefreshableCredentials, RoleCredentials
from aerodrome.sidecar.rounds import Rounds, Telling
from aerodrome.sidecar.signed_http import AwayError
from aerodrome.sidecar.status import REFRESH, StatusFile

START = datetime(2026, 11, 23, 12, tzinfo=UTC)
TIMES = st.floats(0, 1e6)


@pytest.fixture
def status_path(tmp_path):
    return tmp_path / "status.json"


@pytest.fixture
def rounds(syncer, ticks, status_path):
    def clock() -> datetime:
        return START + timedelta(seconds=ticks.now)

    def assume() -> RoleCredentials:
        return RoleCredentials(AccessKeys("ASIA", "secret", "token"), clock() + timedelta(hours=1), "arn")

    return Rounds(
        logs=lambda: None,
        metrics=lambda: None,
        traces=lambda: None,
        environment="blue",
        syncer=syncer,
        role=RefreshableCredentials(assume, clock=clock, monotonic=ticks),
        telling=Telling(None, None, Path("/dags")),
        status_file=StatusFile(status_path),
        clock=clock,
        monotonic=ticks,
    )


@pytest.fixture
def written(status_path):
    return lambda: json.loads(status_path.read_text())


@given(TIMES, TIMES, st.floats(0.1, 100))
def test_the_next_round_starts_on_the_beat_or_at_once(started, took, interval):
    due = backoff.next_start(started, started + took, interval)
    assert due == max(started + interval, started + took)


def test_patience_doubles_up_to_ten_seconds():
    assert [backoff.back_off(failures) for failures in (0, 1, 2, 3, 4, 5, 10_000)] == [0, 1, 2, 4, 8, 10, 10]


def test_a_good_round_says_so(bucket, rounds, written, status_path):
    bucket.put(one="1")
    bucket.objects["dags/a//b"] = b"x"
    assert rounds.once() == 0
    document = written()
    assert (document["environment"], document["objects"], document["last_sync"]) == ("blue", 1, START.isoformat())
    assert (document["away_since"], document["error"], document["refused_count"]) == (None, None, 1)
    assert document["credentials"] == {"until": "2026-11-23T13:00:00+00:00", "error": None}
    assert status_path.stat().st_mode & 0o777 == 0o600


def test_a_long_absence_is_dated_from_its_start_and_ends_at_once(bucket, rounds, written, ticks, on_disk):
    bucket.put(one="1")
    rounds.once()
    bucket.away = AwayError("s3 does not answer")
    waits = []
    for _ in range(6):
        ticks.now += 10
        waits.append(rounds.once())
    assert waits == [1, 2, 4, 8, 10, 10]
    assert (written()["away_since"], written()["error"]) == ("2026-11-23T12:00:10+00:00", "s3 does not answer")
    assert (written()["last_sync"], on_disk()) == (START.isoformat(), {"one.py": "1"})
    bucket.away = None
    bucket.put(one="newer")
    assert rounds.once() == 0
    assert (written()["away_since"], written()["error"], on_disk()) == (None, None, {"one.py": "newer"})


def test_an_idle_status_file_is_written_now_and_then_only(bucket, rounds, written, ticks):
    bucket.put(one="1")
    rounds.once()
    ticks.now = REFRESH - 1
    rounds.once()
    assert written()["last_sync"] == START.isoformat()
    ticks.now = REFRESH
    rounds.once()
    assert written()["last_sync"] == (START + timedelta(seconds=REFRESH)).isoformat()


def test_a_status_file_that_cannot_be_written_stops_nothing(bucket, rounds, status_path, on_disk):
    status_path.mkdir()
    bucket.put(one="1")
    assert rounds.once() == 0
    assert on_disk() == {"one.py": "1"}


def test_a_disk_in_trouble_is_an_absence_like_any_other(bucket, rounds, written, tree):
    bucket.put(one="1")
    tree.root.rmdir()
    assert rounds.once() == 1
    assert "DAGs folder" in written()["error"]


def test_many_refused_keys_do_not_swell_the_file(bucket, rounds, written):
    bucket.objects = {f"dags/a//{number}": b"x" for number in range(500)}
    rounds.once()
    assert (len(written()["refused"]), written()["refused_count"]) == (100, 500)


class Table:
    def __init__(self) -> None:
        self.asked: list[list[str]] = []

    def ask(self, files) -> bool:
        self.asked.append(list(files))
        return False

    def close_when_idle(self) -> None:
        pass


@pytest.mark.parametrize(("style", "expected"), [("relative", "one.py"), ("absolute", "/dags/one.py")])
def test_changed_dag_files_are_named_in_airflows_spelling(style, expected):
    files = parsing.locations(["one.py", "data.csv"], present=lambda _path: False, dags_dir=Path("/dags"), style=style)
    assert files == [expected]


def test_what_an_ignore_file_may_exclude_is_left_to_airflows_own_scan():
    found = {"pkg/.airflowignore"}
    paths = ["a.py", "pkg/b.py", "pkg/deep/c.py", "other/d.zip"]
    named = parsing.locations(paths, present=found.__contains__, dags_dir=Path("/dags"), style="relative")
    assert named == ["a.py", "other/d.zip"]


def test_rows_are_bounded():
    paths = [f"{number}.py" for number in range(1000)]
    named = parsing.locations(paths, present=lambda _path: False, dags_dir=Path("/dags"), style="relative")
    assert len(named) == parsing.MOST_ROWS


def test_airflow_is_told_after_the_files_are_there(bucket, rounds, monkeypatch):
    table = Table()
    request = type("Request", (), {"style": "relative"})()
    monkeypatch.setattr(rounds, "_telling", Telling(table, request, Path("/dags")))
    bucket.put(one="1")
    rounds.once()
    rounds.once()
    assert table.asked == [["one.py"]]


def test_airflow_is_told_a_second_time_and_no_more(bucket, rounds, monkeypatch, ticks):
    table = Table()
    request = type("Request", (), {"style": "relative"})()
    monkeypatch.setattr(rounds, "_telling", Telling(table, request, Path("/dags")))
    bucket.put(one="1", two="2", gone="3")
    for change in (None, None, {"one": "changed"}, None, None, None, None):
        if change:
            bucket.put(**change)
            del bucket.objects["dags/gone.py"]
        rounds.once()
        ticks.now += 1
    # At first, after two seconds with the change of that moment, and the changed file once more.
    assert [sorted(files) for files in table.asked] == [
        ["gone.py", "one.py", "two.py"],
        ["one.py", "two.py"],
        ["one.py"],
    ]


NAMES = st.lists(st.sampled_from(["a.py", "b.py", "c.zip", "d.csv"]), max_size=4, unique=True)


@given(st.lists(st.tuples(NAMES, st.integers(0, 20)), max_size=20))
def test_each_change_of_a_dag_file_has_one_reminder_two_seconds_after_the_last(changes):
    reminders, now, last, told = parsing.Reminders(), 0.0, {}, {}
    for files, quarters in [*changes, ([], 8)]:
        now += quarters / 4
        for file in reminders.take(now):
            assert now - last[file] >= parsing.SECOND_TIME
            assert told.get(file) != last[file]
            told[file] = last[file]
        reminders.note(files, now)
        last |= {file: now for file in files if not file.endswith(".csv")}
    assert told == last
    assert reminders.take(1e9) == ()


def test_reminders_are_bounded():
    reminders = parsing.Reminders()
    reminders.note([f"{number}.py" for number in range(1000)], 0.0)
    assert reminders.take(parsing.SECOND_TIME - 0.1) == ()
    assert len(reminders.take(parsing.SECOND_TIME)) == parsing.MOST_ROWS
