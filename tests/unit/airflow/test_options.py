"""The options of each version, their other names, and what users are told of unknown ones."""

from __future__ import annotations

import pytest

from aerodrome.airflow import options, versions


def test_what_is_renamed_is_unknown_and_what_it_becomes_is_known(version):
    names = options.known(version.number)
    for old, new in options.renames(version.number).items():
        assert ".".join(old) not in names
        assert ".".join(new) in names


def test_renaming_twice_is_renaming_once(version):
    renames = options.renames(version.number)
    assert not set(renames.values()) & set(renames)


def test_no_name_stands_for_two_options():
    names = [name for group in options.SAME for name in group]
    assert sorted(names) == sorted(set(names))


@pytest.mark.parametrize(
    ("given", "number", "expected"),
    [
        ("core.dag_concurrency", "3.3.1", "core.max_active_tasks_per_dag"),
        ("core.dag_concurrency", "2.10.3", "core.max_active_tasks_per_dag"),
        ("core.max_active_tasks_per_dag", "1.10.15", "core.dag_concurrency"),
        ("scheduler.dag_dir_list_interval", "3.0.6", "dag_processor.refresh_interval"),
        ("dag_processor.refresh_interval", "2.11.2", "scheduler.dag_dir_list_interval"),
        ("dag_processor.refresh_interval", "1.10.15", "scheduler.dag_dir_list_interval"),
        ("scheduler.max_threads", "3.3.1", "dag_processor.parsing_processes"),
        ("scheduler.scheduler_zombie_task_threshold", "3.3.1", "scheduler.task_instance_heartbeat_timeout"),
        ("scheduler.task_instance_heartbeat_timeout", "2.11.2", "scheduler.scheduler_zombie_task_threshold"),
        ("webserver.instance_name", "3.2.1", "api.instance_name"),
        ("api.instance_name", "2.11.2", "webserver.instance_name"),
        ("fab.update_fab_perms", "1.10.15", "webserver.update_fab_perms"),
        ("triggerer.default_capacity", "3.3.1", "triggerer.capacity"),
        ("triggerer.capacity", "2.10.3", "triggerer.default_capacity"),
        ("logging.logging_level", "1.10.15", "core.logging_level"),
    ],
)
def test_an_option_of_another_line_has_a_name_in_this_one(given, number, expected):
    old, new = tuple(given.split(".")), tuple(expected.split("."))
    assert options.renames(number)[old] == new


def test_nothing_is_said_of_what_the_version_knows_and_of_sections_of_the_users_own(version):
    given = {
        "core.parallelism": "1", "Core.Parallelism": "1", "foo.user": "x", "mwaa.triggerer_enabled": "True",
        "celery.broker_url_cmd": "x", "celery_broker_transport_options.anything": "1",
    }  # fmt: skip
    assert options.warnings(version.number, given) == []


def test_a_slip_is_told_with_what_was_meant(version):
    [sentence] = options.warnings(version.number, {"core.paralelism": "1"})
    assert f"Airflow {version.number} does not know the option core.paralelism" in sentence
    assert "core.parallelism" in sentence


def test_a_former_name_is_told_with_the_present_one():
    [sentence] = options.warnings("3.3.1", {"core.dag_concurrency": "1"})
    assert "core.dag_concurrency is called core.max_active_tasks_per_dag in Airflow 3.3.1" in sentence


def test_an_option_of_a_section_that_this_version_no_longer_has_is_told():
    [sentence] = options.warnings("3.3.1", {"webserver.rbac": "True"})
    assert "does not know the option webserver.rbac and will not heed it" in sentence


def test_no_request_gets_sentences_without_end():
    found = options.warnings("3.3.1", {f"core.unknown_{number}": "1" for number in range(50_000)})
    assert len(found) == options.MOST_WARNINGS + 1
    assert str(options.MOST_WARNINGS) in found[-1]
    assert len(options.warnings("3.3.1", {f"core.x{number}": "1" for number in range(options.MOST_WARNINGS)})) == 20


def test_every_version_lists_what_we_set_ourselves():
    for version in versions.OFFERED.values():
        assert {"core.executor", "core.dags_folder", "celery.broker_url"} <= options.known(version.number)
