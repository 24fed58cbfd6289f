"""The whole product under test: an Aerodrome of its own in a scratch folder, used as a client uses it.

Conditions are waited for with a deadline; a test says what it expects, never how long it takes.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import boto3
import psutil
import psycopg
import pytest
from botocore.config import Config

import disk
from aerodrome.cli import events_query, operator_client, starting
from aerodrome.identity import credentials_file, execution_role
from aerodrome.settings import Paths, Settings
from waiting import LIMIT, wait_for

VERSIONS = Path(os.environ.get("AERODROME_TEST_VERSIONS", Path(__file__).parents[1] / ".versions"))
"""Where Airflow versions are installed for tests: kept between runs, for they never change."""

BUCKET = "dags-under-test"
NEIGHBOUR = "of-a-neighbour"
"""A bucket that no environment's role may touch."""
REGION = "us-east-1"
EXECUTION_ROLE = "arn:aws:iam::000000000000:role/execution"
TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"Service": ["airflow.amazonaws.com", "airflow-env.amazonaws.com"]},
            "Action": "sts:AssumeRole",
            "Condition": {
                "StringEquals": {"aws:SourceAccount": "000000000000"},
                "ArnLike": {"aws:SourceArn": f"arn:aws:airflow:{REGION}:000000000000:environment/*"},
            },
        }
    ],
}
"""As AWS advises against the confused deputy."""
STATEMENTS = [
    *execution_role.standard_policy("*", BUCKET, region=REGION, account="000000000000")["Statement"],
    {
        "Effect": "Allow",
        "Action": "s3:*",
        "NotResource": [f"arn:aws:s3:::{NEIGHBOUR}", f"arn:aws:s3:::{NEIGHBOUR}/*"],
    },
    {"Effect": "Allow", "Action": ["athena:*", "glue:*", "redshift-data:*"], "Resource": "*"},
]
"""MWAA's standard policy, and what DAGs of tests do with AWS services; a neighbour's bucket is not theirs."""
PRIVATE = {
    "BlockPublicAcls": True,
    "IgnorePublicAcls": True,
    "BlockPublicPolicy": True,
    "RestrictPublicBuckets": True,
}


MOST_KILLS = 20
"""How often what runs is killed: what starts a process again may do so before it is killed itself."""

TEMPORARY, TASK_LOGS = 256 * 2**20, 64 * 2**20
"""Bytes of an environment's disks, small enough to be filled."""


class Shared(NamedTuple):
    """An environment that tests of several files leave as they found it."""

    name: str
    version: str


