"""Which files are read, and what is not uploaded."""

from __future__ import annotations

import io
import os
import stat
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aerodrome.cli import ignored_files
from aerodrome.cli.dev import folder_tree, plugins_zip


@pytest.mark.parametrize(
    "path",
    [
        "a.pyc", "__pycache__/a.cpython-312.pyc", ".git/config", "x/.venv/bin/python", ".sales.py.swp", "sales.py~",
        ".#sales.py", "#sales.py#", ".DS_Store", "x/.ipynb_checkpoints/y.ipynb", "4913", ".gitkeep", ".gitignore",
        "sales.py.___jb_tmp___", ".idea/workspace.xml", "node_modules/x.js",
    ],
)  # fmt: skip
def test_what_nobody_wants(path):
    assert ignored_files.is_unwanted(path)


@pytest.mark.parametrize(
    "path",
    ["sales.py", ".airflowignore", "sql/load.sql", "a/b/c.yaml", "git/x.py", "data/2024.csv", "49130", "dist/x.whl"],
)
def test_what_belongs_to_a_project(path):
    assert not ignored_files.is_unwanted(path)


def test_a_tree_is_read_without_leavings_and_environments(tmp_path):
    for name in ("sales.py", "lib/deep/x.py", ".sales.py.swp", "__pycache__/sales.pyc", "myenv/lib/y.py"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    (tmp_path / "myenv" / "pyvenv.cfg").write_text("")
    found = folder_tree.TreeReader().tree(tmp_path)
    assert set(found) == {"sales.py", "lib/deep/x.py"}
    assert found["sales.py"].digest == folder_tree.digest(b"sales.py")


def test_links_are_followed_but_not_in_circles(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "shared.py").write_text("x")
    dags = tmp_path / "dags"
    dags.mkdir()
    (dags / "common").symlink_to(tmp_path / "elsewhere")
    (dags / "one.py").symlink_to(tmp_path / "elsewhere" / "shared.py")
    (dags / "circle").symlink_to(tmp_path)
    (dags / "dangling.py").symlink_to(tmp_path / "nowhere")
    os.mkfifo(dags / "pipe.py")
    assert set(folder_tree.TreeReader().tree(dags)) == {"common/shared.py", "one.py"}


def test_a_changed_file_is_read_again(tmp_path):
    reader, path = folder_tree.TreeReader(), tmp_path / "a.py"
    path.write_text("1")
    before = reader.tree(tmp_path)
    path.write_text("2")
    os.utime(path, (1, 1))
    assert reader.tree(tmp_path)["a.py"].digest != before["a.py"].digest
    path.unlink()
    assert reader.tree(tmp_path) == {}
    assert reader.tree(tmp_path / "nowhere") == {}


names = st.from_regex(r"[a-z]{1,8}(/[a-z]{1,8}\.py)?", fullmatch=True)


@given(st.dictionaries(names, st.tuples(st.binary(max_size=50), st.booleans()), max_size=5), st.randoms())
def test_the_same_files_always_give_the_same_archive(files, random):
    listed = [(name, data, program) for name, (data, program) in files.items()]
    first = plugins_zip.packed(listed)
    random.shuffle(listed)
    assert plugins_zip.packed(listed) == first
    with zipfile.ZipFile(io.BytesIO(first)) as found:
        assert {each.filename: found.read(each) for each in found.infolist()} == {
            name: data for name, (data, _) in files.items()
        }
        for each in found.infolist():
            assert bool(each.external_attr >> 16 & stat.S_IXUSR) == files[each.filename][1]
