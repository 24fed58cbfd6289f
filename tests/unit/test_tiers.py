"""How `make test` shares its tests out among processes, and what it says of them at its end."""

from __future__ import annotations

from pathlib import Path

import pytest

import tiers

ROOT = Path(tiers.__file__).parents[1]


def test_files_that_share_an_environment_are_there_and_ask_for_it() -> None:
    for file, name in tiers.SHARED.items():
        conftest = (ROOT / file).with_name("conftest.py")
        asked = (ROOT / file).read_text() + (conftest.read_text() if conftest.exists() else "")
        assert ("shared_environment" if name == "shared_environment" else "environment") in asked, file


@pytest.mark.parametrize("name", {*tiers.SHARED.values()})
def test_one_process_runs_all_of_them_after_those_that_share_nothing(name: str) -> None:
    scheduler = tiers.FilesTogether.__new__(tiers.FilesTogether)
    files = [file for file, each in tiers.SHARED.items() if each == name]
    assert len(files) > 1
    assert {scheduler._split_scope(f"{file}::test_x[1]") for file in files} == {name}
    alone, quick = "tests/faults/test_changes.py::test_x", "tests/unit/test_tiers.py::test_x"
    assert scheduler._split_scope(alone) == "tests/faults/test_changes.py"
    assert tiers.order(alone) < tiers.order(f"{files[0]}::test_x") < tiers.order(quick)


def test_a_tier_is_told_with_its_counts_and_the_time_of_its_fixtures() -> None:
    def report(nodeid: str, when: str, duration: float) -> pytest.TestReport:
        return pytest.TestReport(nodeid, ("", None, ""), {}, "passed", None, when, duration=duration)  # type: ignore[arg-type]

    told = tiers.lines([
        ("", report("tests/unit/a.py::test_1", "setup", 2.0)),
        ("passed", report("tests/unit/a.py::test_1", "call", 1.4)),
        ("failed", report("tests/unit/a.py::test_2", "call", 0.0)),
        ("skipped", report("tests/browser/b.py::test_3", "setup", 0.0)),
    ])  # fmt: skip
    assert [" ".join(line.split()) for line in told] == [
        "browser 1 skipped in 0 s",
        "unit 1 passed, 1 failed in 3 s",
    ]
