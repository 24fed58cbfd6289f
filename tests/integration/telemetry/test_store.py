from __future__ import annotations

import asyncio
import base64
import json
import re
import secrets
import shutil
import sqlite3
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from aerodrome import clock
from aerodrome.telemetry import engine, keeping, pages, queries
from aerodrome.telemetry.engine import StorePaths
from aerodrome.telemetry.keeping import FLUSHED_AGE, MERGED_PARTS, StoreLimits
from aerodrome.telemetry.logs_api import LogsApi
from aerodrome.telemetry.pages import Asked
from aerodrome.telemetry.refusals import TelemetryRefusedError
from aerodrome.telemetry.store import SEARCHES_EACH, Store
from waiting import wait_for

ROOMY = StoreLimits(total_bytes=2**30, longest_days=90)
LATER = timedelta(milliseconds=FLUSHED_AGE)


class Bench:
    """A store, and its operations by name."""

    def __init__(self, folder: Path, limits: StoreLimits) -> None:
        self.late_by = timedelta()
        self.folder = folder
        began = clock.now()
        noon = began.replace(hour=12, minute=0, second=0, microsecond=0)  # far from where one day's file ends
        self.store = Store(folder, limits=limits, clock=lambda: noon + (clock.now() - began) + self.late_by)
        self.api = LogsApi(self.store, region="us-east-1", account="0" * 12)

    async def __call__(self, name: str, **given: Any) -> dict[str, Any]:
        status, body = await self.api.answer(f"Logs_20140328.{name}", json.dumps(given).encode())
        found = json.loads(body)
        if status != 200:
            raise AssertionError(found["__type"], found["message"])
        return found

    async def refusal(self, name: str, **given: Any) -> str:
        status, body = await self.api.answer(f"Logs_20140328.{name}", json.dumps(given).encode())
        assert status in {400, 503}
        return json.loads(body)["__type"]

    async def put(self, *messages: str, stream: str = "s", at: int | None = None) -> None:
        now = at or self.store.now
        events = [{"timestamp": now + number, "message": each} for number, each in enumerate(messages)]
        await self("PutLogEvents", logGroupName="g", logStreamName=stream, logEvents=events)

    async def moved(self) -> None:
        """Let the newest events go to files."""
        self.late_by += LATER
        await self.store.keep_once()

    async def all(self, **given: Any) -> list[str]:
        found, token = [], {}
        while True:
            page = await self("FilterLogEvents", logGroupName="g", **given, **token)
            found += [event["message"] for event in page["events"]]
            if "nextToken" not in page:
                return found
            token = {"nextToken": page["nextToken"]}

    def files(self) -> list[str]:
        return sorted(path.name for path in (self.folder / "parts").iterdir())


@asynccontextmanager
async def opened(limits: StoreLimits = ROOMY) -> AsyncIterator[Bench]:
    folder = Path(tempfile.mkdtemp(prefix="aero-"))
    bench = Bench(folder, limits)
    await bench.store.open()
    try:
        await bench("CreateLogGroup", logGroupName="g")
        for name in ("s", "t"):
            await bench("CreateLogStream", logGroupName="g", logStreamName=name)
        yield bench
    finally:
        await bench.store.close()
        shutil.rmtree(folder)


