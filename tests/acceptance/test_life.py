"""An environment's whole life on each Airflow line, through unmodified clients."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections import Counter
from datetime import timedelta
from pathlib import Path

import psutil
import pytest
import uv

from aerodrome import clock
from aerodrome.release import airflow_home
from aerodrome.services import databases, postgres
from aerodrome.settings import Paths
from gateway_client import Client
from product import BUCKET, NEIGHBOUR, wait_for

PIPELINE = """
import os
import tempfile
from datetime import datetime
import boto3
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError
from airflow import DAG
try:
    from airflow.providers.standard.operators.python import PythonOperator
except ImportError:
    from airflow.operators.python import PythonOperator

def first():
    leaked = [name for name in os.environ if "SECRET" in name or "ACCESS_KEY" in name or "SESSION_TOKEN" in name]
    assert not leaked, leaked
    # Not what the process that all tasks are forked from may have found out before.
    assert tempfile.gettempdir() == os.environ["TMPDIR"], tempfile.gettempdir()
    boto3.client("s3").put_object(Bucket="{bucket}", Key="tmp/{name}", Body=os.environ["TMPDIR"].encode())
    boto3.client("s3").put_object(Bucket="{bucket}", Key="out/{name}", Body=b"from a task")
    attack()

def attack():
    s3, believed = boto3.client("s3"), boto3.client("s3", aws_access_key_id="test", aws_secret_access_key="test")
    unsigned = boto3.client("s3", config=Config(signature_version=UNSIGNED))
    evil = dict(Bucket="{neighbour}", Key="dags/evil.py", Body=b"evil")
    attempts = [lambda client=client: client.put_object(**evil) for client in (s3, believed, unsigned)]
    attempts += [
        lambda: s3.get_object(Bucket="{neighbour}", Key="dags/theirs.py"),
        lambda: s3.list_objects_v2(Bucket="{neighbour}"),
        lambda: s3.copy_object(Bucket="{bucket}", Key="stolen", CopySource="{neighbour}/dags/theirs.py"),
        lambda: s3.put_bucket_policy(Bucket="{neighbour}", Policy="{{}}"),
        lambda: boto3.client("sqs").create_queue(QueueName="mine-now"),
    ]
    for number, attempt in enumerate(attempts):
        try:
            attempt()
        except ClientError as error:
            assert error.response["ResponseMetadata"]["HTTPStatusCode"] in (400, 403), (number, error)
        else:
            raise AssertionError("attempt %d of a neighbour was not refused" % number)

def second():
    return boto3.client("sts").get_caller_identity()["Arn"]

with DAG("pipeline_{name}", start_date=datetime(2024, 1, 1), schedule=None):
    PythonOperator(task_id="first", python_callable=first) >> PythonOperator(task_id="second", python_callable=second)
"""

AT_HOME = """
import os
from datetime import datetime
import boto3
from airflow import DAG
try:
    from airflow.providers.standard.operators.python import PythonOperator
except ImportError:
    from airflow.operators.python import PythonOperator

HOME = os.environ["AIRFLOW_HOME"]
with open(os.path.join(HOME, "dags", "{dag}.py")) as file:
    assert "{dag}" in file.read()

def tell():
    found = boto3.client("s3").list_objects_v2(Bucket="{bucket}", Prefix="dags/{dag}")
    print("at", HOME, "read", os.listdir(os.path.join(HOME, "dags")), "and", found["KeyCount"], "key")

with DAG("{dag}", start_date=datetime(2024, 1, 1), schedule=None):
    PythonOperator(task_id="tell", python_callable=tell)
"""


HOSTILE = Path(__file__).with_name("hostile_dag.txt")
PLACES = ("parse", "task", "trigger", "callback")
"""Where DAG code runs."""

MAY = r".* of {uid}: \d+, redis-server"
"""Deeds that get no secret: whatever it does to its own broker."""


def variables_of(process: psutil.Process) -> list[str]:
    """The values in its environment; none if it shows them to root alone, as Airflow 3's workers do, and we are not."""
    try:
        return list(process.environ().values())
    except psutil.AccessDenied:
        assert os.geteuid() != 0
        return []


