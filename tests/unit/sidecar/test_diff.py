"""The plan of a round: whatever the disk looks like, carrying it out makes the disk equal to the listing."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from aerodrome.sidecar import diff, object_keys
from aerodrome.sidecar.diff import DiskEntry, DiskTree, ManifestEntry
from aerodrome.sidecar.object_keys import Accepted, Listing, Remote

NAMES = st.sampled_from(["a", "b", "c.py"])
PATHS = st.lists(NAMES, min_size=1, max_size=3).map("/".join)
SMALL = st.integers(0, 2)
REMOTES = st.dictionaries(PATHS, st.tuples(SMALL, SMALL), max_size=8)
HELD = st.dictionaries(PATHS, st.builds(ManifestEntry, SMALL.map(str), SMALL, SMALL), max_size=8)


@st.composite
def disks(draw) -> DiskTree:
    """A tree that can exist: no path is both a file and a folder."""
    files: dict[str, DiskEntry] = {}
    folders = set(draw(st.sets(PATHS, max_size=3)))
    folders |= {parent for path in folders for parent in object_keys.parents(path)}
    for path, seen in draw(
        st.dictionaries(PATHS, st.builds(DiskEntry, SMALL, SMALL, st.booleans()), max_size=8)
    ).items():
        above = set(object_keys.parents(path))
        if path not in folders and not above & set(files):
            files[path] = seen
            folders |= above
    return DiskTree(files, frozenset(folders))


def accepted(remotes: dict[str, tuple[int, int]], *, complete: bool = True) -> Accepted:
    objects = {path: Remote(path, str(etag), size) for path, (etag, size) in remotes.items()}
    return object_keys.accept(Listing(objects, complete), prefix="")


def carried_out(plan: diff.SyncPlan, disk: DiskTree) -> tuple[DiskTree, dict[str, ManifestEntry]]:
    """What `sync` does, on dictionaries: and it fails where a real file system would."""
    files = {path: seen for path, seen in disk.files.items() if path not in plan.delete}
    folders = set(disk.folders)
    for folder in plan.prune:
        folders = {path for path in folders if path != folder and not path.startswith(f"{folder}/")}
        files = {path: seen for path, seen in files.items() if not path.startswith(f"{folder}/")}
    manifest = dict(plan.keep)
    for path, remote in plan.fetch.items():
        above = set(object_keys.parents(path))
        assert path not in folders, "a file cannot replace a folder"
        assert not above & set(files), "a folder cannot lie where a file is"
        folders |= above
        files[path] = DiskEntry(remote.size, 99)
        manifest[path] = ManifestEntry(remote.etag, remote.size, 99)
    return DiskTree(files, frozenset(folders)), manifest


@given(REMOTES, disks(), HELD)
def test_carrying_out_the_plan_makes_the_disk_equal_to_the_listing(remotes, disk, manifest):
    goal = accepted(remotes)
    after, held = carried_out(diff.plan(goal, disk, manifest), disk)
    assert {path: seen.size for path, seen in after.files.items()} == {p: r.size for p, r in goal.files.items()}
    assert {path: entry.etag for path, entry in held.items()} == {path: r.etag for path, r in goal.files.items()}
    assert after.folders == goal.folders
    assert all(seen.regular for seen in after.files.values())


@given(REMOTES, disks(), HELD)
def test_a_second_plan_is_empty(remotes, disk, manifest):
    goal = accepted(remotes)
    after, held = carried_out(diff.plan(goal, disk, manifest), disk)
    again = diff.plan(goal, after, held)
    assert again.empty
    assert again.keep == held


@given(REMOTES, disks(), HELD)
def test_an_incomplete_listing_deletes_and_forgets_nothing(remotes, disk, manifest):
    goal = accepted(remotes, complete=False)
    plan = diff.plan(goal, disk, manifest)
    assert (plan.delete, plan.prune) == ((), ())
    assert {path for path in manifest if path not in goal.files} <= set(plan.keep)


@given(REMOTES, disks(), HELD)
def test_only_what_is_exactly_as_we_wrote_it_is_kept(remotes, disk, manifest):
    goal = accepted(remotes)
    plan = diff.plan(goal, disk, manifest)
    assert set(plan.keep) | set(plan.fetch) == set(goal.files)
    for path, held in plan.keep.items():
        assert (held.etag, held.size) == (goal.files[path].etag, goal.files[path].size)
        assert disk.files[path] == DiskEntry(held.size, held.mtime_ns)


def test_a_link_that_looks_like_our_file_is_not_our_file():
    goal, held = accepted({"a": (1, 7)}), {"a": ManifestEntry("1", 7, 5)}
    assert diff.plan(goal, DiskTree({"a": DiskEntry(7, 5)}), held).empty
    assert set(diff.plan(goal, DiskTree({"a": DiskEntry(7, 5, regular=False)}), held).fetch) == {"a"}


def test_folders_are_pruned_once_from_the_outermost():
    disk = DiskTree({"a/b/c.py": DiskEntry(1, 1)}, frozenset({"a", "a/b", "d"}))
    plan = diff.plan(accepted({}), disk, {})
    assert (plan.delete, plan.prune) == (("a/b/c.py",), ("a", "d"))
