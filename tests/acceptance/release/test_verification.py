"""Plugins, startup scripts and DAGs on real Airflow versions, and `aerodrome check` over all of it."""

import json
import os
import subprocess
import sys
import threading
import zipfile
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

import lines
from aerodrome.backends.local import warm
from aerodrome.release import airflow_home, building, built_releases, comparison, install, verification
from aerodrome.release.failures import ReleaseError
from aerodrome.release.user_files import UserFiles
from aerodrome.settings import Settings
from matrices import EVERY_FAULT
from waiting import wait_for

GOOD = """
from datetime import datetime
try:
    from airflow.sdk import dag, task
except ImportError:
    from airflow.decorators import dag, task

@dag(dag_id="good", start_date=datetime(2026, 1, 1), schedule=None, catchup=False)
def good():
    @task
    def nothing():
        pass
    nothing()

good()
"""

PLUGIN = """
from airflow.plugins_manager import AirflowPlugin

class Mine(AirflowPlugin):
    name = "mine"
"""

HANGING = """
from airflow import DAG
import time
while True:
    try:
        time.sleep(300)
    except BaseException:
        pass
"""

ALIKE = pytest.mark.parametrize("airflow", lines.ALIKE, indirect=True)

BROKEN_PLUGINS = {
    "import error": (f"import no_such_library\n{PLUGIN}", 1, "ModuleNotFoundError: No module named 'no_such_library'"),
    "raising hook": (
        f"{PLUGIN}\n    @classmethod\n    def on_load(cls, *_, **__):\n        1 / 0\n",
        9,
        "ZeroDivisionError",
    ),
    "setup.py": ("\nfrom setuptools import setup\nsetup(name='x')\n", 3, "SystemExit"),
    "exit": ("import os\nos._exit(3)\n", None, "SystemExit: the process ended with exit code 3"),
}

ASKING_AIRFLOW = {"raising hook"}
"""Of them, what Airflow calls; the others end while Python imports them."""

PASSED_OVER = {
    "helper/__init__.py": "",
    "helper/one.py": "x = 1\nfrom . import two\n",
    "helper/two.py": "",
    "scripts/old.py": "print 'hello'\n",
    "also.py": "from mine import Mine\n",
}


def zipped(folder, files):
    path = folder / "plugins.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return path


