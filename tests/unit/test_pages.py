"""The pages lead where they say and name what is in the code; each decision has a number of its own."""

from __future__ import annotations

import ast
import re
import tomllib
from collections import Counter
from pathlib import Path

import pytest

from aerodrome.settings import Settings

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs").rglob("*.md")) + sorted(ROOT.glob("*.md"))
DECISIONS = sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))

REPLACES = re.compile(r"replaces \[decision \d+\]\((?P<file>[^)]+)\)")
LINK = re.compile(r"\]\(([^)\s]+)\)")
CODE = re.compile(r"`([A-Za-z_.]+)`")
NUMBERED = re.compile(r"\[[Dd]ecision\s+(\d+)\]\((?:[^)]*/)?(\d{4})-")
PATH = re.compile(r"`([a-z_]+(?:/[a-z0-9_]+)+)(?:\.py)?`")
SETTING = re.compile(r"AERODROME_[A-Z_]*[A-Z]")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_to_a_file_leads_to_one(page: Path):
    found = [target.partition("#")[0] for target in LINK.findall(page.read_text()) if "://" not in target]
    assert [target for target in found if target and not (page.parent / target).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_decision_is_named_by_the_number_that_it_has(page: Path):
    assert [(told, real) for told, real in NUMBERED.findall(page.read_text()) if int(told) != int(real)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_names_modules_and_tests_that_are_there(page: Path):
    assert [path for path in PATH.findall(page.read_text()) if not is_module_or_no_path_of_ours(path)] == []


def is_module_or_no_path_of_ours(path: str) -> bool:
    """False for a path that begins with a room, or names a test, where nothing is there."""
    rooms = ROOT / "src" / "aerodrome"
    if path.rpartition("/")[2].startswith("test_"):
        return any((ROOT / "tests").rglob(f"{path.removeprefix('tests/')}.py"))
    if not (rooms / path.partition("/")[0]).is_dir():
        return True
    return (rooms / path).is_dir() or (rooms / f"{path}.py").is_file()


def test_a_path_that_is_not_in_the_code_is_found_out():
    assert is_module_or_no_path_of_ours("model/spec")
    assert is_module_or_no_path_of_ours("unit/test_pages")
    assert not is_module_or_no_path_of_ours("model/other")
    assert not is_module_or_no_path_of_ours("unit/test_other")


def test_a_page_names_variables_that_something_reads():
    code = [each for top in ("src", "tests", "tools", "benchmarks") for each in (ROOT / top).rglob("*.py")]
    known = {name for each in code for name in SETTING.findall(each.read_text())}
    known |= {f"AERODROME_{name.upper()}" for name in Settings.model_fields}
    named = {(page.name, name) for page in PAGES for name in SETTING.findall(page.read_text())}
    assert len(named) > 20
    assert sorted((page, name) for page, name in named if name not in known) == []


def test_no_two_decisions_share_a_number():
    numbers = Counter(each.name[:4] for each in DECISIONS)
    assert [number for number, count in numbers.items() if count > 1] == []


@pytest.mark.parametrize("decision", DECISIONS, ids=lambda each: each.stem)
def test_a_decisions_title_bears_its_number(decision: Path):
    assert decision.read_text().startswith(f"# {int(decision.name[:4])}. ")


def test_a_decision_that_another_replaces_says_so_at_its_top():
    replaced = [(each, found["file"]) for each in DECISIONS for found in REPLACES.finditer(each.read_text())]
    assert replaced
    for later, earlier in replaced:
        top = (later.parent / earlier).read_text().splitlines()[2]
        assert top.startswith("*Replaced by [decision ")
        assert later.name in top


def test_the_architecture_page_has_the_layers_that_are_checked():
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    [layers] = [
        each["layers"] for each in contracts if each["type"] == "layers" and each["containers"] == ["aerodrome"]
    ]
    assert "\n".join(["```", *layers, "```"]) in (ROOT / "docs" / "architecture.md").read_text()


def glossary() -> list[tuple[str, list[str]]]:
    """Each row of the glossary: its word, and the names in the code that it gives."""
    text = (ROOT / "docs" / "glossary.md").read_text()
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("| ")
    ]
    return [(word, CODE.findall(where)) for word, _, where, _ in rows if word != "word"]


def is_in_code(name: str) -> bool:
    """Whether a dotted name is a module below `aerodrome`, or what is defined in one: a class, a method, a constant."""
    found, parts = ROOT / "src" / "aerodrome", name.split(".")
    while parts and (found / parts[0] / "__init__.py").exists():
        found = found / parts.pop(0)
    if not parts:
        return True
    module = found / f"{parts.pop(0)}.py"
    if not module.exists():
        return False
    body = ast.parse(module.read_text()).body
    for part in parts:
        inner = [each for each in body if part in names_of(each)]
        if not inner:
            return False
        body = getattr(inner[0], "body", [])
    return True


def names_of(statement: ast.stmt) -> set[str]:
    """The names that a statement defines."""
    if isinstance(statement, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        return {statement.name}
    targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
    return {each.id for each in targets if isinstance(each, ast.Name)}


def test_each_word_of_the_glossary_is_in_the_code():
    assert [(word, name) for word, names in glossary() for name in names or [""] if not is_in_code(name)] == []


def test_the_glossary_has_each_word_once():
    words = [word for row, _ in glossary() for word in row.split(", ")]
    assert len(words) > 40
    assert [word for word, count in Counter(words).items() if count > 1] == []


@pytest.mark.parametrize("name", ["model.spec.Other", "model.other", "model.spec.Spec.other", "other"])
def test_a_name_that_is_not_in_the_code_is_found_out(name: str):
    assert not is_in_code(name)
