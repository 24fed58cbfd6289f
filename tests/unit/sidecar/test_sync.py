"""Rounds against a bucket in memory and a real folder."""

from __future__ import annotations

import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aerodrome.errors import BrokenError
from aerodrome.model import limits
from aerodrome.sidecar import sync
from aerodrome.sidecar.dags_folder import DagsFolder
from aerodrome.sidecar.signed_http import AwayError, RefusalError
from aerodrome.sidecar.sync import Syncer


def test_a_round_makes_the_folder_equal_to_the_bucket(bucket, syncer, on_disk):
    bucket.put(one="1", two="2")
    assert syncer.round().placed == ("one.py", "two.py")
    del bucket.objects["dags/one.py"]
    bucket.put(two="changed", three="3")
    done = syncer.round()
    assert (done.placed, done.deleted, done.objects) == (("three.py", "two.py"), ("one.py",), 2)
    assert on_disk() == {"two.py": "changed", "three.py": "3"}


def test_a_settled_round_does_nothing(bucket, syncer):
    bucket.put(one="1")
    syncer.round()
    done = syncer.round()
    assert (done.placed, done.deleted, bucket.fetched) == ((), (), ["dags/one.py"])


def test_a_file_becomes_a_folder_and_back(bucket, syncer, on_disk):
    bucket.objects = {"dags/a": b"file"}
    syncer.round()
    bucket.objects = {"dags/a/b.py": b"inside"}
    syncer.round()
    assert on_disk() == {"a/b.py": "inside"}
    bucket.objects = {"dags/a": b"file"}
    syncer.round()
    assert on_disk() == {"a": "file"}


def test_a_listing_that_fails_changes_nothing(bucket, syncer, on_disk):
    bucket.put(one="1")
    syncer.round()
    bucket.put(two="2")
    for error in (AwayError("away"), RefusalError("no bucket", code="NoSuchBucket")):
        bucket.away = error
        with pytest.raises(type(error)):
            syncer.round()
    assert on_disk() == {"one.py": "1"}


def test_an_incomplete_listing_adds_and_never_deletes(bucket, syncer, on_disk):
    bucket.put(one="1")
    syncer.round()
    bucket.objects, bucket.complete = {"dags/two.py": b"2"}, False
    syncer.round()
    assert on_disk() == {"one.py": "1", "two.py": "2"}


def test_what_changes_between_list_and_get_comes_with_the_next_round(bucket, syncer, on_disk):
    bucket.put(one="1", two="2")
    bucket.changing = {"dags/one.py": b"newer"}
    assert syncer.round().refused == {}
    assert on_disk() == {"two.py": "2"}
    syncer.round()
    assert on_disk() == {"one.py": "newer", "two.py": "2"}


def test_what_came_before_the_endpoint_went_away_is_in_place(bucket, syncer, on_disk, ticks):
    bucket.put(a="1", b="2", c="3")
    bucket.failures["dags/b.py"] = AwayError("cut off")
    with pytest.raises(AwayError):
        syncer.round()
    assert on_disk() == {"a.py": "1"}
    done = syncer.round()  # the object that failed waits its turn, those after it come
    assert on_disk() == {"a.py": "1", "c.py": "3"}
    assert done.refused == {"dags/b.py": "cut off"}
    bucket.failures.clear()
    ticks.now += 60
    assert syncer.round().refused == {}
    assert on_disk() == {"a.py": "1", "b.py": "2", "c.py": "3"}


def test_an_object_closed_to_the_role_is_asked_for_ever_more_rarely(bucket, syncer, ticks):
    bucket.put(one="1", two="2")
    bucket.failures["dags/one.py"] = RefusalError("s3 answers 403", code="AccessDenied")
    for _ in range(600):
        assert syncer.round().refused == {"dags/one.py": "s3 answers 403"}
        ticks.now += 1
    assert 10 < bucket.fetched.count("dags/one.py") < 20


def test_a_changed_object_is_tried_at_once_after_trouble(bucket, syncer, on_disk):
    bucket.put(one="1")
    bucket.failures["dags/one.py"] = RefusalError("closed", code="AccessDenied")
    syncer.round()
    bucket.failures.clear()
    bucket.put(one="other")
    assert syncer.round().refused == {}
    assert on_disk() == {"one.py": "other"}


def test_a_failed_fetch_leaves_nothing_in_staging(bucket, syncer, tree):
    bucket.put(one="1")
    bucket.failures["dags/one.py"] = RefusalError("closed", code="AccessDenied")
    syncer.round()
    assert list(tree.staging.iterdir()) == []


