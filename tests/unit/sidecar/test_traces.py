"""What the sidecar does with spans, without a socket."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aerodrome.otlp import addresses
from aerodrome.otlp.addresses import AddressFile
from aerodrome.sidecar import traces
from aerodrome.sidecar.traces import Forwarding
from collector import TestCollector, request_with_spans, started
from waiting import wait_for

GOOD = (
    b"POST /v1/traces HTTP/1.1\r\nHost: 127.0.0.1:20000\r\nContent-Type: application/x-protobuf\r\n"
    b"Content-Length: 5\r\n\r\n"
)


@pytest.mark.parametrize(
    ("head", "found"),
    [
        (GOOD, 5),
        (GOOD.replace(b" 5", b" 0"), 0),
        (GOOD.replace(b"POST", b"GET"), 405),
        (GOOD.replace(b"x-protobuf", b"json"), 415),
        (GOOD.replace(b"Content-Type", b"X-Type"), 415),
        (GOOD.replace(b"Content-Length: 5", b"Content-Length: 5\r\nContent-Encoding: gzip"), 415),
        (GOOD.replace(b"Content-Length: 5", b"Transfer-Encoding: chunked"), 411),
        (GOOD.replace(b" 5", b" %d" % (traces.LONGEST_BODY + 1)), 413),
        (GOOD.replace(b"/v1/traces", b"/v1/traces/"), None),
        (GOOD.replace(b"/v1/traces", b"/v1/metrics"), None),
        (GOOD.replace(b"/v1/traces", b"/credentials"), None),
        (GOOD.replace(b" 5", b" -5"), None),
        (b"", None),
    ],
)
def test_each_head_has_its_answer(head, found):
    assert traces.asked(head) == found


@given(st.binary())
def test_no_bytes_whatever_break_it(noise):
    traces.asked(noise + b"\r\n\r\n")


class Ticks:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def collector():
    with started() as made:
        yield made


def test_spans_are_thrown_away_while_otlp_is_off_and_sent_once_it_is_on(collector: TestCollector, tmp_path):
    path = tmp_path / "collector.json"
    forwarding = Forwarding("blue", AddressFile(path), monotonic=Ticks())
    assert forwarding.take(request_with_spans("before")) == 200
    assert forwarding.take(b"whatever") == 200
    assert forwarding.status is None
    addresses.write(path, collector.address)
    assert forwarding.take(b"whatever") == 400
    assert forwarding.take(request_with_spans("one")) == 200
    assert forwarding.take(request_with_spans("two")) == 200
    forwarding.close(60)
    assert [(found["service.name"], span.name) for found, span in collector.spans()] == [
        ("blue", "one"),
        ("blue", "two"),
    ]
    assert forwarding.status is not None
    assert forwarding.status.sent == 2
    addresses.write(path, None)
    assert forwarding.take(request_with_spans("after")) == 200
    assert forwarding.status is None
    assert len(collector.received) == 1


def test_who_sends_without_end_is_held_up(monkeypatch, collector: TestCollector, tmp_path):
    body = request_with_spans("x" * 1000)
    monkeypatch.setattr(traces, "BURST", 2 * len(body))
    monkeypatch.setattr(traces, "RATE", len(body))
    ticks = Ticks()
    path = tmp_path / "collector.json"
    addresses.write(path, collector.address)
    forwarding = Forwarding("blue", AddressFile(path), monotonic=ticks)
    assert [forwarding.take(body) for _ in range(4)] == [200, 200, 429, 429]
    ticks.now = 1.0
    assert [forwarding.take(body) for _ in range(2)] == [200, 429]
    wait_for("the rest is counted", lambda: forwarding.status is not None and forwarding.status.dropped == 3)
    forwarding.close(60)
    assert len([*collector.spans()]) == 3
