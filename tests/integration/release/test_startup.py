"""Startup scripts as people write them: run by a real bash, in every way that one can end, with what they leave."""

import os
import stat
import sys
import tempfile
from pathlib import Path

import pytest

from aerodrome.release import airflow_home, sandbox, sealing, startup, startup_notes
from aerodrome.release.failures import ReleaseError
from aerodrome.release.startup import ScriptContext
from aerodrome.unix_users import UnixUser

USER = UnixUser(61234, 61234) if os.geteuid() == 0 else None


@pytest.fixture
def scratch(short_folder):
    """A folder that every user may enter; pytest's own are closed."""
    folder = Path(tempfile.mkdtemp(dir=short_folder))
    folder.chmod(0o755)
    return folder


def run(script, scratch, *, environ=None, **options):
    for name in ("scratch", "release"):
        (scratch / name).mkdir(mode=0o755)
    context = ScriptContext(
        scratch=scratch / "scratch",
        home=scratch / "release" / "home",
        environ={"AIRFLOW_ENV_NAME": "mine", **(environ or {})},
        path=f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin",
        user=USER,
        **options,
    )
    return startup.run(script.encode(), context)


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
    run("id -u; id -G; touch $HOME/x && echo wrote", scratch, on_line=lines.append)
    assert lines == ["61234", "61234", "wrote"]


def test_what_it_writes_below_airflow_home_is_the_release_s(scratch):
    script = """
python -m venv --without-pip ${AIRFLOW_HOME}/dbt_venv
source ${AIRFLOW_HOME}/dbt_venv/bin/activate && python -c 'import sys; print(sys.prefix)' && deactivate
mkdir -p ~/.dbt && echo profile > ~/.dbt/profiles.yml && chmod 700 ~/.dbt && chmod 4600 ~/.dbt/profiles.yml
ln ~/.dbt/profiles.yml ~/second
ln -s /etc/passwd ~/outside
mkfifo ~/pipe
mkdir -p ~/.cache/x
export DBT=${AIRFLOW_HOME}/dbt_venv/bin/dbt
"""
    lines = []
    found = run(script, scratch, on_line=lines.append)
    home = scratch / "release" / "home"
    assert {each.name for each in home.iterdir()} == {".dbt", "dbt_venv", "outside", "second"}
    where = "/usr/local/airflow" if airflow_home.can_be_shown() else str(home)
    assert lines == [f"{where}/dbt_venv"]
    assert found.of("worker") == {"DBT": f"{where}/dbt_venv/bin/dbt"}
    kept = (home / ".dbt" / "profiles.yml").lstat()
    assert (kept.st_uid, stat.S_IMODE(kept.st_mode), kept.st_nlink) == (os.geteuid(), 0o644, 1)
    assert (home / ".dbt" / "profiles.yml").read_text() == "profile\n"
    assert stat.S_IMODE((home / ".dbt").stat().st_mode) == 0o755
    assert (home / "outside").is_symlink()
    assert [each.name for each in (scratch / "release").iterdir()] == ["home"]
    assert not found.notes


def test_each_component_begins_with_an_empty_home_and_all_that_they_write_is_kept(scratch):
    script = "set -e\nmkdir ~/both\necho $MWAA_AIRFLOW_COMPONENT > ~/both/name\nmkdir ~/$MWAA_AIRFLOW_COMPONENT\n"
    run(script, scratch)
    home = scratch / "release" / "home"
    assert {each.name for each in home.iterdir()} == {"both", "scheduler", "webserver", "worker"}
    assert (home / "both" / "name").read_text() == "worker\n"


def test_a_script_that_writes_nothing_leaves_nothing(scratch):
    run("export A=1", scratch)
    assert not list((scratch / "release").iterdir())


def test_what_it_writes_is_bounded(scratch, monkeypatch):
    monkeypatch.setattr(startup, "MOST_IN_HOME", 50)
    assert "writes too much" in str(refused("mkdir -p ~/d; touch ~/d/{1..100}", scratch))


def test_what_it_writes_directly_there_is_bounded(scratch, monkeypatch):
    monkeypatch.setattr(startup, "MOST_AT_TOP", 50)
    assert "directly in it" in str(refused("touch ~/{1..51}", scratch))


@pytest.mark.skipif(not airflow_home.can_be_shown(), reason="needs root and a mount namespace")
def test_nobody_else_reads_what_it_wrote(scratch):
    """Any user may see in /proc of which folder something is mounted."""
    run("echo secret > ~/profiles.yml", scratch)
    home = scratch / "release" / "home"
    ended = sandbox.run(
        ["/bin/cat", str(home / "profiles.yml")],
        environ={}, cwd=Path("/"), limits=sandbox.SandboxLimits(20), user=UnixUser(61235, 61235),
    )  # fmt: skip
    assert ended.code != 0
    home = airflow_home.lay_out(scratch / "seen", airflow_home.Parts(home=home), USER)
    own = ["/bin/cat", f"{airflow_home.AIRFLOW_HOME}/profiles.yml"]
    shown = sandbox.run(own, environ={}, cwd=Path("/"), limits=sandbox.SandboxLimits(20), user=USER, views=home.views)
    assert shown.tail == ("secret",)


