"""Environment classes: what MWAA's names stand for (source: MWAA user guide, environment-class and tuning pages)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvironmentClass:
    """One class. Memory and vCPUs are MWAA's figures for one worker and one web server; its schedulers have a worker's.

    Counts are inclusive bounds.
    """

    name: str
    tasks_per_worker: int
    worker_vcpu: int
    worker_memory_gib: int
    webserver_vcpu: int
    webserver_memory_gib: int
    most_workers: int = 25
    fewest_schedulers: int = 2
    most_schedulers: int = 5
    fewest_webservers: int = 2
    most_webservers: int = 5


_MICRO = EnvironmentClass(
    name="mw1.micro",
    tasks_per_worker=3,
    worker_vcpu=1,
    worker_memory_gib=3,
    webserver_vcpu=1,
    webserver_memory_gib=3,
    most_workers=1,
    fewest_schedulers=1,
    most_schedulers=1,
    fewest_webservers=1,
    most_webservers=1,
)

CLASSES = {
    found.name: found
    for found in (
        _MICRO,
        EnvironmentClass(
            name="mw1.small",
            tasks_per_worker=5,
            worker_vcpu=1,
            worker_memory_gib=2,
            webserver_vcpu=1,
            webserver_memory_gib=2,
        ),
        EnvironmentClass(
            name="mw1.medium",
            tasks_per_worker=10,
            worker_vcpu=2,
            worker_memory_gib=4,
            webserver_vcpu=1,
            webserver_memory_gib=2,
        ),
        EnvironmentClass(
            name="mw1.large",
            tasks_per_worker=20,
            worker_vcpu=4,
            worker_memory_gib=8,
            webserver_vcpu=2,
            webserver_memory_gib=4,
        ),
        EnvironmentClass(
            name="mw1.xlarge",
            tasks_per_worker=40,
            worker_vcpu=8,
            worker_memory_gib=24,
            webserver_vcpu=4,
            webserver_memory_gib=12,
        ),
        EnvironmentClass(
            name="mw1.2xlarge",
            tasks_per_worker=80,
            worker_vcpu=16,
            worker_memory_gib=48,
            webserver_vcpu=8,
            webserver_memory_gib=24,
        ),
    )
}

DEFAULT = "mw1.small"
