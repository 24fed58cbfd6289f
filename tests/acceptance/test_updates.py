"""Updates and maintenance of a running environment: a change is made beside what runs, or not at all."""

from __future__ import annotations

import io
import json
import shutil
import textwrap
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import lines
from aerodrome.release import airflow_home
from matrices import EVERY_FAULT
from product import BUCKET, EXECUTION_ROLE, LIMIT, Product, wait_for

pytestmark = pytest.mark.timeout(4 * LIMIT)

WAITING = """
import time
from datetime import datetime
import boto3
from airflow import DAG
try:
    from airflow.providers.standard.operators.python import PythonOperator
except ImportError:
    from airflow.operators.python import PythonOperator

def wait():
    s3 = boto3.client("s3")
    while "Contents" not in s3.list_objects_v2(Bucket="{bucket}", Prefix="go/{dag}"):
        time.sleep(0.5)

with DAG("{dag}", start_date=datetime(2024, 1, 1), schedule=None):
    PythonOperator(task_id="wait", python_callable=wait)
"""

LOOKING = """
import os
import subprocess
from datetime import datetime
from airflow import DAG
from airflow.configuration import conf
try:
    from airflow.providers.standard.operators.python import PythonOperator
except ImportError:
    from airflow.operators.python import PythonOperator

HOME = os.environ["AIRFLOW_HOME"]
for place in ("dags", "plugins"):
    assert os.path.samefile(os.path.join(HOME, place), conf.get("core", place + "_folder")), place
if SHOWN:  # else AIRFLOW_HOME is a folder of the environment's
    assert HOME == os.environ["HOME"] == "/usr/local/airflow"
    assert __file__ == "/usr/local/airflow/dags/{dag}.py"

def look():
    if "COLOUR" in os.environ:
        assert "COLOUR" in open(os.path.join(HOME, "startup/startup.sh")).read()
        tool = os.path.join(HOME, "tool_venv", "bin", "tool")
        assert subprocess.check_output([tool], text=True).strip() == os.environ["TOOL_VENV"]
        assert "cow" in open(os.path.join(HOME, "requirements/requirements.txt")).read()
    assert os.listdir(os.path.join(HOME, "logs"))
    try:
        from cow import sound
    except ImportError:
        sound = None
    import pycurl
    return [sound, os.environ.get("COLOUR"), conf.get("core", "max_map_length"), getattr(pycurl, "hat", None)]

with DAG("{dag}", start_date=datetime(2024, 1, 1), schedule=None):
    PythonOperator(task_id="look", python_callable=look)
""".replace("SHOWN", str(airflow_home.can_be_shown()))

APART = """
import os
from datetime import datetime
from airflow import DAG
try:
    from airflow.providers.standard.operators.python import PythonVirtualenvOperator
except ImportError:
    from airflow.operators.python import PythonVirtualenvOperator

PLUGINS = os.path.join(os.environ["AIRFLOW_HOME"], "plugins")

def own():
    from cow import sound
    return sound

def shared():
    import airflow
    from cow import sound
    return sound + airflow.__version__

with DAG("{dag}", start_date=datetime(2024, 1, 1), schedule=None):
    PythonVirtualenvOperator(
        task_id="own", python_callable=own, system_site_packages=False, requirements=["cow==2.0"],
        pip_install_options=["--no-index", "--find-links", PLUGINS],
    )
    PythonVirtualenvOperator(task_id="shared", python_callable=shared, system_site_packages=True)
"""

REQUIREMENTS = "--find-links /usr/local/airflow/plugins\n--no-index\ncow==1.0\n"


@pytest.fixture(scope="module")
def product(changing_product: Product) -> Product:
    """Not the one whose environments are shared."""
    return changing_product


def wheel(name: str, text: str, *needs: str, version: str = "1.0") -> bytes:
    """A wheel of one module."""
    info, packed = f"{name}-{version}.dist-info", io.BytesIO()
    metadata = [
        f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}",
        *(f"Requires-Dist: {need}" for need in needs),
    ]
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr(f"{name}.py", text)
        archive.writestr(f"{info}/METADATA", "\n".join(metadata) + "\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", f"{name}.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n")
    return packed.getvalue()


