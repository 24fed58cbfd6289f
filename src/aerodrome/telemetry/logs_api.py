"""CloudWatch Logs' operations on the store: a request in, an answer out.

Groups, streams, events, retention and tags are offered here, Insights by `insights_api`; of anything else the answer
says so. Who may ask was decided before.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Awaitable, Callable, Mapping
from fnmatch import fnmatchcase
from typing import Any

import structlog

from aerodrome.telemetry import acceptance, insights_api, patterns, positions, wire
from aerodrome.telemetry.acceptance import LogEvent
from aerodrome.telemetry.catalogue import Catalogue, LogGroup, Stream
from aerodrome.telemetry.insights_api import InsightsApi
from aerodrome.telemetry.live_tail import LiveTails
from aerodrome.telemetry.pages import Asked, StoredEvent
from aerodrome.telemetry.positions import Position
from aerodrome.telemetry.refusals import INVALID, NOT_FOUND, TelemetryRefusedError, invalid
from aerodrome.telemetry.store import Store
from aerodrome.telemetry.wire import UNKNOWN, Document

RETENTIONS = frozenset(
    {1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653}
)
"""Days that a group's retention may be."""

MOST_EVENTS = 10_000
PAGE_BYTES = 2**20
"""Of one page of events."""

SEARCH_SECONDS = 10.0
"""After which a search answers what it has, and a token for the rest."""

LAST_MOMENT = 2**53
"""Later than any event's time."""

MOST_DESCRIBED = 50
MOST_TAGS = 50

SEQUENCE_TOKEN = "49039859603532708374858374857348573485734857348573485734"  # noqa: S105 - AWS sends one that no longer matters
"""For clients that still hand it on."""

log = structlog.get_logger("telemetry")

Answer = Mapping[str, Any]


