from __future__ import annotations

import os
from dataclasses import replace

import pytest

from aerodrome.sidecar.config import DatabaseConfig
from aerodrome.sidecar.metrics import measuring
from aerodrome.sidecar.metrics.measuring import MachineUsage, Measuring, UnitUsage

START = 1_800_000_000.0


def sample(**processor: float) -> dict[str, UnitUsage]:
    components = {"scheduler": "Scheduler", "triggerer": "Scheduler", "web": "WebServer"}
    return {
        f"1/{name}": UnitUsage(
            components.get(name, "BaseWorker"), int(name[6:]) if name.startswith("worker") else 1, seconds, seconds
        )
        for name, seconds in processor.items()
    }


def values(found):
    return {(each.name, each.dimensions[0][1]): each.values for each in found}


def test_containers_have_shares_of_all_processors_and_each_worker_is_a_sample():
    samples = [
        sample(scheduler=10, triggerer=1, web=5, worker2=0, worker3=0, worker4=0),
        sample(scheduler=40, triggerer=7, web=5, worker2=12, worker3=6, worker4=6, worker9=50),
    ]
    measure = Measuring(lambda: samples.pop(0), lambda: None, processors=2)
    assert measure(START) == []
    assert measure(START + 1) == []  # too early
    found = values(measure(START + 60))
    assert measure(START + 119) == []  # one sample a minute
    assert found["CPUUtilization", "Scheduler"] == {30.0: 1}
    assert found["CPUUtilization", "WebServer"] == {0.0: 1}
    assert found["CPUUtilization", "BaseWorker"] == {10.0: 1}
    assert found["CPUUtilization", "AdditionalWorker"] == {5.0: 2, 41.667: 1}  # SampleCount: how many there are
    assert found["MemoryUtilization", "Scheduler"] == {40: 1}


def test_shares_are_told_soon_after_the_first_look_and_then_once_a_minute():
    samples = [{}, sample(web=5), sample(web=11)]
    measure = Measuring(lambda: samples.pop(0), lambda: (0.0, 0.0, 0.0, 0.0), processors=1)
    assert ("CPUUtilization", "WebServer") not in values(measure(START + 10))
    found = values(measure(START + 20))
    assert found == {("CPUUtilization", "WebServer"): {50.0: 1}, ("MemoryUtilization", "WebServer"): {5: 1}}
    assert measure(START + 30) == []
    assert values(measure(START + 60))["CPUUtilization", "WebServer"] == {15.0: 1}


def test_a_clock_that_was_set_back_tells_no_share():
    samples = [sample(web=5), sample(web=11)]
    measure = Measuring(lambda: samples.pop(0), lambda: None, processors=1)
    assert measure(START) == []
    assert measure(START - 3600) == []


def test_queue_and_database_are_told_as_they_answer():
    answers = [(3.0, 2.0, 61.5, 4.0), None]
    measure = Measuring(dict, lambda: answers.pop(0), processors=1)
    assert values(measure(START)) == {
        ("QueuedTasks", "default"): {3.0: 1},
        ("RunningTasks", "default"): {2.0: 1},
        ("ApproximateAgeOfOldestTask", "default"): {61.5: 1},
        ("DatabaseConnections", "WRITER"): {4.0: 1},
    }
    assert measure(START + 60) == []


@pytest.mark.parametrize("version", [1, 2])
def test_units_are_found_below_the_control_group(tmp_path, version):
    for name in ("scheduler", "scheduler-2", "dag-processor", "worker-3", "web", "agent", "forker"):
        place = tmp_path / "7" / name
        place.mkdir(parents=True)
        used, limit, idle = (
            ("memory.usage_in_bytes", "memory.limit_in_bytes", "total_inactive_file 100")
            if version == 1
            else ("memory.current", "memory.max", "inactive_file 100")
        )
        (place / used).write_text("300\n")
        (place / limit).write_text("1000\n")
        (place / "memory.stat").write_text(f"cache 5\n{idle}\n")
        if version == 1:
            (place / "cgroup.procs").write_text(f"{os.getpid()}\n999999999\n")
        else:
            (place / "cpu.stat").write_text("usage_usec 2500000\nuser_usec 1\n")
    found = measuring.usage(tmp_path)
    assert {(key, each.component, each.number) for key, each in found.items()} == {
        ("7/scheduler", "Scheduler", 1), ("7/scheduler-2", "Scheduler", 2), ("7/dag-processor", "Scheduler", 1),
        ("7/worker-3", "BaseWorker", 3), ("7/web", "WebServer", 1),
    }  # fmt: skip
    assert {each.memory for each in found.values()} == {20.0}
    assert all(each.processor == 2.5 if version == 2 else each.processor > 0 for each in found.values())


def test_the_databases_machine_is_this_one_where_it_has_a_socket():
    machines = [MachineUsage(10, 100, 5e9), MachineUsage(40, 200, 4e9)]
    measure = Measuring(dict, lambda: None, processors=1, machine=lambda: machines.pop(0))
    assert values(measure(START)) == {("FreeableMemory", "WRITER"): {5e9: 1}}
    assert values(measure(START + 60)) == {
        ("FreeableMemory", "WRITER"): {4e9: 1},
        ("CPUUtilization", "WRITER"): {30.0: 1},
    }
    here = DatabaseConfig(host="/run", dbname="d", user="u", password="p")
    assert measuring.machine(here).available > 0
    assert measuring.machine(replace(here, host="db.example.com")) is None


def test_nothing_is_measured_where_there_are_no_groups():
    assert measuring.usage(None) == {}
