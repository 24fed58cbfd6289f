"""Which troubles are told, and where they are said to lie."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aerodrome.cli.dev import airflow_troubles, tracebacks
from aerodrome.cli.dev.airflow_troubles import ImportTrouble, Reported, TaskFailure
from aerodrome.cli.dev.tracebacks import Cause

NOW = datetime(2026, 1, 1, tzinfo=UTC)

SYNTAX = """Traceback (most recent call last):
  File "<frozen importlib._bootstrap>", line 488, in _call_with_frames_removed
  File "/data/environments/shop/dags/broken.py", line 2
    def f(
         ^
SyntaxError: '(' was never closed
"""
CHAINED = """Traceback (most recent call last):
  File "/usr/local/airflow/dags/sales.py", line 7, in <module>
    import missing
ModuleNotFoundError: No module named 'missing'

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "/usr/local/airflow/dags/sales.py", line 9, in <module>
    fall_back()
  File "/usr/local/airflow/dags/lib/back.py", line 3, in fall_back
    requests.get("x")
  File "/v/lib/python3.12/site-packages/requests/api.py", line 59, in get
    raise MissingSchema("x")
requests.exceptions.MissingSchema: Invalid URL 'x'
"""
LOG_2 = (
    "[('worker', '[2026-01-01T00:00:00.000+0000] {taskinstance.py:3313} ERROR - Task failed with exception\\n"
    "Traceback (most recent call last):\\n"
    '  File "/v/lib/python3.12/site-packages/airflow/models/taskinstance.py", line 768, in _execute_task\\n'
    "    result = _execute_callable(context=context)\\n"
    '  File "/data/environments/shop/dags/fails.py", line 5, in deep\\n'
    '    raise ValueError("no such shop")\\n'
    "ValueError: no such shop\\n"
    "[2026-01-01T00:00:01.000+0000] {taskinstance.py:1225} INFO - Marking task as FAILED.')]"
)
LOG_3 = [
    {"event": "::group::Log message source details"},
    {
        "timestamp": "2026-01-01T00:00:00Z",
        "event": "Task failed with exception",
        "error_detail": [
            {
                "exc_type": "ValueError",
                "exc_value": "no such shop",
                "frames": [
                    {"filename": "/v/lib/python3.12/site-packages/airflow/sdk/x.py", "lineno": 9, "name": "run"},
                    {"filename": "/data/environments/shop/dags/fails.py", "lineno": 5, "name": "deep"},
                ],
            }
        ],
    },
]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (SYNTAX, "dags/broken.py, line 2: SyntaxError: '(' was never closed"),
        (CHAINED, "dags/lib/back.py, line 3: requests.exceptions.MissingSchema: Invalid URL 'x'"),
        ("AirflowDagImportTimeout: DagBag import timeout", "AirflowDagImportTimeout: DagBag import timeout"),
        ('  File "/x/plugins/mine.py", line 1, in <module>\nKeyError\n', "plugins/mine.py, line 1: KeyError"),
    ],
)
def test_a_traceback_s_own_line(text, sentence):
    assert tracebacks.of_traceback(text).sentence == sentence


@pytest.mark.parametrize("log", [LOG_2, LOG_3])
def test_a_task_s_log_says_file_and_line(log):
    assert tracebacks.of_log(log).sentence == "dags/fails.py, line 5: ValueError: no such shop"


@pytest.mark.parametrize("log", ["", [], [{"event": "all is well"}], None, {}, "[('', 'INFO - fine')]"])
def test_a_log_without_an_error_has_no_cause(log):
    assert tracebacks.of_log(log) is None


json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(
        st.sampled_from(["event", "error_detail", "frames", "filename", "lineno", "exc_type"]), inner
    ),
    max_leaves=12,
)  # fmt: skip


@given(json)
def test_whatever_a_log_holds_it_is_read(document):
    found = tracebacks.of_log(document)
    assert found is None or found.sentence


@given(st.text(alphabet='File "/dags.py", line 1\n :Error'))
def test_whatever_a_traceback_holds_it_is_read(text):
    found = tracebacks.of_traceback(text)
    assert found is None or "\n" not in found.sentence


def test_import_errors_are_read_as_files_of_the_folder():
    document = {
        "import_errors": [
            {"filename": "/data/environments/shop/dags/broken.py", "stack_trace": SYNTAX},
            {"filename": "late.py", "stack_trace": "DagBag import timeout for late.py after 30.0s"},
        ]
    }
    broken, late = airflow_troubles.read_imports(document)
    assert (broken.file, broken.cause.line) == ("dags/broken.py", 2)
    assert late.cause.sentence.startswith("dags/late.py: ")


def trouble(file, message="ValueError: no", line=3):
    return ImportTrouble(file, Cause(message, file, line))


def test_an_import_error_is_told_once_then_again_when_it_changes_then_when_it_is_gone():
    first = trouble("dags/a.py", "TypeError: <object at 0x7f00>")
    news, seen = airflow_troubles.imports(Reported(), [first])
    assert (news.appeared, news.gone) == ((first,), ())
    news, seen = airflow_troubles.imports(seen, [trouble("dags/a.py", "TypeError: <object at 0x7e11>")])
    assert (news.appeared, news.gone) == ((), ())
    other = trouble("dags/a.py", line=4)
    news, seen = airflow_troubles.imports(seen, [other, trouble("dags/b.py")])
    assert [each.file for each in news.appeared] == ["dags/a.py", "dags/b.py"]
    news, seen = airflow_troubles.imports(seen, [])
    assert news.gone == ("dags/a.py", "dags/b.py")
    assert airflow_troubles.imports(seen, [])[0] == airflow_troubles.NewTroubles()


looks = st.lists(st.dictionaries(st.sampled_from(["dags/a.py", "dags/b.py"]), st.sampled_from(["1", "2"])), max_size=8)


@given(looks)
def test_what_was_told_is_what_there_is(found):
    """Whoever reads only what was told knows the import errors that there are."""
    seen, known = Reported(), {}
    for each in found:
        news, seen = airflow_troubles.imports(seen, [trouble(file, message) for file, message in each.items()])
        assert not {one.file for one in news.appeared} & {*news.gone}
        known = {file: message for file, message in known.items() if file not in news.gone}
        for one in news.appeared:
            assert known.get(one.file) != one.cause.message
            known[one.file] = one.cause.message
        assert known == each


def failure(task, seconds, attempt=1):
    ended = NOW + timedelta(seconds=seconds)
    return TaskFailure(dag="d", run="r", task=task, attempt=attempt, index=-1, ended_at=ended, again=False)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 300), st.integers(1, 3)), max_size=20))
def test_each_failed_attempt_is_told_once(happened):
    """However they become visible, as long as none is later than the overlap allows for."""
    attempts = sorted({failure(*each) for each in happened}, key=lambda each: each.ended_at)
    seen, told = Reported(since=NOW), []
    for count in range(len(attempts) + 1):
        shown = [each for each in attempts[:count] if each.ended_at >= seen.since]
        news, seen = airflow_troubles.failures(seen, shown)
        told += news.failed
    assert sorted(told, key=repr) == sorted(attempts, key=repr)


def test_what_is_remembered_does_not_grow_without_end():
    seen = Reported(since=NOW)
    for seconds in range(0, 3600, 10):
        _, seen = airflow_troubles.failures(seen, [failure("a", seconds)])
    assert len(seen.failures) <= 4


def test_failures_are_read_from_airflow_s_answer():
    document = {
        "task_instances": [
            {
                "dag_id": "d", "dag_run_id": "r", "task_id": "t", "try_number": 2, "map_index": 0,
                "end_date": "2026-01-01T00:00:00Z", "state": "up_for_retry",
            },
            {"dag_id": "d", "dag_run_id": "r", "task_id": "u", "end_date": None},
        ]
    }  # fmt: skip
    [found] = airflow_troubles.read_failures(document)
    assert (found.name, found.attempt, found.again) == ("d.t[0]", 2, True)


def test_a_file_that_was_put_is_read_when_airflow_parsed_it_afterwards():
    dags = {
        "dags": [
            {"dag_id": "old", "fileloc": "/x/dags/a.py", "last_parsed_time": "2025-12-31T23:59:59Z"},
            {"dag_id": "new", "fileloc": "/x/dags/b.py", "last_parsed_time": "2026-01-01T00:00:01Z"},
            {"dag_id": "never", "fileloc": None, "last_parsed_time": None},
        ]
    }
    assert airflow_troubles.parsed_since(dags, {"dags/a.py": NOW, "dags/b.py": NOW}) == {"dags/b.py": ["new"]}


def test_many_dags_of_one_file_are_counted():
    assert airflow_troubles.names(["a", "b"]) == "a, b"
    assert airflow_troubles.names([str(each) for each in range(8)]) == "0, 1, 2, 3, 4 and 3 more"
