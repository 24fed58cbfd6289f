"""Control groups of both versions, on folders that look like them: where ours may be, and what is written there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from aerodrome.cell import cgroups
from aerodrome.cell.cgroups import ControlGroup, Limits

HALF = 512 * 2**20


def hierarchy_1(top: Path, own: str = "/") -> tuple[str, str]:
    """Mounts and membership of a machine with version 1, whose hierarchies are below `top`."""
    mounts = membership = ""
    for number, kinds in enumerate(("cpu,cpuacct", "memory", "pids"), start=1):
        place = top / kinds
        (place / own.strip("/")).mkdir(parents=True)
        mounts += f"3{number} 31 0:2{number} / {place} rw,relatime - cgroup cgroup rw,{kinds}\n"
        membership += f"{number}:{kinds}:{own}\n"
    return mounts + "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n", membership + "0::/\n"


def hierarchy_2(top: Path, *names: str, kinds: str = "cpu memory pids") -> tuple[str, str]:
    """Those of one with version 2, where this process is in the last of the groups, each below the one before."""
    place = top
    for name in ("", *names):
        place = place / name
        place.mkdir(exist_ok=True)
        (place / "cgroup.controllers").write_text(kinds)
        (place / "cgroup.procs").write_text("")
        if name:
            (place / "cgroup.type").write_text("domain\n")
    (place / "cgroup.procs").write_text(f"{os.getpid()}\n")
    mounts = f"31 25 0:28 / {top} rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
    return mounts, f"0::/{'/'.join(names)}\n"


def test_version_1_gives_each_controller_its_folder_below_our_own(tmp_path) -> None:
    found, trouble = cgroups.find(*hierarchy_1(tmp_path, "/user/me"))
    assert trouble == ""
    assert found == ControlGroup(
        1,
        {
            "pids": f"{tmp_path}/pids/user/me",
            "memory": f"{tmp_path}/memory/user/me",
            "cpu": f"{tmp_path}/cpu,cpuacct/user/me",
        },
    )


def test_what_a_container_sees_of_a_hierarchy_begins_at_its_own_group(tmp_path) -> None:
    (tmp_path / "pids").mkdir()
    mounts = f"31 25 0:28 /docker/abc {tmp_path}/pids rw - cgroup cgroup rw,pids\n"
    found, _ = cgroups.find(mounts, "4:pids:/docker/abc\n")
    assert found == ControlGroup(1, {"pids": f"{tmp_path}/pids"})


def test_version_2_takes_the_highest_group_that_may_hold_others(tmp_path) -> None:
    mounts, membership = hierarchy_2(tmp_path, "user.slice", "session.scope")
    found, trouble = cgroups.find(mounts, membership)
    assert (found, trouble) == (ControlGroup(2, dict.fromkeys(cgroups.CONTROLLERS, str(tmp_path))), "")


def test_version_2_gives_whoever_is_not_root_what_was_delegated(tmp_path, monkeypatch) -> None:
    mounts, membership = hierarchy_2(tmp_path, "user.slice", "user@1000.service", "app.slice", kinds="memory pids")
    delegated = tmp_path / "user.slice" / "user@1000.service"
    monkeypatch.setattr(os, "access", lambda path, _: Path(path).is_relative_to(delegated))
    found, _ = cgroups.find(mounts, membership)
    assert found == ControlGroup(2, {"pids": str(delegated), "memory": str(delegated)})


@pytest.mark.parametrize("names", [(), ("session.scope",)])
def test_version_2_gives_nothing_where_processes_are_in_the_way(tmp_path, names) -> None:
    mounts, membership = hierarchy_2(tmp_path, *names)
    (tmp_path / "cgroup.procs").write_text("1\n")
    (tmp_path / "cgroup.type").write_text("domain\n")  # what a container sees is not the root of all
    found, trouble = cgroups.find(mounts, membership)
    assert found is None
    assert f"{tmp_path} has processes of its own" in trouble


def test_nothing_is_found_where_nothing_is_mounted() -> None:
    assert cgroups.find("25 1 0:2 / / rw - ext4 /dev/vda rw\n", "") == (None, "the kernel shows no control groups here")


def test_version_1_gives_nothing_to_whoever_may_not_write(tmp_path, monkeypatch) -> None:
    mounts, membership = hierarchy_1(tmp_path)
    monkeypatch.setattr(os, "access", lambda *_: False)
    found, trouble = cgroups.find(mounts, membership)
    assert found is None
    assert "version 1" in trouble


def test_the_plan_of_version_1() -> None:
    group = ControlGroup(1, {"pids": "/p", "memory": "/m", "cpu": "/c"})
    assert cgroups.plan(group, Limits(processes=9, memory=HALF, weight=200, processors=2)) == [
        ("/p/pids.max", "9"),
        ("/m/memory.limit_in_bytes", str(HALF)),
        ("/c/cpu.shares", "2048"),
        ("/c/cpu.cfs_burst_us", "0"),
        ("/c/cpu.cfs_period_us", str(cgroups.PERIOD)),
        ("/c/cpu.cfs_quota_us", str(2 * cgroups.PERIOD)),
        ("/c/cpu.cfs_burst_us", str(2 * cgroups.PERIOD)),
    ]
    unlimited = [text for _, text in cgroups.plan(group, Limits())]
    assert unlimited == ["max", "-1", "1024", "0", str(cgroups.PERIOD), "-1", "0"]


def test_the_plan_of_version_2_bounds_the_swap_space_too() -> None:
    group = ControlGroup(2, dict.fromkeys(cgroups.CONTROLLERS, "/g"))
    assert cgroups.plan(group, Limits(processes=9, memory=HALF, weight=200, processors=1)) == [
        ("/g/pids.max", "9"),
        ("/g/memory.max", str(HALF)),
        ("/g/cpu.weight", "200"),
        ("/g/cpu.max.burst", "0"),
        ("/g/cpu.max", f"{cgroups.PERIOD} {cgroups.PERIOD}"),
        ("/g/cpu.max.burst", str(cgroups.PERIOD)),
        ("/g/memory.swap.max", str(HALF)),
    ]
    assert cgroups.plan(ControlGroup(2, {"pids": "/g"}), Limits(memory=HALF)) == [("/g/pids.max", "max")]
    unlimited = cgroups.plan(ControlGroup(2, {"cpu": "/g"}), Limits())
    assert [text for _, text in unlimited] == ["100", "0", f"max {cgroups.PERIOD}", "0"]


def test_a_group_of_version_2_lends_its_controllers_and_counts(tmp_path) -> None:
    group = ControlGroup(2, dict.fromkeys(cgroups.CONTROLLERS, str(tmp_path / "g")))
    (tmp_path / "g").mkdir()
    for name in ("pids.max", "memory.max", "cpu.weight", "cgroup.subtree_control"):
        (tmp_path / "g" / name).touch()
    assert cgroups.make(group, Limits(processes=7), holds_groups=True) == []
    assert (tmp_path / "g" / "pids.max").read_text() == "7"
    assert (tmp_path / "g" / "cgroup.subtree_control").read_text().startswith("+cpu")  # written last
    (tmp_path / "g" / "memory.events").write_text("low 0\nhigh 0\nmax 41\noom 3\noom_kill 2\noom_group_kill 0\n")
    (tmp_path / "g" / "pids.events").write_text("max 5\n")
    assert cgroups.counts(group) == cgroups.Counts(killed=2, refused=5)


def test_a_file_that_is_not_there_is_never_made(tmp_path) -> None:
    group = ControlGroup(2, {"pids": str(tmp_path)})
    assert cgroups.limit(group, Limits(processes=7)) == []
    assert cgroups.lend(group) == ["pids"]
    assert list(tmp_path.iterdir()) == []


def test_the_bound_is_the_least_above(tmp_path) -> None:
    hierarchy_2(tmp_path, "a", "b")
    (tmp_path / "a" / "memory.max").write_text(f"{HALF}\n")
    (tmp_path / "a" / "b" / "memory.max").write_text("max\n")
    assert cgroups.bound(ControlGroup(2, {"memory": f"{tmp_path}/a/b"})) == HALF
    assert cgroups.bound(ControlGroup(2, {"memory": str(tmp_path)})) is None
    (tmp_path / "memory.stat").write_text(f"cache 7\nhierarchical_memory_limit {HALF}\n")
    assert cgroups.bound(ControlGroup(1, {"memory": str(tmp_path)})) == HALF
    (tmp_path / "memory.stat").write_text("hierarchical_memory_limit 9223372036854771712\n")
    assert cgroups.bound(ControlGroup(1, {"memory": str(tmp_path)})) is None


@pytest.mark.parametrize(
    "document", [None, [], {}, {"version": 1, "folders": {}}, {"version": 1, "folders": {"a": "b"}}]
)
def test_what_is_no_group_is_none(document) -> None:
    assert cgroups.parse(document) is None


def test_a_group_survives_the_way_through_a_document() -> None:
    group = ControlGroup(2, {"pids": "/g"}).below("a", "b")
    assert cgroups.parse(group._asdict()) == group == ControlGroup(2, {"pids": "/g/a/b"})


@pytest.mark.parametrize(("version", "file", "text"), [(1, "cpu.shares", "102"), (2, "cpu.weight", "10")])
def test_a_weight_is_changed_alone(tmp_path, version, file, text) -> None:
    group = ControlGroup(version, dict.fromkeys(cgroups.CONTROLLERS, str(tmp_path)))
    (tmp_path / file).touch()
    assert cgroups.weigh(group, 10) == []
    assert {each.name: each.read_text() for each in tmp_path.iterdir()} == {file: text}
    (tmp_path / file).unlink()
    assert cgroups.weigh(group, 10) == [str(tmp_path / file)]
    assert cgroups.weigh(ControlGroup(version, {"pids": str(tmp_path)}), 10) == []