class LogsApi:
    """The service."""

    def __init__(self, store: Store, *, region: str, account: str) -> None:
        self._store = store
        self._region = region
        self._account = account
        self._insights = InsightsApi(store, account=account, group_of=self._named_group)
        self.live_tails = LiveTails(store, account=account, group_of=self._named_group)

    async def answer(self, target: str, body: bytes, *, caller: str = "") -> tuple[int, bytes]:
        """Status and body for a request to the operation that `target` names, by `caller`."""
        try:
            wanted = wire.operation(target)
            given = wire.read(wanted, body)
            if wanted.name in SEARCHES:
                return 200, wire.success(await SEARCHES[wanted.name](self, given, caller))
            if wanted.name in insights_api.OFFERED:
                return 200, wire.success(await insights_api.OFFERED[wanted.name](self._insights, given, caller))
            carry_out = OFFERED.get(wanted.name, _unoffered(wanted.name))
            return 200, wire.success(await carry_out(self, given))
        except TelemetryRefusedError as error:
            return wire.status(error), wire.failure(error)

    async def create_group(self, given: Document) -> Answer:
        if "kmsKeyId" in given:
            raise invalid("kmsKeyId is not offered here: logs are not encrypted. Leave it out.")
        await self._store.ask(
            Catalogue.create_group,
            given["logGroupName"],
            now=self._store.now,
            kind=given.get("logGroupClass", "STANDARD"),
            tags=_fit(given.get("tags", {})),
            is_protected=given.get("deletionProtectionEnabled", False),
        )
        return {}

    async def delete_group(self, given: Document) -> Answer:
        group = await self._group(given)
        self._store.discard(await self._store.ask(Catalogue.delete_group, group.name))
        return {}

    async def protect_group(self, given: Document) -> Answer:
        group = await self._group(given)
        await self._store.ask(Catalogue.change_group, group.name, is_protected=given["deletionProtectionEnabled"])
        return {}

    async def describe_groups(self, given: Document) -> Answer:
        if given.get("logGroupNamePrefix") and given.get("logGroupNamePattern"):
            raise invalid("logGroupNamePrefix and logGroupNamePattern are mutually exclusive")
        limit, after = given.get("limit", MOST_DESCRIBED), _name_in(given.get("nextToken"))
        if given.get("logGroupIdentifiers"):
            named = await self._store.ask(Catalogue.named, [self._name(each) for each in given["logGroupIdentifiers"]])
            found = [group for group in named if group.name > after]
        else:
            found = await self._store.ask(
                Catalogue.groups,
                prefix=given.get("logGroupNamePrefix", ""),
                contains=given.get("logGroupNamePattern", ""),
                after=after,
                limit=limit + 1,
            )
        kind = given.get("logGroupClass")
        shown = [await self._described(group) for group in found[:limit] if kind in {None, group.kind}]
        return {"logGroups": shown, "nextToken": _token(found[limit - 1].name) if len(found) > limit else None}

    async def list_groups(self, given: Document) -> Answer:
        limit = given.get("limit", MOST_DESCRIBED)
        pattern = given.get("logGroupNamePattern", "")
        if "|" in pattern or pattern.startswith("^"):
            raise invalid("logGroupNamePattern: alternatives and ^ are not offered here; give a part of the names.")
        for name in ("dataSources", "fieldIndexNames", "accountIdentifiers"):
            if given.get(name):
                raise invalid(f"{name} is not offered here: leave it out.")
        kind, wanted = given.get("logGroupClass"), given.get("logGroupTags", ())
        found = await self._store.ask(
            Catalogue.groups, contains=pattern, after=_name_in(given.get("nextToken")), limit=limit + 1
        )
        shown = [
            {"logGroupName": group.name, "logGroupArn": self._arn(group.name), "logGroupClass": group.kind}
            for group in found[:limit]
            if kind in {None, group.kind} and all(_is_tagged(group, each) for each in wanted)
        ]
        return {"logGroups": shown, "nextToken": _token(found[limit - 1].name) if len(found) > limit else None}

    async def put_retention(self, given: Document) -> Answer:
        days = given["retentionInDays"]
        if days not in RETENTIONS:
            raise invalid(f"Invalid retention value. Valid values are: {sorted(RETENTIONS)}")
        await self._store.ask(Catalogue.change_group, given["logGroupName"], retention=days)
        return {}

    async def delete_retention(self, given: Document) -> Answer:
        await self._store.ask(Catalogue.change_group, given["logGroupName"], retention=None)
        return {}

    async def tag(self, given: Document) -> Answer:
        name = self._tagged(given)
        await self._store.ask(Catalogue.change_tags, name, lambda tags: _fit({**tags, **given["tags"]}))
        return {}

    async def untag(self, given: Document) -> Answer:
        name, gone = self._tagged(given), set(given.get("tagKeys") or given.get("tags") or ())
        await self._store.ask(
            Catalogue.change_tags, name, lambda tags: {key: value for key, value in tags.items() if key not in gone}
        )
        return {}

    async def list_tags(self, given: Document) -> Answer:
        return {"tags": (await self._store.ask(Catalogue.group, self._tagged(given))).tags}

    async def create_stream(self, given: Document) -> Answer:
        await self._store.ask(
            Catalogue.create_stream, given["logGroupName"], given["logStreamName"], now=self._store.now
        )
        return {}

    async def delete_stream(self, given: Document) -> Answer:
        await self._store.ask(Catalogue.delete_stream, given["logGroupName"], given["logStreamName"])
        return {}

    async def describe_streams(self, given: Document) -> Answer:
        group = await self._group(given)
        limit, prefix = given.get("limit", MOST_DESCRIBED), given.get("logStreamNamePrefix", "")
        is_descending = given.get("descending", False)
        if given.get("orderBy") == "LastEventTime":
            if prefix:
                raise invalid("Cannot order by LastEventTime with a logStreamNamePrefix.")
            after = _last_event(_read(given.get("nextToken")))
            found = await self._store.ask(
                Catalogue.streams_by_time, group, after=after, is_descending=is_descending, limit=limit + 1
            )
            last: Any = [found[limit - 1].last_event or 0, found[limit - 1].name] if len(found) > limit else None
        else:
            found = await self._store.ask(
                Catalogue.streams,
                group,
                prefix=prefix,
                after=_name_in(given.get("nextToken")),
                is_descending=is_descending,
                limit=limit + 1,
            )
            last = found[limit - 1].name if len(found) > limit else None
        shown = [self._described_stream(group, stream) for stream in found[:limit]]
        return {"logStreams": shown, "nextToken": _token(last) if last is not None else None}

    async def put_events(self, given: Document) -> Answer:
        group = await self._store.ask(Catalogue.group, given["logGroupName"])
        stream = await self._store.ask(Catalogue.stream, group, given["logStreamName"])
        batch = [LogEvent(each["timestamp"], each["message"]) for each in given["logEvents"]]
        now = self._store.now
        accepted = acceptance.accept(batch, now=now, retention_days=group.retention)
        await self._store.append(group, stream, accepted.events, now=now)
        rejected = {
            "tooNewLogEventStartIndex": accepted.too_new_from,
            "tooOldLogEventEndIndex": accepted.too_old_until,
            "expiredLogEventEndIndex": accepted.expired_until,
        }
        told = {name: index for name, index in rejected.items() if index is not None}
        return {"nextSequenceToken": SEQUENCE_TOKEN, "rejectedLogEventsInfo": told or None}

    async def get_events(self, given: Document, caller: str) -> Answer:
        group = await self._group(given)
        stream = await self._store.ask(Catalogue.stream, group, given["logStreamName"])
        direction, place = ("f" if given.get("startFromHead") else "b"), None
        if "nextToken" in given:
            direction, place = positions.read_page_token(given["nextToken"])
        is_forward = direction == "f"
        start = max(given.get("startTime", 0), self._store.cutoff(group.retention))
        page = await self._store.page(
            Asked(
                group=group.identifier,
                streams=(stream.identifier,),
                start=start,
                end=given.get("endTime", LAST_MOMENT),
                after=place if is_forward else None,
                before=None if is_forward else place,
                is_backward=not is_forward,
                limit=given.get("limit", MOST_EVENTS),
                most_bytes=PAGE_BYTES,
            ),
            caller=caller,
        )
        rows = page.rows if is_forward else page.rows[::-1]
        shown = [{"timestamp": row.moment, "message": row.message, "ingestionTime": row.ingested} for row in rows]
        first, last = _ends(rows, place, is_forward=is_forward)
        return {
            "events": shown,
            "nextForwardToken": positions.page_token("f", last),
            "nextBackwardToken": positions.page_token("b", first),
        }

    async def filter_events(self, given: Document, caller: str) -> Answer:
        group = await self._group(given)
        condition = patterns.read(given.get("filterPattern", ""))
        streams = await self._searched(group, given)
        direction, place = ("f" if given.get("startFromHead", True) else "b"), None
        if "nextToken" in given:
            direction, place = positions.read_search_token(given["nextToken"], given)
        page = await self._store.page(
            Asked(
                group=group.identifier,
                streams=streams,
                start=max(given.get("startTime", 0), self._store.cutoff(group.retention)),
                end=given.get("endTime", LAST_MOMENT) + 1,
                after=place if direction == "f" else None,
                before=place if direction == "b" else None,
                is_backward=direction == "b",
                limit=given.get("limit", MOST_EVENTS),
                most_bytes=PAGE_BYTES,
                condition=condition,
                seconds=SEARCH_SECONDS,
            ),
            caller=caller,
        )
        names = await self._store.ask(Catalogue.stream_names, group, [row.stream for row in page.rows])
        shown = [_found(row, names[row.stream]) for row in page.rows if row.stream in names]
        token = positions.search_token(direction, page.resume, given) if page.resume is not None else None
        return {"events": shown, "searchedLogStreams": [], "nextToken": token}

    async def _searched(self, group: LogGroup, given: Document) -> tuple[int, ...] | None:
        named, prefix = given.get("logStreamNames"), given.get("logStreamNamePrefix")
        if named and prefix:
            raise invalid("logStreamNames and logStreamNamePrefix are mutually exclusive")
        if named:
            return tuple([(await self._store.ask(Catalogue.stream, group, name)).identifier for name in named])
        return tuple(await self._store.ask(Catalogue.stream_ids, group, prefix)) if prefix else None

    async def _group(self, given: Document) -> LogGroup:
        """The group that is named, in one of two ways."""
        named = [given[member] for member in ("logGroupName", "logGroupIdentifier") if member in given]
        if len(named) != 1:
            raise invalid("Exactly one of logGroupName and logGroupIdentifier must be specified.")
        return await self._named_group(named[0])

    async def _named_group(self, named: str) -> LogGroup:
        """The group of a name or an ARN."""
        return await self._store.ask(Catalogue.group, self._name(named))

    def _tagged(self, given: Document) -> str:
        """The name of the group whose tags are meant."""
        named = str(given.get("resourceArn") or given["logGroupName"])
        if "resourceArn" in given and ":log-group:" not in named:
            raise TelemetryRefusedError(NOT_FOUND, "Tags are kept of log groups only.")
        return self._name(named)

    def _name(self, named: str) -> str:
        """The name that a name or an ARN stands for."""
        if not named.startswith("arn:"):
            return named
        before, separator, name = named.partition(":log-group:")
        if not separator or before != f"arn:aws:logs:{self._region}:{self._account}":
            raise TelemetryRefusedError(INVALID, f"{named} is no log group of this account and region.")
        return name

    def _arn(self, name: str) -> str:
        return f"arn:aws:logs:{self._region}:{self._account}:log-group:{name}"

    async def _described(self, group: LogGroup) -> Document:
        found = {
            "logGroupName": group.name,
            "creationTime": group.created,
            "retentionInDays": group.retention,
            "metricFilterCount": 0,
            "arn": f"{self._arn(group.name)}:*",
            "storedBytes": await self._store.ask(Catalogue.stored, group),
            "logGroupClass": group.kind,
            "logGroupArn": self._arn(group.name),
            "deletionProtectionEnabled": group.is_protected,
        }
        return {name: value for name, value in found.items() if value is not None}

    def _described_stream(self, group: LogGroup, stream: Stream) -> Document:
        found = {
            "logStreamName": stream.name,
            "creationTime": stream.created,
            "firstEventTimestamp": stream.first_event,
            "lastEventTimestamp": stream.last_event,
            "lastIngestionTime": stream.last_ingestion,
            "uploadSequenceToken": SEQUENCE_TOKEN,
            "arn": f"{self._arn(group.name)}:log-stream:{stream.name}",
            "storedBytes": 0,
        }
        return {name: value for name, value in found.items() if value is not None}