def test_tampering_is_seen_and_repaired(bucket, syncer, tree, on_disk):
    bucket.put(one="1", two="2", three="3")
    syncer.round()
    (tree.root / "one.py").write_text("X")
    (tree.root / "two.py").unlink()
    (tree.root / "stray").mkdir()
    (tree.root / "stray" / "file").write_text("stray")
    (tree.root / "__pycache__").mkdir()
    (tree.root / "__pycache__" / "one.cpython-312.pyc").write_text("bytecode")
    assert syncer.round().placed == ("one.py", "two.py")
    assert on_disk() == {"one.py": "1", "two.py": "2", "three.py": "3", "__pycache__/one.cpython-312.pyc": "bytecode"}
    assert not (tree.root / "stray").exists()


def test_a_package_goes_with_its_bytecode(bucket, syncer, tree):
    bucket.objects = {"dags/pkg/a.py": b"1"}
    syncer.round()
    (tree.root / "pkg" / "__pycache__").mkdir()
    (tree.root / "pkg" / "__pycache__" / "a.pyc").write_text("x")
    bucket.objects = {}
    syncer.round()
    assert list(tree.root.iterdir()) == []


def test_links_are_replaced_and_never_followed(bucket, syncer, tree, tmp_path, on_disk):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "one.py").write_text("precious")
    bucket.objects = {"dags/pkg/one.py": b"1", "dags/two.py": b"2"}
    tree.root.joinpath("pkg").symlink_to(outside)
    tree.root.joinpath("two.py").symlink_to(outside / "one.py")
    syncer.round()
    assert (outside / "one.py").read_text() == "precious"
    assert list(outside.iterdir()) == [outside / "one.py"]
    assert on_disk() == {"pkg/one.py": "1", "two.py": "2"}
    assert not tree.root.joinpath("pkg").is_symlink()
    assert not tree.root.joinpath("two.py").is_symlink()


def test_a_link_in_place_of_the_folder_itself_is_refused(bucket, syncer, tree, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    tree.root.rmdir()
    tree.root.symlink_to(outside)
    bucket.put(one="1")
    with pytest.raises(BrokenError, match="DAGs folder"):
        syncer.round()
    assert list(outside.iterdir()) == []
    with pytest.raises(BrokenError, match="symbolic link"):
        syncer.prepare()


def test_a_restart_goes_on_from_the_manifest(bucket, syncer, tree, ticks):
    bucket.put(one="1", two="2")
    syncer.round()
    bucket.put(two="changed")
    after = Syncer(source=bucket, reader=bucket, tree=tree, monotonic=ticks)
    after.prepare()
    assert after.round().placed == ("two.py",)


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"format": 1}', '{"format": 1, "source": "s3://blue-bucket/dags/", "files": []}']
)
def test_a_damaged_manifest_costs_a_fetch_and_nothing_else(bucket, syncer, tree, ticks, content, on_disk):
    bucket.put(one="1")
    syncer.round()
    (tree.root.parent / ".dags.manifest.json").write_text(content)
    after = Syncer(source=bucket, reader=bucket, tree=tree, monotonic=ticks)
    after.prepare()
    assert after.round().placed == ("one.py",)
    assert on_disk() == {"one.py": "1"}


def test_the_manifest_of_another_bucket_does_not_count(bucket, syncer, tree, ticks):
    bucket.put(one="1")
    syncer.round()
    bucket.name = "green-bucket"
    after = Syncer(source=bucket, reader=bucket, tree=tree, monotonic=ticks)
    after.prepare()
    assert after.round().placed == ("one.py",)


def test_the_manifest_is_private_and_names_the_version(bucket, syncer, tree):
    bucket.put(one="1")
    syncer.round()
    path = tree.root.parent / ".dags.manifest.json"
    assert path.stat().st_mode & 0o777 == 0o600
    assert json.loads(path.read_text())["files"]["one.py"][3] == "v1"


def test_a_new_version_is_in_a_later_second_than_the_old_one(bucket, syncer, tree):
    times = []
    for text in ("a", "b", "c"):
        bucket.put(one=text)
        syncer.round()
        times.append(int((tree.root / "one.py").stat().st_mtime))
    assert times == sorted(set(times))


