"""What of a project's folder is taken, and what is told instead."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aerodrome.cli import project_layout
from aerodrome.cli.project_layout import Layout, PathKind

FILE, FOLDER = PathKind.FILE, PathKind.FOLDER


def test_the_layout_of_mwaa_s_local_runner():
    found = project_layout.of({
        "dags": FOLDER, "plugins": FOLDER, "requirements/requirements.txt": FILE, "startup_script/startup.sh": FILE,
    })  # fmt: skip
    assert found == Layout(
        dags="dags",
        plugins="plugins",
        requirements="requirements/requirements.txt",
        startup="startup_script/startup.sh",
    )


def test_the_layout_of_astro_and_what_of_it_has_no_place():
    names = ["requirements.txt", "packages.txt", "airflow_settings.yaml", "Dockerfile", ".env"]
    found = project_layout.of({"dags": FOLDER, "plugins": FOLDER, "include": FOLDER, **dict.fromkeys(names, FILE)})
    assert (found.dags, found.plugins, found.requirements) == ("dags", "plugins", "requirements.txt")
    assert found.include == "include"
    told = "\n".join(found.notes)
    assert all(name in told for name in ("packages.txt", "airflow_settings.yaml", "Dockerfile", ".env", "dags/include"))


@pytest.mark.parametrize(
    ("kinds", "taken", "told"),
    [
        ({"plugins.zip": FILE, "plugins": FOLDER}, {"plugins": "plugins.zip"}, "plugins is not taken"),
        ({"plugins.zip": FOLDER, "plugins": FOLDER}, {"plugins": "plugins"}, ""),
        ({"plugins": FILE}, {}, ""),
        (
            {"requirements.txt": FILE, "requirements/requirements.txt": FILE},
            {"requirements": "requirements.txt"},
            "requirements/requirements.txt is not taken",
        ),
        ({"dags": FOLDER, "include": FOLDER, "dags/include": FOLDER}, {"dags": "dags"}, "include is not taken"),
    ],
)
def test_of_two_the_first_counts(kinds, taken, told):
    found = project_layout.of(kinds)
    assert {
        name: value
        for name in ("dags", "include", "plugins", "requirements", "startup")
        if (value := getattr(found, name))
    } == taken
    assert told in "\n".join(found.notes)


@given(st.dictionaries(st.sampled_from(project_layout.CANDIDATES), st.sampled_from(PathKind)))
def test_everything_there_is_taken_or_told(kinds):
    found = project_layout.of(kinds)
    taken = {found.dags, found.include, found.plugins, found.requirements, found.startup}
    right = {"dags": FOLDER, "include": FOLDER, "plugins": FOLDER, "dags/include": None}
    for name, kind in kinds.items():
        if kind is right.get(name, FILE):
            assert name in taken or any(note.startswith(f"{name} is") for note in found.notes), name


def test_the_disk_is_looked_at(tmp_path):
    (tmp_path / "dags").mkdir()
    (tmp_path / "startup.sh").write_text("")
    assert project_layout.look(tmp_path) == Layout(dags="dags", startup="startup.sh")
    assert project_layout.look(tmp_path / "dags").is_empty
