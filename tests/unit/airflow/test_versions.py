"""Which versions are offered."""

from __future__ import annotations

import pytest

from aerodrome.airflow import options, preloading, versions
from aerodrome.errors import CallerError
from aerodrome.release import locks


def test_the_default_is_offered():
    assert versions.lookup(versions.DEFAULT).number == versions.DEFAULT


def test_an_unknown_version_is_the_callers_error_and_names_field_value_and_choice():
    with pytest.raises(CallerError, match=r"AirflowVersion '9\.9\.9' .*3\.3\.1, .*2\.11\.2"):
        versions.lookup("9.9.9")


def test_a_hostile_value_is_cut():
    with pytest.raises(CallerError) as caught:
        versions.lookup("x" * 10_000)
    assert len(str(caught.value)) < 200


def test_every_version_knows_its_line(version):
    assert version.number.startswith(f"{version.line}.")
    assert {1: None, 2: "/api/v1", 3: "/api/v2"}[version.line] == version.adapter.REST_PREFIX


def test_the_last_patch_release_of_1_10_runs_in_the_place_of_1_10_12():
    assert versions.lookup("1.10.12").number == locks.of("1.10.12").version == "1.10.15"


def test_who_asks_for_1_10_12_is_told_what_runs():
    [sentence] = versions.warnings("1.10.12", {"core.parallelism": "1"})
    assert "1.10.12 is answered by 1.10.15" in sentence
    assert versions.warnings("1.10.15", {"core.parallelism": "1"}) == []
    [_, told] = versions.warnings("1.10.12", {"core.max_active_tasks_per_dag": "1"})
    assert "core.dag_concurrency in Airflow 1.10.15" in told


def test_every_version_has_a_lock_for_the_same_python_a_list_of_modules_and_a_list_of_options(version):
    assert locks.of(version.number).python == version.python
    assert preloading.file(version.number).is_file()
    assert options.file(version.number).is_file()


@pytest.mark.parametrize(
    ("current", "wanted", "word"),
    [
        ("3.3.1", "3.3.1", None),
        ("3.0.6", "3.3.1", None),
        ("3.3.1", "3.0.6", None),
        ("2.10.3", "2.11.2", None),
        ("2.11.2", "3.3.1", None),
        ("3.3.1", "2.11.2", None),
        ("2.10.3", "3.3.1", "move to 2.11 first"),
        ("3.3.1", "2.10.3", "move to 2.11 first"),
        ("1.10.15", "1.10.12", None),
        ("1.10.15", "2.11.2", "create an environment with 2.11.2"),
        ("3.3.1", "1.10.15", "create an environment with 1.10.15"),
    ],
)
def test_which_versions_can_become_which(current, wanted, word):
    refusal = versions.move_refusal(current, wanted)
    if word is None:
        assert refusal is None
    else:
        assert word in refusal


@pytest.mark.parametrize(
    ("number", "newest"), [("3.3.1", "3.3.1"), ("3.3.0", "3.3.1"), ("2.11.0", "2.11.2"), ("3.9.9", "3.9.9")]
)
def test_the_newest_patch_is_of_the_same_minor_version(number, newest):
    assert versions.newest_patch(number) == newest
