"""The plan: from every state of the world it leads to what was asked for, by steps in a sound order."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aerodrome.backends.contract import Step
from aerodrome.backends.memory import UNITS, MemoryBackend, Place
from aerodrome.controller.plan import LIMITS, RESTART_LIMIT, STOP_LIMIT, plan
from aerodrome.model import defaults, lifecycle
from aerodrome.model.environment import Environment, Failure, LastUpdate, Progress
from aerodrome.model.lifecycle import Event, Status
from aerodrome.model.observed import Installation, Observed, Unit

NOW = datetime(2026, 1, 1, tzinfo=UTC)
REQUEST = {
    "ExecutionRoleArn": "arn:aws:iam::000000000000:role/execution",
    "SourceBucketArn": "arn:aws:s3:::bucket",
    "DagS3Path": "dags",
    "NetworkConfiguration": {"SubnetIds": ["subnet-a", "subnet-b"], "SecurityGroupIds": ["sg-a"]},
}


def an_environment(status: Status, failure: Failure | None = None) -> Environment:
    return Environment(
        name="one",
        identifier="0123abcd",
        arn="arn:aws:airflow:us-east-1:000000000000:environment/one",
        number=1,
        spec=defaults.complete("one", REQUEST, latest_version="3.3.1"),
        tags={},
        status=status,
        created_at=NOW,
        last_update=LastUpdate(status="PENDING", created_at=NOW, source="user"),
        progress=Progress(phase="start", detail="", phase_started_at=NOW),
        failure=failure,
    )


def some_units(state: str, restarts: int = 0) -> tuple[Unit, ...]:
    return tuple(Unit(name=name, state=state, pid=1, restarts=restarts) for name in UNITS)


def everything(units: tuple[Unit, ...]) -> Observed:
    return Observed(
        installation=Installation(done=True),
        database=True,
        files=True,
        traces=True,
        cell=True,
        leftovers=False,
        units=units,
        expected_units=frozenset(UNITS),
    )


places = st.one_of(
    st.builds(Place, database=st.booleans(), files=st.booleans(), cell=st.booleans()),
    st.builds(Place, database=st.just(value=True), files=st.just(value=True), leftovers=st.just(value=True)),
)


def follow(environment: Environment, backend: MemoryBackend) -> Environment:
    """Carry plans out until an event settles the environment; a plan that never ends fails the test."""
    for _ in range(20):
        chosen = plan(environment, backend.observe(environment), NOW)
        if chosen.step is not None:
            backend.act(environment, chosen.step)
        if chosen.event is not None:
            return replace(environment, status=lifecycle.transition(environment.status, chosen.event).status)
    raise AssertionError("the plan does not come to an end")


@given(places, st.booleans())
def test_a_creation_comes_to_its_end_from_wherever_it_was_broken_off(place, installed):
    backend = MemoryBackend(installed={"3.3.1"} if installed else set(), places={"one": place})
    assert follow(an_environment(Status.CREATING), backend).status is Status.AVAILABLE
    assert place == Place(database=True, files=True, cell=True)


@given(places)
def test_a_deletion_leaves_nothing_from_wherever_it_starts(place):
    backend = MemoryBackend(places={"one": place})
    assert follow(an_environment(Status.DELETING), backend).status is Status.DELETED
    assert place == Place()


@given(places)
def test_a_failed_creation_leaves_nothing_running_and_keeps_the_logs(place):
    files = place.files
    backend = MemoryBackend(places={"one": place})
    broken = an_environment(Status.CREATING, Failure(code="UNIT_FAILED", message=""))
    assert follow(broken, backend).status is Status.CREATE_FAILED
    assert (place.cell, place.database, place.files) == (False, False, files)


@given(places)
def test_a_lost_environment_is_built_up_again_without_losing_its_database(place):
    backend = MemoryBackend(installed={"3.3.1"}, places={"one": place})
    assert follow(an_environment(Status.UNAVAILABLE), backend).status is Status.AVAILABLE
    assert Step.DROP_DATABASE not in [step for _, step in backend.taken]


def test_the_cell_is_stopped_before_its_database_goes():
    backend = MemoryBackend(places={"one": Place(database=True, files=True, cell=True)})
    follow(an_environment(Status.DELETING), backend)
    assert [step for _, step in backend.taken] == [Step.STOP_CELL, Step.DROP_DATABASE, Step.REMOVE_FILES]


def test_units_that_do_not_stop_are_ended():
    environment = replace(
        an_environment(Status.DELETING), progress=Progress(phase="stop", detail="", phase_started_at=NOW)
    )
    late = NOW + STOP_LIMIT + timedelta(seconds=1)
    assert plan(environment, everything(some_units("stopping")), NOW).step is Step.STOP_CELL
    assert plan(environment, everything(some_units("stopping")), late).step is Step.END_LEFTOVERS


def test_an_available_environment_without_a_cell_is_lost():
    observed = replace(everything(()), cell=False)
    assert plan(an_environment(Status.AVAILABLE), observed, NOW).event is Event.LOST


def test_a_dying_unit_is_the_cells_business():
    chosen = plan(an_environment(Status.AVAILABLE), everything(some_units("backing_off", 9)), NOW)
    assert (chosen.event, chosen.step) == (None, None)
    assert "scheduler" in chosen.detail


def test_a_unit_that_keeps_dying_ends_a_creation_and_is_named():
    chosen = plan(an_environment(Status.CREATING), everything(some_units("backing_off", RESTART_LIMIT)), NOW)
    assert chosen.failure is not None
    assert chosen.failure.code == "UNIT_FAILED"
    assert chosen.failing_unit in UNITS
    assert chosen.failing_unit in chosen.failure.message


@pytest.mark.parametrize(("phase", "code"), [(phase, code) for phase, (code, _) in LIMITS.items()])
@pytest.mark.parametrize("late", [False, True])
def test_a_phase_that_never_ends_ends_a_creation(phase, code, late):
    environment = an_environment(Status.CREATING)
    environment = replace(environment, progress=replace(environment.progress, phase=phase, detail="Because."))
    limit = LIMITS[phase][1]
    chosen = plan(environment, everything(some_units("starting")), NOW + limit + timedelta(seconds=1 if late else 0))
    assert (chosen.failure is not None) is late
    if chosen.failure is not None:
        assert chosen.failure.code == code
        assert "Because." in chosen.failure.message


def test_installing_may_take_as_long_as_it_takes():
    environment = an_environment(Status.CREATING)
    environment = replace(environment, progress=replace(environment.progress, phase="install"))
    observed = MemoryBackend().observe(environment)
    assert plan(environment, observed, NOW + timedelta(days=1)).step is Step.INSTALL


def test_what_once_worked_is_tried_for_ever():
    environment = an_environment(Status.UNAVAILABLE)
    chosen = plan(environment, everything(some_units("backing_off", 99)), NOW + timedelta(days=1))
    assert (chosen.failure, chosen.event) == (None, None)


def test_the_fraction_counts_ready_units():
    units = (*some_units("ready")[:2], *some_units("starting")[2:])
    assert plan(an_environment(Status.CREATING), everything(units), NOW).fraction == 0.5
