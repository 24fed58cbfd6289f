from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from aerodrome import aws_door
from aerodrome.model.audit import AuditKind, Entry


def entry(sentence: str, *, allowed: bool = False) -> Entry:
    return Entry(
        at=datetime(2026, 1, 1, tzinfo=UTC), kind=AuditKind.API_REQUEST, environment=None, principal="p",
        action="s3:GetObject", resource="r", allowed=allowed, address="a", sentence=sentence,
    )  # fmt: skip


def test_the_same_refusal_is_recorded_once_a_minute():
    now, recorded = [0.0], []
    record = aws_door.once_a_minute(recorded.append, lambda: now[0])
    for sentence in ("one", "one", "two"):
        record(entry(sentence))
    assert [each.sentence for each in recorded] == ["one", "two"]
    now[0] = aws_door.REPEATED_AFTER
    record(entry("one"))
    record(entry("", allowed=True))
    record(entry("", allowed=True))
    assert len(recorded) == 5


def test_who_proves_nothing_fills_no_audit_log_by_what_he_says():
    recorded = []
    record = aws_door.once_a_minute(recorded.append, lambda: 0.0)
    for number in range(1000):
        record(replace(entry(f"expired at {number}"), principal=None))
    assert len(recorded) == 1


def test_refusals_of_one_principal_are_bounded_and_another_s_are_not_lost():
    now, recorded = [0.0], []
    record = aws_door.once_a_minute(recorded.append, lambda: now[0])
    for number in range(1000):
        record(entry(f"no right to {number}"))
    assert len(recorded) == aws_door.MOST_OF_ONE
    record(replace(entry("one"), principal="another"))
    record(entry("", allowed=True))
    now[0] = aws_door.REPEATED_AFTER
    record(entry("one"))
    assert len(recorded) == aws_door.MOST_OF_ONE + 3
