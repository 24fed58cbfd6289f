from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

import pytest
from botocore.exceptions import ClientError

from aerodrome.cli import logs as logs_command
from aerodrome.cli import logs_query
from aerodrome.cli.logs_query import Wanted
from aerodrome.errors import CallerError

SINCE = datetime(2026, 1, 1, tzinfo=UTC)
START = int(SINCE.timestamp() * 1000)
ENVIRONMENT = {
    "Name": "mine",
    "AirflowVersion": "3.3.1",
    "LoggingConfiguration": {
        "TaskLogs": {"Enabled": True},
        "SchedulerLogs": {"Enabled": True},
        "WorkerLogs": {"Enabled": False},
    },
}
STREAM = "dag_id=d/run_id=manual__2026-01-01T00_00_00/task_id=t/attempt=2.log"


def wanted(**given: Any) -> Wanted:
    return Wanted(**{"since": SINCE, "limit": 1000, **given})


class Logs:
    """CloudWatch Logs with a page for every event."""

    def __init__(self) -> None:
        self.events: dict[str, list[tuple[int, str, str]]] = {"airflow-mine-Task": []}

    def say(self, message: str, *, at: int = 0, stream: str = STREAM, group: str = "airflow-mine-Task") -> None:
        self.events.setdefault(group, []).append((START + at, message, stream))

    def filter_log_events(self, **asked: Any) -> dict[str, Any]:
        if asked["logGroupName"] not in self.events:
            raise ClientError({"Error": {"Code": "ResourceNotFoundException", "Message": "none"}}, "FilterLogEvents")
        events = [
            {"eventId": f"{moment:03}{message}", "timestamp": moment, "message": message, "logStreamName": stream}
            for moment, message, stream in sorted(self.events[asked["logGroupName"]])
            if moment >= asked["startTime"] and stream.startswith(asked.get("logStreamNamePrefix", ""))
        ]
        if not asked.get("startFromHead", True):
            events.reverse()
        place = int(asked.get("nextToken", 0))
        more = {"nextToken": str(place + 1)} if place + 1 < len(events) else {}
        return {"events": events[place : place + 1], **more}


def said(events: list[dict[str, Any]]) -> list[str]:
    return [event["message"] for event in events]


def test_the_groups_are_those_that_are_asked_for_and_enabled():
    assert logs_query.groups(ENVIRONMENT, wanted()) == {
        "scheduler": "airflow-mine-Scheduler",
        "task": "airflow-mine-Task",
    }
    assert list(logs_query.groups(ENVIRONMENT, wanted(dag="d"))) == ["task"]
    with pytest.raises(CallerError, match=r"--logging-configuration 'WorkerLogs=\{Enabled=true"):
        logs_query.groups(ENVIRONMENT, wanted(category="worker"))
    with pytest.raises(CallerError, match="choose dag-processing"):
        logs_query.groups(ENVIRONMENT, wanted(category="workers"))
    with pytest.raises(CallerError, match="--category task"):
        logs_query.groups(ENVIRONMENT, wanted(category="scheduler", dag="d"))


@pytest.mark.parametrize(
    ("given", "fits"),
    [
        ({"dag": "d"}, True),
        ({"dag": "d", "task": "t", "run": "manual__2026-01-01T00:00:00", "number": 2}, True),
        ({"dag": "e"}, False),
        ({"task": "u"}, False),
        ({"number": 1}, False),
        ({"run": "manual__2026"}, False),
    ],
)
def test_streams_are_chosen_by_what_they_are_of(given, fits):
    assert logs_query.is_wanted(STREAM, wanted(**given)) == fits
    assert logs_query.is_wanted("d/t/manual__2026-01-01T00_00_00/2.log", wanted(**given)) == fits
    beginning = logs_query.prefix("3.3.1", wanted(**given))
    assert not fits or STREAM.startswith(beginning or "")


def test_the_newest_are_shown_oldest_first_and_groups_that_are_not_there_yet_are_empty():
    logs = Logs()
    for number in range(5):
        logs.say(f"{number}", at=number)
    assert said(logs_query.once(logs, ENVIRONMENT, wanted(limit=3))) == ["2", "3", "4"]
    logs.say("between", at=3, group="airflow-mine-Scheduler", stream="scheduler_scheduler.1_1.log")
    assert said(logs_query.once(logs, ENVIRONMENT, wanted(limit=3))) == ["3", "between", "4"]


