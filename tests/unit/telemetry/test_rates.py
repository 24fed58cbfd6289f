from __future__ import annotations

from aerodrome.telemetry.metrics.rates import EACH_SECOND, MOST_AT_ONCE, Rates


def test_a_flood_of_one_caller_is_throttled_and_ebbs():
    now = [100.0]
    rates = Rates(lambda: now[0])
    sent = 0
    while rates.allows("hostile", 1000):
        sent += 1000
    assert sent == MOST_AT_ONCE
    assert rates.allows("other", 1000)
    now[0] += 1
    assert rates.allows("hostile", int(EACH_SECOND))
    assert not rates.allows("hostile", 1)
    now[0] += 1e6
    assert rates.allows("hostile", int(MOST_AT_ONCE))
    assert not rates.allows("hostile", 1)
