"""When maintenance is due: in its window, once, and never because a window was missed."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aerodrome.controller.maintenance import OPT_OUT, WEEK, WINDOW, due, window
from aerodrome.model import defaults, happening
from aerodrome.model.change import Change, ChangeKind, Strategy
from aerodrome.model.environment import LastUpdate
from aerodrome.model.lifecycle import Event, Status
from aerodrome.model.release import Patch
from unit.controller.test_plan import RUNNING, an_environment

DAYS = ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")
moments = st.datetimes(datetime(2025, 1, 1), datetime(2027, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - hypothesis adds it
starts = st.builds("{}:{:02d}:{}".format, st.sampled_from(DAYS), st.integers(0, 23), st.sampled_from(["00", "30"]))
NEW = Patch(version="3.3.2", lock="lock")
SUNDAY = datetime(2026, 1, 4, 3, 30, tzinfo=UTC)
"""When the window of `an_environment` begins."""


@given(starts, moments)
def test_a_window_is_where_its_name_says_and_has_not_ended(start, now):
    begins, ends = window(start, now)
    day, hour, minute = start.split(":")
    assert (DAYS[begins.weekday()], begins.hour, begins.minute) == (day, int(hour), int(minute))
    assert (begins.second, begins.microsecond, ends - begins) == (0, 0, WINDOW)
    assert now < ends
    assert begins - now <= WEEK - WINDOW


@given(moments)
def test_maintenance_is_due_in_the_window_alone(now):
    environment = an_environment(Status.AVAILABLE)
    begins, ends = window(environment.spec.weekly_maintenance_window_start, now)
    assert (due(environment, NEW, now) is not None) is (begins <= now < ends)


def test_a_patch_release_is_what_the_environment_is_asked_to_be_afterwards():
    change = due(an_environment(Status.AVAILABLE), NEW, SUNDAY)
    assert (change.kind, change.strategy, change.requested_by) == (ChangeKind.MAINTENANCE, Strategy.GRACEFUL, None)
    assert change.spec.airflow_version == "3.3.2"


def test_a_fresh_lock_of_the_same_version_changes_no_name():
    environment = an_environment(Status.AVAILABLE)
    alias = replace(
        environment,
        spec=replace(environment.spec, airflow_version="1.10.12"),
        deployed=replace(RUNNING, version="1.10.15"),
    )
    change = due(alias, Patch(version="1.10.15", lock="new"), SUNDAY)
    assert change.spec.airflow_version == "1.10.12"


def test_nothing_new_is_nothing_to_do():
    assert due(an_environment(Status.AVAILABLE), None, SUNDAY) is None


@pytest.mark.parametrize(("value", "is_due"), [("off", False), (" OFF ", False), ("on", True), ("", True)])
def test_an_environment_is_kept_out_by_a_tag(value, is_due):
    environment = replace(an_environment(Status.AVAILABLE), tags={OPT_OUT: value})
    assert (due(environment, NEW, SUNDAY) is not None) is is_due


def test_a_window_is_used_once_and_the_next_one_again():
    environment = an_environment(Status.AVAILABLE)
    began = SUNDAY + timedelta(minutes=5)
    tried = LastUpdate(status="FAILED", created_at=began, source="maintenance", maintained_at=began)
    environment = replace(environment, last_update=tried)
    assert due(environment, NEW, SUNDAY + timedelta(minutes=10)) is None
    assert due(environment, NEW, SUNDAY + WINDOW) is None
    assert due(environment, NEW, SUNDAY + WEEK) is not None


@given(
    st.lists(st.sampled_from([ChangeKind.UPDATE, ChangeKind.ROLLBACK, ChangeKind.RESTORE]), max_size=4), st.booleans()
)
def test_failed_maintenance_is_not_tried_again_in_its_window_whatever_is_asked_for_since(kinds, fails):
    environment, now = an_environment(Status.AVAILABLE), SUNDAY
    environment, _ = happening.begun(environment, due(environment, NEW, now))
    environment, _ = happening.happened(environment, Event.UPDATE_BROKEN, now)
    environment, _ = happening.happened(environment, Event.MAINTENANCE_UNDONE, now)
    for kind in kinds:
        now += timedelta(minutes=10)
        asked = Change(kind=kind, spec=environment.spec, revision=0, strategy=Strategy.GRACEFUL, requested_at=now)
        environment, _ = happening.begun(environment, asked)
        for event in (Event.UPDATE_BROKEN, Event.RESTORED) if fails else (Event.UPDATED,):
            environment, _ = happening.happened(environment, event, now)
        assert due(environment, NEW, now) is None
    assert due(environment, NEW, SUNDAY + WEEK) is not None


def test_a_machine_that_slept_through_the_window_waits_for_the_next():
    environment = an_environment(Status.AVAILABLE)
    assert due(environment, NEW, SUNDAY + WINDOW + timedelta(minutes=1)) is None
    assert due(environment, NEW, SUNDAY + WEEK + timedelta(minutes=1)) is not None


def test_every_environment_has_a_window():
    for number in range(50):
        start = defaults.maintenance_window(f"environment-{number}")
        assert window(start, SUNDAY)[0] <= SUNDAY + WEEK
