from __future__ import annotations

import pytest

from aerodrome.telemetry.metrics import periods
from aerodrome.telemetry.metrics.periods import DAY, HOUR, MINUTE

NOW = 20_000.0 * DAY


@pytest.mark.parametrize(("age", "step"), [(14, MINUTE), (16, 5 * MINUTE), (62, 5 * MINUTE), (64, HOUR)])
def test_a_start_is_rounded_by_its_age_and_an_end_to_its_minute(age, step):
    wanted = NOW - age * DAY
    start, end = periods.asked(wanted - 1, wanted + 1.5 * HOUR + 1, NOW)
    assert (start, end) == (wanted - step, wanted + 1.5 * HOUR + MINUTE)
    assert periods.asked(wanted, wanted + HOUR, NOW) == (wanted, wanted + HOUR)
