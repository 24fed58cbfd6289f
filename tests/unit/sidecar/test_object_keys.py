"""Which keys may become files."""

from __future__ import annotations

import posixpath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aerodrome.sidecar import object_keys
from aerodrome.sidecar.object_keys import Listing, Remote

SEGMENTS = st.sampled_from(
    ["a", "A", "b", "..", ".", "", "\\", "\0", "x\n", "é", "e\u0301", "\udce9", "__pycache__", "n" * 256]
)
KEYS = st.lists(SEGMENTS, min_size=1, max_size=4).map("/".join)


def listing(*names: str, size: int = 1, complete: bool = True) -> Listing:
    return Listing({name: Remote(name, '"1"', size) for name in names}, complete)


def accepted(*names: str, case_sensitive: bool = True) -> object_keys.Accepted:
    return object_keys.accept(listing(*names), prefix="dags/", case_sensitive=case_sensitive)


@pytest.mark.parametrize(
    ("path", "word"),
    [
        ("../etc/passwd", "'..'"),
        ("a/../../b.py", "'..'"),
        ("/etc/passwd", "empty"),
        ("a//b.py", "empty"),
        ("./a.py", "'.'"),
        ("..\\a.py", "backslash"),
        ("a\0.py", "control"),
        ("a\n.py", "control"),
        ("a\x7f.py", "control"),
        ("\udce9.py", "UTF-8"),
        ("n" * 256, "longer than 255"),
        ("é" * 128, "longer than 255"),
        ("/".join(["nnnnnnnnnn"] * 100), "longer than 1024"),
        ("/".join("a" * 65), "64 folders"),
        ("pkg/__pycache__/a.pyc", "Python's own"),
        ("a/", "empty"),
    ],
)
def test_a_key_that_may_not_be_a_file_is_refused_with_a_sentence(path, word):
    assert word in accepted("dags/" + path).refused["dags/" + path]


@pytest.mark.parametrize(
    "path", [".airflowignore", "pkg/__init__.py", "data/a b+c.csv", "é/ü.sql", "...", "a.zip", "n" * 255, ".hidden/x"]
)
def test_whatever_airflow_may_want_is_accepted(path):
    assert set(accepted("dags/" + path).files) == {path}


def test_a_folder_marker_is_neither_a_file_nor_a_complaint():
    result = object_keys.accept(Listing({"dags/": Remote("dags/", '"0"', 0)}), prefix="dags/")
    assert (result.files, result.refused) == ({}, {})


def test_a_file_that_is_too_large_is_refused():
    assert (
        "100 MiB"
        in object_keys.accept(listing("dags/a", size=object_keys.MAX_FILE_SIZE + 1), prefix="dags/").refused["dags/a"]
    )
    assert object_keys.accept(listing("dags/a", size=object_keys.MAX_FILE_SIZE), prefix="dags/").files


def test_of_a_file_and_a_folder_with_one_name_the_folder_stays():
    result = accepted("dags/a", "dags/a/b.py", "dags/a.py")
    assert set(result.files) == {"a/b.py", "a.py"}
    assert "folder" in result.refused["dags/a"]


def test_names_that_differ_by_case_collide_only_where_the_file_system_folds_case():
    names = ("dags/A.py", "dags/a.py", "dags/P/x.py", "dags/p/y.py")
    assert set(accepted(*names).files) == {"A.py", "a.py", "P/x.py", "p/y.py"}
    folded = accepted(*names, case_sensitive=False)
    assert set(folded.files) == {"A.py", "P/x.py"}
    assert set(folded.refused) == {"dags/a.py", "dags/p/y.py"}


def test_more_files_than_the_limit_are_refused_and_the_first_stay(monkeypatch):
    monkeypatch.setattr(object_keys, "MAX_FILES", 2)
    result = accepted("dags/c", "dags/a", "dags/b")
    assert set(result.files) == {"a", "b"}
    assert set(result.refused) == {"dags/c"}


@given(st.sets(KEYS), st.booleans())
def test_accepted_paths_stay_inside_and_can_exist_together(names, case_sensitive):
    source = listing(*(f"dags/{name}" for name in names))
    result = object_keys.accept(source, prefix="dags/", case_sensitive=case_sensitive)
    for path in result.files:
        path.encode()
        assert posixpath.normpath("/root/" + path) == "/root/" + path
        assert not set(object_keys.parents(path)) & set(result.files)
    if not case_sensitive:
        nodes = {*result.files, *result.folders}
        assert len({object_keys._folded(node) for node in nodes}) == len(nodes)
    assert {remote.key for remote in result.files.values()}.isdisjoint(result.refused)
    assert {remote.key for remote in result.files.values()} | set(result.refused) == set(source.objects)
