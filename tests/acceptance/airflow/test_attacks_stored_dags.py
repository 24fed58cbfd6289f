"""No process with the environment's secrets calls what a stored DAG names."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

import lines
from aerodrome.airflow import inside

READER = Path(__file__).with_name("stored_dags.py")


@pytest.mark.parametrize("version", [version for version in lines.ONE if version.startswith("3.")])
def test_stored_dags_have_nothing_of_their_own_called(version, interpreter_of_version, tmp_path):
    (tmp_path / "hostile.py").write_text(
        "class Anything:\n"
        "    def __init__(self, *_, **__): pass\n"
        "    deserialize = deserialize_reference = classmethod(lambda cls, _: cls())\n"
    )
    command = [
        str(interpreter_of_version(version)),
        "-I",
        str(READER),
        str(tmp_path),
        str(Path(inside.__file__).parent),
    ]
    environment = {"AIRFLOW_HOME": str(tmp_path), "HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert {what: said for what, (ran, said) in found["hostile"].items() if ran} == {}
    assert len(found["hostile"]) == 9
    for what, (got, wanted) in found["honest"].items():
        assert got == wanted, what
