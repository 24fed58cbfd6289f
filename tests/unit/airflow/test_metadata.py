"""Statements for Airflow's metadata database."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from pathlib import PurePosixPath

from aerodrome.airflow import metadata, versions

DAGS = PurePosixPath("/data/dags")


def test_line_3_asks_by_bundle_and_relative_path():
    statement = metadata.request_parsing(versions.lookup("3.3.1"), DAGS, ["b.py", "a.py", "a.py"])
    bundle, keys, names = statement.parameters
    assert bundle == "dags-folder"
    assert names == ["a.py", "b.py"]
    assert keys == [hashlib.md5(f"dags-folder:{name}".encode()).hexdigest() for name in names]  # noqa: S324 - Airflow's


def test_line_2_asks_by_absolute_path():
    statement = metadata.request_parsing(versions.lookup("2.11.2"), DAGS, ["sub/a.py"])
    keys, paths = statement.parameters
    assert paths == ["/data/dags/sub/a.py"]
    assert keys == [hashlib.md5(b"/data/dags/sub/a.py").hexdigest()]  # noqa: S324 - Airflow's own id


def test_ageing_touches_one_dead_worker_only(version):
    died_at = datetime(2026, 1, 1, tzinfo=UTC)
    statement = metadata.age_heartbeats(version, "worker-1", died_at)
    assert statement.parameters == {"hostname": "worker-1", "died_at": died_at}
    assert "%(hostname)s" in statement.text
    assert "%(died_at)s" in statement.text


def test_the_pool_gets_its_slots_by_parameter():
    assert metadata.set_default_pool(7).parameters == (7,)
