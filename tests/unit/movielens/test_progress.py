"""The bars and the phases: computed from what the API says, with the time as an argument."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from examples.movielens import progress

NOW = datetime(2026, 1, 1, 12, 0, 10, tzinfo=UTC)
EARLIER = (NOW - timedelta(seconds=4)).isoformat()

states = st.sampled_from(sorted(progress.MEANING, key=str)) | st.just("a state of a later Airflow")
instances = st.lists(
    st.fixed_dictionaries({"task_id": st.sampled_from([*progress.PIPELINE, "another"]), "state": states}),
    unique_by=lambda task: task["task_id"],
)


def task(task_id: str, state: str | None, **more: object) -> dict[str, object]:
    return {"task_id": task_id, "state": state, **more}


def test_tasks_are_shown_in_the_order_of_the_pipeline_and_strangers_last():
    listed = [task("a_stranger", None), *(task(name, None) for name in sorted(progress.PIPELINE))]
    shown = [bar.name for bar in progress.task_bars(listed, NOW)]
    assert shown == [*progress.PIPELINE, "a_stranger"]


def test_a_finished_task_shows_its_duration_and_a_running_one_its_age():
    listed = [
        task("load", None, duration=None, start_date=None),
        task("files_to_s3", "running", duration=None, start_date=EARLIER),
        task("check_s3_for_key", "success", duration=1.5, start_date=EARLIER),
    ]
    assert progress.task_bars(listed, NOW) == [
        progress.Bar("check_s3_for_key", progress.DONE, "success", 1.5),
        progress.Bar("files_to_s3", progress.UNDER_WAY, "running", 4.0),
        progress.Bar("load", progress.WAITING, "waiting", None),
    ]


def test_a_clock_that_differs_a_little_shows_no_negative_age():
    [bar] = progress.task_bars([task("load", "running", start_date="2026-01-01T12:00:11Z")], NOW)
    assert bar.seconds == 0.0


@given(instances)
def test_every_task_has_one_bar_and_the_run_counts_the_finished(listed):
    bars = progress.task_bars(listed, NOW)
    run = progress.run_bar("r1", "running", bars)
    assert sorted(bar.name for bar in bars) == sorted(each["task_id"] for each in listed)
    assert 0.0 <= run.share <= 1.0
    assert f" {sum(bar.meaning == progress.DONE for bar in bars)} of {len(listed)} tasks" in run.note


def test_the_culprits_are_the_tasks_that_failed_themselves():
    listed = [task("load", "upstream_failed"), task("files_to_s3", "failed"), task("check_s3_for_key", "success")]
    assert progress.culprits(listed) == ["files_to_s3"]


def test_creation_shows_the_phases_that_are_over_and_the_one_under_way():
    document = {
        "phase": "start",
        "detail": "3 of 5 units are ready.",
        "phase_started_at": EARLIER,
        "fraction": 0.6,
        "phases": [{"name": "database", "seconds": 0.4}],
    }
    assert progress.creation_bars("CREATING", document, NOW) == [
        progress.Bar("database", progress.DONE, "", 0.4),
        progress.Bar("start", progress.UNDER_WAY, "3 of 5 units are ready.", 4.0, 0.6),
    ]
    assert progress.creation_bars(None, document, NOW) == [progress.Bar("database", progress.DONE, "", 0.4)]


def test_creation_shows_the_bare_status_when_nothing_more_is_known():
    assert progress.creation_bars("CREATING", {}, NOW) == [progress.Bar("creating", progress.UNDER_WAY)]


def test_phases_are_measured_in_order_even_when_one_fails():
    ticks = iter([0.0, 2.0, 5.0, 9.0])
    phases = progress.Phases(lambda: next(ticks))
    with phases.measure("first"):
        pass
    with pytest.raises(RuntimeError), phases.measure("second"):
        raise RuntimeError
    assert list(phases.seconds.items()) == [("first", 2.0), ("second", 4.0)]
    assert phases.total == 6.0