@pytest.fixture
def environment(shared_environment):
    return shared_environment.name


def streams_that_say(product, environment, words):
    """Where the environment's tasks have said so."""
    found = product.logs.filter_log_events(logGroupName=f"airflow-{environment}-Task", filterPattern=f'"{words}"')
    return {event["logStreamName"] for event in found["events"]}


def test_a_dag_from_the_bucket_runs_as_the_execution_role_without_keys_and_reaches_no_neighbour(product, environment):
    dag = f"pipeline_{environment}"  # its own: all environments read one bucket
    product.s3.put_object(Bucket=NEIGHBOUR, Key="dags/theirs.py", Body=b"theirs")
    product.put_dag(dag, PIPELINE.format(bucket=BUCKET, name=environment, neighbour=NEIGHBOUR))
    run = product.trigger(environment, dag)
    assert product.finished(environment, dag, run) == "success"
    assert product.s3.get_object(Bucket=BUCKET, Key=f"out/{environment}")["Body"].read() == b"from a task"
    temporary = product.data / "run" / product.environment(environment)["identifier"] / "t"
    assert product.s3.get_object(Bucket=BUCKET, Key=f"tmp/{environment}")["Body"].read().decode() == str(temporary)
    entry = product.rest(environment, "GET", f"/dags/{dag}/dagRuns/{run}/taskInstances/second/xcomEntries/return_value")
    assert "assumed-role/execution/AmazonMWAA-airflow" in entry["value"]
    stream = wait_for(
        "the task's log in CloudWatch Logs", lambda: streams_that_say(product, environment, entry["value"])
    )
    # Tasks of other tests may say who they are too.
    assert f"dag_id={dag}/run_id={run.replace(':', '_')}/task_id=second/attempt=1.log" in stream
    versions = {
        each["Key"]: each["VersionId"] for each in product.s3.list_object_versions(Bucket=NEIGHBOUR)["Versions"]
    }
    assert sorted(versions) == ["dags/", "dags/theirs.py"]
    product.s3.delete_object(Bucket=NEIGHBOUR, Key="dags/theirs.py", VersionId=versions["dags/theirs.py"])
    product.remove_dags(dag)


def test_a_broken_dag_is_an_import_error_and_the_rest_goes_on(product, environment):
    product.put_dag("fine", PIPELINE.replace('"pipeline_{name}"', '"fine"'))
    product.put_dag("broken", "from airflow import DAG\nthis is no Python\n")
    errors = wait_for(
        "the import error is shown",
        lambda: [
            each
            for each in product.rest(environment, "GET", "/importErrors")["import_errors"]
            if "broken.py" in each["filename"]
        ],
    )
    assert "SyntaxError" in errors[0]["stack_trace"]
    told = product.run("why", environment, "--json", check=False)
    assert told.returncode == 3, told.stderr
    sentences = [each["sentence"] for each in json.loads(told.stdout)["reasons"] if each["code"] == "IMPORT_ERROR"]
    assert [each for each in sentences if "broken.py, line 2 cannot be imported: SyntaxError" in each], told.stdout
    assert "AIRFLOW_SILENT" not in told.stdout
    wait_for("the other file is listed", lambda: product.listed(environment, "fine"))
    product.remove_dags("broken", "fine")


def test_a_deleted_object_is_deleted_on_disk(product, environment):
    folder = product.data / "environments" / environment / "dags"
    product.put_dag("passing", "x = 1\n")
    wait_for("the file is there", (folder / "passing.py").exists)
    product.s3.delete_object(Bucket=BUCKET, Key="dags/passing.py")
    wait_for("the file is gone", lambda: not (folder / "passing.py").exists())