MESSAGES = [
    "ERROR code 500 in worker",
    "WARN slow \x00 \n  second line ünï",
    'INFO "quoted" 404',
    '{"level": "error", "n": 5, "who": {"name": "ann", "tags": ["x", "y"]}, "ok": true, "gone": null}',
    '{"level": "info", "n": 50.5, "who": {"name": "bob"}, "ok": false, "path": "a_b%c"}',
    '{"level": "errors", "n": "7", "who": {"na.me": "eve"}}',
    '{"broken": ',
    "[1, 2]",
    "error lower case",
]
J = [json.loads(each) if each.startswith('{"l') else {} for each in MESSAGES]
PATTERNS: list[tuple[str, Any]] = [
    ("", lambda _m, _j: True),
    ("ERROR", lambda m, _j: "ERROR" in m),
    ("ERROR 500", lambda m, _j: "ERROR" in m and "500" in m),
    ("?ERROR ?WARN", lambda m, _j: "ERROR" in m or "WARN" in m),
    ("ERROR ?WARN", lambda m, _j: "ERROR" in m),
    ("-ERROR -error", lambda m, _j: "ERROR" not in m and "error" not in m),
    ('"code 500"', lambda m, _j: "code 500" in m),
    (r'"\"quoted\""', lambda m, _j: '"quoted"' in m),
    ("%[45]0[04]%", lambda m, _j: re.search("[45]0[04]", m)),
    ('{ $.level = "error" }', lambda _m, j: j.get("level") == "error"),
    ("{ $.level = error }", lambda _m, j: j.get("level") == "error"),
    ('{ $.level = "err*" }', lambda _m, j: j.get("level", "").startswith("err")),
    ('{ $.path = "a_b%*" }', lambda _m, j: j.get("path", "").startswith("a_b%")),
    ('{ $.path = "axb*" }', lambda _m, _j: False),
    ('{ $.level != "error" }', lambda _m, j: j.get("level", "error") != "error"),
    ("{ $.level = %^err% }", lambda _m, j: j.get("level", "").startswith("err")),
    ("{ $.n > 5 }", lambda _m, j: float(j.get("n", 0)) > 5),
    ("{ $.n = 5 }", lambda _m, j: float(j.get("n", 0)) == 5),
    ('{ $.n >= 5 && $.level = "error" }', lambda _m, j: j.get("level") == "error"),
    ("{ ($.n = 5 || $.n = 50.5) && $.ok IS FALSE }", lambda _m, j: j.get("n") == 50.5),
    ("{ $.ok IS TRUE }", lambda _m, j: j.get("ok") is True),
    ("{ $.gone IS NULL }", lambda _m, j: "gone" in j),
    ("{ $.who.name NOT EXISTS }", lambda m, j: m == "[1, 2]" or (j and "name" not in j["who"])),
    ("{ $.who.name = ann }", lambda _m, j: j and j["who"].get("name") == "ann"),
    ("{ $.who.tags[1] = y }", lambda _m, j: j and j["who"].get("tags") == ["x", "y"]),
    ("{ $.who['na.me'] = eve }", lambda _m, j: j and "na.me" in j["who"]),
]  # fmt: skip


def test_filter_patterns_say_the_same_of_new_and_of_moved_events_as_plain_python():
    async def run() -> None:
        async with opened() as bench:
            await bench.put(*MESSAGES[:5])
            for shown in (5, len(MESSAGES)):
                for pattern, oracle in PATTERNS:
                    wanted = [each for each, j in list(zip(MESSAGES, J, strict=True))[:shown] if oracle(each, j)]
                    assert await bench.all(filterPattern=pattern) == wanted, pattern
                if shown == 5:
                    await bench.moved()
                    await bench.put(*MESSAGES[5:])
            assert len(bench.files()) == 1
            assert await bench.refusal("FilterLogEvents", logGroupName="g", filterPattern="%[%") == (
                "InvalidParameterException"
            )

    asyncio.run(run())


