"""The plan of the smoke test."""

from pathlib import Path

from aerodrome.release import smoke
from aerodrome.release.installation import Installation

INSTALLATION = Installation("3.3.1", Path("/versions/3.3.1-00000000"), "0" * 64)


def test_roles_migration_web_and_a_task_are_tried_in_this_order():
    words = [step.sentence.split()[0] for step in smoke.steps(INSTALLATION)]
    assert words == ["import", "migrate", "build", "run"]


def test_every_step_runs_under_the_installed_version():
    for step in smoke.steps(INSTALLATION):
        assert step.command[0].startswith("/versions/3.3.1-00000000/venv/bin/")


def test_the_environment_is_complete_and_the_driver_the_installed_one():
    environ = smoke.environment(INSTALLATION, Path("/home"), "postgresql://u@/db?host=/s")
    assert environ["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"] == "postgresql+psycopg2://u@/db?host=/s"
    assert not [name for name in environ if name.startswith("PYTHON")]
