"""What a change of the folder means: the decision of each round."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aerodrome.cli.dev import steps
from aerodrome.cli.dev.steps import Create, Current, Delete, Desired, EnvironmentFile, EnvironmentState, Put, Update

R, P, S = EnvironmentFile.REQUIREMENTS, EnvironmentFile.PLUGINS, EnvironmentFile.STARTUP
SETTLED = Current(
    dags={"a.py": "1"}, members={R: "1"}, options={"core.x": "1"}, airflow="3.3.1", state=EnvironmentState.SETTLED
)
SAME = Desired(dags={"a.py": "1"}, members={R: "1"})


def test_nothing_changed_means_nothing():
    assert steps.decide(SAME, SETTLED) == []
    assert steps.decide(replace(SAME, options={"core.x": "1", "core.y": None}, airflow="3.3.1"), SETTLED) == []


@pytest.mark.parametrize(
    ("change", "step"),
    [
        ({"dags": {"a.py": "2"}}, Put("a.py")),
        ({"dags": {"a.py": "1", "b/c.sql": "1"}}, Put("b/c.sql")),
        ({"dags": {}}, Delete("a.py")),
        ({"members": {R: "2"}}, Update(members=(R,))),
        ({"members": {R: "1", S: "1", P: "1"}}, Update(members=(P, S))),
        ({"members": {}}, Update(members=(R,))),
        ({"options": {"core.x": "2"}}, Update(options={"core.x": "2"})),
        ({"options": {"core.y": "2"}}, Update(options={"core.x": "1", "core.y": "2"})),
        ({"options": {"core.x": None}}, Update(options={})),
        ({"airflow": "2.11.2"}, Update(airflow="2.11.2")),
    ],
)
def test_each_change_goes_where_it_belongs(change, step):
    assert steps.decide(replace(SAME, **change), SETTLED) == [step]


def test_a_file_that_moved_is_never_away():
    assert steps.decide(replace(SAME, dags={"b.py": "1"}), SETTLED) == [Put("b.py"), Delete("a.py")]


def test_while_a_change_is_under_way_dags_go_on_and_all_else_waits():
    busy = replace(SETTLED, state=EnvironmentState.BUSY)
    assert steps.decide(Desired(dags={"a.py": "2"}, members={R: "9"}), busy) == [Put("a.py")]


def test_what_was_asked_for_and_failed_is_not_asked_for_again():
    asked = replace(SETTLED, members={R: "broken"})
    assert steps.decide(replace(SAME, members={R: "broken"}), asked) == []
    assert steps.decide(SAME, asked) == [Update(members=(R,))]


def test_an_environment_is_created_once_its_dags_are_there():
    new = Current(dags={}, members=None, state=EnvironmentState.ABSENT)
    assert steps.decide(SAME, new) == [Put("a.py"), Create()]
    assert steps.decide(Desired(dags={}, members={}), new) == [Create()]


def test_a_creation_that_failed_is_tried_again_with_other_files_only():
    failed = Current(dags={"a.py": "1"}, members={R: "1"}, airflow=None, state=EnvironmentState.ABSENT)
    assert steps.decide(SAME, failed) == []
    assert steps.decide(replace(SAME, members={R: "2"}), failed) == [Create()]


digests = st.sampled_from(["1", "2", "3"])
dags = st.dictionaries(st.sampled_from(["a.py", "b.py", "c/d.py"]), digests)
members = st.dictionaries(st.sampled_from(EnvironmentFile), digests)
options = st.dictionaries(st.sampled_from(["core.x", "core.y"]), digests)
desired = st.builds(
    Desired,
    dags=dags,
    members=members,
    options=st.dictionaries(st.sampled_from(["core.x", "core.y"]), st.none() | digests),
    airflow=st.none() | st.just("3.3.1"),
)
worlds = st.builds(
    Current,
    dags=dags,
    members=members,
    options=options,
    airflow=st.sampled_from(["3.3.1", "2.11.2"]),
    state=st.sampled_from([EnvironmentState.SETTLED, EnvironmentState.BUSY]),
)


def taken(given: Current, wanted: Desired, found: list[steps.Step]) -> Current:
    """The world after these steps."""
    for step in found:
        match step:
            case Put(path):
                given = replace(given, dags={**given.dags, path: wanted.dags[path]})
            case Delete(path):
                given = replace(given, dags={name: each for name, each in given.dags.items() if name != path})
            case Update():
                assert step.members or step.options is not None or step.airflow
                given = replace(
                    given,
                    members=wanted.members,
                    options=given.options if step.options is None else step.options,
                    airflow=step.airflow or given.airflow,
                )
    return given


@given(desired, worlds)
def test_after_its_steps_nothing_is_left_to_do(wanted, world):
    after = taken(world, wanted, steps.decide(wanted, world))
    assert steps.decide(wanted, after) == []
    settled = replace(after, state=EnvironmentState.SETTLED)
    last = taken(settled, wanted, steps.decide(wanted, settled))
    assert (last.dags, last.members) == (wanted.dags, wanted.members)
    assert steps.decide(wanted, last) == []
    assert wanted.airflow in {None, last.airflow}
    for name, value in wanted.options.items():
        assert last.options.get(name) == value
