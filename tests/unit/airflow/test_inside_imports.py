"""What runs under Airflow's interpreters imports names that are there; no type checker follows these imports."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import aerodrome.airflow

INSIDE = Path(aerodrome.airflow.__file__).with_name("inside")
FILES = {path.relative_to(INSIDE).as_posix(): path for path in sorted(INSIDE.rglob("*.py"))}


def defined(path: Path) -> set[str]:
    """All names that a module binds, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            found |= {(each.asname or each.name).partition(".")[0] for each in node.names}
    return found


def module(name: str) -> Path | None:
    """Where a module of ours lies; None for others."""
    path = INSIDE.joinpath(*name.split("."))
    return next((each for each in (path.with_suffix(".py"), path / "__init__.py") if each.exists()), None)


@pytest.mark.parametrize("name", FILES)
def test_what_a_file_imports_from_another_is_there(name):
    package = Path(name).parent.as_posix().replace("/", ".")
    for node in ast.walk(ast.parse(FILES[name].read_text())):
        if not isinstance(node, ast.ImportFrom):
            continue
        source = ".".join(part for part in (package if node.level else "", node.module or "") if part and part != ".")
        path = module(source)
        if path is not None:
            missing = {each.name for each in node.names} - defined(path)
            assert [each for each in missing if module(f"{source}.{each}") is None] == []
