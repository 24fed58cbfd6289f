"""The audit log on a real PostgreSQL: what is recorded is read back, filtered, bounded, and never lost quietly."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
import structlog

from aerodrome.ledger import audit, schema
from aerodrome.ledger.audit import Audit
from aerodrome.ledger.environments import Environments
from aerodrome.ledger.migrate import migrate
from aerodrome.model.audit import AuditKind, Entry

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
ADA = "arn:aws:iam::000000000000:user/ada"
ENTRY = Entry(
    at=NOW,
    kind=AuditKind.API_REQUEST,
    environment="one",
    principal=ADA,
    action="airflow:GetEnvironment",
    resource="arn:aws:airflow:us-east-1:000000000000:environment/one",
    allowed=True,
    address="127.0.0.1",
    sentence="Allowed by statement 1 of managed policy X.",
    detail={"request_id": "1"},
)


@pytest.fixture
def log(engine):
    found = Audit(engine, now=lambda: NOW)
    yield found
    found.close()


def recorded(log, *entries, engine):
    """Record, flush, and give a reader on the same engine."""
    for entry in entries:
        log.record(entry)
    log.close()
    reader = Audit(engine, now=lambda: NOW)
    reader.close()
    return reader


def test_an_entry_is_read_back_whole(log, engine):
    [row] = recorded(log, ENTRY, engine=engine).entries()
    assert {key: row[key] for key in ("at", "kind", "environment", "principal", "action", "resource", "allowed")} == {
        "at": NOW,
        "kind": "API_REQUEST",
        "environment": "one",
        "principal": ADA,
        "action": "airflow:GetEnvironment",
        "resource": ENTRY.resource,
        "allowed": True,
    }
    assert (row["address"], row["detail"], row["sentence"]) == ("127.0.0.1", {"request_id": "1"}, ENTRY.sentence)


def test_it_is_there_soon_without_closing(log):
    log.record(ENTRY)
    deadline = time.monotonic() + 30
    while not log.entries():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_filters(log, engine):
    entries = [
        ENTRY,
        replace(ENTRY, at=NOW - timedelta(hours=2), environment="two", action="iam:CreateUser"),
        replace(ENTRY, principal=None, allowed=False, action="airflow:CreateCliToken", environment=None),
        replace(ENTRY, principal="arn:aws:iam::000000000000:user/bob", allowed=False, action="iam:x%y"),
    ]
    reader = recorded(log, *entries, engine=engine)

    def actions(**filters):
        return [row["action"] for row in reader.entries(**filters)]

    every = ["airflow:GetEnvironment", "iam:CreateUser", "airflow:CreateCliToken", "iam:x%y"]
    assert actions() == every
    assert actions(environment="one") == [every[0], every[3]]
    assert actions(principal=ADA) == every[:2]
    assert actions(action="iam:*") == [every[1], every[3]]
    assert actions(action="iam:CreateUser") == [every[1]]
    assert actions(action="iam:%*") == []
    assert actions(since=NOW - timedelta(hours=1)) == [every[0], *every[2:]]
    assert actions(denied_only=True) == every[2:]
    assert actions(limit=1) == every[3:]
    last = reader.entries()[-1]["id"]
    assert actions(after=last - 1) == every[3:]


def test_events_of_environments_and_entries_keep_apart_and_merge(log, engine):
    environments = Environments(engine, region="us-east-1", account="000000000000")
    environments.record("one", "TAGS_CHANGED", "Tags were added.", {}, NOW)
    reader = recorded(log, ENTRY, engine=engine)
    environments.record("one", "CREATED", "It is there.", {}, NOW)

    assert [row["kind"] for row in environments.events("one")] == ["TAGS_CHANGED", "CREATED"]
    assert [row["kind"] for row in reader.entries()] == ["API_REQUEST"]
    merged = reader.entries(environment="one", lifecycle=True)
    assert [row["kind"] for row in merged] == ["TAGS_CHANGED", "API_REQUEST", "CREATED"]
    assert [row["kind"] for row in reader.entries(principal=ADA, lifecycle=True)] == ["API_REQUEST"]


def test_reads_may_be_left_out_and_refused_ones_stay(log, engine):
    entries = [
        ENTRY,
        replace(ENTRY, allowed=False),
        replace(ENTRY, action="airflow:InvokeRestApi", detail={"method": "GET"}),
        replace(ENTRY, action="airflow:InvokeRestApi", detail={"method": "POST"}),
        replace(ENTRY, action="dags list", kind=AuditKind.CLI_COMMAND, detail={}),
    ]
    Environments(engine, region="us-east-1", account="0").record("one", "CREATED", "x", {}, NOW)
    rows = recorded(log, *entries, engine=engine).entries(reads=False, lifecycle=True)
    assert [(row["action"], row["allowed"]) for row in rows] == [
        (None, None),
        ("airflow:GetEnvironment", False),
        ("airflow:InvokeRestApi", True),
        ("dags list", True),
    ]


def test_what_a_client_sent_is_bounded_and_storable(log, engine):
    hostile = "\x00\ud800" + "x" * 5000
    entry = replace(ENTRY, resource=hostile, action=hostile, detail={"a\x00": [hostile, {"b": hostile}]})
    [row] = recorded(log, entry, engine=engine).entries()
    assert row["resource"] == row["action"]
    assert len(row["resource"]) <= audit.LONGEST
    assert "\x00" not in str(row["detail"])


def test_pruning_takes_old_and_surplus_entries_and_no_old_event(log, engine, monkeypatch):
    monkeypatch.setattr(audit, "MOST_ENTRIES", 3)
    monkeypatch.setattr(audit, "MOST_NAMELESS", 2)
    Environments(engine, region="us-east-1", account="0").record("one", "CREATED", "x", {}, NOW - timedelta(days=900))
    old = replace(ENTRY, at=NOW - audit.KEPT - timedelta(seconds=1), action="old")
    named = [replace(ENTRY, action=f"named:{number}") for number in range(5)]
    nameless = [replace(ENTRY, principal=None, action=f"nameless:{number}") for number in range(5)]
    reader = recorded(log, old, *named, *nameless, engine=engine)

    assert reader.prune() == 6
    assert [row["action"] for row in reader.entries(lifecycle=True)] == [
        None,
        *(f"named:{number}" for number in (2, 3, 4)),
        *(f"nameless:{number}" for number in (3, 4)),
    ]
    assert reader.prune() == 0


def test_nobody_displaces_what_others_did(log, engine, monkeypatch):
    monkeypatch.setattr(audit, "MOST_OF_HOLDER", 3)
    monkeypatch.setattr(audit, "MOST_ENTRIES", 6)
    session = "arn:aws:sts::000000000000:assumed-role/execution/"
    loud = [replace(ENTRY, principal=f"{session}{number % 3}", action=f"loud:{number}") for number in range(9)]
    other = replace(ENTRY, principal="arn:aws:sts::000000000000:assumed-role/execution-2/0", action="other")
    reader = recorded(log, ENTRY, other, *loud, engine=engine)

    assert reader.prune() == 6
    actions = [row["action"] for row in reader.entries()]
    assert actions == [ENTRY.action, "other", "loud:6", "loud:7", "loud:8"]
    assert reader.prune() == 0


def test_an_environment_keeps_its_newest_events_and_takes_no_room_from_others(log, engine, monkeypatch):
    monkeypatch.setattr(audit, "MOST_OF_ONE", 3)
    environments = Environments(engine, region="us-east-1", account="0")
    for number in range(6):
        environments.record("loud", "NOTE", f"loud {number}", {}, NOW)
        if number < 2:
            environments.record("quiet", "NOTE", f"quiet {number}", {}, NOW)
            environments.record(None, "NOTE", f"nobody's {number}", {}, NOW)
    reader = recorded(log, ENTRY, engine=engine)

    def told(name: str) -> list[str]:
        return [event["sentence"] for event in environments.events(name)]

    assert reader.prune() == 3
    assert told("loud") == ["loud 3", "loud 4", "loud 5"]
    assert told("quiet") == ["quiet 0", "quiet 1"]
    monkeypatch.setattr(audit, "MOST_EVENTS", 1)
    assert reader.prune() == 6
    assert told("loud") == ["loud 5"]
    assert len(reader.entries()) == 1
    assert reader.prune() == 0


def test_a_ledger_that_is_away_is_waited_for(cluster, empty_database, monkeypatch):
    monkeypatch.setattr(audit, "PAUSE", 0.05)
    engine = sa.create_engine(cluster.superuser_dsn(empty_database, scheme="postgresql+psycopg"))
    migrate(engine)
    failures = [3]

    @sa.event.listens_for(engine, "do_connect")
    def away(*_):
        if failures[0]:
            failures[0] -= 1
            raise engine.dialect.loaded_dbapi.OperationalError("the connection is refused")

    engine.dispose()
    log = Audit(engine, now=lambda: NOW)
    log.record(ENTRY)
    deadline = time.monotonic() + 30
    while failures[0]:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    log.close()
    assert [row["action"] for row in log.entries()] == [ENTRY.action]
    engine.dispose()


def test_what_cannot_be_kept_is_told_and_does_not_stop_the_rest(log, engine):
    with structlog.testing.capture_logs() as told:
        log.record(replace(ENTRY, at="no time"))
        deadline = time.monotonic() + 30
        while not any(event["event"] == "audit_entries_lost" for event in told):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        [row] = recorded(log, ENTRY, engine=engine).entries()
    assert row["action"] == ENTRY.action
    assert [event["count"] for event in told if event["event"] == "audit_entries_lost"] == [1]


def test_a_flood_of_the_nameless_leaves_room_for_the_named(engine, monkeypatch):
    monkeypatch.setattr(audit, "WAITING", 10)
    monkeypatch.setattr(audit, "WAITING_NAMELESS", 5)
    monkeypatch.setattr(audit, "GATHERING", 1.0)
    log = Audit(engine, now=lambda: NOW)
    for _ in range(100):
        log.record(replace(ENTRY, principal=None, allowed=False))
    log.record(ENTRY)
    log.close()
    rows = log.entries()
    assert rows[-1]["principal"] == ADA
    assert 5 <= sum(row["principal"] is None for row in rows) <= 7
    with engine.begin() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(schema.event)) == len(rows)