def test_pages_forward_and_backward_have_every_event_once_while_files_are_written_and_merged():
    async def run() -> None:
        async with opened() as bench:
            base = bench.store.now
            wanted = []
            for number in range(MERGED_PARTS):
                texts = [f"{number}.{each}" for each in range(5)]
                wanted += texts
                await bench.put(*texts, at=base + number * 10)
                await bench.moved()
            names = bench.files()
            assert len(names) == MERGED_PARTS
            token: dict[str, str] = {}
            found: list[str] = []
            while True:
                page = await bench("FilterLogEvents", logGroupName="g", limit=7, **token)
                found += [event["message"] for event in page["events"]]
                if "nextToken" not in page:
                    break
                token = {"nextToken": page["nextToken"]}
                await bench.store.keep_once()
            assert found == wanted
            assert len(set(bench.files()) - set(names)) == 1, "the small files are merged"

            of = {"logGroupName": "g", "logStreamName": "s", "limit": 9}
            last = await bench("GetLogEvents", **of)
            assert [event["message"] for event in last["events"]] == wanted[-9:]
            backward, page = wanted[-9:], last
            while page["events"]:
                page = await bench("GetLogEvents", **of, nextToken=page["nextBackwardToken"])
                backward = [event["message"] for event in page["events"]] + backward
            assert backward == wanted
            again = await bench("GetLogEvents", **of, nextToken=page["nextForwardToken"])
            assert [event["message"] for event in again["events"]] == wanted[:9]

            end = last["nextForwardToken"]
            empty = await bench("GetLogEvents", **of, nextToken=end)
            assert (empty["events"], empty["nextForwardToken"]) == ([], end), "the end answers its own token"
            await bench.put("late")
            page = await bench("GetLogEvents", **of, nextToken=end)
            assert [event["message"] for event in page["events"]] == ["late"]
            latest = await bench("FilterLogEvents", logGroupName="g", limit=2, startFromHead=False)
            assert [event["message"] for event in latest["events"]] == ["late", wanted[-1]]
            more = await bench("FilterLogEvents", logGroupName="g", limit=2, nextToken=latest["nextToken"])
            assert [event["message"] for event in more["events"]] == [wanted[-2], wanted[-3]]

    asyncio.run(run())


def test_a_file_that_cannot_be_written_keeps_nothing_else_from_being_done():
    async def run() -> None:
        async with opened() as bench:
            await bench("CreateLogGroup", logGroupName="h")
            await bench("CreateLogStream", logGroupName="h", logStreamName="s")
            await bench.put("of g")
            now = bench.store.now
            await bench(
                "PutLogEvents", logGroupName="h", logStreamName="s", logEvents=[{"timestamp": now, "message": "of h"}]
            )
            wanted = bench.folder / "parts"
            really, failures = bench.store._writer.run, 0

            async def failing(work: Any, place: Any, write: Any, *more: Any) -> Any:
                nonlocal failures
                if write.group == 1:
                    failures += 1
                    (bench.folder / "tmp" / "half.parquet").write_bytes(b"PAR1")
                    raise MemoryError
                return await really(work, place, write, *more)

            bench.store._writer.run = failing
            (wanted / "useless").touch()
            bench.store._useless = {"useless": 0.0}
            await bench.moved()
            await bench.store.keep_once()
            assert failures == 1, "it is not tried again at once"
            assert [name[0] for name in bench.files()] == ["2"], "the other group's file alone"
            assert not list((bench.folder / "tmp").iterdir())
            assert await bench.all() == ["of g"]

    asyncio.run(run())