def test_what_the_api_tells(product, environment):
    found = product.get(environment)
    assert found["LastUpdate"]["Status"] == "SUCCESS"
    assert re.fullmatch(r"[0-9a-f]{8}\.us-east-1\.airflow\.localhost:\d+", found["WebserverUrl"])
    assert environment in product.mwaa.list_environments(MaxResults=25)["Environments"]
    arn = found["Arn"]
    product.mwaa.tag_resource(ResourceArn=arn, Tags={"team": "data"})
    assert product.mwaa.list_tags_for_resource(ResourceArn=arn)["Tags"] == {"team": "data"}
    product.mwaa.untag_resource(ResourceArn=arn, tagKeys=["team"])
    assert product.mwaa.list_tags_for_resource(ResourceArn=arn)["Tags"] == {}


def test_the_command_line_shows_it(product, environment):
    shown = product.environment(environment)
    assert shown["status"] == "AVAILABLE"
    assert all(unit["state"] == "ready" for unit in shown["units"])
    assert "start" in {phase["name"] for phase in shown["progress"]["phases"]}  # of the creation, or of the last waking
    table = product.run("status").stdout
    shown = json.loads(product.run("status", "--json").stdout)["environments"]
    assert environment in {each["name"] for each in shown}
    assert environment in table
    assert "AVAILABLE" in table
    kinds = [line.split()[2] for line in product.run("events", environment).stdout.splitlines()[1:] if line[:2] == "20"]
    assert kinds[0] == "CREATE_REQUESTED"
    assert "CREATED" in kinds


def test_it_has_a_uid_and_connections_of_its_own(product, environment):
    shown, uids = product.environment(environment), product.status()["uids"]
    if os.geteuid() == 0:
        first, last = map(int, uids.split("-"))
        assert all(
            first < psutil.Process(unit["pid"]).uids().real <= last
            for unit in shown["units"]
            if unit["name"] == "scheduler"
        )
    cluster = postgres.cluster_if_up(Paths(product.data))
    found = databases.connections(cluster, f"env_{shown['identifier']}")
    assert 0 < found.used < found.limit <= found.most


def test_a_command_sees_airflow_home_as_units_do_and_tells_nothing_of_endpoints(product, environment):
    dag = f"home_{environment}"
    product.put_dag(dag, AT_HOME.format(dag=dag, bucket=BUCKET))
    wait_for("it is listed", lambda: product.listed(environment, dag))
    client = Client(product, environment)
    for words in (f"tasks test {dag} tell 2024-01-01", f"dags test {dag} 2024-01-01"):
        status, stdout, stderr, _ = client.command(words)
        assert status == 200, stdout + stderr
        [told] = re.findall(r"at (\S+) read (.*) and 1 key", stdout + stderr)
        assert told[0] == "/usr/local/airflow" or not airflow_home.can_be_shown()
        assert f"'{dag}.py'" in told[1]
        assert "Found endpoint" not in stdout + stderr
    product.remove_dags(dag)


def test_the_unmodified_aws_command_drives_it(product, environment):
    command = [uv.find_uv_bin(), "tool", "run", "--from", "awscli", "aws", "mwaa", "list-environments"]
    variables = {**product._environment, **product.exports}
    listing = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    if "Failed to fetch" in listing.stderr:
        pytest.skip("the AWS CLI cannot be fetched from PyPI here")
    assert environment in listing.stdout, listing.stderr


def test_units_hold_no_secret_in_their_environment(product, environment):
    home = product.data / "environments" / environment / "configuration" / "1"
    database = next(line for line in (home / "control.cfg").read_text().splitlines() if "sql_alchemy_conn" in line)
    password = database.split("://")[1].split("@")[0].split(":")[1]
    read = 0
    for unit in product.environment(environment)["units"]:
        for process in (psutil.Process(unit["pid"]), *psutil.Process(unit["pid"]).children(recursive=True)):
            variables = variables_of(process)
            assert password not in " ".join([*variables, *process.cmdline()]), unit["name"]
            read += bool(variables)
    assert read
    if environment.startswith("shared-3"):
        assert password not in (home / "worker.cfg").read_text()


