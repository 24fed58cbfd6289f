"""What waits for a collector."""

from __future__ import annotations

import pytest

from aerodrome.otlp import outbox
from aerodrome.otlp.collector import CollectorAwayError, CollectorRefusedError
from aerodrome.otlp.outbox import Outbox


class Recording:
    """In the place of a collector: it has this answer."""

    url = "http://collector"

    def __init__(self) -> None:
        self.answer: bytes | Exception = b""
        self.posted: list[bytes] = []

    def post(self, body: bytes) -> bytes:
        self.posted.append(body)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def close(self) -> None:
        pass


class Ticks:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def collector() -> Recording:
    return Recording()


@pytest.fixture
def ticks() -> Ticks:
    return Ticks()


@pytest.fixture
def box(collector, ticks) -> Outbox:
    return Outbox(collector, monotonic=ticks)


def test_batches_go_in_few_requests(monkeypatch, box, collector):
    monkeypatch.setattr(outbox, "LARGEST_REQUEST", 4)
    for batch in (b"aa", b"b", b"cc", b"dddddd", b"e"):
        box.put(batch)
    assert box.send() == 0.0
    assert collector.posted == [b"aab", b"cc", b"dddddd", b"e"]
    assert (box.status.sent, box.status.dropped, box.status.error) == (5, 0, None)
    assert box.send() == 0.0
    assert len(collector.posted) == 4


def test_a_collector_that_is_away_is_asked_less_and_less_and_gets_everything(box, collector, ticks):
    collector.answer = CollectorAwayError("away")
    box.put(b"a")
    waits = []
    for _ in range(9):
        ticks.now += (wait := box.send())
        waits.append(wait)
        box.put(b"b")
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert box.status.error == "away"
    assert box.status.behind_since is not None
    collector.posted.clear()
    collector.answer = b""
    assert box.send() == 0.0
    assert collector.posted == [b"a" + b"b" * 9]
    assert (box.status.sent, box.status.dropped, box.status.error, box.status.behind_since) == (10, 0, None, None)


def test_it_is_left_alone_in_between_and_for_as_long_as_it_wishes(box, collector, ticks):
    collector.answer = CollectorAwayError("too many", delay=120)
    box.put(b"a")
    assert box.send() == 120
    ticks.now = 119
    assert box.send() == 1
    assert len(collector.posted) == 1


def test_what_finds_no_room_is_the_oldest_and_is_counted(monkeypatch, box, collector):
    monkeypatch.setattr(outbox, "MOST_WAITING", 5)
    collector.answer = CollectorAwayError("away")
    for batch in (b"aa", b"bb", b"cc"):
        box.put(batch)
    assert box.status.dropped == 1
    box.send()
    box.put(b"ddd")
    assert box.status.dropped == 2
    box.drop()
    assert box.status.dropped == 3
    assert collector.posted == [b"bbcc"]


def test_what_is_refused_is_counted_and_does_not_hold_up_the_rest(monkeypatch, box, collector):
    monkeypatch.setattr(outbox, "LARGEST_REQUEST", 1)
    collector.answer = CollectorRefusedError("401")
    box.put(b"a")
    box.put(b"b")
    assert box.send() == 0.0
    assert collector.posted == [b"a", b"b"]
    assert (box.status.sent, box.status.dropped, box.status.error) == (0, 2, "401")


def test_a_collector_that_takes_a_part_says_so(box, collector):
    from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2  # noqa: PLC0415 - of this test alone

    answer = metrics_service_pb2.ExportMetricsServiceResponse()
    answer.partial_success.rejected_data_points = 3
    answer.partial_success.error_message = "too old"
    collector.answer = answer.SerializeToString()
    box.put(b"a")
    box.send()
    assert (box.status.sent, box.status.error) == (
        1, "http://collector has refused 3 of what it was sent: too old",
    )  # fmt: skip
    collector.answer = b"<html>"
    box.put(b"a")
    box.send()
    assert (box.status.sent, box.status.error) == (2, None)
