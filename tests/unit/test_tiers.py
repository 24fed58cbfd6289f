"""How `make test` shares its tests out among processes, and what it says of them at its end."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import tiers

ROOT = Path(tiers.__file__).parents[1]
PACKAGE = 'scope="package"'


FILES = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "tests").rglob("test_*.py"))
STARTING = [file for file in FILES if tiers.tier_of(file) in {"acceptance", "browser", "faults"}]
"""Those whose tests may have an Aerodrome; elsewhere the word means something else."""


def asked_for(file: str) -> set[str]:
    """The names of the fixtures that a file and the conftest.py beside it ask others for."""
    return asked_by(ROOT / file, (ROOT / file).with_name("conftest.py"))


def asked_by(*paths: Path) -> set[str]:
    """The names of the fixtures that are asked for in these files and made in none of them."""
    nodes = [node for path in paths if path.exists() for node in ast.walk(ast.parse(path.read_text()))]
    functions = [node for node in nodes if isinstance(node, ast.FunctionDef)]
    askers = [each for each in functions if each.name.startswith("test_") or is_fixture(each)]
    return {each.arg for asker in askers for each in asker.args.args} - {each.name for each in functions}


def is_fixture(function: ast.FunctionDef) -> bool:
    return any("pytest.fixture" in ast.unparse(each) for each in function.decorator_list)


@pytest.mark.parametrize("name", [tiers.PRODUCT, tiers.CHANGING, tiers.MORTAL])
def test_one_process_runs_all_files_that_ask_for_an_aerodrome_that_is_shared(name: str) -> None:
    assert {file for file in STARTING if name in asked_for(file)} == {
        file for file, each in tiers.SHARED.items() if each == name
    }


@pytest.mark.parametrize(("folder", "name"), tiers.FOLDERS.items())
def test_one_process_runs_all_files_of_a_folder_that_shares_something(folder: str, name: str) -> None:
    assert {file for file in FILES if tiers.unit_of(f"{file}::test_x") == name} == {
        file for file in FILES if file.startswith(folder)
    }
    assert name in tiers.FIRST


def test_environments_that_stay_are_made_last() -> None:
    shared = {file for file in STARTING if {"shared_environment", "shared_environments"} & asked_for(file)}
    below = {file for file in FILES if "/airflow/" in file and "environment" in asked_by(ROOT / file)}
    assert shared | below == {*tiers.STAYING}
    alone = "tests/acceptance/test_bad_beginnings.py"
    assert all(tiers.order(f"{alone}::test_x") < tiers.order(f"{file}::test_x") for file in shared)


def test_an_environment_that_stays_is_made_once_and_ends_before_the_next_one() -> None:
    first, second = tiers.airflow_lines.CHOSEN[:2]
    found = [
        f"tests/acceptance/airflow/test_{file}.py::test_x[{version}-a]"
        for file in ("roles", "environment")
        for version in (second, first)
    ]
    assert [first in each for each in sorted(found, key=tiers.order)] == [True, True, False, False]
    shared = [f"tests/acceptance/test_life.py::test_x[{version}]" for version in (second, first)]
    both = f"{tiers.OF_BOTH}::test_x[{second}]"
    assert sorted([*shared, both], key=tiers.order) == [shared[1], both, shared[0]]


def test_what_takes_longest_begins_first() -> None:
    scheduler = tiers.FilesTogether.__new__(tiers.FilesTogether)
    assert all(unit in {scheduler._split_scope(f"{file}::test_x[1]") for file in FILES} for unit in tiers.FIRST)
    begun = sorted(FILES, key=lambda file: tiers.order(f"{file}::test_x"))
    units = list(dict.fromkeys(tiers.unit_of(file) for file in begun))
    assert units[: len(tiers.FIRST)] == list(tiers.FIRST)
    others = [file for file in begun if tiers.unit_of(file) not in tiers.FIRST]
    assert list(dict.fromkeys(map(tiers.tier_of, others)))[-2:] == list(tiers.LAST)


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


@pytest.mark.parametrize(
    "conftest", [path for path in (ROOT / "tests").rglob("conftest.py") if PACKAGE in path.read_text()]
)
def test_what_a_folder_shares_ends_with_the_folder(conftest: Path) -> None:
    """For pytest a folder without this file is no package, and its fixtures live to the end of the run."""
    assert conftest.with_name("__init__.py").exists()