def test_dag_code_reaches_no_secret_of_its_environment(product, environment):
    if not environment.startswith("shared-3"):
        pytest.skip("DAG code of Airflow 2 needs the database")
    if not airflow_home.can_be_shown_without_links():
        pytest.skip("one user for everything: needs root, and mounts without links")
    dag = f"hostile_{environment}".replace("-", "_")
    identifier = product.environment(environment)["identifier"]
    text = HOSTILE.read_text()
    for name, value in {"identifier": identifier, "bucket": BUCKET, "dag": dag}.items():
        text = text.replace(f"{{{name}}}", value)
    product.put_dag(dag, text)
    run = product.trigger(environment, dag)
    assert product.finished(environment, dag, run) == "success"
    told = {place: wait_for(f"what the {place} got", lambda at=place: told_by(product, dag, at)) for place in PLACES}
    product.remove_dags(dag)
    [uid] = {each["uid"] for each in told.values()}
    for place, each in told.items():
        # It saw none of those with secrets, for these have another user; where Landlock hides Redis, perhaps nobody.
        assert {other.split()[0] for other in each["others"]} <= {str(uid)}, place
        assert [deed for deed in each["got"] if not re.fullmatch(MAY.format(uid=uid), deed)] == [], place


GREEDY = """
import errno
import os
import signal
import tempfile
import time
from datetime import datetime
import boto3
from airflow import DAG
try:
    from airflow.providers.standard.operators.python import PythonOperator
except ImportError:
    from airflow.operators.python import PythonOperator

def fork_until_refused():
    made = []
    try:
        while len(made) < 5000:
            pid = os.fork()
            if pid == 0:
                os.setsid()
                signal.pause()
            made.append(pid)
    except OSError:
        pass
    for pid in made:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    return len(made)

def eat_until_ended():
    pid = os.fork()
    if pid == 0:
        eaten = []
        while len(eaten) < 6 * 64:
            eaten.append(b"x" * 2**24)
        os._exit(0)
    return os.waitpid(pid, 0)[1]

def fill_until_refused():
    home, refused = os.environ["AIRFLOW_HOME"], []
    for place in (home + "/logs", home, "/tmp", os.environ["TMPDIR"]):
        with tempfile.TemporaryFile(dir=place, buffering=0) as file:
            written = 0
            try:
                while written < 600 * 2**20:
                    written += file.write(b"x" * 2**20)
            except OSError as error:
                refused.append(errno.errorcode[error.errno])
            if place == os.environ["TMPDIR"]:
                s3 = boto3.client("s3")
                s3.put_object(Bucket="{bucket}", Key="out/{dag}/full", Body=b"")
                while not s3.list_objects_v2(Bucket="{bucket}", Prefix="out/{dag}/told")["KeyCount"]:
                    time.sleep(0.5)
    return " ".join(refused)

with DAG("{dag}", start_date=datetime(2024, 1, 1), schedule=None):
    deeds = (fork_until_refused, eat_until_ended, fill_until_refused)
    forks, eats, fills = (PythonOperator(task_id=deed.__name__, python_callable=deed) for deed in deeds)
    forks >> eats >> fills
"""
"""Takes all processes, all memory (6 GiB at most), all room on its disks; what it returns says when it was refused."""