OFFERED: Mapping[str, Callable[[LogsApi, Document], Awaitable[Answer]]] = {
    "CreateLogGroup": LogsApi.create_group,
    "CreateLogStream": LogsApi.create_stream,
    "DeleteLogGroup": LogsApi.delete_group,
    "DeleteLogStream": LogsApi.delete_stream,
    "DeleteRetentionPolicy": LogsApi.delete_retention,
    "DescribeLogGroups": LogsApi.describe_groups,
    "DescribeLogStreams": LogsApi.describe_streams,
    "ListLogGroups": LogsApi.list_groups,
    "ListTagsForResource": LogsApi.list_tags,
    "ListTagsLogGroup": LogsApi.list_tags,
    "PutLogEvents": LogsApi.put_events,
    "PutLogGroupDeletionProtection": LogsApi.protect_group,
    "PutRetentionPolicy": LogsApi.put_retention,
    "TagLogGroup": LogsApi.tag,
    "TagResource": LogsApi.tag,
    "UntagLogGroup": LogsApi.untag,
    "UntagResource": LogsApi.untag,
}
"""The operations that are carried out, by name."""

SEARCHES: Mapping[str, Callable[[LogsApi, Document, str], Awaitable[Answer]]] = {
    "FilterLogEvents": LogsApi.filter_events,
    "GetLogEvents": LogsApi.get_events,
}
"""Those that may take long, change nothing, and of which a caller may have a few at once."""


