"""What rooms keep to themselves, where no import shows it."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "src" / "aerodrome"

OPTIONS_AS_VARIABLES = (b"AIRFLOW__", b"option_variables.PREFIX")
"""How code names the variable of an option without asking for it."""


def test_only_the_room_airflow_names_the_variables_of_airflows_options():
    files = [path for path in PACKAGE.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    naming = [
        path.relative_to(PACKAGE) for path in files if any(word in path.read_bytes() for word in OPTIONS_AS_VARIABLES)
    ]
    assert Path("airflow", "option_variables.py") in naming
    assert [str(path) for path in naming if path.parts[0] != "airflow"] == []


def test_a_class_name_stands_for_one_thing():
    names = Counter(
        node.name
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_bytes()))
        if isinstance(node, ast.ClassDef)
    )
    assert "Environment" in names
    assert sorted(name for name, times in names.items() if times > 1) == []
