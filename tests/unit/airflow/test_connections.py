"""How many connections an environment may have, from what it runs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aerodrome.airflow import connections
from aerodrome.services import postgres_conf

SIZES = {
    "workers": st.integers(1, 25),
    "tasks_per_worker": st.integers(3, 80),
    "schedulers": st.integers(1, 5),
    "web_servers": st.integers(1, 5),
}


@pytest.mark.parametrize("line", [1, 2, 3])
def test_the_server_has_room_for_as_many_usual_environments_as_the_quota_says(line):
    found = connections.most(line, {}, tasks_per_worker=5, workers=1)
    assert 50 < found <= postgres_conf.FOR_EACH_ENVIRONMENT


@given(line=st.sampled_from([1, 2, 3]), **SIZES)
def test_more_of_anything_never_has_less(line, **sizes):
    found = connections.most(line, {}, **sizes)
    for name, size in sizes.items():
        assert connections.most(line, {}, **(sizes | {name: size + 1})) >= found


@pytest.mark.parametrize(("line", "option"), [(1, "webserver.workers"), (2, "webserver.workers"), (3, "api.workers")])
def test_each_process_of_a_web_server_counts(line, option):
    one, four = (
        connections.most(line, {option: number}, tasks_per_worker=5, workers=1, web_servers=2) for number in "14"
    )
    assert four - one >= 2 * 2 * 3 * (connections.POOL + connections.OVERFLOW)


def test_tasks_count_where_they_have_connections():
    for line, counts in ((1, True), (2, True), (3, False)):
        few, many = (connections.most(line, {}, tasks_per_worker=5, workers=number) for number in (1, 10))
        assert (many > few) is counts


@pytest.mark.parametrize(
    "options",
    [
        {"database.sql_alchemy_pool_size": "20"},
        {"core.sql_alchemy_pool_size": "20"},
        {"database.sql_alchemy_max_overflow": "30"},
        {"scheduler.parsing_processes": "8"},
        {"celery.worker_autoscale": "20,5"},
    ],
)
def test_options_that_open_more_count(options):
    usual = connections.most(2, {}, tasks_per_worker=5, workers=1)
    assert connections.most(2, options, tasks_per_worker=5, workers=1) > usual


def test_an_option_that_is_no_number_is_as_if_it_were_not_there():
    usual = connections.most(3, {}, tasks_per_worker=5, workers=1)
    odd = {"database.sql_alchemy_pool_size": "many", "database.sql_alchemy_max_overflow": "-1"}
    assert connections.most(3, odd, tasks_per_worker=5, workers=1) == usual