def test_no_file_is_made_of_more_of_the_newest_events_than_is_in_bounds(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(keeping, "MOVED_BYTES", 2_000_000)

    async def run() -> None:
        async with opened() as bench:
            for number in range(5):
                await bench.put(str(number) * 900_000)
            await bench.moved()
            assert len(bench.files()) == 1
            for _ in range(2):
                await bench.store.keep_once()
            assert len(bench.files()) == 3
            assert [text[0] for text in await bench.all()] == ["0", "1", "2", "3", "4"]

    asyncio.run(run())


def test_a_page_has_a_megabyte_at_most_and_always_an_event():
    async def run() -> None:
        async with opened() as bench:
            for number in range(3):
                await bench.put(str(number) * 700_000)
            page = await bench("FilterLogEvents", logGroupName="g")
            assert [event["message"][0] for event in page["events"]] == ["0"]
            assert [text[0] for text in await bench.all()] == ["0", "1", "2"]

    asyncio.run(run())


def test_pages_of_large_events_need_little_memory_and_no_long_reading_of_the_catalogue(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(engine, "MEMORY", "128MB")
    size, count, tidied = 1_000_000, 24, []
    really = engine.events

    async def run() -> None:
        async with opened() as bench:
            place = StorePaths(bench.folder)

            def during(*given: Any) -> str:
                with sqlite3.connect(place.catalogue) as other:
                    tidied.append(other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0)
                other.close()
                return really(*given)

            monkeypatch.setattr(engine, "events", during)
            for number in range(count):
                await bench.put(f"{number:03} {secrets.token_hex(size // 2)}")
                if number == count // 2:
                    await bench.moved()
            ticket = bench.folder / "tmp" / "ticket"
            ticket.touch()
            asked = Asked(group=1, streams=None, start=0, end=2**53, limit=10_000, most_bytes=2**20)
            found: list[str] = []
            while True:
                page = pages.page(place, asked, ticket)
                found += [row.message[:3] for row in page.rows]
                if page.resume is None:
                    break
                asked = replace(asked, after=page.resume)
            assert found == [f"{number:03}" for number in range(count)]
            assert all(tidied)

    asyncio.run(run())


def test_what_retention_and_deletions_take_is_seen_no_more():
    async def run() -> None:
        async with opened() as bench:
            old = bench.store.now - int(timedelta(days=5).total_seconds() * 1000)
            await bench.put("old", at=old)
            await bench.put("of the other", stream="t")
            await bench.moved()
            await bench.put("young")
            assert await bench.all() == ["old", "of the other", "young"]
            before = set(bench.files())
            await bench("PutRetentionPolicy", logGroupName="g", retentionInDays=3)
            assert await bench.all() == ["of the other", "young"], "at once, whatever lies in files"
            await bench("DeleteLogStream", logGroupName="g", logStreamName="t")
            assert await bench.all() == ["young"]
            await bench("CreateLogStream", logGroupName="g", logStreamName="t")
            assert await bench.all() == ["young"], "a stream of the same name is another one"
            plan = await bench.store.keep_once()
            assert len(plan.drops) == 1
            bench.store.discard([])
            await bench("DeleteLogGroup", logGroupName="g")
            assert await bench.refusal("FilterLogEvents", logGroupName="g") == "ResourceNotFoundException"
            await bench("CreateLogGroup", logGroupName="g")
            assert await bench.all() == []
            assert set(bench.files()) == before, "files linger for searches that have begun"

    asyncio.run(run())


def test_beyond_its_size_the_oldest_events_go_and_it_is_told():
    async def run() -> None:
        async with opened(StoreLimits(total_bytes=12_000, longest_days=90)) as bench:
            day = int(timedelta(days=1).total_seconds() * 1000)
            for days in (3, 2, 1):
                texts = [f"{days} {secrets.token_hex(30)}" for _ in range(200)]
                await bench.put(*texts, at=bench.store.now - days * day)
            await bench.moved()
            plan = await bench.store.keep_once()
            assert {str(each.reason) for each in plan.drops} == {"size"}
            found = await bench.all()
            assert "were dropped" in found[-1], "the group's owner reads it there"
            left = {text[0] for text in found}
            assert left
            assert "3" not in left
            told = await bench.store.ask(type(bench.store._catalogue).dropped)
            assert [(each["reason"], each["events"] % 200) for each in told] == [("size", 0)]

    asyncio.run(run())


def test_a_search_whose_process_dies_fails_alone():
    async def run() -> None:
        async with opened() as bench:
            await bench.put("a")
            await bench.all()
            workers = list(bench.store._workers._pool._processes.values())
            for process in workers:
                process.kill()
            wait_for("their end", lambda: not any(process.is_alive() for process in workers))
            await asyncio.sleep(0)
            for _ in range(10):
                try:
                    assert await bench.all() == ["a"]
                    break
                except AssertionError as error:
                    assert error.args[0] == "ServiceUnavailableException"  # noqa: PT017
            else:
                pytest.fail("it did not come back")

    asyncio.run(run())


def test_a_caller_has_a_few_searches_at_once_and_leaves_room_for_others():
    async def run() -> None:
        async with opened() as bench:
            await bench.put("a")
            asked = Asked(group=1, streams=None, start=0, end=2**53, limit=10, most_bytes=2**20)
            callers = [*["greedy"] * (SEARCHES_EACH + 1), "other"]
            found = await asyncio.gather(
                *(bench.store.page(asked, caller=caller) for caller in callers), return_exceptions=True
            )
            (refused,) = [each for each in found if isinstance(each, Exception)]
            assert (found.index(refused), refused.code) == (SEARCHES_EACH, "ThrottlingException")
            (again,) = (await bench.store.page(asked, caller="greedy")).rows
            assert again.message == "a"
            assert not list((bench.folder / "tmp").iterdir())

    asyncio.run(run())


def test_groups_and_streams_are_described_page_by_page():
    async def run() -> None:
        async with opened() as bench:
            for number in range(5):
                await bench("CreateLogGroup", logGroupName=f"/aws/{number}", tags={"a": "b"})
                await bench("CreateLogStream", logGroupName="g", logStreamName=f"u{number}")
            await bench.put("x", stream="u3")
            names, token = [], {}
            while True:
                page = await bench("DescribeLogGroups", logGroupNamePrefix="/aws/", limit=2, **token)
                names += [group["logGroupName"] for group in page["logGroups"]]
                if "nextToken" not in page:
                    break
                token = {"nextToken": page["nextToken"]}
            assert names == [f"/aws/{number}" for number in range(5)]
            names, token = [], {}
            order = {"orderBy": "LastEventTime", "descending": True, "limit": 2}
            while True:
                page = await bench("DescribeLogStreams", logGroupName="g", **order, **token)
                names += [stream["logStreamName"] for stream in page["logStreams"]]
                if "nextToken" not in page:
                    break
                token = {"nextToken": page["nextToken"]}
            assert names == ["u3", "u4", "u2", "u1", "u0", "t", "s"]
            found = await bench("DescribeLogStreams", logGroupName="g", logStreamNamePrefix="u3")
            (stream,) = found["logStreams"]
            assert stream["firstEventTimestamp"] == stream["lastEventTimestamp"] <= stream["lastIngestionTime"]
            arn = "arn:aws:logs:us-east-1:000000000000:log-group:/aws/1"
            await bench("TagResource", resourceArn=arn, tags={"c": "d"})
            await bench("UntagResource", resourceArn=arn, tagKeys=["a"])
            assert await bench("ListTagsForResource", resourceArn=arn) == {"tags": {"c": "d"}}
            for other in (arn.replace("aws", "x", 1), f"{arn}:*", arn.replace("us-east-1", "us-east-2")):
                assert await bench.refusal("ListTagsForResource", resourceArn=other) == "InvalidParameterException"
            deep, half, huge = "[" * 100_000, r'"\ud800"', f'[{10**30}, "a"]'
            for token, order in ((deep, "LogStreamName"), (half, "LogStreamName"), (huge, "LastEventTime")):
                asked = {"orderBy": order, "nextToken": base64.urlsafe_b64encode(token.encode()).decode()}
                found = await bench.refusal("DescribeLogStreams", logGroupName="g", **asked)
                assert found == "InvalidParameterException"
            assert await bench.refusal("DescribeExportTasks") == "UnknownOperationException"

    asyncio.run(run())


def test_tags_of_a_group_that_are_changed_at_one_time_all_stay():
    async def run() -> None:
        async with opened() as bench:
            arn = "arn:aws:logs:us-east-1:000000000000:log-group:g"
            await asyncio.gather(
                *(bench("TagResource", resourceArn=arn, tags={f"k{number}": ""}) for number in range(9)),
                bench("TagLogGroup", logGroupName="g", tags={"gone": ""}),
                bench("UntagLogGroup", logGroupName="g", tags=["gone"]),
            )
            assert sorted((await bench("ListTagsLogGroup", logGroupName="g"))["tags"]) == [f"k{n}" for n in range(9)]

    asyncio.run(run())


def test_a_group_that_is_protected_at_the_moment_of_its_deletion_stays():
    async def run() -> None:
        async with opened() as bench:
            protecting = bench("PutLogGroupDeletionProtection", logGroupIdentifier="g", deletionProtectionEnabled=True)
            deleting = bench.refusal("DeleteLogGroup", logGroupName="g")
            assert (await asyncio.gather(protecting, deleting))[1] == "ValidationException"
            assert [group["logGroupName"] for group in (await bench("DescribeLogGroups"))["logGroups"]] == ["g"]

    asyncio.run(run())


def test_queries_of_insights_live(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(queries, "MOST_KEPT_OF_ONE", 3)

    async def run() -> None:
        async with opened() as bench:
            await bench.put(*(json.dumps({"n": number}) for number in range(20)))
            asked = {"startTime": 0, "endTime": 2**33, "logGroupNames": ["g"]}

            async def ended(identifier: str) -> dict[str, Any]:
                query = bench.api._insights._queries.found(identifier, caller="")
                await asyncio.wait([query.task])
                return await bench("GetQueryResults", queryId=identifier)

            query = "fields n | filter n >= 10 | sort n"
            first = (await bench("StartQuery", queryString=query, **asked))["queryId"]
            found = await ended(first)
            assert found["status"] == "Complete"
            assert [row[0] for row in found["results"]] == [{"field": "n", "value": f"{n}"} for n in range(10, 20)]
            assert found["statistics"] | {"bytesScanned": 0} == {
                "recordsMatched": 10, "recordsScanned": 20, "bytesScanned": 0, "logGroupsScanned": 1, "resultCount": 10,
            }  # fmt: skip
            (pointer,) = [each["value"] for each in found["results"][0] if each["field"] == "@ptr"]
            record = (await bench("GetLogRecord", logRecordPointer=pointer))["logRecord"]
            assert (record["@message"], record["n"], record["@logStream"]) == ('{"n": 10}', "10", "s")
            told = (await bench("GetLogGroupFields", logGroupName="g"))["logGroupFields"]
            assert {"name": "n", "percent": 100} in told

            token: dict[str, str] = {}
            seen: list[str] = []
            while True:
                page = await bench("GetQueryResults", queryId=first, maxItems=3, **token)
                seen += [row[0]["value"] for row in page["results"]]
                if "nextToken" not in page:
                    break
                token = {"nextToken": page["nextToken"]}
            assert seen == [f"{n}" for n in range(10, 20)]
            other = base64.urlsafe_b64encode(f"{first}/7".encode()).decode()
            assert await bench.refusal("GetQueryResults", queryId=first, nextToken=other) == "InvalidParameterException"

            with pytest.raises(TelemetryRefusedError, match="of yours"):
                bench.api._insights._queries.found(first, caller="somebody else")
            assert await bench.refusal("StopQuery", queryId=first) == "InvalidParameterException"
            assert await bench.refusal("StartQuery", queryString="fields", **asked) == "MalformedQueryException"
            missing = {**asked, "logGroupNames": ["g", "none"]}
            assert await bench.refusal("StartQuery", queryString=query, **missing) == "ResourceNotFoundException"

            bad = (await bench("StartQuery", queryString="filter @message like /(a/", **asked))["queryId"]
            assert (await ended(bad))["status"] == "Failed"
            async with bench.api._insights._queries._turns.setdefault("", asyncio.Lock()):  # so that none begins
                several = [
                    (await bench("StartQuery", queryString=query, **asked))["queryId"]
                    for _ in range(queries.MOST_OPEN_OF_ONE)
                ]
                assert await bench.refusal("StartQuery", queryString=query, **asked) == "LimitExceededException"
                assert await bench("StopQuery", queryId=several[-1]) == {"success": True}
            assert [(await ended(each))["status"] for each in several] == [*["Complete"] * 3, "Cancelled"]
            for searchers in (bench.store._workers, bench.store._queriers):  # while all are busy, queries are taken
                monkeypatch.setattr(searchers, "run", lambda *_given, **_more: asyncio.Event().wait())
            await bench("StartQuery", queryString=query, **asked)
            assert await bench.refusal("StartQuery", queryString="fields", **asked) == "MalformedQueryException"
            assert await bench.refusal("GetQueryResults", queryId=first) == "ResourceNotFoundException"
            listed = (await bench("DescribeQueries", status="Cancelled"))["queries"]
            assert [each["queryId"] for each in listed] == several[-1:]

    asyncio.run(run())
