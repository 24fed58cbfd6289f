"""The oldest files go first, none more than must, and no link leads out of the folder."""

from __future__ import annotations

import os
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from aerodrome.services import oldest_files
from aerodrome.services.oldest_files import File

several = st.lists(st.builds(File, st.text("abc/", min_size=1), st.integers(0, 10**9), st.floats(0, 2e9)), max_size=30)


@given(several, st.integers(0, 10**10))
def test_no_file_goes_that_is_newer_than_one_that_stays(found, most) -> None:
    gone = oldest_files.chosen(found, most)
    stays = list(found)
    for each in gone:
        stays.remove(each)
    assert sum(each.bytes for each in stays) <= most or not stays
    assert max((each.changed for each in gone), default=0) <= min((each.changed for each in stays), default=3e9)
    # One fewer would have been too few.
    if gone:
        assert sum(each.bytes for each in [*stays, gone[-1]]) > most


def test_folders_that_are_empty_then_go_too(tmp_path: Path) -> None:
    root, outside = tmp_path / "logs", tmp_path / "outside"
    for name in ("dag/one/1.log", "dag/two/2.log"):
        file = root / name
        file.parent.mkdir(parents=True)
        file.write_bytes(b"x" * 10_000)
    outside.mkdir()
    (outside / "kept").write_bytes(b"x" * 10_000)
    (root / "link").symlink_to(outside)
    (root / "file").symlink_to(outside / "kept")
    os.utime(root / "dag/two/2.log", (1e9, 1e9))  # whoever sets a time back or forth does not choose
    assert {each.path for each in oldest_files.files(root)} == {"dag/one/1.log", "dag/two/2.log"}
    assert oldest_files.thin_out(root, 0) == 2
    assert sorted(each.name for each in root.iterdir()) == ["file", "link"]
    assert (outside / "kept").exists()


def test_a_folder_that_became_a_link_leads_nowhere(tmp_path: Path) -> None:
    root, outside = tmp_path / "logs", tmp_path / "outside"
    root.mkdir()
    outside.mkdir()
    (outside / "kept").touch()
    (root / "dag").symlink_to(outside)
    assert oldest_files.remove(root, [File("dag/kept", 1, 0.0), File("missing", 1, 0.0)]) == 0
    assert (outside / "kept").exists()
    assert oldest_files.thin_out(tmp_path / "nothing", 0) == 0
