"""What `aerodrome logs` asks CloudWatch Logs for: which groups, streams and events, once or again and again."""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from aerodrome import clock
from aerodrome.errors import CallerError, NotFoundError
from aerodrome.model.defaults import LOG_MODULES

CATEGORIES: Mapping[str, str] = {
    "dag-processing": "DagProcessingLogs",
    "scheduler": "SchedulerLogs",
    "task": "TaskLogs",
    "webserver": "WebserverLogs",
    "worker": "WorkerLogs",
}
"""What a person writes → the member of LoggingConfiguration."""

PAUSE = 1.0
"""Seconds between two looks with `--follow`."""

LOOK_BACK = 60_000
"""Milliseconds before the newest event that a later look asks for again: events arrive later than they happened."""

LOOKS = 60
"""Looks for which what was newest is remembered: after a gap, what each stream has arrives one after the other."""

_TASK_STREAM = re.compile(
    r"dag_id=(?P<dag>[^/]+)/run_id=(?P<run>[^/]+)/task_id=(?P<task>[^/]+)/(?:.*/)?attempt=(?P<number>\d+)\.log.*"
)

_TASK_STREAM_OF_1 = re.compile(r"(?P<dag>[^/]+)/(?P<task>[^/]+)/(?P<run>[^/]+)/(?P<number>\d+)\.log.*")
"""Of Airflow 1.10."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which events are wanted; None = whichever."""

    category: str | None = None
    """One of CATEGORIES."""
    dag: str | None = None
    task: str | None = None
    run: str | None = None
    number: int | None = None
    """Of the task's try."""
    since: datetime
    grep: str | None = None
    limit: int
    """How many of the newest."""

    @property
    def is_of_tasks(self) -> bool:
        return any(each is not None for each in (self.dag, self.task, self.run, self.number))


Event = dict[str, Any]

Missing = Callable[[str], None]
"""Told the name of a log group that is not there."""


def _unheard(_group: str) -> None:
    """What becomes of a missing group that nobody asks for."""


def groups(environment: Mapping[str, Any], wanted: Wanted) -> dict[str, str]:
    """Category → log group, for those that are asked for and enabled. Pure.

    Raises:
        CallerError: there is no such category, or nothing that is asked for is enabled.
    """
    if wanted.category is not None and wanted.category not in CATEGORIES:
        raise CallerError(f"--category {wanted.category} is none: choose {', '.join(CATEGORIES)}.")
    asked = [wanted.category] if wanted.category else ["task"] if wanted.is_of_tasks else list(CATEGORIES)
    if wanted.is_of_tasks and asked != ["task"]:
        raise CallerError("--dag, --task, --run and --try go with --category task.")
    chosen = environment["LoggingConfiguration"]
    name = environment["Name"]
    found = {
        each: f"airflow-{name}-{LOG_MODULES[CATEGORIES[each]]}"
        for each in asked
        if chosen.get(CATEGORIES[each], {}).get("Enabled")
    }
    if not found:
        members = ", ".join(f"{CATEGORIES[each]}={{Enabled=true,LogLevel=INFO}}" for each in asked)
        raise CallerError(
            f"No such logs are enabled: aws mwaa update-environment --name {name} --logging-configuration '{members}'"
        )
    return found


def prefix(version: str, wanted: Wanted) -> str | None:
    """How the names of all wanted streams begin; None = in any way. Pure."""
    if wanted.dag is None:
        return None
    dag = _in_a_name(wanted.dag)
    if version.startswith("1."):
        return f"{dag}/{_in_a_name(wanted.task)}/" if wanted.task else f"{dag}/"
    return f"dag_id={dag}/run_id={_in_a_name(wanted.run)}/" if wanted.run else f"dag_id={dag}/"


def is_wanted(stream: str, wanted: Wanted) -> bool:
    """Whether the events of a stream are asked for. Pure."""
    if not wanted.is_of_tasks:
        return True
    found = _TASK_STREAM.fullmatch(stream) or _TASK_STREAM_OF_1.fullmatch(stream)
    if found is None:
        return False
    given = {"dag": wanted.dag, "task": wanted.task, "run": wanted.run}
    fits = all(found[name] == _in_a_name(value) for name, value in given.items() if value is not None)
    return fits and (wanted.number is None or int(found["number"]) == wanted.number)


def pattern(grep: str | None) -> str:
    """The filter pattern for lines that hold a text. Pure."""
    if not grep:
        return ""
    escaped = grep.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def explained(group: str, *, is_shipped: bool) -> str:
    """Why a log group is not there. Pure."""
    if is_shipped:
        return f"There is no log group {group} yet: nothing was shipped to it."
    return f"There is no log group {group}: no logs are shipped while AERODROME_IAM is off. Set AERODROME_IAM=on."


def has_any(environment: Mapping[str, Any], wanted: Wanted) -> bool:
    """Whether anything that is asked for is enabled in an environment. Pure.

    Raises:
        CallerError: what is asked for is none of its logs.
    """
    everything = {member: {"Enabled": True} for member in CATEGORIES.values()}
    groups({**environment, "LoggingConfiguration": everything}, wanted)
    try:
        return bool(groups(environment, wanted))
    except CallerError:
        return False


