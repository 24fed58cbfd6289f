from __future__ import annotations

import io
import json
from datetime import UTC, datetime

import pytest
from structlog.testing import capture_logs

from aerodrome.sidecar.metrics import publishing
from aerodrome.sidecar.metrics.aggregation import Measured
from aerodrome.sidecar.metrics.publishing import Publisher
from aerodrome.sidecar.signed_http import AwayError, RefusalError

NOW = datetime(2026, 1, 1, 12, 0, 30, tzinfo=UTC)


class Bench:
    """A CloudWatch that may be away, and what is finished."""

    def __init__(self) -> None:
        self.trouble: Exception | None = None
        self.sent: list[str] = []
        self.next: list[Measured] = []
        self.publisher = Publisher(
            environment="blue", finished=self.finished, cloudwatch=self, clock=lambda: NOW  # type: ignore[arg-type]
        )  # fmt: skip

    def finished(self, _now: float, *, is_early: bool) -> tuple[list[Measured], int]:
        self.was_early = is_early
        found, self.next = self.next, []
        return found, 0

    def put(self, environment: str, measured: list[Measured]) -> None:
        assert environment == "blue"
        if self.trouble is not None:
            raise self.trouble
        self.sent += [each.name for each in measured]

    def measure(self, *names: str) -> None:
        self.next = [Measured(name, (), "Count", 60, {1.0: 1}) for name in names]


class Answering:
    """An endpoint that takes everything, or nothing."""

    trouble = None

    def __init__(self, sent, keys) -> None:
        self._sent, self._keys = sent, keys

    def send(self, request, keys):
        assert keys == self._keys
        if self.trouble is not None:
            raise self.trouble
        self._sent.append((keys, json.loads(request.body)["Namespace"]))
        return io.BytesIO()


@pytest.fixture
def bench():
    return Bench()


def test_nothing_is_lost_while_the_endpoint_is_away(bench):
    bench.trouble = AwayError("away")
    bench.measure("a", "b")
    assert bench.publisher.once() > 0
    assert bench.publisher.status.behind_since == NOW
    assert bench.publisher.status.error == "away"
    bench.measure("c")
    bench.publisher.once()
    bench.trouble = None
    assert bench.publisher.once() == 32.0  # until the minute's last packets are there
    assert bench.sent == ["a", "b", "c"]
    assert (bench.publisher.status.error, bench.publisher.status.behind_since) == (None, None)
    assert (bench.publisher.status.published, bench.publisher.status.dropped) == (3, 0)


def test_what_is_refused_is_counted_and_holds_nothing_up(bench):
    bench.trouble = RefusalError("not allowed", code="AccessDenied")
    bench.measure("a")
    bench.publisher.once()
    bench.trouble = None
    bench.measure("b")
    bench.publisher.once()
    assert bench.sent == ["b"]
    assert bench.publisher.status.dropped == 1


def test_what_the_service_measures_goes_with_the_services_keys(bench):
    mine, sent = [], []
    role, service = (
        publishing.MetricsEndpoint(Answering(sent, keys), lambda keys=keys: keys, reject)
        for keys, reject in (("role", lambda: mine.append("new keys")), ("service", None))
    )
    publisher = Publisher(
        environment="blue", finished=bench.finished, cloudwatch=role, as_service=service, clock=lambda: NOW
    )
    bench.measure("a")
    bench.next.append(Measured("b", (), "Count", 60, {1.0: 1}, "AWS/MWAA"))
    publisher.once()
    assert sent == [("role", "AmazonMWAA"), ("service", "AWS/MWAA")]

    Answering.trouble = RefusalError("expired", code="UnrecognizedClientException")
    try:
        bench.next = [Measured("b", (), "Count", 60, {1.0: 1}, "AWS/MWAA")]
        publisher.once()  # there are no other keys: it holds nothing up
        assert (publisher.status.behind_since, publisher.status.dropped, mine) == (None, 1, [])
        bench.measure("a")
        publisher.once()
        assert (publisher.status.behind_since, mine) == (NOW, ["new keys"])
    finally:
        Answering.trouble = None


@pytest.fixture
def two():
    """The endpoints of role and service, and a publisher to both."""
    role, service = Bench(), Bench()
    publisher = Publisher(
        environment="blue", finished=role.finished, cloudwatch=role, as_service=service, clock=lambda: NOW
    )

    def publish(*names):
        role.next = [Measured(name, (), "Count", 60, {1.0: 1}, "AWS/MWAA") for name in names]
        role.next += [Measured(name, (), "Count", 60, {1.0: 1}) for name in names]
        publisher.once()
        return publisher.status

    return role, service, publish


@pytest.mark.parametrize("is_role_away", [True, False])
def test_neither_endpoint_waits_for_the_other(two, is_role_away):
    role, service, publish = two
    away, other = (role, service) if is_role_away else (service, role)
    away.trouble = AwayError("away")
    status = publish("a")
    assert (other.sent, away.sent, status.behind_since) == (["a"], [], NOW)
    away.trouble = None
    status = publish("b")
    assert (other.sent, away.sent, status.behind_since, status.published) == (["a", "b"], ["a", "b"], None, 4)


def test_each_endpoint_has_an_error_of_its_own_which_is_warned_of_once(two):
    role, service, publish = two
    service.trouble = RefusalError("key refused", code="UnrecognizedClientException")
    with capture_logs() as told:
        for name in "ab":
            status = publish(name)
            assert (status.error, status.service_error) == (None, "key refused")
    assert [each["error"] for each in told] == ["key refused"]
    role.trouble, service.trouble = RefusalError("not allowed", code="AccessDenied"), None
    status = publish("c")
    assert (status.error, status.service_error, status.dropped) == ("not allowed", None, 3)


def test_what_waits_is_bounded_and_the_newest_stays(bench, monkeypatch):
    monkeypatch.setattr(publishing, "MOST_WAITING", 3)
    bench.trouble = AwayError("away")
    bench.measure(*"abcdef")
    bench.publisher.once()
    bench.trouble = None
    bench.publisher.once()
    assert (bench.sent, bench.publisher.status.dropped) == (["d", "e", "f"], 3)


def test_what_was_measured_last_is_published_before_it_leaves(bench):
    bench.measure("a")
    bench.publisher.leave()
    bench.publisher.run(lambda: bench.measure("b"))
    assert bench.sent == ["a"]
    assert bench.was_early
