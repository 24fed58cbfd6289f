"""Installed Airflow versions that nobody uses go, with their templates and warm processes; the others stay."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from aerodrome.backends.local import recorded_orders, warm
from aerodrome.backends.local.paths import CellPaths
from aerodrome.model import defaults
from aerodrome.release import install as installing
from aerodrome.release import locks
from aerodrome.release.collect import KEEP
from aerodrome.services import daemon, databases
from contract import benches

NOW = datetime.now(UTC)
OLD = "1.0.0-01d01d01"


@pytest.fixture
def bench(cluster) -> Iterator[benches.Bench]:
    request = {
        "ExecutionRoleArn": "arn:aws:iam::000000000000:role/execution",
        "SourceBucketArn": "arn:aws:s3:::bucket",
        "DagS3Path": "dags",
        "NetworkConfiguration": {"SubnetIds": ["subnet-a", "subnet-b"], "SecurityGroupIds": ["sg-a"]},
    }
    spec = defaults.complete("one", request, latest_version="3.3.1")
    with benches.on_this_machine(spec, cluster, None) as made:
        yield made


@pytest.fixture
def paths(bench):
    return bench.settings.paths


def install(paths, identifier: str, age: timedelta = 2 * KEEP) -> Path:
    folder = paths.versions / identifier
    (folder / "venv").mkdir(parents=True)
    marker = folder / "installed.json"
    marker.write_text("{}")
    at = (NOW - age).timestamp()
    os.utime(marker, (at, at))
    return folder


def names(paths) -> set[str]:
    return {each.name for each in paths.versions.iterdir() if each.is_dir()}


def test_what_nobody_uses_goes_with_what_belongs_to_it(cluster, bench, paths):
    install(paths, OLD)
    install(paths, "1.0.0-0000000a", age=KEEP / 2)
    template = "tmpl_1_0_0_01d01d01"
    databases.ensure_role(cluster, template, "pw")
    databases.ensure_database(cluster, template, template)
    databases.make_template(cluster, template)
    idling = daemon.Daemon(
        name="warm",
        argv=(sys.executable, "-c", "import time; time.sleep(600)"),
        env={},
        cwd=Path("/"),
        log=paths.logs / "warm.log",
        pid_file=paths.run / f"warm-{OLD}.pid",
    )
    daemon.start(idling)
    try:
        bench.backend.releases.collect(set(), set(), NOW)
        assert not daemon.is_running(idling)
    finally:
        warm.stop(paths, OLD)
    assert names(paths) == {"1.0.0-0000000a"}
    assert databases.databases(cluster, template) == ()
    bench.backend.releases.collect(set(), set(), NOW)


def test_what_the_ledger_or_a_cell_uses_stays_and_is_marked(bench, paths):
    current = locks.of("3.3.1").identifier
    install(paths, OLD)
    install(paths, "2.0.0-0000000b")
    install(paths, current, age=timedelta(days=400))
    cell = CellPaths(paths.run / "c0117ac7" / "3")
    cell.run.mkdir(parents=True)
    deployed = replace(bench.cell.deployed, version="2.0.0", lock="0000000b" + "0" * 56)
    recorded_orders.write(cell, replace(bench.cell, deployed=deployed))
    used = {("1.0.0", "01d01d01" + "0" * 56), ("3.3.1", ""), ("1.0.0", "")}  # the last is not on offer
    bench.backend.releases.collect(set(), used, NOW)
    assert names(paths) == {OLD, "2.0.0-0000000b", current}
    recorded_orders.forget(cell)
    bench.backend.releases.collect(set(), set(), NOW)
    assert names(paths) == {OLD, "2.0.0-0000000b", current}  # each was in use a moment ago


def test_what_is_being_installed_or_shared_stays(bench, paths, tmp_path):
    install(paths, OLD)
    with installing.alone_at_once(OLD, paths.versions) as ours:
        assert ours
        bench.backend.releases.collect(set(), set(), NOW)
        assert names(paths) == {OLD}
    paths.versions.rename(tmp_path / "versions")
    paths.versions.symlink_to(tmp_path / "versions")
    bench.backend.releases.collect(set(), set(), NOW)
    assert names(paths) == {OLD}
    paths.versions.unlink()
