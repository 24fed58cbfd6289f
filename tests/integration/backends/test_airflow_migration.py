"""A migration runs its commands in order, up to the first that fails, and names that one."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from aerodrome.airflow.migrate import Migration
from aerodrome.backends.databases import airflow_migration
from aerodrome.errors import BrokenError


def migration(home: Path, *scripts: str) -> Migration:
    """A migration whose commands are shell scripts in the place of Airflow's."""
    return Migration(
        home=home,
        configuration={home / "migrate.cfg": "password"},
        environment={"PATH": "/usr/bin:/bin", "AIRFLOW_HOME": str(home)},
        commands=tuple(("/bin/sh", "-c", script, "db", "migrate") for script in scripts),
    )


def run(planned: Migration, seconds: float = 60.0) -> None:
    airflow_migration.run(planned, seconds=seconds, user=None, ours=True)


def test_each_command_finds_the_configuration_which_nobody_else_reads(tmp_path: Path) -> None:
    run(migration(tmp_path / "home", "cat migrate.cfg > first", 'cat "$AIRFLOW_HOME/first" > second'))
    assert (tmp_path / "home" / "second").read_text() == "password"
    assert stat.S_IMODE((tmp_path / "home" / "migrate.cfg").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "home").stat().st_mode) == 0o700


def test_the_first_that_fails_is_named_and_the_next_never_run(tmp_path: Path) -> None:
    with pytest.raises(BrokenError, match=r"Airflow's `airflow db migrate` ended with exit code 3") as failed:
        run(migration(tmp_path, "echo no such column; exit 3", "touch run"))
    assert (failed.value.code, failed.value.tail) == ("MIGRATION_FAILED", ("no such column",))
    assert not (tmp_path / "run").exists()


def test_one_that_hangs_is_ended(tmp_path: Path) -> None:
    with pytest.raises(BrokenError, match=r"Airflow's `airflow db migrate` took longer than 0.5 s"):
        run(migration(tmp_path, "sleep 600"), seconds=0.5)
