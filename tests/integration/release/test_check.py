"""`aerodrome check` by root, of a startup script that attacks: user code is nobody, and writes to its scratch alone."""

import io
import os
import tempfile
from pathlib import Path

import pytest
from rich.console import Console

from aerodrome.cli import check_run
from aerodrome.release import sandbox
from aerodrome.release.sandbox import SandboxLimits
from aerodrome.settings import Settings

ATTACK = """
echo uid=$(id -u) groups=$(id -G)
echo home=${AIRFLOW_HOME:-missing}
touch "${AIRFLOW_HOME}/mine" && echo wrote its own
rm -rf "${AIRFLOW_HOME}/victim" "${AIRFLOW_HOME}"/../../../victim 'VICTIM' 2>/dev/null
{ echo pwned > 'VICTIM/file'; } 2>/dev/null
ls 'DATA' 2>/dev/null && echo listed
cat 'DATA/secret' 2>/dev/null
exit 3
"""


pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root may become somebody else")


@pytest.fixture
def place(short_folder):
    """An empty folder that every user may enter; pytest's own are closed."""
    folder = Path(tempfile.mkdtemp(dir=short_folder))
    folder.chmod(0o755)
    return folder


@pytest.fixture
def attacked(place, lock, environ, monkeypatch):
    """The lines that a script prints in a check, which it ends by a failure."""
    for name, value in environ.items():
        monkeypatch.setenv(name, value)

    def run(script):
        data, project = place / "data", place / "project"
        for folder in (data, project):
            folder.mkdir()
        (data / "secret").write_text("sesame")
        data.chmod(0o711)
        (data / "secret").chmod(0o600)
        (project / "startup.sh").write_text(script.replace("DATA", str(data)))
        console = Console(file=io.StringIO())
        wanted = check_run.gather(project, version=lock.version)
        found = check_run.CheckRun(wanted, Settings(data=data), console, console.status("")).run()
        assert [error["code"] for error in found.errors] == ["STARTUP_SCRIPT_FAILED"]
        return found.errors[0]["tail"]

    return run


def test_a_script_that_attacks_is_nobody_and_reaches_nothing(place, attacked):
    victim = place / "victim"
    victim.mkdir()
    (victim / "file").write_text("precious")
    said = attacked(ATTACK.replace("VICTIM", str(victim)))
    uid = said[0].removeprefix("uid=").split()[0]
    assert uid not in {"0", str(os.getuid())}
    assert said[0] == f"uid={uid} groups={uid}"
    assert said[1].startswith("home=/")
    assert said[2:] == ["wrote its own"]
    assert (victim / "file").read_text() == "precious"


def test_nothing_is_run_as_root():
    with pytest.raises(RuntimeError, match="as root"):
        sandbox.run(["/bin/true"], environ={}, cwd=Path("/"), limits=SandboxLimits(5))
