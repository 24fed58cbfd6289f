"""`aerodrome dev` as a person has it: from the wheel, in an empty virtual environment, on a folder of theirs."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest
import uv

from aerodrome.cli.dev import naming
from product import LIMIT, Product, wait_for

ROOT = Path(__file__).parents[2]

BUCKET = naming.bucket("My-shop")

WORKING = """
from datetime import datetime
from airflow.sdk import dag, task
import mine_helper

@dag(start_date=datetime(2024, 1, 1), schedule=None)
def working():
    @task
    def use():
        import toolz
        return [toolz.__version__, mine_helper.NAME]
    use()

working()
"""
HELPER = """
from airflow.plugins_manager import AirflowPlugin

NAME = "a plugin"

class Mine(AirflowPlugin):
    name = "mine"
"""
FAILING = """
from datetime import datetime
from airflow.sdk import dag, task

def deep():
    raise ValueError("no such shop")

@dag(start_date=datetime(2024, 1, 1), schedule=None)
def failing():
    @task
    def load():
        deep()
    load()

failing()
"""


class Dev:
    """A running `aerodrome dev --json`, and what it said."""

    def __init__(self, command, folder, environment):
        self.said = []
        self.process = subprocess.Popen(
            [command, "dev", str(folder), "--json", "--no-open"], env=environment, text=True, stdout=subprocess.PIPE
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self):
        for line in self.process.stdout:
            self.said.append(json.loads(line))

    def hear(self, event, **about):
        """The next event of this kind with these fields; it and all events before it count as heard."""

        def heard():
            for place, each in enumerate(self.said):
                if each["event"] == event and about.items() <= each.items():
                    del self.said[: place + 1]
                    return each
            if self.process.poll() is not None:
                pytest.fail(f"it ended before it said {event} {about}: {self.said}")
            return None

        return wait_for(f"{event} {about}", heard)

    def end(self, number=signal.SIGINT):
        """Its exit code, once told to end."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        code = self.process.wait(timeout=LIMIT)
        self._reader.join()
        self.process.stdout.close()
        return code


@pytest.fixture(scope="module")
def command():
    """The command `aerodrome`, installed from the wheel into an empty virtual environment."""
    folder = Path(tempfile.mkdtemp(prefix="aero-wheel-"))
    folder.chmod(0o711)
    try:
        yield installed(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def installed(folder):
    def run(*arguments):
        done = subprocess.run([uv.find_uv_bin(), *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
        if "Failed to fetch" in done.stderr:
            pytest.skip("what the wheel needs cannot be fetched from PyPI here")
        assert done.returncode == 0, done.stderr
        return done.stdout

    run("build", "--wheel", "--out-dir", str(folder))
    [wheel] = folder.glob("*.whl")
    pins = folder / "pins.txt"
    pins.write_text(run("export", "--frozen", "--no-dev", "--no-emit-project", "--no-hashes"))
    run("venv", "--python", sys.executable, str(folder / "venv"))
    python = str(folder / "venv" / "bin" / "python")
    # Python compiles what it imports, which is less than all.
    run("pip", "install", "--python", python, "--constraint", str(pins), str(wheel))
    return folder / "venv" / "bin" / "aerodrome"


@pytest.fixture
def product(versions):
    """A place for an Aerodrome that `dev` itself starts."""
    folder = Path(tempfile.mkdtemp(prefix="aero-"))
    folder.chmod(0o711)
    product = Product(folder, versions, {"AERODROME_PRIMED": "off"})  # each session makes one environment
    try:
        yield product
    finally:
        product.purge()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def project(tmp_path):
    """A folder as people have it."""
    folder = tmp_path / "My shop"
    for name, text in {
        "dags/failing.py": FAILING,
        "plugins/mine_helper.py": HELPER,
        "requirements.txt": "toolz==1.0.0\n",
        "packages.txt": "",
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


@pytest.mark.timeout(900)  # it waits for conditions, and some of them for a whole environment
def test_from_a_folder_to_a_running_environment_and_back(command, product, project):
    dags = project / "dags"
    dev = Dev(command, project, product._environment)
    try:
        assert dev.hear("environment")["environment"] == "My-shop"
        assert "packages.txt" in dev.hear("note")["sentence"]
        dev.hear("available")
        product.up()  # which only finds it, and makes our clients
        refused = subprocess.run(
            [command, "dev", project], env=product._environment, capture_output=True, text=True, check=False
        )
        assert refused.returncode == 1
        assert "Another `aerodrome dev` is at work" in refused.stderr

        (dags / ".working.py.swp").write_text("an editor's")
        (dags / "working.py").write_text(WORKING)
        assert dev.hear("parsed", file="dags/working.py")["dags"] == ["working"]

        (dags / "broken.py").write_text("from airflow.sdk import dag\n\nraise KeyError('shop')\n")
        error = dev.hear("import-error", file="dags/broken.py")
        assert (error["at"], error["line"], error["message"]) == ("dags/broken.py", 3, "KeyError: 'shop'")
        (dags / "broken.py").write_text("from airflow.sdk import dag\n")
        dev.hear("import-error-gone", file="dags/broken.py")
        (dags / "broken.py").unlink()
        dev.hear("deleted", file="dags/broken.py")

        run = product.trigger("My-shop", "failing")
        failed = dev.hear("task-failed", dag="failing", run=run)
        assert (failed["at"], failed["line"], failed["message"]) == ("dags/failing.py", 6, "ValueError: no such shop")

        (project / "requirements.txt").write_text("\nno-such-package-anywhere==1.0\n")
        dev.hear("updating", changed=["requirements.txt"])
        assert "requirements.txt, line 2" in dev.hear("failed", status="UPDATE_FAILED")["sentence"]
        (project / "requirements.txt").write_text("toolz==1.0.0\n")
        dev.hear("available")
        (project / "startup.sh").write_text("export SHOP=open\n")
        dev.hear("updating", changed=["startup.sh"])
        dev.hear("available")

        keys = {each["Key"] for each in product.s3.list_objects_v2(Bucket=BUCKET)["Contents"]}
        assert keys == {"dags/", "dags/failing.py", "dags/working.py", "requirements.txt", "plugins.zip", "startup.sh"}
        assert dev.end() == 0
    finally:
        dev.end(signal.SIGTERM)
    assert product.processes() == []

    product.up()
    done = once(command, product, project, "--run", "working")
    assert (done.code, done.of("ended")["ok"], done.of("environment")["created"]) == (0, True, False)
    assert done.of("run")["state"] == "success"
    (dags / "broken.py").write_text("import no_such_module\n# airflow dag\n")
    done = once(command, product, project)
    assert (done.code, done.of("ended")["ok"]) == (1, False)
    assert done.of("import-error")["at"] == "dags/broken.py"
    assert [each["event"] for each in done.said[-1:]] == ["left"]
    assert product.environment("My-shop")["status"] == "AVAILABLE"


class Once:
    """What `aerodrome dev --once --json` said, and how it ended."""

    def __init__(self, process):
        self.code = process.returncode
        self.said = [json.loads(line) for line in process.stdout.splitlines()]
        self._stderr = process.stderr

    def of(self, event):
        found = [each for each in self.said if each["event"] == event]
        assert len(found) == 1, (self.said, self._stderr)
        return found[0]


def once(command, product, project, *more):
    return Once(
        subprocess.run(
            [command, "dev", project, "--once", "--json", *more],
            env=product._environment, capture_output=True, text=True, check=False, timeout=LIMIT,
        )
    )  # fmt: skip
