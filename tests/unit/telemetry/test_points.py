from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aerodrome.telemetry.metrics import points
from aerodrome.telemetry.metrics.points import DataPoint

numbers = st.floats(-1e12, 1e12).map(lambda value: round(value, 3) + 0.0)
measured = st.lists(numbers, min_size=1, max_size=200)


def of(values: list[float]) -> DataPoint:
    found: dict[float, float] = {}
    for value in values:
        found[value] = found.get(value, 0.0) + 1
    return points.of(found)


@given(st.lists(measured, min_size=1, max_size=5))
def test_several_points_are_the_point_of_all_their_values(several):
    both = points.merged(*map(of, several))
    every = [value for one in several for value in one]
    assert (both.count, both.least, both.most) == (len(every), min(every), max(every))
    assert math.isclose(both.sum, math.fsum(every), rel_tol=1e-9, abs_tol=1e-2)
    assert len(both.values) <= points.MOST_VALUES
    assert math.isclose(sum(both.values.values()), len(every))
    assert (len(every) > points.MOST_VALUES) or sorted(both.values) == sorted(set(every))


@given(st.lists(st.floats(0.001, 1e9), min_size=1, max_size=400), st.sampled_from([1, 50, 90, 95.5, 99, 100]))
def test_a_percentile_is_near_the_true_one(values, share):
    ordered = sorted(values)
    true = ordered[max(math.ceil(len(ordered) * share / 100) - 1, 0)]
    found = points.statistic(of(values), f"p{share}")
    spread = math.log(max(values) / min(values)) / points.MOST_VALUES
    assert math.isclose(found, true, rel_tol=max(0.03, math.expm1(2.5 * spread)))


def test_percentiles_of_what_only_sums_are_known_of_cannot_be_told():
    blind = DataPoint(3, 6, 1, 3)
    assert points.statistic(blind, "p50") is None
    assert points.statistic(points.merged(blind, points.of({2.0: 1})), "p50") is None
    assert points.statistic(DataPoint(3, 6, 2, 2), "p50") == 2


@pytest.mark.parametrize("name", ["p50", "p99.9", "p100", "p0", "Average", "Sum", "SampleCount"])
def test_statistics_that_are_offered(name):
    assert points.is_statistic(name)
    assert points.statistic(points.of({1.0: 2, 3.0: 2}), name) is not None


@pytest.mark.parametrize("name", ["p101", "p100.1", "tm90", "average", "p", "p1e5", "Sum "])
def test_statistics_that_are_not(name):
    assert not points.is_statistic(name)


def test_points_of_minutes_become_points_of_periods():
    minutes = [(at, points.of({float(at): 1})) for at in range(0, 1200, 60)]
    found = points.in_periods(minutes, 300)
    assert {at: point.count for at, point in found.items()} == {0: 5, 300: 5, 600: 5, 900: 5}
    assert {at: point.most for at, point in points.in_periods(minutes, 300, phase=60).items()} == {
        -240: 0, 60: 300, 360: 600, 660: 900, 960: 1140
    }  # fmt: skip


def test_points_of_one_long_period_are_counted_whatever_their_number():
    count = 5 * points.MERGED_AT_ONCE + 1
    found = points.in_periods([(at, points.of({float(at): 1.0})) for at in range(count)], 1000)
    assert list(found) == [0]
    assert (found[0].count, found[0].sum, found[0].most) == (count, sum(range(count)), count - 1)
