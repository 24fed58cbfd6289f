"""A full disk is told, with what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from aerodrome.services import disks
from aerodrome.services.disks import Disk
from aerodrome.settings import Paths

DATA = Path("/data")


@pytest.mark.parametrize(
    ("disk", "word"),
    [
        (Disk(DATA, 0, 10), "0 MiB free"),
        (Disk(DATA, disks.FULL - 1, None), "63 MiB free"),
        (Disk(DATA, 10 * disks.FULL, 0), "no file can be made"),
    ],
)
def test_a_full_disk_is_named_with_what_to_do(disk, word):
    [sentence] = disks.troubles([disk])
    assert word in sentence
    assert sentence.endswith(disks.REMEDY)
    assert "/data" in sentence


def test_a_disk_with_room_is_no_trouble():
    assert disks.troubles([Disk(DATA, disks.FULL, None), Disk(DATA, disks.FULL, 1)]) == []


def test_each_disk_is_looked_at_once_before_its_folders_are_there(tmp_path):
    found = disks.look(Paths(tmp_path / "not" / "yet"))
    assert tmp_path in {disk.folder for disk in found}
    assert len({disk.folder.stat().st_dev for disk in found}) == len(found)
    assert all(disk.free > 0 for disk in found)
