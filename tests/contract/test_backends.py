"""Backends where no Airflow is installed, so nothing runs: in memory, and the local one on a real PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from aerodrome.backends.contract import Step
from aerodrome.errors import RetryError
from aerodrome.model.environment import Environment
from aerodrome.model.lifecycle import Status
from aerodrome.model.release import Deployed
from aerodrome.model.spec import Spec
from contract import benches


@pytest.fixture
def environment(spec: Spec) -> Environment:
    return benches.an_environment(spec)


@pytest.fixture(params=["memory", "local"])
def bench(request: pytest.FixtureRequest, environment: Environment) -> Iterator[benches.Bench]:
    """Where no version of Airflow is installed."""
    if request.param == "memory":
        yield benches.in_memory(environment)
        return
    with benches.on_this_machine(environment, request.getfixturevalue("cluster"), None) as made:
        yield made


def test_nothing_is_seen_of_what_was_never_made(bench):
    assert bench.see() == benches.NOTHING
    assert not bench.see().services.all_ready


@pytest.mark.parametrize(
    "step",
    [Step.STOP_CELL, Step.STOP_SERVICES, Step.END_LEFTOVERS, Step.END_ALL, Step.DROP_DATABASE, Step.REMOVE_FILES],
)
def test_taking_away_what_is_not_there_does_nothing(bench, step):
    bench.act(step, step)
    assert bench.see() == benches.NOTHING


@pytest.mark.parametrize("step", [Step.DATABASE, Step.CELL])
def test_what_needs_airflow_waits_for_its_installation(bench, step):
    bench.act(Step.FILES)
    deployed = Deployed(identifier="f00d", version="3.3.1", lock="10ck", cell=benches.REVISION)
    bench.environment = replace(bench.environment, change=replace(bench.environment.change, deployed=deployed))
    before = bench.see()
    assert bench.refuses(step)
    assert bench.see() == before


def test_files_are_made_and_removed_as_often_as_one_likes(bench):
    bench.act(Step.FILES, Step.FILES)
    assert bench.see() == replace(benches.NOTHING, files=True, traces=True)
    bench.act(Step.STOP_CELL, Step.STOP_SERVICES, Step.END_LEFTOVERS, Step.END_ALL, Step.DROP_DATABASE)
    assert bench.see() == replace(benches.NOTHING, files=True, traces=True)
    bench.act(Step.REMOVE_FILES, Step.REMOVE_FILES)
    assert bench.see() == benches.NOTHING
    bench.act(Step.FILES)
    assert bench.see().files


def test_what_its_code_has_altered_of_the_database_is_seen_and_set_anew(bench):
    bench.environment = replace(bench.environment, status=Status.AVAILABLE)
    assert bench.see().altered == ()
    bench.alter_database()
    assert "the role's password" in bench.see().altered
    bench.act(Step.MEND_DATABASE, Step.MEND_DATABASE)
    assert bench.see().altered == ()
    bench.act(Step.DROP_DATABASE)
    assert bench.see() == benches.NOTHING


def test_a_release_whose_folder_is_gone_is_seen(bench):
    deployed = Deployed(identifier="f00d", version="3.3.1", lock="10ck", content="c0ffee")
    assert bench.see().content
    bench.environment = replace(bench.environment, status=Status.AVAILABLE, change=None, deployed=deployed)
    bench.lose_release(deployed)
    assert not bench.see().content
    assert bench.see().work is None


def test_environments_do_not_share_their_place(bench):
    bench.act(Step.FILES)
    other = replace(bench.environment, name="two", identifier="c0117ac8", number=2)
    assert bench.backend.observe(other) == benches.NOTHING
    bench.backend.act(other, Step.REMOVE_FILES)
    assert bench.see().files


@pytest.mark.parametrize("steps", [[], [Step.FILES]])
def test_what_does_not_run_takes_no_command_and_has_printed_nothing(bench, steps):
    bench.act(*steps)
    before = bench.see()
    with pytest.raises(RetryError):
        bench.backend.run_command(bench.environment, ["version"])
    assert bench.backend.tail(bench.environment, "scheduler", benches.REVISION) == ()
    assert bench.backend.tail(bench.environment, "sidecar") == ()
    assert bench.backend.tail(bench.environment, "unheard-of") == ()
    assert bench.see() == before