def plugins(**files: str | bytes) -> bytes:
    """A plugins.zip; a name's `__` is its dot."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("cow-1.0-py3-none-any.whl", wheel("cow", "sound = 'moo'\n"))
        archive.writestr("cow-2.0-py3-none-any.whl", wheel("cow", "sound = 'muh'\n", version="2.0"))
        archive.writestr("pycurl-999.0-py3-none-any.whl", wheel("pycurl", "hat = 'red'\n", version="999.0"))
        archive.writestr("calf-1.0-py3-none-any.whl", wheel("calf", "", "requests<1"))
        for name, content in files.items():
            archive.writestr(name.replace("__", "."), content)
    return packed.getvalue()


def put(product, key: str, content: str | bytes, *, bucket: str = BUCKET) -> str:
    """Write an object; the id of its version."""
    body = content.encode() if isinstance(content, str) else content
    return str(product.s3.put_object(Bucket=bucket, Key=key, Body=body)["VersionId"])


STARTUP = r"""
export COLOUR=$(aws secretsmanager get-secret-value --secret-id {name}/colour --query SecretString --output text)
export AIRFLOW__CORE__MAX_MAP_LENGTH=9
export TOOL_VENV=${{AIRFLOW_HOME}}/tool_venv
python3 -m venv --without-pip $TOOL_VENV
printf '#!%s/bin/python\nimport sys; print(sys.prefix)\n' $TOOL_VENV > $TOOL_VENV/bin/tool
chmod +x $TOOL_VENV/bin/tool
cat /nowhere/file
"""


def may_read_secrets(product) -> Any:
    """The client of Secrets Manager, which the execution role may read."""
    allowed = {"Effect": "Allow", "Action": "secretsmanager:GetSecretValue", "Resource": "*"}
    product.iam.put_role_policy(
        RoleName=EXECUTION_ROLE.rpartition("/")[2],
        PolicyName="secrets",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [allowed]}),
    )
    return product.session.client("secretsmanager", endpoint_url=product.exports["AWS_ENDPOINT_URL"])


@contextmanager
def watched(product, name: str, *, pause: float = 0.25) -> Iterator[list[str]]:
    """Asks Airflow's web server again and again; the refusals that it gave are in the list.

    Each answer takes some hundredths of a second of a core from what is watched, which is why there are pauses.
    """
    refusals: list[str] = []
    over = threading.Event()

    def ask() -> None:
        while not over.is_set():
            try:
                product.rest(name, "GET", "/dags")
            except Exception as error:  # noqa: BLE001 - whatever a client may be told
                refusals.append(str(error))
            over.wait(pause)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield refusals
    finally:
        over.set()
        thread.join()


def is_beyond_its_build(product, name: str) -> bool:
    """Whether the environment's change has begun to touch what runs, or is over."""
    shown = product.environment(name)
    return shown["status"] != "UPDATING" or shown["progress"]["phase"] not in {"queued", "ready", "release"}


def notes(product, name: str) -> list[str]:
    """What the environment's changes have noted, from the first on."""
    events = product.events(name, limit=1000)
    return [each["sentence"] for each in events if each["kind"] == "NOTE"]


def checked(product, line: str, folder: Path, files: dict[str, str | bytes]) -> dict[str, Any]:
    """What `aerodrome check` says of a folder with these files, with the rights of the product's own client."""
    for name, content in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
    frozen = product.session.get_credentials().get_frozen_credentials()
    variables = {
        "AWS_ACCESS_KEY_ID": frozen.access_key,
        "AWS_SECRET_ACCESS_KEY": frozen.secret_key,
        "AWS_ENDPOINT_URL": product.exports["AWS_ENDPOINT_URL"],
        "AWS_DEFAULT_REGION": product.session.region_name,
    }
    given = [word for name, value in variables.items() for word in ("--env", f"{name}={value}")]
    return dict(product.run_json("check", str(folder), "--airflow-version", line, *given))


def looked(product, name: str, dag: str) -> str:
    """What a task of the environment finds now."""
    run = product.trigger(name, dag)
    assert product.finished(name, dag, run) == "success"
    path = f"/dags/{dag}/dagRuns/{run}/taskInstances/look/xcomEntries/return_value"
    return str(product.rest(name, "GET", path)["value"])


