"""Which packages may be added to a process that has imported Airflow without them."""

from __future__ import annotations

import importlib.metadata
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aerodrome.airflow import added_packages
from aerodrome.airflow.added_packages import AddedPackages, AskedNames
from aerodrome.airflow.inside.aerodrome_unit import asked_for

ASKED = AskedNames(
    modules={"airflow", "airflow.models", "google", "google.cloud", "google.protobuf", "orjson", "requests"},
    namespaces={"google"},
    packages={"*", "apache-airflow-providers-openlineage"},
)
NAMES = st.sampled_from(["a", "b", "c"])
MODULES = st.lists(NAMES, min_size=1, max_size=3).map(".".join)


@pytest.mark.parametrize("module", ["pandas", "google.storage", "openai.types"])
def test_what_was_never_asked_for_may_come(module):
    assert added_packages.objection(AddedPackages(modules=frozenset({module})), ASKED) == ""


@pytest.mark.parametrize(
    ("module", "reason"),
    [
        ("requests", "requests"),  # another version of what was imported
        ("orjson", "orjson"),  # looked for in vain
        ("google.protobuf", "google.protobuf"),
        ("google.cloud.storage", "google.cloud"),  # a namespace that was looked for in vain, or a package with a file
        ("airflow.providers.snowflake", "airflow"),  # a package whose folders are found when it is imported
        ("google", "google"),  # a file in the place of a namespace
    ],
)
def test_what_was_asked_for_may_not(module, reason):
    assert f"{reason} was asked for" in added_packages.objection(AddedPackages(modules=frozenset({module})), ASKED)


def test_packages_that_were_looked_for_in_vain_may_not():
    name = "apache-airflow-providers-openlineage"
    assert name in added_packages.objection(AddedPackages(names=frozenset({name})), ASKED)


@pytest.mark.parametrize(
    ("group", "packages", "may"),
    [("console_scripts", {"*"}, True), ("airflow.plugins", {"*"}, False), ("airflow.plugins", {"other"}, True)],
)
def test_entry_points_may_not_once_all_packages_were_looked_through(group, packages, may):
    added, asked = AddedPackages(entry_points=frozenset({group})), AskedNames(set(), set(), packages)
    assert (added_packages.objection(added, asked) == "") is may


@given(st.frozensets(MODULES), st.frozensets(MODULES), st.frozensets(MODULES))
def test_no_module_comes_that_was_asked_for(modules, asked, namespaces):
    known = AskedNames(asked | namespaces, namespaces, set())
    if not added_packages.objection(AddedPackages(modules=modules), known):
        assert not modules & known.modules


def test_the_packages_of_a_release_are_read_from_its_folder(tmp_path):
    files = {
        "pandas/__init__.py": "", "pandas/core/frame.py": "", "_brotli.abi3.so": "", "brotli.py": "",
        "google/cloud/storage/__init__.py": "", "bin/pandas": "", "numpy.libs/x.so": "", "fast/__init__.cpython.so": "",
        "Google_Cloud.Storage-2.0.dist-info/METADATA": "",
        "pandas-3.0.dist-info/entry_points.txt": "[console_scripts]\npandas = pandas:main\n\n[airflow.plugins]\n",
    }  # fmt: skip
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert added_packages.look(tmp_path) == AddedPackages(
        names=frozenset({"google-cloud-storage", "pandas"}),
        modules=frozenset({"pandas", "_brotli", "brotli", "google.cloud.storage", "fast"}),
        entry_points=frozenset({"console_scripts", "airflow.plugins"}),
    )
    assert added_packages.look(None) == AddedPackages()


def test_what_a_process_asks_for_is_noted_for_a_while(tmp_path, monkeypatch):
    (tmp_path / "space_of_names").mkdir()
    (tmp_path / "space_of_names" / "here.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    asked = asked_for.AskedFor()
    with asked_for.noted(asked):
        for name in ("space_of_names.here", "not_there", "space_of_names.neither"):
            try:
                importlib.import_module(name)
            except ImportError:
                continue
        with pytest.raises(importlib.metadata.PackageNotFoundError):
            importlib.metadata.version("Not.There_either")
        assert asked.packages == {"not-there-either"}
        importlib.metadata.entry_points(group="none")
    assert asked.modules >= {"space_of_names", "space_of_names.here", "space_of_names.neither", "not_there", "sys"}
    assert "space_of_names" in asked.namespaces
    assert "pytest" not in asked.namespaces
    assert asked.packages == {"not-there-either", asked_for.ALL}
    assert asked not in sys.meta_path
