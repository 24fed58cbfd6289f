"""What the classes give, on machines of any size."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from aerodrome.model import classes, limits

GIB = 2**30
SMALL = classes.CLASSES["mw1.small"]

sizes = st.integers(min_value=GIB, max_value=2**42)
kinds = st.sampled_from(sorted(classes.CLASSES))


def test_a_large_machine_gives_what_the_class_has() -> None:
    assert limits.of_unit(SMALL, "worker-1", 64 * GIB) == limits.Allowance(processes=576, memory=2 * GIB)
    assert limits.of_unit(classes.CLASSES["mw1.micro"], "web", 64 * GIB).memory == 3 * GIB
    # Every web server has a web server's machine; a worker's and the schedulers' is larger in this class.
    medium = classes.CLASSES["mw1.medium"]
    given = {name: limits.of_unit(medium, name, 64 * GIB).memory // GIB for name in ("web", "web-2", "scheduler-2")}
    assert given == {"web": 2, "web-2": 2, "scheduler-2": 4}
    # A worker, schedulers, web servers; and Redis, sidecar, cells.
    assert limits.of_environment([(SMALL, 1)], 64 * GIB) == limits.Allowance(processes=3 * 576 + 256, memory=7 * GIB)


def test_a_laptop_gives_less() -> None:
    large = classes.CLASSES["mw1.2xlarge"]
    assert limits.for_environments(8 * GIB) == 7 * GIB
    assert limits.of_unit(large, "worker-1", 8 * GIB).memory == 7 * GIB // 2


def test_a_unit_has_the_processors_of_its_class_and_at_most_half_of_the_machine() -> None:
    large = classes.CLASSES["mw1.large"]
    assert limits.processors_of_unit(SMALL, "worker-1", 64) == 1
    given = {name: limits.processors_of_unit(large, name, 64) for name in ("worker-1", "scheduler-2", "web", "web-2")}
    assert given == {"worker-1": 4, "scheduler-2": 4, "web": 2, "web-2": 2}
    assert [limits.processors_of_unit(large, "worker-1", processors) for processors in (1, 2, 4, 8)] == [1, 1, 2, 4]


@given(sizes, kinds, st.integers(min_value=1, max_value=25))
def test_nothing_takes_the_whole_machine(machine, kind, workers) -> None:
    found = classes.CLASSES[kind]
    unit = limits.of_unit(found, "worker-1", machine)
    environment = limits.of_environment([(found, workers)], machine)
    assert 0 < unit.memory < environment.memory < limits.for_environments(machine) < machine
    assert 400 < unit.processes < environment.processes


@given(sizes, kinds, st.integers(min_value=1, max_value=24))
def test_more_workers_and_more_cells_have_no_less(machine, kind, workers) -> None:
    found = classes.CLASSES[kind]
    one = limits.of_environment([(found, workers)], machine)
    for more in ([(found, workers + 1)], [(found, workers), (found, workers)]):
        other = limits.of_environment(more, machine)
        assert other.processes > one.processes
        assert other.memory >= one.memory


def enforced(*kinds: str, **more: Any) -> limits.Enforcement:
    return limits.Enforcement(kinds=frozenset(kinds), machine=8 * GIB, processors=2, **more)


def test_what_is_not_enforced_is_said() -> None:
    whole = enforced("pids", "memory", "cpu", version=1)
    assert whole.is_whole
    assert whole.sentence == (
        "control groups (version 1): processes of each unit, memory of each unit, CPU time of each unit, "
        "CPU weight of each environment"
    )
    part = enforced("pids", "memory", version=2)
    assert not part.is_whole
    assert part.sentence.endswith("; not limited: CPU time, CPU weight")
    none = enforced(version=None, reason="the kernel shows no control groups here", has_users=True)
    assert none.sentence == (
        "no control groups (the kernel shows no control groups here): processes of each user, memory of each process; "
        "not limited: CPU time, CPU weight"
    )
    assert whole.disk_sentence.startswith("disk images: temporary files and logs of each environment")
    bare = enforced("pids", version=1, disk_trouble="not root")
    assert bare.disk_sentence.startswith("no disk images (not root): ")
    assert bare.disk_sentence.endswith("not limited: temporary files of each environment")
    alone = enforced(version=None, reason="-")
    assert alone.sentence.endswith("memory of each process; not limited: processes, CPU time, CPU weight")


@given(st.integers(min_value=2**29, max_value=2**45), st.integers(min_value=16 * 2**20, max_value=2**40))
def test_one_environment_leaves_the_disk_to_others(disk, wanted) -> None:
    temporary, logs = limits.temporary_files(wanted, disk), limits.task_logs(wanted, disk)
    assert 16 * 2**20 <= logs <= temporary <= wanted
    assert temporary + logs + limits.disk_reserve(disk) <= disk // 2
    assert temporary % 2**20 == logs % 2**20 == 0


def test_a_large_disk_has_what_mwaa_gives() -> None:
    assert limits.temporary_files(20 * GIB, 256 * GIB) == 20 * GIB
    assert limits.disk_reserve(256 * GIB) == 2 * GIB