@pytest.mark.parametrize("line", lines.ALIKE)  # of the other, `moving` in test_upgrades.py is updated
def test_an_update_replaces_all_units_without_a_gap_and_lets_tasks_end(product, line, tmp_path):
    name = f"blue-{line.replace('.', '-')}"
    waiting, looking = f"waiting_{name}", f"looking_{name}"
    product.create(name, line)
    product.put_dag(waiting, WAITING.format(bucket=BUCKET, dag=waiting))
    product.put_dag(looking, LOOKING.format(dag=looking))
    product.wait_until(name, "AVAILABLE")
    run = product.trigger(name, waiting)
    wait_for("the task runs", lambda: product.task(name, waiting, run, "wait")["state"] == "running")

    put(product, "dags/cows.txt", "cow<2\n")
    # Constraints of one's own: so a package that Airflow came with may have another version.
    requirements = f"-c /usr/local/airflow/dags/cows.txt\n{REQUIREMENTS}pycurl==999.0\n"
    put(product, f"{name}/requirements.txt", requirements)
    may_read_secrets(product).create_secret(Name=f"{name}/colour", SecretString="blue")
    put(product, f"{name}/startup.sh", STARTUP.format(name=name))
    archive = plugins(helper__py="from . import nothing\n")
    with watched(product, name, pause=1.0) as refusals:  # a build takes long, and is done beside what runs
        product.update(
            name,
            RequirementsS3Path=f"{name}/requirements.txt",
            PluginsS3Path=f"{name}/plugins.zip",
            PluginsS3ObjectVersion=put(product, f"{name}/plugins.zip", archive),
            StartupScriptS3Path=f"{name}/startup.sh",
            AirflowConfigurationOptions={"core.max_map_length": "3"},
        )
        assert product.get(name)["Status"] == "UPDATING"
        with pytest.raises(product.mwaa.exceptions.ValidationException, match="UPDATING"):
            product.update(name, MaxWorkers=5)
        wait_for("its release is built", lambda: is_beyond_its_build(product, name))
        with watched(product, name) as later:
            found = product.wait_until(name, "AVAILABLE")
            value = looked(product, name, looking)
    assert refusals == later == []
    assert found["LastUpdate"]["Status"] == "SUCCESS"
    assert found["LastUpdate"]["WorkerReplacementStrategy"] == "GRACEFUL"
    assert [word.strip("[]'\" ") for word in value.split(",")] == ["moo", "blue", "3", "red"]
    assert "pycurl 999.0 for" in product.run("revisions", name).stdout
    noted = notes(product, name)
    assert "startup.sh, line 8: `cat /nowhere/file` ended with exit code 1, and the script went on" in noted
    found = checked(product, line, tmp_path, {
        "requirements.txt": requirements, "plugins.zip": archive, "startup.sh": STARTUP.format(name=name),
        "dags/cows.txt": "cow<2\n", "dags/looking.py": LOOKING.format(dag="looking"),
    })  # fmt: skip
    assert (found["notes"], found["dags"], found["errors"]) == (noted, ["looking"], [])

    apart = f"apart_{name}"
    product.put_dag(apart, APART.format(dag=apart))
    made = product.trigger(name, apart)
    assert product.finished(name, apart, made) == "success"
    returned = f"/dags/{apart}/dagRuns/{made}/taskInstances/{{}}/xcomEntries/return_value"
    values = [product.rest(name, "GET", returned.format(task))["value"] for task in ("own", "shared")]
    assert [str(value).strip("'\"") for value in values] == ["muh", f"moo{line}"]

    running = product.task(name, waiting, run, "wait")
    assert (running["state"], running["hostname"]) == ("running", "worker-1.1")
    put(product, f"go/{waiting}", "")
    assert product.finished(name, waiting, run) == "success"
    assert product.task(name, waiting, run, "wait")["try_number"] == 1
    wait_for("the former cell is gone", lambda: product.environment(name)["other_cells"] == [])
    product.delete_without_a_trace(name)
    product.remove_dags(waiting, looking)


@pytest.fixture(scope="module")
def steady(product) -> Iterator[str]:
    """An environment with a release of its own, which failing updates leave as it is."""
    name = "steady"
    product.put_dag("looking_steady", LOOKING.format(dag="looking_steady"))
    product.put_dag("mooing_steady", "import cow\n" + LOOKING.format(dag="mooing_steady"))
    put(product, "steady/requirements.txt", REQUIREMENTS)
    product.create(
        name,
        RequirementsS3Path="steady/requirements.txt",
        PluginsS3Path="steady/plugins.zip",
        PluginsS3ObjectVersion=put(product, "steady/plugins.zip", plugins()),
    )
    product.wait_until(name, "AVAILABLE")
    yield name
    product.delete(name)