def is_search(target: str) -> bool:
    """Whether the header `X-Amz-Target` names one of them."""
    return target.rpartition(".")[2] in SEARCHES


def _unoffered(name: str) -> Callable[[LogsApi, Document], Awaitable[Answer]]:
    async def refuse(_api: LogsApi, _given: Document) -> Answer:
        raise TelemetryRefusedError(UNKNOWN, f"{name} is not offered by Aerodrome's CloudWatch Logs.")

    return refuse


def _found(row: StoredEvent, stream: str) -> Document:
    return {
        "logStreamName": stream,
        "timestamp": row.moment,
        "message": row.message,
        "ingestionTime": row.ingested,
        "eventId": positions.event_id(row.position),
    }


def _ends(rows: tuple[StoredEvent, ...], place: Position | None, *, is_forward: bool) -> tuple[Position, Position]:
    """Before what the page begins, and after what it ends; an empty one stays where it was."""
    if rows:
        return rows[0].position, rows[-1].position
    if place is None:
        return Position(0, 0), Position(0, 0)
    beside = place.number + 1 if is_forward else max(place.number - 1, 0)
    return (Position(place.moment, beside), place) if is_forward else (place, Position(place.moment, beside))


def _is_tagged(group: LogGroup, wanted: Document) -> bool:
    """Whether it has a tag that ListLogGroups names, with one of its values where it gives some."""
    value = group.tags.get(wanted["key"])
    values = wanted.get("values") or ["*"]
    return value is not None and any(_is_value(value, each) for each in values)


def _is_value(value: str, wanted: str) -> bool:
    """`!` is anything else, and `*` anything, then in upper or lower case."""
    plain = wanted.removeprefix("!")
    is_same = fnmatchcase(value.lower(), plain.lower()) if "*" in plain else value == plain
    return is_same != wanted.startswith("!")


def _fit(tags: Mapping[str, str]) -> dict[str, str]:
    if len(tags) > MOST_TAGS:
        raise TelemetryRefusedError("TooManyTagsException", f"A log group may have {MOST_TAGS} tags.")
    return dict(tags)


def _token(last: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(last).encode()).decode()


def _read(token: str | None) -> Any:
    """What `_token` has written; None without one."""
    if token is None:
        return None
    try:
        found = json.loads(base64.urlsafe_b64decode(token))
        json.dumps(found, ensure_ascii=False).encode()  # half a character cannot be looked up
    except (ValueError, RecursionError):
        raise invalid("The specified nextToken is invalid.") from None
    return found


def _last_event(token: Any) -> tuple[int, str] | None:
    match token:
        case None:
            return None
        case [int(moment), str(name)] if abs(moment) <= LAST_MOMENT:
            return moment, name
    raise invalid("The specified nextToken is invalid.")


def _name_in(token: str | None) -> str:
    found = _read(token)
    if found is not None and not isinstance(found, str):
        raise invalid("The specified nextToken is invalid.")
    return found or ""