def test_a_task_that_takes_everything_is_bounded_and_the_events_say_so(product, environment):
    if not environment.startswith("shared-3"):
        pytest.skip("the same in every line")
    status = product.status()
    if status["limits"]["control_groups"] is None:
        pytest.skip(f"no control groups here: {status['limits']['reason']}")
    allowed = product.environment(environment)["worker_limits"]
    dag = f"greedy_{environment}".replace("-", "_")
    before = {unit["name"]: unit["pid"] for unit in product.environment(environment)["units"]}
    product.put_dag(dag, GREEDY.format(dag=dag, bucket=BUCKET))
    run = product.trigger(environment, dag)
    has_disks = status["limits"]["disk_images"]
    kinds = wait_for("the events", lambda: limits_met(product, environment, has_disks=has_disks))
    workers = {kinds["OUT_OF_PROCESSES"], kinds["OUT_OF_MEMORY"]}
    assert all(name.startswith("worker-") for name in workers), "which one is up to the other tests' load"
    assert kinds.get("DISK_FULL", "temporary files") == "temporary files"
    product.s3.put_object(Bucket=BUCKET, Key=f"out/{dag}/told", Body=b"")
    assert product.finished(environment, dag, run) == "success"
    product.remove_dags(dag)
    path = f"/dags/{dag}/dagRuns/{run}/taskInstances/{{}}/xcomEntries/return_value"
    tasks = ("fork_until_refused", "eat_until_ended", "fill_until_refused")
    forks, ended, refused = (product.rest(environment, "GET", path.format(task))["value"] for task in tasks)
    assert 100 < int(forks) < allowed["processes"]
    assert int(ended) == 9, "it got all that it asked for"
    assert refused.split() == ["ENOSPC"] * 4 * has_disks
    after = {unit["name"]: unit["pid"] for unit in product.environment(environment)["units"]}
    staying = before.keys() & after.keys()
    assert staying
    assert {name: after[name] for name in staying} == {name: before[name] for name in staying}


CROWDED = """
import os
import time
from datetime import datetime
import boto3
from airflow import DAG
try:
    from airflow.providers.standard.operators.python import PythonOperator
except ImportError:
    from airflow.operators.python import PythonOperator

def crowd():
    made = []
    while len(made) < 8 * os.cpu_count():
        pid = os.fork()
        if pid == 0:
            end = time.monotonic() + 120
            while time.monotonic() < end:
                pass
            os._exit(0)
        made.append(pid)
    s3 = boto3.client("s3")
    while not s3.list_objects_v2(Bucket="{bucket}", Prefix="out/{dag}/told")["KeyCount"]:
        time.sleep(0.5)
    for pid in made:
        os.kill(pid, 9)
        os.waitpid(pid, 0)

with DAG("{dag}", start_date=datetime(2024, 1, 1), schedule=None):
    PythonOperator(task_id="crowd", python_callable=crowd)
"""
"""Eight processes for each processor, which compute until they are told to end."""


def test_an_environment_with_a_crowd_of_processes_weighs_less_until_they_are_gone(product, environment):
    if not environment.startswith("shared-3"):
        pytest.skip("the same in every line")
    groups = product.data / "run" / "groups.json"
    if not groups.exists() or "cpu" not in json.loads(groups.read_text())["folders"]:
        pytest.skip("no control groups for processors here")
    folder = Path(json.loads(groups.read_text())["folders"]["cpu"]) / product.environment(environment)["identifier"]
    [weight] = [found for name in ("cpu.shares", "cpu.weight") if (found := folder / name).exists()]
    usual = int(weight.read_text())
    dag = f"crowded_{environment}".replace("-", "_")
    product.put_dag(dag, CROWDED.format(dag=dag, bucket=BUCKET))
    run = product.trigger(environment, dag)
    wait_for("a smaller weight", lambda: int(weight.read_text()) <= usual / 9)
    product.s3.put_object(Bucket=BUCKET, Key=f"out/{dag}/told", Body=b"")
    assert product.finished(environment, dag, run) == "success"
    wait_for("its whole weight", lambda: int(weight.read_text()) == usual)
    product.remove_dags(dag)


def limits_met(product, environment, *, has_disks):
    """The units and disks that have met a limit, by the kind of event; None before all kinds are there."""
    kinds = {"OUT_OF_MEMORY", "OUT_OF_PROCESSES", *(["DISK_FULL"] * has_disks)}
    events = product.events(environment)
    found = {each["kind"]: each["detail"]["unit"] for each in events if each["kind"] in kinds}
    return found if found.keys() == kinds else None