def conflict(product):
    put(product, "steady/conflict.txt", REQUIREMENTS + "calf\n")
    return {"RequirementsS3Path": "steady/conflict.txt"}


def failing_script(product):
    put(product, "steady/startup.sh", "echo so far\nfalse\nexit 7\n")
    return {"StartupScriptS3Path": "steady/startup.sh"}


def dag_without_its_package(_product):
    return {"RequirementsS3Path": ""}


def dags_elsewhere(product):
    put(product, "elsewhere/sub/new.py", "from airflow import DAG\nimport nowhere_at_all\n")
    return {"DagS3Path": "elsewhere"}


def units_that_do_not_come_up(_product):
    return {"AirflowConfigurationOptions": {"scheduler.max_tis_per_query": "many"}}


@pytest.mark.parametrize(
    ("update", "code", "words"),
    [
        (conflict, "REQUIREMENTS_CONFLICT", "requests"),
        (failing_script, "STARTUP_SCRIPT_FAILED", "7"),
        (dag_without_its_package, "DAG_IMPORT_FAILED", "mooing_steady.py"),
        (dags_elsewhere, "DAG_IMPORT_FAILED", "sub/new.py"),
        pytest.param(units_that_do_not_come_up, "UNIT_FAILED", "scheduler", marks=EVERY_FAULT),
    ],
)
def test_a_failed_update_leaves_everything_as_it_was(product, steady, update, code, words):
    before = product.get(steady)
    units = {unit["name"]: unit["pid"] for unit in product.environment(steady)["units"]}
    with watched(product, steady, pause=0.5) as refusals:  # its web server is to be left alone
        product.update(steady, **update(product))
        after = product.wait_until(steady, "UPDATE_FAILED")
    assert refusals == []
    error = after["LastUpdate"]["Error"]
    assert error["ErrorCode"] == code, error
    assert words in error["ErrorMessage"]
    assert code in product.run("revisions", steady).stdout
    changing = {"Status", "LastUpdate"}
    assert {key: value for key, value in after.items() if key not in changing} == {
        key: value for key, value in before.items() if key not in changing
    }
    wait_for("nothing of the change is left", lambda: product.environment(steady)["other_cells"] == [])
    kept = {unit["name"]: unit["pid"] for unit in product.environment(steady)["units"]}
    assert {name for name in kept if kept[name] != units[name]} <= {"dag-processor"}
    assert "moo" in looked(product, steady, "looking_steady")


def test_options_that_units_do_not_see_move_nothing(product, steady):
    units = {unit["name"]: unit["pid"] for unit in product.environment(steady)["units"]}
    product.update(steady, WeeklyMaintenanceWindowStart="SUN:03:30")
    found = product.wait_until(steady, "AVAILABLE")
    assert (found["WeeklyMaintenanceWindowStart"], found["LastUpdate"]["Status"]) == ("SUN:03:30", "SUCCESS")
    assert {unit["name"]: unit["pid"] for unit in product.environment(steady)["units"]} == units


def test_more_workers_join_those_that_run(product, steady):
    units = {unit["name"]: unit["pid"] for unit in product.environment(steady)["units"]}
    product.update(steady, MinWorkers=2)
    product.wait_until(steady, "AVAILABLE")
    found = product.environment(steady)
    joined = {unit["name"]: unit["pid"] for unit in found["units"]}
    assert joined.keys() - units.keys() == {"worker-2"}
    assert {name: joined[name] for name in units} == units
    assert {unit["state"] for unit in found["units"]} == {"ready"}