def test_a_folder_that_cannot_be_written_is_reported(bucket, syncer, tree, monkeypatch):
    bucket.put(one="1", two="2")
    place = tree.place

    def full(name: str, path: str, *, after_ns: int | None) -> int:
        if path == "one.py":
            raise OSError(28, os.strerror(28))
        return place(name, path, after_ns=after_ns)

    monkeypatch.setattr(tree, "place", full)
    done = syncer.round()
    assert (done.placed, done.refused) == (("two.py",), {"dags/one.py": f"it cannot be written: {os.strerror(28)}"})
    assert list(tree.staging.iterdir()) == []


def test_units_of_another_user_can_read_whatever_the_umask(bucket, tmp_path, ticks):
    tree = DagsFolder(tmp_path / "other" / "dags")
    before = os.umask(0o077)
    try:
        made = Syncer(source=bucket, reader=bucket, tree=tree, monotonic=ticks)
        made.prepare()
        bucket.objects = {"dags/pkg/one.py": b"1"}
        made.round()
    finally:
        os.umask(before)
    modes = [path.stat().st_mode & 0o777 for path in (tree.root, tree.root / "pkg", tree.root / "pkg" / "one.py")]
    assert modes == [0o755, 0o755, 0o644]


def test_a_link_in_place_of_staging_is_refused(syncer, tree, tmp_path):
    tree.staging.rmdir()
    tree.staging.symlink_to(tmp_path)
    with pytest.raises(BrokenError, match="symbolic link"):
        syncer.prepare()


def test_a_predecessors_leavings_are_cleared(tree, syncer):
    (tree.staging / "half").write_text("x")
    syncer.prepare()
    assert list(tree.staging.iterdir()) == []


def test_a_change_in_a_large_tree_comes_at_once_and_damage_in_its_turn(bucket, syncer, tree, monkeypatch, on_disk):
    monkeypatch.setattr(sync, "LOOKED_AT", 1)
    bucket.put(a="1", b="2", c="3")
    syncer.round()
    syncer.round()
    (tree.root / "a.py").unlink()
    assert syncer.round().placed == ()
    bucket.put(b="changed")
    assert syncer.round().placed == ("a.py", "b.py")
    (tree.root / "a.py").unlink()
    assert [syncer.round().placed for _ in range(3)] == [(), ("a.py",), ()]
    assert on_disk() == {"a.py": "1", "b.py": "changed", "c.py": "3"}


def test_large_trees_are_looked_at_less_often():
    assert [sync.rounds_between_looks(names) for names in (0, 500, 501, 50_000)] == [1, 1, 2, 100]


def test_what_finds_no_room_in_the_folder_is_refused_and_keeps_nothing_else_out(bucket, tree, ticks, on_disk):
    syncer = Syncer(source=bucket, reader=bucket, tree=tree, monotonic=ticks, most_bytes=10)
    syncer.prepare()
    bucket.put(a="12345", b="123456", c="12345")
    done = syncer.round()
    assert (done.placed, [*done.refused]) == (("a.py", "c.py"), ["dags/b.py"])
    assert "AERODROME_DAGS_BYTES" in done.refused["dags/b.py"]
    assert "dags/b.py" not in bucket.fetched
    bucket.put(a="123456", c="54321")
    done = syncer.round()
    assert (done.placed, sorted(done.refused)) == (("c.py",), ["dags/a.py", "dags/b.py"])
    assert on_disk() == {"a.py": "12345", "c.py": "54321"}

    del bucket.objects["dags/c.py"]
    syncer.round()
    ticks.now += sync.LONGEST_RETRY
    syncer.round()
    assert on_disk() == {"a.py": "123456"}


def test_a_disk_that_is_nearly_full_takes_no_file_until_there_is_room(
    bucket, syncer, tree, ticks, on_disk, monkeypatch
):
    bucket.put(one="1")
    monkeypatch.setattr(tree, "free", lambda: (limits.disk_reserve(2**40) // sync.PART_OF_RESERVE, 2**40))
    done = syncer.round()
    assert "make space" in done.refused["dags/one.py"]
    assert (bucket.fetched, on_disk(), [*tree.staging.iterdir()]) == ([], {}, [])
    monkeypatch.undo()
    ticks.now += sync.LONGEST_RETRY
    assert syncer.round().placed == ("one.py",)


@given(*[st.integers(0, 2**42)] * 4)
def test_whatever_is_taken_leaves_a_part_of_the_reserve(size, after, free, disk):
    if sync.no_room(size, after, 2**30, free, disk) is None:
        assert after <= 2**30
        assert free - size >= limits.disk_reserve(disk) // sync.PART_OF_RESERVE
