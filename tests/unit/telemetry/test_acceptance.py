from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aerodrome.telemetry import acceptance
from aerodrome.telemetry.acceptance import DAY, HOUR, LogEvent, accept
from aerodrome.telemetry.refusals import TelemetryRefusedError

NOW = 20_000 * DAY


def test_what_is_too_old_too_new_or_expired_is_left_out_and_told():
    def batch(*moments: int) -> list[LogEvent]:
        return [LogEvent(NOW + moment, "x") for moment in moments]

    found = accept(batch(-14 * DAY - 1, -14 * DAY, -13 * DAY - 1), now=NOW, retention_days=None)
    assert [event.moment for event in found.events] == [NOW - 14 * DAY, NOW - 13 * DAY - 1]
    assert (found.too_old_until, found.too_new_from, found.expired_until) == (1, None, None)
    found = accept(batch(-DAY - 1, -DAY, -1), now=NOW, retention_days=1)
    assert len(found.events) == 2
    assert found.expired_until == 1
    found = accept(batch(0, 2 * HOUR, 2 * HOUR + 1), now=NOW, retention_days=None)
    assert (len(found.events), found.too_new_from) == (2, 2)


def test_what_is_left_out_is_no_part_of_the_span():
    batch = [LogEvent(NOW + age, "x") for age in (-20 * DAY, -DAY, -5, 0, 3 * HOUR)]
    found = accept(batch, now=NOW, retention_days=None)
    assert (found.events, found.too_old_until, found.too_new_from) == (tuple(batch[1:4]), 1, 4)
    assert accept([batch[0], batch[4]], now=NOW, retention_days=None).events == ()
    found = accept([batch[0], LogEvent(NOW - 3 * DAY, "x"), *batch[1:4]], now=NOW, retention_days=2)
    assert (found.events, found.too_old_until, found.expired_until) == (tuple(batch[1:4]), 1, 2)


@pytest.mark.parametrize(
    ("batch", "told"),
    [
        ([LogEvent(NOW, "x" * (2**20 - 25))], "Upload too large: 1048577 bytes"),
        ([LogEvent(NOW, "ü" * 2**19)], "Upload too large"),
        ([LogEvent(NOW, "b"), LogEvent(NOW - 1, "a")], "chronological"),
        ([LogEvent(NOW - DAY - 1, "a"), LogEvent(NOW, "b")], "24 hours"),
    ],
)
def test_a_wrong_batch_is_refused_as_a_whole(batch, told):
    with pytest.raises(TelemetryRefusedError, match=told):
        accept(batch, now=NOW, retention_days=None)


@given(
    st.lists(st.integers(NOW - 15 * DAY, NOW + 3 * HOUR), min_size=1, max_size=30),
    st.sampled_from([None, 1, 3, 30]),
)
def test_every_event_is_taken_or_told(moments, retention):
    moments = sorted(moments)
    moments = [each for each in moments if each >= moments[-1] - acceptance.SPAN]
    found = accept([LogEvent(each, "x") for each in moments], now=NOW, retention_days=retention)
    first = max(found.too_old_until or 0, found.expired_until or 0)
    last = len(moments) if found.too_new_from is None else found.too_new_from
    assert [event.moment for event in found.events] == moments[first:last]
    for moment in moments[first:last]:
        assert NOW - 14 * DAY <= moment <= NOW + 2 * HOUR
        assert retention is None or moment >= NOW - retention * DAY
