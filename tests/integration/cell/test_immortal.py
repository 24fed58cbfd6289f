"""Immortal objects under real interpreters: marked objects are not counted any more, and nothing breaks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from aerodrome.cell import immortal
from aerodrome.release import interpreters

PROBE = """
import gc, importlib.util, json, sys
spec = importlib.util.spec_from_file_location("immortal", {module!r})
immortal = importlib.util.module_from_spec(spec)
spec.loader.exec_module(immortal)
class Lazy:
    # As those that Airflow's operators make: it imports what it stands for when anybody asks for its class.
    @property
    def __class__(self):
        raise ModuleNotFoundError("not there")

lazy = [Lazy()]
before = sys.getrefcount(json.loads)
looked_at = immortal.immortalise()
after = sys.getrefcount(json.loads)
fresh = object()
assert sys.getrefcount(fresh) == 2
assert json.loads(json.dumps({{"a": [1, 2.5, None, "x" * 1000]}}))["a"][1] == 2.5
gc.collect()
print(json.dumps([looked_at, before, after, sys.getrefcount(None)]))
"""


def probed(python: Path | str) -> list[int]:
    code = PROBE.format(module=immortal.__file__)
    result = subprocess.run([str(python), "-I", "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0, result.stderr
    found: list[int] = json.loads(result.stdout)
    return found


@pytest.fixture(scope="module")
def python_3_12(tmp_path_factory):
    places = interpreters.InterpreterFolders(downloads=tmp_path_factory.mktemp("pythons"), environ=os.environ)
    return interpreters.find("3.12", places).path


def test_preloaded_objects_are_counted_no_more(python_3_12):
    looked_at, before, after, of_none = probed(python_3_12)
    assert looked_at > 1000
    assert before < after == of_none


@pytest.mark.skipif(sys.version_info >= immortal.FIRST, reason="this interpreter has immortal objects")
def test_an_older_interpreter_is_left_alone():
    looked_at, before, after, _ = probed(sys.executable)
    assert looked_at == 0
    assert before == after