def test_plugins_are_there_and_not_to_be_written(scratch):
    plugins = scratch / "plugins"
    plugins.mkdir(mode=0o755)
    (plugins / "mine.whl").write_text("wheel\n")
    lines = []
    run("cat ${AIRFLOW_HOME}/plugins/*.whl; ls ${AIRFLOW_HOME}", scratch, plugins=plugins, on_line=lines.append)
    assert lines == ["wheel", "dags", "logs", "plugins", "requirements", "startup"]


NOTED = {
    "cat /nowhere/file\n": "line 1: `cat /nowhere/file` ended with exit code 1, and the script went on",
    'pip download --bogus "${HOME}"\n': 'line 1: `pip download --bogus "${HOME}"` ended with exit code 2, and '
    "the script went on",
    "sudo cat /nowhere/file\n": "line 1: `sudo cat /nowhere/file` ended with exit code 1, and the script went on",
    "f() {\n  cat /nowhere/file\n}\nf\n": "line 2: `cat /nowhere/file` ended with exit code 1, and the script went on",
    "export X=$(cat /nowhere/file)\n": "line 1: X is exported and empty",
    "x=1\npip install -q toolz==1.0\n": "line 2: `pip install -q toolz==1.0` does nothing here: write the packages "
    "into requirements.txt, or install them into a virtual environment below ${AIRFLOW_HOME}",
    "set -e\nsudo yum install -y libaio\n": "line 2: `yum install -y libaio` does nothing here: have the packages "
    "installed on the machine that Aerodrome runs on",
    "yes | apt-get install x\n": "line 1: `apt-get install x` does nothing here: have the packages installed on the "
    "machine that Aerodrome runs on",
    "sudo -E true\n": "line 1: `true` runs without root's rights",
    "curl -s http://me:secret@127.0.0.1:1/\n": "line 1: `curl -s http://***@127.0.0.1:1/` ended with exit code 7, and "
    "the script went on",
}


@pytest.mark.parametrize("script", NOTED)
def test_what_is_otherwise_than_on_mwaa_is_noted_with_its_line(scratch, script):
    assert f"startup.sh, {NOTED[script]}" in run(script, scratch).notes


QUIET = """
[ "$X" = y ]
[ "$X" = y ] && export B=2
if cat /nowhere/file; then export B=3; fi
cat /nowhere/file || true
export EMPTY=
export ALSO=""
! cat /nowhere/file
x=1
"""


def test_what_is_no_failure_is_not_noted(scratch):
    assert run(QUIET, scratch).notes == ()


def test_notes_are_bounded(scratch):
    notes = run("".join(f"cat /nowhere{number}\n" for number in range(100)), scratch).notes
    assert len(notes) == startup_notes.MOST + 1
    assert notes[-1] == "startup.sh: 80 more notes of this kind"


@pytest.mark.skipif(not airflow_home.can_be_shown(), reason="needs root and a kernel that lets it mount")
def test_it_writes_to_its_scratch_alone_and_tmp_is_its_own(scratch):
    everybody_s = scratch / "everybody-s"
    everybody_s.mkdir()
    everybody_s.chmod(0o777)
    lines = []
    script = f"touch {everybody_s}/x || echo refused; echo found > /tmp/aerodrome-lost; cat /tmp/aerodrome-lost\n"
    script += "echo x > /dev/null; touch /dev/shm/x /var/tmp/x && echo wrote\n"
    notes = run(script, scratch, on_line=lines.append).notes
    assert lines[1:] == ["refused", "found", "wrote"]
    assert (
        "startup.sh, line 1: /tmp/aerodrome-lost is not kept; write below ${AIRFLOW_HOME}, under a name of its own"
        in notes
    )
    assert not list(everybody_s.iterdir())
    assert not Path("/tmp/aerodrome-lost").exists()  # noqa: S108


def test_the_token_of_the_role_s_credentials_is_a_copy_that_the_script_reads(scratch):
    token = scratch / "token"
    token.write_text("sesame")
    token.chmod(0o600)
    lines = []
    variable = "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"
    found = run(
        f"cat ${variable}; stat -c %a ${variable}", scratch, environ={variable: str(token)}, on_line=lines.append
    )
    assert lines == ["sesame600"]
    assert found.of("worker") == {}


def test_a_script_that_fails_without_end_is_understood_all_the_same(scratch):
    # All their words together would be more than an answer may hold.
    found = run(f"for i in {{1..5000}}; do [[ -e /nowhere ]] || false {'x' * 1000}; done; export A=1", scratch)
    assert found.of("worker") == {"A": "1"}


@pytest.mark.skipif(USER is None, reason="only root may become somebody else")
def test_what_is_somebody_else_s_is_not_taken_over(scratch):
    victim = scratch / "victim"
    victim.write_text("secret")
    victim.chmod(0o600)
    home = scratch / "home"
    home.mkdir()
    (home / "one").hardlink_to(victim)
    (home / "two").write_text("mine")
    (home / "three").hardlink_to(home / "two")
    assert USER is not None
    os.chown(home / "two", USER.uid, USER.gid)
    sealing.take_over(home, USER.uid)
    assert {each.name: each.read_text() for each in home.iterdir()} == {"two": "mine", "three": "mine"}
    assert (victim.read_text(), stat.S_IMODE(victim.stat().st_mode)) == ("secret", 0o600)


def test_a_home_that_the_script_removes_is_no_failure(scratch):
    assert run("rm -rf ${AIRFLOW_HOME}/ 2>/dev/null; rm -rf ~; export A=1", scratch).of("worker") == {"A": "1"}
