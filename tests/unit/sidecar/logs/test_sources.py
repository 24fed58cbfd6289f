from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aerodrome.model import defaults
from aerodrome.sidecar.config import LEVELS
from aerodrome.sidecar.logs import events, sources
from aerodrome.sidecar.logs.cloudwatch import BATCH_BYTES, BATCH_EVENTS, OVERHEAD, SPAN, batches, body


@pytest.mark.parametrize(
    ("path", "category", "stream"),
    [
        ("dag_id=d/run_id=m__2026-11-30T10:00:00+00:00/task_id=t/attempt=1.log", "TaskLogs",
         "dag_id=d/run_id=m__2026-11-30T10_00_00+00_00/task_id=t/attempt=1.log"),
        ("dag_id=d/run_id=r/task_id=t/attempt=1.log.trigger.5.log", "TaskLogs",
         "dag_id=d/run_id=r/task_id=t/attempt=1.log.trigger.5.log"),
        ("d/t/2026-11-30T10:00:00+00:00/1.log", "TaskLogs", "d/t/2026-11-30T10_00_00+00_00/1.log"),
        ("dag_processor/2026-11-30/dags-folder/a/b.py.log", "DagProcessingLogs", "scheduler_a/b.py.log"),
        ("scheduler/2026-11-30/b.py.log", "DagProcessingLogs", "scheduler_b.py.log"),
        ("dag_processor_manager/dag_processor_manager.log", "DagProcessingLogs", "dag_processor_manager.log"),
    ],
)  # fmt: skip
def test_streams_have_the_names_of_mwaa(path, category, stream):
    assert sources.of_airflow(path) == sources.Source(category, stream)


def test_units_have_streams_by_component_and_others_have_none():
    assert sources.of_unit("4", "worker-1.log", epoch=7) == sources.Source("WorkerLogs", "worker_worker-1.4_7.log")
    assert sources.of_unit("4", "triggerer.log", epoch=7) == sources.Source(
        "SchedulerLogs", "triggerer_triggerer.4_7.log"
    )
    assert sources.of_unit("4", "web.log", epoch=7).category == "WebserverLogs"
    assert sources.of_unit("4", "dag-processor.log", epoch=7).stream == "dag_processor_manager.log"
    for name in ("cell.log", "nursery.log", "worker-1.log.1", "secrets.log"):
        assert sources.of_unit("4", name, epoch=7) is None
    assert sources.of_airflow("stray.log") is None
    assert sources.of_airflow("a/b.txt") is None


def test_groups_and_levels_are_those_that_get_environment_names():
    assert defaults.LOG_MODULES == sources.GROUPS
    assert sources.group("blue", "TaskLogs") == "airflow-blue-Task"
    assert LEVELS.items() <= events.LEVELS.items()


@given(st.text(min_size=1))
def test_every_name_is_one_that_cloudwatch_takes(path):
    assert re.fullmatch(r"[^:*]{1,512}", sources.named(path), re.DOTALL)


@given(st.lists(st.tuples(st.integers(0, 3 * SPAN), st.integers(1, 300_000)), max_size=30))
def test_batches_are_within_the_limits_and_have_everything_in_order(given_):
    found = [(moment, "x" * size) for moment, size in sorted(given_)]
    made = list(batches(found))
    assert [event for batch in made for event in batch] == found
    for batch in made:
        assert 0 < len(batch) <= BATCH_EVENTS
        assert sum(len(text) + OVERHEAD for _, text in batch) <= BATCH_BYTES
        assert batch[-1][0] - batch[0][0] <= SPAN


@given(st.text(), st.lists(st.tuples(st.integers(0), st.text()), max_size=5))
def test_a_request_says_what_it_was_given(stream, events):
    assert json.loads(body("g", stream, events).encode()) == {
        "logGroupName": "g",
        "logStreamName": stream,
        "logEvents": [{"timestamp": moment, "message": text} for moment, text in events],
    }