def told_by(product, dag, place):
    found = product.s3.list_objects_v2(Bucket=BUCKET, Prefix=f"out/{dag}/{place}")
    if not found["KeyCount"]:
        return None
    return json.loads(product.s3.get_object(Bucket=BUCKET, Key=f"out/{dag}/{place}")["Body"].read())


COUNTED = """
from datetime import datetime
from airflow import DAG
try:
    from airflow.exceptions import AirflowSkipException
    from airflow.providers.standard.operators.python import PythonOperator
except ImportError:
    from airflow.operators.python import PythonOperator

def fail():
    raise ValueError("as it shall")

def skip():
    raise AirflowSkipException

with DAG("{dag}", start_date=datetime(2024, 1, 1), schedule=None):
    for number in range(3):
        PythonOperator(task_id=f"group.{{number}}", python_callable=print)
    PythonOperator(task_id="failing", python_callable=fail)
    PythonOperator(task_id="skipped", python_callable=skip)
"""


def test_metrics_count_what_the_metadata_database_says(product, environment):
    dag = f"counted_{environment}"
    product.put_dag(dag, COUNTED.format(dag=dag))
    runs = [product.trigger(environment, dag) for _ in range(2)]
    for run in runs:
        assert product.finished(environment, dag, run) == "failed"
    expected = Counter(
        (task["task_id"], task["state"])
        for run in runs
        for task in product.rest(environment, "GET", f"/dags/{dag}/dagRuns/{run}/taskInstances")["task_instances"]
    )
    assert expected == {(f"group.{number}", "success"): 2 for number in range(3)} | {
        ("failing", "failed"): 2, ("skipped", "skipped"): 2
    }  # fmt: skip

    def counted() -> Counter[tuple[str, str]]:
        text = f'{{AmazonMWAA,DAG,Environment,State,Task}} MetricName="TaskInstanceFinished" DAG="{dag}"'
        now = clock.now()
        found = product.cloudwatch.get_metric_data(
            MetricDataQueries=[
                {"Id": "q", "Expression": f"SEARCH('{text}', 'Sum', 60)",
                 "Label": "${PROP('Dim.Environment')} ${PROP('Dim.Task')} ${PROP('Dim.State')}"}
            ],
            StartTime=now - timedelta(hours=1),
            EndTime=now + timedelta(minutes=2),
        )["MetricDataResults"]  # fmt: skip
        sums: Counter[tuple[str, str]] = Counter()
        for each in found:
            name, task, state = each["Label"].split(" ")
            assert name == environment
            sums[task, state] += round(sum(each["Values"]))
        return sums

    wait_for("the metrics of all tasks", lambda: counted() == expected)


DASHBOARD = Path(__file__).parents[2] / "examples" / "grafana" / "environment.json"


def test_every_query_of_the_grafana_dashboard_has_an_answer(product, environment):
    dag = f"drawn_{environment}"
    product.put_dag(dag, COUNTED.format(dag=dag))
    product.finished(environment, dag, product.trigger(environment, dag))
    panels = json.loads(DASHBOARD.read_text())["panels"]
    wanted = {
        f"q{panel['id']}{target['refId'].lower()}": target["expression"].replace("$environment", environment)
        for panel in panels
        for target in panel["targets"]
    }
    answered: set[str] = set()

    def none_is_missing() -> bool:
        now = clock.now()
        found = product.cloudwatch.get_metric_data(
            MetricDataQueries=[{"Id": name, "Expression": wanted[name]} for name in wanted.keys() - answered],
            StartTime=now - timedelta(hours=1),
            EndTime=now + timedelta(minutes=2),
        )
        answered.update(each["Id"] for each in found["MetricDataResults"] if each["Values"])
        return answered == wanted.keys()

    wait_for(f"an answer to every query of {DASHBOARD.name}", none_is_missing)
