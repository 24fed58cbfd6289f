"""Habits of sleep as tags write them, and the steps to sleep and back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aerodrome.model import hibernation
from aerodrome.model.hibernation import ASLEEP_TAG, IDLE_TAG, NIGHT_IDLE, Habits, Hibernation, Rest

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
moments = st.datetimes(datetime(2026, 1, 1), datetime(2027, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - hypothesis adds it
clocks = st.builds("{:02d}:{:02d}".format, st.integers(0, 23), st.integers(0, 59))
zones = st.sampled_from(["UTC", "Europe/Berlin", "America/Los_Angeles", "Asia/Kathmandu"])


@pytest.mark.parametrize(
    ("text", "idle"),
    [
        ("30m", timedelta(minutes=30)),
        ("1m", timedelta(minutes=1)),
        ("2h", timedelta(hours=2)),
        ("168h", timedelta(days=7)),
        ("off", None),
    ],
)
def test_an_idle_time_is_minutes_or_hours(text, idle):
    assert hibernation.habits({IDLE_TAG: text}) == Habits(idle)
    assert not list(hibernation.refusals({IDLE_TAG: text}))


@pytest.mark.parametrize(
    "text", ["", "0m", "30", "30 m", "1d", "169h", "-5m", "30m ", "٣m", "99999999h", "on", "1h30m"]
)
def test_an_idle_time_that_cannot_be_read_is_refused_and_asks_for_nothing(text):
    [refusal] = hibernation.refusals({IDLE_TAG: text})
    assert IDLE_TAG in refusal
    assert hibernation.habits({IDLE_TAG: text}) == Habits()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "20:00",
        "20:00-20:00",
        "24:00-07:00",
        "20:00-07:60",
        "8pm-7am",
        "20:00-07:00 Europe/Atlantis",
        "20:00-07:00 ../../etc/passwd",
        "20:00-07:00 /etc/localtime",
        "20:00-07:00 Europe",
        "20:00-07:00 " + "a" * 100,
        "20:00-07:00 UTC extra",
    ],
)
def test_a_night_that_cannot_be_read_is_refused_and_asks_for_nothing(text):
    [refusal] = hibernation.refusals({ASLEEP_TAG: text})
    assert ASLEEP_TAG in refusal
    assert not hibernation.habits({ASLEEP_TAG: text}).any


@given(clocks, clocks, zones, moments)
def test_a_night_is_between_its_times_where_it_is_and_ended_when_it_says(begins, ends, zone, now):
    if begins == ends:
        return
    night = hibernation.habits({ASLEEP_TAG: f"{begins}-{ends} {zone}"}).night
    local = now.astimezone(ZoneInfo(zone))
    shown = f"{local:%H:%M}"
    inside = begins <= shown < ends if begins < ends else (shown >= begins or shown < ends)
    assert night.has(now) is inside
    ended = night.last_end(now)
    assert f"{ended.astimezone(ZoneInfo(zone)):%H:%M}" == ends or ended.dst() != local.dst()
    assert timedelta() <= now - ended <= timedelta(hours=25)


@given(st.sampled_from(["1m", "4m", "30m", "3h"]), moments)
def test_at_night_patience_is_never_longer(idle, now):
    both = hibernation.habits({IDLE_TAG: idle, ASLEEP_TAG: "20:00-07:00"})
    alone = hibernation.habits({IDLE_TAG: idle})
    assert both.patience(now) == (min(alone.idle, NIGHT_IDLE) if both.night.has(now) else alone.idle)
    assert Habits().patience(now) is None


def test_a_night_whose_end_the_clocks_skip_ends_within_the_hour():
    night = hibernation.habits({ASLEEP_TAG: "22:00-02:30 Europe/Berlin"}).night
    after = datetime(2026, 3, 29, 1, 31, tzinfo=UTC)  # 03:31 there; there was no 02:30
    assert not night.has(after)
    assert after - night.last_end(after) < timedelta(hours=1)


@pytest.mark.parametrize("rest", list(Rest))
def test_who_wakes_it_finds_it_awake_or_on_the_way(rest):
    step = hibernation.woken(Hibernation(rest=rest, since=NOW), "Why.", NOW)
    expected = {Rest.AWAKE: None, Rest.WAKING: None, Rest.WAITING: Rest.AWAKE}.get(rest, Rest.WAKING)
    assert (step.after.rest if step else None) == expected
    if step:
        assert step.sentence.startswith("Why. It ")


@pytest.mark.parametrize("rest", list(Rest))
@pytest.mark.parametrize("waits", [False, True])
def test_who_asks_again_changes_nothing_but_that_it_waits(rest, waits):
    before = Hibernation(rest=rest, since=NOW, waits=False)
    step = hibernation.asked(before, waits=waits, now=NOW)
    if rest in {Rest.STOPPING, Rest.HIBERNATED} or (rest is Rest.WAITING and not waits):
        assert step is None
    else:
        expected = Rest.WAKING if rest is Rest.WAKING else Rest.WAITING  # what is being woken comes awake first
        assert (step.after.rest, step.after.waits, step.after.by_command) == (expected, waits, True)


@pytest.mark.parametrize("waits", [False, True])
@pytest.mark.parametrize(
    "ends", [lambda found: hibernation.awake(found, NOW).after, lambda found: hibernation.lost(found, NOW)]
)
def test_what_was_asked_for_while_it_was_being_woken_follows(waits, ends):
    waking = Hibernation(rest=Rest.WAKING, since=NOW)
    assert ends(waking).rest is Rest.AWAKE
    asked = hibernation.asked(waking, waits=waits, now=NOW).after
    assert (hibernation.asked(asked, waits=waits, now=NOW), asked.since) == (None, NOW)
    after = ends(asked)
    assert (after.rest, after.waits, after.by_command) == (Rest.WAITING, waits, True)
    forgotten = hibernation.woken(asked, "Why.", NOW)
    assert forgotten.kind == "HIBERNATION_CANCELLED"
    assert ends(forgotten.after).rest is Rest.AWAKE
