from __future__ import annotations

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