class Product:
    """One installation of Aerodrome and the clients of it."""

    def __init__(self, folder: Path, versions: Path, variables: Mapping[str, str]) -> None:
        self.data = folder / "data"
        self.data.mkdir()
        self.data.chmod(0o711)
        (self.data / "versions").symlink_to(versions)
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "AERODROME_"))},
            "AERODROME_DATA": str(self.data),
            "AERODROME_PORT": "0",
            "AERODROME_AWS_PORT": "0",
            "AERODROME_GATEWAY_PUBLIC": "127.0.0.1:0",
            "AERODROME_GATEWAY_PRIVATE": "127.0.0.1:0",
            "COLUMNS": "200",
            "AERODROME_TEMPORARY_BYTES": str(TEMPORARY),
            "AERODROME_TASK_LOGS_BYTES": str(TASK_LOGS),
            **variables,
        }
        self._environment.pop("PYTHONDONTWRITEBYTECODE", None)

    def run(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """The command `aerodrome`."""
        command = [sys.executable, "-m", "aerodrome.cli.main", *arguments]
        result = subprocess.run(
            command, env=self._environment, capture_output=True, text=True, timeout=LIMIT, check=False
        )
        if check and result.returncode != 0:
            pytest.fail(f"aerodrome {' '.join(arguments)}: {result.stderr}\n{self.log()}")
        return result

    def run_json(self, *arguments: str) -> Any:
        """What the command prints as JSON."""
        return json.loads(self.run(*arguments, "--json").stdout)

    def up(self) -> None:
        self.run("up")
        self.exports = json.loads(self.run("env", "--json").stdout)
        key_id, secret = credentials_file.read(Path(self.exports["AWS_SHARED_CREDENTIALS_FILE"]))
        session = self.session = boto3.Session(key_id, secret, region_name=REGION)
        endpoint = self.exports["AWS_ENDPOINT_URL"]
        config = Config(inject_host_prefix=False, retries={"total_max_attempts": 1})
        self.mwaa: Any = session.client("mwaa", endpoint_url=endpoint, config=config)
        self.s3: Any = session.client("s3", endpoint_url=endpoint)
        self.logs: Any = session.client("logs", endpoint_url=endpoint)
        self.cloudwatch: Any = session.client("cloudwatch", endpoint_url=endpoint)
        self.iam: Any = session.client("iam", endpoint_url=endpoint)

    def kill_control_plane(self) -> None:
        """Kill it and start it again, as `up` does; it is found where it was, so our clients are good still."""
        with self.control_plane_away():
            pass

    @contextlib.contextmanager
    def control_plane_away(self) -> Iterator[None]:
        """Within the block it is dead; then it runs again where it was."""
        process = psutil.Process(json.loads((self.data / "run" / "control-plane.pid").read_text())["pid"])
        process.kill()
        process.wait(LIMIT)  # else it might be found alive still
        try:
            yield
        finally:
            self._start_again()

    def _start_again(self) -> None:
        with mock.patch.dict(os.environ, self._environment, clear=True):
            starting.up(Settings())

    def prepare(self) -> None:
        """A bucket fit for an environment, and an execution role."""
        self.make_bucket(BUCKET)
        self.make_bucket(NEIGHBOUR)
        self.iam.create_role(RoleName="execution", AssumeRolePolicyDocument=json.dumps(TRUST))
        document = json.dumps({"Version": "2012-10-17", "Statement": STATEMENTS})
        self.iam.put_role_policy(RoleName="execution", PolicyName="tests", PolicyDocument=document)

    def make_bucket(self, name: str) -> None:
        """A bucket fit for an environment."""
        self.s3.create_bucket(Bucket=name)
        self.s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
        self.s3.put_public_access_block(Bucket=name, PublicAccessBlockConfiguration=PRIVATE)
        self.s3.put_object(Bucket=name, Key="dags/")

    def create(self, name: str, version: str = "3.3.1", *, bucket: str = BUCKET, **more: Any) -> str:
        answer = self.mwaa.create_environment(
            Name=name,
            AirflowVersion=version,
            ExecutionRoleArn=EXECUTION_ROLE,
            SourceBucketArn=f"arn:aws:s3:::{bucket}",
            DagS3Path="dags",
            NetworkConfiguration={"SubnetIds": ["subnet-a", "subnet-b"], "SecurityGroupIds": ["sg-a"]},
            **more,
        )
        return str(answer["Arn"])

    def update(self, name: str, **members: Any) -> None:
        self.mwaa.update_environment(Name=name, **members)

    def get(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self.mwaa.get_environment(Name=name)["Environment"]
        return found

    def wait_until(self, name: str, *statuses: str) -> dict[str, Any]:
        """The environment, as soon as its status is one of these."""

        def there() -> dict[str, Any] | None:
            found = self.get(name)
            settled = (
                {"CREATE_FAILED", "UPDATE_FAILED", "AVAILABLE"} if "UNAVAILABLE" not in statuses else {"CREATE_FAILED"}
            )
            if found["Status"] in settled - {*statuses}:
                pytest.fail(f"{name}: {found['LastUpdate']}\n{self.log()}")
            return found if found["Status"] in statuses else None

        found: dict[str, Any] = wait_for(f"{name} is {statuses}", there)
        return found

    def delete(self, name: str) -> None:
        self.mwaa.delete_environment(Name=name)
        wait_for(f"{name} is gone", lambda: name not in self.mwaa.list_environments()["Environments"])

    def seen_by_units(self, name: str, path: Path) -> Path:
        """The path as the environment's units find it: what they write is on disks that nobody else has mounted."""
        pid = next(unit["pid"] for unit in self.environment(name)["units"] if unit["name"].startswith("worker-"))
        return Path(f"/proc/{pid}/root{path}")

    def loop_devices(self, name: str) -> list[str]:
        """The loop devices that have an image of the environment, also one that was removed."""
        folder = str(self.data / "environments" / name) + "/"
        backing = Path("/sys/block").glob("loop*/loop/backing_file")
        return [each.parent.parent.name for each in backing if each.read_text().startswith(folder)]

    def delete_without_a_trace(self, name: str) -> None:
        """Delete the environment, and check that no process, file, database or role of it is left."""
        shown = self.environment(name)
        identifier, pids = shown["identifier"], [unit["pid"] for unit in shown["units"]]
        assert pids
        self.delete(name)
        assert not any(psutil.pid_exists(pid) for pid in pids)
        assert not (self.data / "environments" / name).exists()
        assert not (self.data / "run" / identifier).exists()
        wait_for("no disk image is mounted", lambda: not self.loop_devices(name))
        with self.database("postgres") as connection:
            found = connection.execute(
                "SELECT datname FROM pg_database WHERE datname = %s"
                " UNION SELECT rolname FROM pg_roles WHERE rolname = %s",
                (f"env_{identifier}", f"env_{identifier}"),
            ).fetchall()
        assert found == []
        with pytest.raises(self.mwaa.exceptions.ResourceNotFoundException):
            self.get(name)

    def database(self, name: str, *, role: str = "postgres", **more: Any) -> psycopg.Connection[Any]:
        """A connection to a database of the embedded PostgreSQL, with the rights of a role."""
        password = (self.data / "keys" / "postgres").read_text().strip()
        host = str(self.data / "run" / "pg")
        return psycopg.connect(
            host=host, user="postgres", password=password, dbname=name, options=f"-c role={role}", **more
        )

    def status(self) -> dict[str, Any]:
        """As `aerodrome status --json`, without a process for every look."""
        found: dict[str, Any] = operator_client.ask(Settings(data=self.data), "GET", "/status")
        return found

    def events(self, name: str, *, limit: int = 100) -> list[dict[str, Any]]:
        """As `aerodrome events --json` tells them, without a process for every look."""
        return events_query.once(Settings(data=self.data), {"environment": name, "limit": limit})

    def environment(self, name: str) -> dict[str, Any]:
        """What `aerodrome status` knows of one environment."""
        [found] = [each for each in self.status()["environments"] if each["name"] == name]
        return dict(found)

    def put_dag(self, name: str, text: str, *, bucket: str = BUCKET) -> None:
        self.s3.put_object(Bucket=bucket, Key=f"dags/{name}.py", Body=text.encode())

    def remove_dags(self, *names: str, bucket: str = BUCKET) -> None:
        """All environments parse what lies in the bucket, and each update tries it."""
        for name in names:
            self.s3.delete_object(Bucket=bucket, Key=f"dags/{name}.py")

    def rest(self, name: str, method: str, path: str, body: Any = None) -> Any:
        more = {} if body is None else {"Body": body}
        return self.mwaa.invoke_rest_api(Name=name, Method=method, Path=path, **more)["RestApiResponse"]

    def listed(self, name: str, dag: str) -> Any:
        """The DAG as Airflow lists it; None while it does not, or knows it only from former days."""
        with contextlib.suppress(self.mwaa.exceptions.RestApiClientException, self.mwaa.exceptions.ClientError):
            found = self.rest(name, "GET", f"/dags/{dag}")
            return None if found.get("is_stale") or found.get("is_active") is False else found
        return None

    def trigger(self, name: str, dag: str) -> str:
        """Start a run; returns its id."""
        wait_for(f"{dag} is listed", lambda: self.listed(name, dag))
        self.rest(name, "PATCH", f"/dags/{dag}", {"is_paused": False})
        body = {} if self.get(name)["AirflowVersion"].startswith("2.") else {"logical_date": None}
        return str(self.rest(name, "POST", f"/dags/{dag}/dagRuns", body)["dag_run_id"])

    def task(self, name: str, dag: str, run: str, task: str) -> dict[str, Any]:
        return dict(self.rest(name, "GET", f"/dags/{dag}/dagRuns/{run}/taskInstances/{task}"))

    def run_state(self, name: str, dag: str, run: str) -> str:
        return str(self.rest(name, "GET", f"/dags/{dag}/dagRuns/{run}")["state"])

    def finished(self, name: str, dag: str, run: str) -> str:
        """How the run ended."""
        return str(
            wait_for(
                f"{dag} ends",
                lambda: (state := self.run_state(name, dag, run)) in {"success", "failed"} and state,
            )
        )

    def processes(self) -> list[psutil.Process]:
        """Everything that runs for this installation: known by its data folder, or below what is."""
        found: dict[int, psutil.Process] = {}
        for process in psutil.process_iter():
            # An OSError: psutil asks whether a process that renamed itself is a file of a very long name.
            with contextlib.suppress(psutil.Error, OSError):
                if process.pid != os.getpid() and self._is_ours(process):
                    found |= {each.pid: each for each in (process, *process.children(recursive=True))}
        return [process for process in found.values() if process.is_running()]

    def log(self) -> str:
        """The end of the control plane's log."""
        path = self.data / "logs" / "control-plane.log"
        return "\n".join(path.read_text().splitlines()[-15:]) if path.exists() else "no log"

    def purge(self) -> None:
        """Leave nothing. What would end in order takes its time for that, and is killed, but for PostgreSQL."""
        for _ in range(MOST_KILLS):
            living = [each for each in self.processes() if not is_postgres(each)]
            for process in living:
                with contextlib.suppress(psutil.Error):
                    process.kill()
            if not living:
                break
        self.run("purge", "--yes", check=False)
        for process in self.processes():
            with contextlib.suppress(psutil.Error):
                process.kill()

    def _is_ours(self, process: psutil.Process) -> bool:
        data = str(self.data)
        if data in " ".join(process.cmdline()):
            return True
        with contextlib.suppress(psutil.AccessDenied):  # Airflow 3's workers show these to root alone
            return data in process.cwd() or any(data in value for value in process.environ().values())
        return False


def is_postgres(process: psutil.Process) -> bool:
    """Whether it is of PostgreSQL, which leaves memory behind when it is killed."""
    with contextlib.suppress(psutil.Error):
        return str(process.name()) == "postgres"
    return False


class SharedEnvironments:
    """One environment of each version, made when it is first asked for."""

    def __init__(self, product: Product) -> None:
        self._product = product
        self._made: dict[str, Shared] = {}

    def of(self, version: str) -> Shared:
        """The environment; whoever asks leaves it as it was."""
        if version not in self._made:
            name = f"shared-{version.replace('.', '-')}"
            self._product.create(name, version)
            self._product.wait_until(name, "AVAILABLE")
            self._made[version] = Shared(name, version)
        return self._made[version]

    def end(self, version: str) -> None:
        """Begin to delete it: idle, it would take a tenth of a core from the tests of the others."""
        if version in self._made:
            self._product.mwaa.delete_environment(Name=self._made.pop(version).name)

    def forget(self) -> None:
        """Leave all to the end of the Aerodrome, which kills them."""
        self._made.clear()


@contextlib.contextmanager
def started(versions: Path, **variables: str) -> Iterator[Product]:
    """A product that is up and prepared, with these variables; nothing of it is left afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="aero-"))
    folder.chmod(0o711)
    product = Product(folder, versions, variables)
    try:
        disk.start_server(Paths(product.data), versions)
        product.up()
        product.prepare()
        yield product
    finally:
        product.purge()
        shutil.rmtree(folder, ignore_errors=True)
