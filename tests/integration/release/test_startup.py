"""Startup scripts as people write them: sourced by a real bash, in every way that one can end."""

import os
import tempfile
from pathlib import Path

import pytest

from aerodrome.release import startup
from aerodrome.release.confined import User
from aerodrome.release.failures import ReleaseError

USER = User(61234, 61234) if os.geteuid() == 0 else None


@pytest.fixture
def scratch(short_folder):
    """A folder that every user may enter; pytest's own are closed."""
    folder = Path(tempfile.mkdtemp(dir=short_folder))
    folder.chmod(0o755)
    return folder


def run(script, scratch, **options):
    return startup.run(
        script.encode(), environ={"AIRFLOW_ENV_NAME": "mine"}, scratch=scratch, path=os.defpath, user=USER, **options
    )


def refused(script, scratch, **options):
    with pytest.raises(ReleaseError) as caught:
        run(script, scratch, **options)
    assert caught.value.code == "STARTUP_SCRIPT_FAILED"
    assert caught.value.file == "startup.sh"
    return caught.value


def test_exported_variables_are_kept_and_others_are_not(scratch):
    found = run("export A=$AIRFLOW_ENV_NAME\nB=2\nexport C=$'two\\nlines'\n", scratch)
    assert found.of("worker") == {"A": "mine", "C": "two\nlines"}
    assert "mine" not in repr(found)


def test_what_exports_before_exit_0_counts(scratch):
    assert run("export A=1\nexit 0\nexport B=2\n", scratch).of("worker") == {"A": "1"}


def test_a_false_test_at_the_end_is_no_failure(scratch):
    assert run('export A=1\n[ "$X" = y ] && export B=2\n', scratch).of("worker") == {"A": "1"}


def test_windows_line_ends_do_no_harm(scratch):
    assert run("export A=1\r\nexit 0\r\n", scratch).of("worker") == {"A": "1"}


def test_protected_variables_are_dropped_and_named(scratch):
    found = run("export AIRFLOW_HOME=/x AIRFLOW__CORE__EXECUTOR=Mine PYTHONPATH=/x A=1", scratch)
    assert found.of("worker") == {"A": "1"}
    assert "AIRFLOW_HOME, AIRFLOW__CORE__EXECUTOR, PYTHONPATH" in found.notes[0]


def test_a_script_that_asks_for_its_component_runs_for_each(scratch):
    found = run("if [ $MWAA_AIRFLOW_COMPONENT == worker ]; then export W=1; else export O=1; fi", scratch)
    assert found.of("worker") == {"W": "1"}
    assert found.of("webserver") == found.of("scheduler") == found.of("triggerer") == {"O": "1"}


@pytest.mark.parametrize(
    ("script", "line", "words"),
    [
        ("echo hello\nexit 1\n", 2, "ended with exit code 1"),
        ("set -e\nexport A=1\ncat /nowhere/file\n", 3, "ended with exit code 1"),
        ("f() {\n  exit 7\n}\n\nf\n", 2, "ended with exit code 7"),
        ("echo 1\nif true\n", 3, "bash does not understand"),
        ("kill -9 $$", None, "killed by signal 9"),
        ("exec true", None, "ended without a word"),
    ],
)
def test_a_failure_names_the_line(scratch, script, line, words):
    error = refused(script, scratch)
    assert error.line == line
    assert words in str(error)


def test_the_last_lines_are_told(scratch):
    assert refused("echo looking\ncat /nowhere/file\nexit 1\n", scratch).tail[0] == "looking"


def test_a_script_that_hangs_is_ended(scratch):
    assert "did not end within 1 seconds" in str(refused("sleep 300 &\nsleep 300\n", scratch, limit=1))


def test_nothing_of_ours_is_in_its_environment(scratch, monkeypatch):
    monkeypatch.setenv("AERODROME_SECRET", "s")
    lines = []
    run("env", scratch, on_line=lines.append)
    assert not any("AERODROME_SECRET" in line for line in lines)
    assert any(line.startswith("AIRFLOW_ENV_NAME=mine") for line in lines)


@pytest.mark.skipif(USER is None, reason="only root may become somebody else")
def test_as_root_the_script_is_nobody(scratch):
    lines = []
    run("id -u; touch $HOME/x && echo wrote", scratch, on_line=lines.append)
    assert lines == ["61234", "wrote"]
