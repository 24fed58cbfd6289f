"""Which files among the plugins Airflow does without; the probe runs under any Airflow's Python and is no module."""

import runpy
from pathlib import Path

import pytest

from aerodrome.release import verification

PROBE = runpy.run_path(str(Path(verification.__file__).with_name("inside") / "probe.py"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("from . import helper\n", True),
        ("'''Speaks of AirflowPlugin.'''\nimport gone\n", True),
        ("print 'hello'\n", True),
        ("from airflow.plugins_manager import AirflowPlugin as P\nclass Mine(P): pass\n", False),
        ("import airflow.plugins_manager as m\nclass Mine(m.AirflowPlugin): pass\n", False),
        ("from mine import OurPlugin\nclass Other(OurPlugin): pass\n", False),
        ("from airflow.plugins_manager import AirflowPlugin\nprint 'hello'\n", False),
        ("(" * 100_000, True),
    ],
)
def test_what_defines_no_plugin_is_passed_over(tmp_path, text, expected):
    file = tmp_path / "file.py"
    file.write_text(text)
    assert PROBE["is_no_plugin"](str(file)) is expected


def test_what_is_no_file_is_a_plugin(tmp_path):
    assert PROBE["is_no_plugin"]("the name of a plugin") is False
    assert PROBE["is_no_plugin"](str(tmp_path / "gone.py")) is False