def of_all(
    client: Any,
    environments: Sequence[Mapping[str, Any]],
    wanted: Wanted,
    missing: Missing = _unheard,
    *,
    is_followed: bool,
    pause: Callable[[float], None] = time.sleep,
    now: Callable[[], datetime] = clock.now,
) -> Iterator[list[Event]]:
    """The events of several environments in one order; if followed, new ones until an interrupt."""
    if not is_followed:
        found = [event for each in environments for event in once(client, each, wanted, missing)]
        yield sorted(found, key=_order)[-wanted.limit :]
        return
    pauses = [pause, *[_at_once] * len(environments)]  # one for all
    following = [
        follow(client, each, wanted, missing, pause=own, now=now)
        for each, own in zip(environments, pauses, strict=False)
    ]
    while following:
        yield sorted([event for each in following for event in next(each)], key=_order)


def _at_once(_seconds: float) -> None:
    """The pause of who has waited already."""


def once(client: Any, environment: Mapping[str, Any], wanted: Wanted, missing: Missing = _unheard) -> list[Event]:
    """The newest events that are wanted, oldest first.

    Raises:
        CallerError: see `groups`.
    """
    found: list[Event] = []
    start = int(wanted.since.timestamp() * 1000)
    for category, group in groups(environment, wanted).items():
        asked = _question(environment, group, wanted, start)
        newest_first = _pages(client, {**asked, "startFromHead": False}, missing)
        found += _shown(newest_first, environment["Name"], category, wanted, most=wanted.limit)
    return sorted(found, key=_order)[-wanted.limit :]


def follow(
    client: Any,
    environment: Mapping[str, Any],
    wanted: Wanted,
    missing: Missing = _unheard,
    *,
    pause: Callable[[float], None] = time.sleep,
    now: Callable[[], datetime] = clock.now,
) -> Iterator[list[Event]]:
    """The events that are wanted, then new ones, each once; ends with an interrupt."""
    found = once(client, environment, wanted, missing)
    yield found
    start = int(wanted.since.timestamp() * 1000)
    seen = {event["id"]: event["timestamp"] for event in found}
    oldest = found[0]["timestamp"] if len(found) == wanted.limit else start  # the limit left out what is older
    asked = groups(environment, wanted)
    newest = {each: deque([_newest(found, each, start, now())], maxlen=LOOKS) for each in asked}
    while True:
        pause(PAUSE)
        fresh: list[Event] = []
        begins: list[int] = []
        for category, group in asked.items():
            begins.append(max(oldest, newest[category][0] - LOOK_BACK))
            pages = _pages(client, _question(environment, group, wanted, begins[-1]))
            fresh += [
                event for event in _shown(pages, environment["Name"], category, wanted) if event["id"] not in seen
            ]
            newest[category].append(_newest(fresh, category, newest[category][-1], now()))
        seen = {each: moment for each, moment in seen.items() if moment >= min(begins)}
        seen |= {event["id"]: event["timestamp"] for event in fresh}
        yield sorted(fresh, key=_order)


def _newest(events: list[Event], category: str, before: int, now: datetime) -> int:
    """The time of a category's newest event; one that says it is of the future is of now."""
    latest = int(now.timestamp() * 1000)
    return max([before, *(min(int(event["timestamp"]), latest) for event in events if event["category"] == category)])


def _question(environment: Mapping[str, Any], group: str, wanted: Wanted, start: int) -> dict[str, Any]:
    asked = {"logGroupName": group, "startTime": start, "filterPattern": pattern(wanted.grep)}
    beginning = prefix(environment["AirflowVersion"], wanted)
    return asked if beginning is None else {**asked, "logStreamNamePrefix": beginning}


def _pages(client: Any, asked: Mapping[str, Any], missing: Missing = _unheard) -> Iterator[Mapping[str, Any]]:
    """Events; none while there is no such group, which is told."""
    from aerodrome.cli import aws_clients  # noqa: PLC0415 - boto3 takes its time to import

    token: dict[str, str] = {}
    while True:
        try:
            with aws_clients.told():
                page = client.filter_log_events(**asked, **token)
        except NotFoundError:
            missing(asked["logGroupName"])
            return
        yield from page["events"]
        if "nextToken" not in page:
            return
        token = {"nextToken": page["nextToken"]}


def _shown(
    events: Iterator[Mapping[str, Any]], environment: str, category: str, wanted: Wanted, *, most: int | None = None
) -> list[Event]:
    found: list[Event] = []
    for event in events:
        if most is not None and len(found) >= most:
            break
        if is_wanted(event["logStreamName"], wanted):
            found.append(
                {
                    "id": event["eventId"],
                    "timestamp": event["timestamp"],
                    "environment": environment,
                    "category": category,
                    "stream": event["logStreamName"],
                    "message": event["message"],
                }
            )
    return found


def _order(event: Event) -> tuple[int, str]:
    return event["timestamp"], event["id"]


def _in_a_name(text: str | None) -> str:
    """As it stands in the name of a stream."""
    return re.sub(r"[:*]", "_", text or "")
