"""The room runs inside interpreters back to 3.7, with nothing but their standard library."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

import aerodrome.cell

SOURCES = sorted(Path(aerodrome.cell.__path__[0]).glob("*.py"))


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_the_syntax_is_that_of_3_7(path: Path) -> None:
    ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 7))


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_only_the_standard_library_and_neighbours_are_imported(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            assert all(alias.name.partition(".")[0] in sys.stdlib_module_names for alias in node.names)
        if isinstance(node, ast.ImportFrom) and node.level == 0:
            assert (node.module or "").partition(".")[0] in sys.stdlib_module_names
        if isinstance(node, ast.ImportFrom):
            assert node.level <= 1


@pytest.mark.parametrize("name", ["units.py", "specs.py"])
def test_decisions_do_no_input_or_output(name: str) -> None:
    tree = ast.parse((Path(aerodrome.cell.__path__[0]) / name).read_text(encoding="utf-8"))
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}

    assert not imported & {"os", "time", "socket", "subprocess", "random", "pathlib", "tempfile"}