def test_following_tells_each_event_once_also_one_that_comes_late():
    logs = Logs()
    logs.say("a", at=10)
    logs.say("b", at=20)

    def later(_seconds: float) -> None:
        logs.say(f"{len(logs.events['airflow-mine-Task'])}", at=15)

    batches = list(islice(logs_query.follow(logs, ENVIRONMENT, wanted(), pause=later), 4))
    assert [said(batch) for batch in batches] == [["a", "b"], ["2"], ["3"], ["4"]]
    limited = islice(logs_query.follow(logs, ENVIRONMENT, wanted(limit=1), pause=lambda _: logs.say("c", at=30)), 2)
    assert [said(batch) for batch in limited] == [["b"], ["c"]]


def test_an_event_of_the_future_does_not_hide_what_comes_and_each_category_is_followed_by_itself():
    logs = Logs()
    logs.say("a", at=0)
    logs.say("future", at=10**9)
    texts = iter(["b", "c"])

    def later(_seconds: float) -> None:
        logs.say(next(texts), at=20)

    now = SINCE + timedelta(milliseconds=30)
    batches = islice(logs_query.follow(logs, ENVIRONMENT, wanted(), pause=later, now=lambda: now), 3)
    assert [said(batch) for batch in batches] == [["a", "future"], ["b"], ["c"]]


def test_after_a_gap_each_stream_may_be_late():
    logs = Logs()
    logs.say("before", at=0)
    late = iter([("first", 3_600_000), ("second", 1_000)])

    def later(_seconds: float) -> None:
        text, at = next(late)
        logs.say(text, at=at)

    now = SINCE + timedelta(hours=2)
    batches = islice(logs_query.follow(logs, ENVIRONMENT, wanted(), pause=later, now=lambda: now), 3)
    assert [said(batch) for batch in batches] == [["before"], ["first"], ["second"]]


def test_several_environments_are_shown_in_one_order_and_followed_with_one_pause():
    logs, pauses = Logs(), []
    other = {**ENVIRONMENT, "Name": "other", "LoggingConfiguration": {"TaskLogs": {"Enabled": True}}}
    silent = {**ENVIRONMENT, "Name": "silent", "LoggingConfiguration": {}}
    logs.say("a", at=1)
    logs.say("b", at=2, group="airflow-other-Task")
    logs.say("c", at=3)
    assert [logs_query.has_any(each, wanted()) for each in (ENVIRONMENT, other, silent)] == [True, True, False]
    with pytest.raises(CallerError, match="choose dag-processing"):
        logs_query.has_any(silent, wanted(category="workers"))
    (found,) = logs_query.of_all(logs, [ENVIRONMENT, other], wanted(limit=2), is_followed=False)
    assert [(event["environment"], event["message"]) for event in found] == [("other", "b"), ("mine", "c")]

    def later(_seconds: float) -> None:
        pauses.append(1)
        logs.say(f"new {len(pauses)}", at=4 + len(pauses), group="airflow-other-Task")

    batches = islice(logs_query.of_all(logs, [ENVIRONMENT, other], wanted(), is_followed=True, pause=later), 3)
    assert [said(batch) for batch in batches] == [["a", "b", "c"], ["new 1"], ["new 2"]]
    assert len(pauses) == 2
    assert logs_command._line(found[0], names=True).startswith("2026-01-01T00:00:00.002Z other dag_id=d/")


def test_a_group_that_is_not_there_is_told_once():
    missing: list[str] = []
    batches = logs_query.follow(Logs(), ENVIRONMENT, wanted(), missing.append, pause=lambda _: None)
    assert [said(batch) for batch in islice(batches, 3)] == [[], [], []]
    assert missing == ["airflow-mine-Scheduler"]
    assert "AERODROME_IAM=on" in logs_query.explained(missing[0], is_shipped=False)
    assert "AERODROME_IAM" not in logs_query.explained(missing[0], is_shipped=True)


def test_names_of_streams_are_cleaned_of_what_a_terminal_obeys():
    event = {"timestamp": START, "stream": "dag_id=\x1b[2J/x\ny", "message": "a\x1b[1m\nb"}
    assert logs_command._line(event) == "2026-01-01T00:00:00.000Z dag_id= [2J/x y a [1m\nb"


def test_a_text_is_looked_for_as_it_stands():
    assert logs_query.pattern('say "x" \\') == '"say \\"x\\" \\\\"'
    assert logs_query.pattern(None) == ""
