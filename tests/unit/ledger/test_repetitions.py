from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from aerodrome.ledger import repetitions
from aerodrome.model.audit import AuditKind, Entry, holder


def entry(sentence: str, *, allowed: bool = False) -> Entry:
    return Entry(
        at=datetime(2026, 1, 1, tzinfo=UTC), kind=AuditKind.API_REQUEST, environment=None, principal="p",
        action="s3:GetObject", resource="r", allowed=allowed, address="a", sentence=sentence,
    )  # fmt: skip


def test_the_same_refusal_is_recorded_once_a_minute():
    now, recorded = [0.0], []
    record = repetitions.once_a_minute(recorded.append, lambda: now[0])
    for sentence in ("one", "one", "two"):
        record(entry(sentence))
    assert [each.sentence for each in recorded] == ["one", "two"]
    now[0] = repetitions.REPEATED_AFTER
    record(entry("one"))
    record(entry("", allowed=True))
    record(entry("", allowed=True))
    assert len(recorded) == 5


def test_who_proves_nothing_fills_no_audit_log_by_what_he_says():
    recorded = []
    record = repetitions.once_a_minute(recorded.append, lambda: 0.0)
    for number in range(1000):
        record(replace(entry(f"expired at {number}"), principal=None))
    assert len(recorded) == 1


def test_refusals_of_one_principal_are_bounded_and_another_s_are_not_lost():
    now, recorded = [0.0], []
    record = repetitions.once_a_minute(recorded.append, lambda: now[0])
    for number in range(1000):
        record(entry(f"no right to {number}"))
    assert len(recorded) == repetitions.MOST_OF_ONE
    record(replace(entry("one"), principal="another"))
    record(entry("", allowed=True))
    now[0] = repetitions.REPEATED_AFTER
    record(entry("one"))
    assert len(recorded) == repetitions.MOST_OF_ONE + 3


def session(name: str) -> str:
    return f"arn:aws:sts::000000000000:assumed-role/execution/{name}"


def test_a_free_answer_is_recorded_once_a_minute_and_what_needed_a_permission_always():
    now, recorded = [0.0], []
    record = repetitions.once_a_minute(recorded.append, lambda: now[0])
    free = replace(entry("needs no permission", allowed=True), is_free=True, principal=session("a"))
    for _ in range(1000):
        record(free)
    assert recorded == [free]
    record(replace(free, is_free=False))
    record(replace(free, is_free=False))
    assert len(recorded) == 3
    now[0] = repetitions.REPEATED_AFTER
    record(free)
    assert len(recorded) == 4


def test_a_role_gets_no_room_by_the_names_of_its_sessions():
    recorded = []
    record = repetitions.once_a_minute(recorded.append, lambda: 0.0)
    for number in range(1000):
        record(replace(entry("", allowed=True), is_free=True, principal=session(str(number))))
    assert len(recorded) == repetitions.MOST_OF_ONE


@pytest.mark.parametrize(
    ("principal", "counted"),
    [
        (session("a"), session("a").removesuffix("/a")),
        (session("a/b\nc"), session("a").removesuffix("/a")),
        ("arn:aws:iam::000000000000:user/ada/lovelace", "arn:aws:iam::000000000000:user/ada/lovelace"),
        (None, None),
    ],
)
def test_whose_entries_count_together(principal, counted):
    assert holder(principal) == counted