def test_dags_from_another_place_by_force_without_a_wait_and_the_revision_can_be_brought_back(product, steady):
    dag = "waiting_steady"
    product.put_dag(dag, WAITING.format(bucket=BUCKET, dag=dag))
    put(product, f"another/{dag}.py", WAITING.format(bucket=BUCKET, dag=dag))
    text = LOOKING.format(dag="looking_er").replace("dags/looking_er.py", "dags/deep/er.py")
    put(product, "another/deep/er.py", text)
    before = product.environment(steady)["revision"]
    run = product.trigger(steady, dag)
    wait_for("the task runs", lambda: product.task(steady, dag, run, "wait")["state"] == "running")
    product.update(
        steady,
        DagS3Path="another/",
        AirflowConfigurationOptions={"core.max_map_length": "2"},
        WorkerReplacementStrategy="FORCED",
    )
    product.wait_until(steady, "AVAILABLE")
    wait_for("the former cell is gone", lambda: product.environment(steady)["other_cells"] == [])
    assert product.finished(steady, dag, run) == "failed"
    product.remove_dags(dag)
    assert "'2'" in looked(product, steady, "looking_er").replace('"', "'")

    shown = product.run("diff", steady).stdout
    assert "AirflowConfigurationOptions.core.max_map_length" in shown
    assert "DagS3Path" in shown
    refused = product.run("rollback", steady, str(product.environment(steady)["revision"]), check=False)
    assert (refused.returncode, "already" in refused.stderr) == (1, True)
    done = product.run("rollback", steady, str(before))
    assert f"{steady} is AVAILABLE with revision" in done.stdout
    assert product.get(steady).get("AirflowConfigurationOptions", {}) == {}
    assert "ROLLBACK" in product.run("revisions", steady).stdout
    wait_for("the former DAGs are back", lambda: product.listed(steady, "looking_steady"))


def release_of(product: Product, name: str) -> Path:
    """The folder of the release that the environment runs, by its newest cell."""
    cells = [json.loads(each.read_text()) for each in (product.data / "run").glob("*/[0-9]*/cell.json")]
    paths = [unit["env"]["AERODROME_PATH"] for cell in cells if cell["environment"] == name for unit in cell["units"]]
    [site] = {path.split(":")[-1] for path in paths}
    return Path(site).parent


def test_a_release_that_is_gone_from_the_disk_is_built_again(product, steady):
    release, status = release_of(product, steady), product.get(steady)["Status"]
    assert (release / "manifest.json").exists()
    shutil.rmtree(release)
    wait_for("it is built again", (release / "manifest.json").exists)
    wait_for("all is calm", lambda: product.environment(steady)["progress"]["detail"] == "Every unit is ready.")
    assert looked(product, steady, "looking_steady")
    assert "is built again from the bucket" in product.run("events", steady).stdout
    assert product.get(steady)["Status"] == status  # UPDATE_FAILED where the last test's update failed


def test_a_version_that_is_gone_is_named(product, steady):
    version = put(product, "steady/gone.zip", plugins())
    product.s3.delete_object(Bucket=BUCKET, Key="steady/gone.zip", VersionId=version)
    sentence = textwrap.dedent(f"Unable to read version {version} of file steady/gone.zip")
    with pytest.raises(product.mwaa.exceptions.ValidationException, match=sentence):
        product.update(steady, PluginsS3Path="steady/gone.zip", PluginsS3ObjectVersion=version)


def pretend_that_the_lock_is_older(product: Product, name: str) -> None:
    """As after an update of Aerodrome that brought a newer lock for the same version."""
    with product.database("aerodrome") as ledger:
        ledger.execute(
            "UPDATE environment SET deployed = jsonb_set(deployed::jsonb, '{lock}', %s::jsonb) WHERE name = %s",
            (f'"{"0" * 64}"', name),
        )


def window_of(now: datetime) -> str:
    """A window that is open now."""
    return f"{now:%a}:{now:%H}:{'30' if now.minute >= 30 else '00'}".upper()


def test_a_newer_lock_is_applied_in_the_window_and_lets_tasks_end(product, steady):
    product.put_dag("maintained", WAITING.format(bucket=BUCKET, dag="maintained"))
    run = product.trigger(steady, "maintained")
    task = ("maintained", run, "wait")
    wait_for("the task runs", lambda: product.task(steady, *task)["state"] == "running")
    product.update(steady, WeeklyMaintenanceWindowStart=window_of(datetime.now(UTC)))
    product.wait_until(steady, "AVAILABLE")

    before = product.environment(steady)["revision"]
    with watched(product, steady, pause=0.5) as refusals:
        pretend_that_the_lock_is_older(product, steady)
        wait_for("maintenance begins", lambda: product.get(steady)["Status"] == "MAINTENANCE")
        found = product.wait_until(steady, "AVAILABLE")
    assert refusals == []
    assert (found["LastUpdate"]["Source"], found["LastUpdate"]["Status"]) == ("maintenance", "SUCCESS")
    assert product.environment(steady)["revision"] > before
    assert product.task(steady, *task)["state"] == "running"
    put(product, "go/maintained", "")
    assert product.finished(steady, "maintained", run) == "success"
    assert product.task(steady, *task)["try_number"] == 1
    product.remove_dags("maintained")