def parsed(built, context, place, files, **limits):
    dags = Path(place) / "dags"
    dags.mkdir()
    for name, text in files.items():
        (dags / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    trial = building.trial(built, context, scratch=place, variables={"AIRFLOW_VAR_COLOUR": "red"})
    return verification.parse_dags(trial, dags, **limits)


@ALIKE
def test_files_among_the_plugins_that_airflow_does_without_are_noted(build, place):
    built = build(plugins=zipped(place, {"mine.py": PLUGIN, **PASSED_OVER}))
    assert built.plugin_names == ("mine",)
    notes = "\n".join(built.notes)
    assert "plugins.zip: helper/one.py, line 2: ImportError: attempted relative import" in notes
    assert "plugins.zip: scripts/old.py, line 1: SyntaxError: " in notes


@pytest.mark.parametrize(
    ("airflow", "name"),
    [(version, name) for name in BROKEN_PLUGINS for version in (lines.MAIN if name in ASKING_AIRFLOW else lines.ALIKE)],
    indirect=["airflow"],
)
def test_a_plugin_that_does_not_load_is_named_with_its_line(build, place, name):
    text, line, words = BROKEN_PLUGINS[name]
    with pytest.raises(ReleaseError) as caught:
        build(plugins=zipped(place, {"helper/one.py": "", "zoo/bad.py": f"import helper.one\n{text}"}))
    error = caught.value
    assert (error.code, error.file, error.line) == ("PLUGIN_IMPORT_FAILED", "zoo/bad.py", line and line + 1)
    assert words in str(error)
    assert ("take the file out of plugins.zip" in str(error)) == (name in {"setup.py", "exit"})


@ALIKE
def test_an_archive_that_is_none_is_told_before_anything_is_installed(build, place, context):
    (place / "plugins.zip").write_bytes(bytes(1000))
    with pytest.raises(ReleaseError, match="no zip archive") as caught:
        build("cow\n", plugins=place / "plugins.zip")
    assert caught.value.code == "PLUGINS_ARCHIVE_INVALID"
    assert not [path for path in context.releases.iterdir() if path.is_dir()]


def test_what_a_startup_script_exports_reaches_the_dags_and_the_requirements(build, context, place):
    script = b"export COLOUR=blue VERSION=1.0\nexport AIRFLOW__CORE__EXECUTOR=Mine\nexit 0\n"
    built = build("cow==${VERSION}\n", startup=script)
    assert built.packages == (("cow", "1.0"),)
    assert built.startup().of("worker")["COLOUR"] == "blue"
    assert "AIRFLOW__CORE__EXECUTOR" in built.notes[0]
    text = GOOD.replace('"good"', "__import__('os').environ['COLOUR']")
    assert parsed(built, context, place, {"a.py": text}).dags == ("blue",)


@ALIKE
def test_a_failing_startup_script_fails_the_release(build):
    with pytest.raises(ReleaseError, match="line 2: the script ended with exit code 1"):
        build(startup=b"echo hello\nexit 1\n")


def test_every_kind_of_failing_dag_is_data_and_stops_no_other(build, context, place):
    files = {
        "good.py": GOOD,
        "missing.py": "from airflow import DAG\nimport no_such_library\n",
        "syntax.py": "from airflow import DAG\ndef f(:\n",
        "helped.py": "from airflow import DAG\nimport helper_of_mine\n",
        "helper_of_mine.py": "x = 1\ny = 1 / 0\n",
        "exits.py": "from airflow import DAG\nimport os\nos._exit(5)\n",
        "hangs.py": HANGING,
        "dies.py": "from airflow import DAG\nimport os\nos.kill(os.getpid(), 9)\n",
        "variable.py": "from airflow.models import DAG, Variable\nassert Variable.get('colour') == 'red'\n",
        "nothing.py": "this is no python, and mentions no workflow",
        "latin.py": f"{GOOD.replace('good', 'latin')}# caf\xe9\n".encode("latin-1"),
        "slow.py": "from airflow import DAG\nimport time\ntime.sleep(300)\n",
    }
    options = {"core.dagbag_import_timeout": "8", "core.dag_file_processor_timeout": "12"}
    found = parsed(build(), replace(context, options=options), place, files)
    assert found.dags == ("good", "latin")
    assert found.files == len(files) - 2
    assert {failure.file: (failure.line, failure.kind) for failure in found.failures} == {
        "missing.py": (2, "ModuleNotFoundError"),
        "syntax.py": (2, "SyntaxError"),
        "helped.py": (2, "ZeroDivisionError"),
        "exits.py": (None, "SystemExit"),
        "hangs.py": (None, "Timeout"),
        "slow.py": (3, "AirflowTaskTimeout"),
        "latin.py": (None, "UnicodeDecodeError"),
        "dies.py": (None, "Killed"),
    }


CONFINED = """
import os
import cow
from airflow import DAG
from airflow.configuration import conf

assert conf.getint("core", "max_map_length") == 7
assert (os.getuid(), os.getgroups()) == (os.stat(os.environ["TMPDIR"]).st_uid, [])
for path in (__file__, os.path.join(os.environ["AIRFLOW_HOME"], "plugins", "mine.py"), "/etc/hosts"):
    try:
        open(path, "a")
    except OSError:
        continue
    raise RuntimeError(f"wrote to {path}")
print(sorted(os.environ))
dag = DAG("confined", schedule=None)
"""


def primed(settings):
    """Whether there is a primed process. By itself it takes the processor when nobody else does; other tests do."""
    for file in settings.paths.run.glob("warm-*.pid"):
        for process in psutil.Process(json.loads(file.read_text())["pid"]).children():
            process.nice(-10)
    return warm.primed(settings.paths)


@pytest.mark.skipif(not airflow_home.can_be_shown(), reason="needs root and a kernel that lets it mount")
@pytest.mark.parametrize("airflow", lines.MAIN[:1], indirect=True)
def test_a_trial_in_a_fork_of_the_primed_process_tells_the_same(context, place):
    settings, lent = Settings(data=place / "data"), []

    def lender(*given):
        lent.append(warm.lender(settings, *given))
        return lent[-1]

    (place / "data").mkdir(mode=0o711)
    options = {"core.max_map_length": "7"}
    context = replace(context, options=options)
    warm.start(settings, context.installation)
    try:
        wait_for("a primed process", lambda: primed(settings))
        files = UserFiles(requirements=b"cow\n", plugins=zipped(place, {"mine.py": PLUGIN}))
        forked = replace(context, lender=lender)
        built = building.build(files, forked)
        assert built.plugin_names == ("mine",)
        dags = {
            "good.py": GOOD,
            "missing.py": "from airflow import DAG\nimport no_such_library\n",
            "exits.py": "from airflow import DAG\nimport os\nos._exit(5)\n",
            "variable.py": "from airflow.models import DAG, Variable\nassert Variable.get('colour') == 'red'\n",
            "confined.py": CONFINED,
        }
        places = [place / "one", place / "two"]
        for each in places:
            each.mkdir()
            each.chmod(0o755)
        found, known = (parsed(built, *each, dags) for each in zip((forked, context), places, strict=True))
    finally:
        warm.stop_all(settings.paths)
    assert found == known
    assert found.dags == ("confined", "good")
    assert len(lent) == 2
    assert None not in lent


@ALIKE
def test_a_new_failure_is_told_and_an_old_one_is_not(build, context, place):
    files = {"needs_cow.py": f"import cow\n{GOOD}", "old.py": "from airflow import DAG\n1 / 0\n"}
    before = parsed(build("cow\n"), context, place, files)
    trial = building.trial(build(), context, scratch=place, variables={})
    after = verification.parse_dags(trial, place / "dags")
    assert comparison.refusal(comparison.news(before.failures, before.failures)) is None
    error = comparison.refusal(comparison.news(after.failures, before.failures))
    assert error is not None
    assert (error.code, error.file, error.line) == ("DAG_IMPORT_FAILED", "needs_cow.py", 1)
    assert str(error) == "needs_cow.py, line 1: ModuleNotFoundError: No module named 'cow'"


@ALIKE
def test_dags_that_take_too_long_altogether_are_given_up(build, context, place):
    hanging = "from airflow import DAG\nimport time\ntime.sleep(300)\n"
    with pytest.raises(ReleaseError, match="did not end in time"):
        parsed(build(), context, place, {"a.py": hanging}, limit=8)


@ALIKE
def test_two_builders_at_once_make_one_release(context):
    made, steps = [], []
    context = replace(context, report=lambda step: steps.append(step.name))
    wanted = UserFiles(requirements=b"cow\n")
    threads = [threading.Thread(target=lambda: made.append(building.build(wanted, context))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 3
    assert len(set(made)) == 1
    assert steps.count("found") == 2


BUILDER = """
import json, os, sys
from pathlib import Path
from aerodrome.release import building, installation
from aerodrome.unix_users import UnixUser
from aerodrome.release.user_files import UserFiles
version, versions, releases, environ = json.load(sys.stdin)
airflow = installation.find(version, Path(versions))
report = lambda step: print(step.name, step.seconds, flush=True)
user = UnixUser(61234, 61234) if os.geteuid() == 0 else None
context = building.BuildContext(
    installation=airflow, releases=Path(releases), environ=environ, report=report, user=user
)
building.build(UserFiles(requirements=b"cow\\n", startup=b"export A=1\\n"), context)
"""


OF_A_KIND = ("plugins", "install", "try")
"""Our own work, uv's, and Airflow's."""

STEPS = (*OF_A_KIND, "startup", "requirements", "resolve")


@pytest.mark.parametrize(
    ("airflow", "step"),
    [
        pytest.param(version, step, marks=() if version == lines.MAIN[0] and step in OF_A_KIND else EVERY_FAULT)
        for version in lines.MAIN
        for step in STEPS
    ],
    indirect=["airflow"],
)
def test_a_builder_killed_at_any_step_leaves_no_release_and_the_next_one_works(context, versions, step):
    request = [context.installation.version, str(versions), str(context.releases), dict(context.environ)]
    with subprocess.Popen(
        [sys.executable, "-c", BUILDER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as victim:
        assert victim.stdin is not None
        assert victim.stdout is not None
        victim.stdin.write(json.dumps(request))
        victim.stdin.close()
        assert any(line.startswith(f"{step} None") for line in victim.stdout)
        children = psutil.Process(victim.pid).children(recursive=True)
        victim.kill()
    psutil.wait_procs(children, timeout=60)
    wanted = UserFiles(requirements=b"cow\n", startup=b"export A=1\n")
    folders = [path.name for path in context.releases.iterdir() if path.is_dir()]
    assert [built_releases.find(name, context.releases) for name in folders] == [None] * len(folders)
    assert building.build(wanted, context).packages == (("cow", "1.0"),)


@pytest.fixture
def check(airflow, versions, context, place):
    """Run the command in a folder of a project, as CI does."""
    install.programs(versions, environ=os.environ)  # which the command does itself, but the index here is empty
    data = place / "data"
    data.mkdir()
    (data / "versions").symlink_to(airflow.folder.parent)
    program = Path(sys.executable).with_name("aerodrome")

    def run(files, *words):
        project = place / "project"
        for name, text in files.items():
            (project / name).parent.mkdir(parents=True, exist_ok=True)
            (project / name).write_text(text)
        environ = {**context.environ, "AERODROME_DATA": str(data), "COLUMNS": "200"}
        if (place / "temporary").is_dir():
            environ["TMPDIR"] = str(place / "temporary")
        return subprocess.run(
            [program, "check", "--folder", project, "--airflow-version", airflow.version, *words],
            env=environ, capture_output=True, text=True, check=False, cwd="/", timeout=280,
        )  # fmt: skip

    return run


PROJECT = {
    "requirements.txt": "-r /usr/local/airflow/dags/more.txt\n",
    "dags/more.txt": "cow\n",
    "plugins/mine.py": PLUGIN,
    "startup.sh": "export COLOUR=blue\n",
    "dags/good.py": f"import cow\nfrom include import context\n{GOOD}",
    "include/context.py": "",
}


@ALIKE
def test_check_of_a_folder_that_works_and_leaves_nothing_in_the_temporary_folder(check, airflow, place):
    (place / "temporary").mkdir()
    done = check(PROJECT, "--json")
    assert done.returncode == 0, done.stderr
    assert list((place / "temporary").iterdir()) == []
    found = json.loads(done.stdout)
    assert (found["ok"], found["version"], found["errors"]) == (True, airflow.version, [])
    assert (found["packages"], found["plugins"], found["dags"]) == (["cow==1.0"], ["mine"], ["good"])
    steps = [step["name"] for step in found["steps"]]
    assert steps == ["airflow", "plugins", "startup", "requirements", "resolve", "install", "try", "dags"]
    assert all(step["state"] == "done" and step["seconds"] >= 0 for step in found["steps"])


@ALIKE
def test_check_of_a_folder_that_does_not(check):
    done = check({**PROJECT, "dags/bad.py": "from airflow import DAG\nimport no_such_library\n"})
    assert done.returncode == 1
    assert "✗ The DAGs parse" in done.stdout
    assert "DAG_IMPORT_FAILED  bad.py, line 2: ModuleNotFoundError: No module named 'no_such_library'" in done.stdout
    done = check({"requirements.txt": "cow==1.0\ncow==2.0\n"}, "--json")
    assert done.returncode == 1
    found = json.loads(done.stdout)
    assert [error["code"] for error in found["errors"]] == ["REQUIREMENTS_CONFLICT"]
    assert found["steps"][-1] == {**found["steps"][-1], "name": "resolve", "state": "failed"}


@ALIKE
def test_check_without_anything_to_check_says_so(check, place):
    (place / "project").mkdir()
    done = check({})
    assert done.returncode == 1
    assert "there is nothing to check" in done.stderr
    assert "there is no gone.txt" in check({}, "--requirements", "gone.txt").stderr
    told = json.loads(check({}, "--json").stdout)
    assert (told["ok"], [error["code"] for error in told["errors"]]) == (False, ["INVALID"])
