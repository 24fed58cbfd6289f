"""CloudWatch Logs' operations of Insights: queries, their results, and the fields of events."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aerodrome.telemetry.catalogue import Catalogue, LogGroup
from aerodrome.telemetry.insights.discovery import MOST_FIELDS
from aerodrome.telemetry.insights.search import Question, Searched
from aerodrome.telemetry.pages import Asked
from aerodrome.telemetry.positions import Position
from aerodrome.telemetry.queries import MOST_ROWS_OF_A_PAGE, InsightsQueries, InsightsQuery
from aerodrome.telemetry.refusals import MALFORMED, NOT_FOUND, TelemetryRefusedError, invalid
from aerodrome.telemetry.store import Store
from aerodrome.telemetry.wire import Document

MOST_GROUPS = 50
DEFAULT_ROWS = 10_000

SAMPLE = 1_000
SAMPLE_BYTES = 2**20
"""Of the newest events, in which fields are looked for."""

SAMPLED_SECONDS = 900
"""How long a sample is, before and after a time that is asked for; 8 minutes each on AWS."""

Answer = Mapping[str, Any]


class InsightsApi:
    """These operations; `group_of` finds a log group by its name or ARN."""

    def __init__(self, store: Store, *, account: str, group_of: Callable[[str], Awaitable[LogGroup]]) -> None:
        self._store = store
        self._account = account
        self._group_of = group_of
        self._queries = InsightsQueries(store)

    async def start(self, given: Document, caller: str) -> Answer:
        if given.get("queryLanguage", "CWLI") != "CWLI":
            raise invalid("queryLanguage: only CWLI is offered here.")
        if given["startTime"] > given["endTime"]:
            raise invalid("startTime is after endTime.")
        with self._queries.arriving(caller):
            groups = await self._groups(given)
            translated = await self._store.translated(given["queryString"], most_rows=given.get("limit", DEFAULT_ROWS))
            searched = tuple(
                Searched(
                    identifier=group.identifier,
                    name=f"{self._account}:{group.name}",
                    start=max(int(given["startTime"]) * 1000, self._store.cutoff(group.retention)),
                )
                for group in groups
            )
            question = Question(groups=searched, end=int(given["endTime"]) * 1000 + 999, translated=translated)
            names = tuple(group.name for group in groups)
            return {"queryId": self._queries.start(question, text=given["queryString"], caller=caller, groups=names)}

    async def results(self, given: Document, caller: str) -> Answer:
        query = self._queries.found(given["queryId"], caller=caller)
        outcome = query.outcome
        if outcome is None:
            return {"queryLanguage": "CWLI", "results": [], "statistics": _statistics(query), "status": query.status}
        most = min(given.get("maxItems", MOST_ROWS_OF_A_PAGE), MOST_ROWS_OF_A_PAGE)
        start = _place(given.get("nextToken"), query.identifier)
        try:
            page = await asyncio.to_thread(self._queries.rows, query, start=start, most=most)
        except ValueError:  # the middle of a row
            raise invalid("The specified nextToken is invalid.") from None
        return {
            "queryLanguage": "CWLI",
            "results": [[{"field": name, "value": value} for name, value in row] for row in page.rows],
            "statistics": _statistics(query),
            "status": query.status,
            "nextToken": None if page.resume is None else _token(page.resume, query.identifier),
        }

    async def stop(self, given: Document, caller: str) -> Answer:
        self._queries.stop(given["queryId"], caller=caller)
        return {"success": True}

    async def describe(self, given: Document, caller: str) -> Answer:
        most, after = given.get("maxResults", DEFAULT_ROWS), given.get("nextToken")
        if given.get("queryLanguage", "CWLI") != "CWLI":
            return {"queries": []}
        found = [
            query
            for query in self._queries.of(caller)
            if given.get("logGroupName") in {None, *query.groups} and given.get("status") in {None, query.status}
        ]
        if after is not None:
            place = next((number for number, query in enumerate(found, start=1) if query.identifier == after), None)
            if place is None:
                raise invalid("The specified nextToken is invalid.")
            found = found[place:]
        shown = [
            {
                "queryLanguage": "CWLI",
                "queryId": query.identifier,
                "queryString": query.text,
                "status": query.status,
                "createTime": query.created,
                "logGroupName": query.groups[0],
                "queryDuration": query.duration,
                "bytesScanned": float(query.outcome.scanned_bytes if query.outcome else 0),
            }
            for query in found[:most]
        ]
        return {"queries": shown, "nextToken": found[most - 1].identifier if len(found) > most else None}

    async def record(self, given: Document, caller: str) -> Answer:
        group, moment, number = _pointed(given["logRecordPointer"])
        asked = Asked(
            group=group,
            streams=None,
            start=moment,
            end=moment + 1,
            after=Position(moment, number - 1),
            limit=1,
            most_bytes=SAMPLE_BYTES,
        )
        rows = (await self._store.page(asked, caller=caller)).rows
        found = await self._store.ask(Catalogue.group_of, group)
        if found is None or not rows or rows[0].number != number or moment < self._store.cutoff(found.retention):
            raise TelemetryRefusedError(NOT_FOUND, "There is no such log record.")
        names = await self._store.ask(Catalogue.stream_names, found, [rows[0].stream])
        return {
            "logRecord": {
                "@ptr": given["logRecordPointer"],
                "@message": rows[0].message,
                "@timestamp": str(moment),
                "@ingestionTime": str(rows[0].ingested),
                "@log": f"{self._account}:{found.name}",
                "@logStream": names.get(rows[0].stream, ""),
                **await self._store.fields_of(rows[0].message),
            }
        }

    async def fields(self, given: Document, caller: str) -> Answer:
        named = [given[member] for member in ("logGroupName", "logGroupIdentifier") if member in given]
        if len(named) != 1:
            raise invalid("Exactly one of logGroupName and logGroupIdentifier must be specified.")
        group = await self._group_of(named[0])
        middle = given.get("time")
        start, end = (
            (self._store.now - SAMPLED_SECONDS * 1000, self._store.now + SAMPLED_SECONDS * 1000)
            if middle is None
            else (int(middle - SAMPLED_SECONDS) * 1000, int(middle + SAMPLED_SECONDS) * 1000)
        )
        asked = Asked(
            group=group.identifier,
            streams=None,
            start=max(start, self._store.cutoff(group.retention)),
            end=end,
            is_backward=True,
            limit=SAMPLE,
            most_bytes=SAMPLE_BYTES,
        )
        rows = (await self._store.page(asked, caller=caller)).rows
        if not rows:
            return {"logGroupFields": []}
        counts = [(name, len(rows)) for name in ("@timestamp", "@message", "@logStream", "@log", "@ingestionTime")]
        counts += await self._store.counted_fields([row.message for row in rows])
        return {
            "logGroupFields": [
                {"name": name, "percent": round(100 * count / len(rows))} for name, count in counts[:MOST_FIELDS]
            ]
        }

    async def _groups(self, given: Document) -> list[LogGroup]:
        members = ("logGroupName", "logGroupNames", "logGroupIdentifiers")
        named = [given[member] for member in members if given.get(member)]
        if len(named) != 1:
            raise invalid("Exactly one of logGroupName, logGroupNames and logGroupIdentifiers must be specified.")
        names = [named[0]] if isinstance(named[0], str) else named[0]
        if len(names) > MOST_GROUPS:
            raise TelemetryRefusedError(MALFORMED, f"A query searches {MOST_GROUPS} log groups at most.")
        found = {group.identifier: group for group in [await self._group_of(name) for name in names]}
        return list(found.values())


OFFERED: Mapping[str, Callable[[InsightsApi, Document, str], Awaitable[Answer]]] = {
    "DescribeQueries": InsightsApi.describe,
    "GetLogGroupFields": InsightsApi.fields,
    "GetLogRecord": InsightsApi.record,
    "GetQueryResults": InsightsApi.results,
    "StartQuery": InsightsApi.start,
    "StopQuery": InsightsApi.stop,
}
"""The operations that are carried out, by name."""


def _statistics(query: InsightsQuery) -> dict[str, float]:
    outcome = query.outcome
    return {
        "recordsMatched": float(outcome.matched if outcome else 0),
        "recordsScanned": float(outcome.scanned if outcome else 0),
        "bytesScanned": float(outcome.scanned_bytes if outcome else 0),
        "logGroupsScanned": float(len(query.groups)),
        "resultCount": float(outcome.rows if outcome else 0),
    }


def _token(place: int, identifier: str) -> str:
    return base64.urlsafe_b64encode(f"{identifier}/{place}".encode()).decode()


def _place(token: str | None, identifier: str) -> int:
    """The place in the rows of a query that a token names."""
    if token is None:
        return 0
    try:
        named, _, place = base64.urlsafe_b64decode(token).decode().partition("/")
        if named == identifier and place.isascii() and place.isdigit():
            return int(place[:18])
    except ValueError:
        pass
    raise invalid("The specified nextToken is invalid.")


def _pointed(pointer: str) -> tuple[int, int, int]:
    """Group, time and number of an event."""
    try:
        group, moment, number = (int(each) for each in base64.b64decode(pointer, validate=True).split(b"."))
    except ValueError:
        raise invalid("The specified logRecordPointer is invalid.") from None
    if max(abs(group), abs(moment), abs(number)) >= 2**62:  # beyond what a column holds
        raise invalid("The specified logRecordPointer is invalid.")
    return group, moment, number
