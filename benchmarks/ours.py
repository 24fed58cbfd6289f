"""Our side: an Aerodrome of its own in a scratch folder, used as a client uses it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import boto3
import psutil
from botocore.config import Config
from rich.console import Console

from aerodrome.cli import operator_client, starting, stopping
from aerodrome.identity import credentials_file, execution_role
from aerodrome.release import installation
from aerodrome.settings import Settings
from benchmarks.consumption import families

BUCKET = "benchmark"
ROLE = "arn:aws:iam::000000000000:role/benchmark"
NETWORK = {"SubnetIds": ["subnet-a", "subnet-b"], "SecurityGroupIds": ["sg-a"]}
TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": {
            "Effect": "Allow",
            "Principal": {"Service": "airflow-env.amazonaws.com"},
            "Action": "sts:AssumeRole",
        },
    }
)
POLICY = json.dumps(execution_role.standard_policy("*", BUCKET, region="us-east-1", account="000000000000"))
LIMIT = 600.0
"""Seconds after which a condition that does not come true ends the run."""


def wait_for(condition: Callable[[], Any], *, every: float = 0.05) -> Any:
    """What `condition` returns as soon as it is true."""
    deadline = time.monotonic() + LIMIT
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {LIMIT:.0f} s in vain for {condition.__qualname__}")
        time.sleep(every)
    return found


class Installation:
    """A running Aerodrome, with the version installed and a bucket ready."""

    def __init__(
        self, folder: Path, version: str, console: Console, *, versions: Path | None = None, **settings: Any
    ) -> None:
        """A new one; `versions` is a folder where the version is installed already, None = it is installed anew."""
        self.folder = folder
        self.version = version
        self._console = console
        self._versions = versions
        if versions is not None:
            (folder / "data").mkdir(mode=0o711)
            (folder / "data" / "versions").symlink_to(versions.absolute())
        self.settings = Settings(
            data=folder / "data",
            port=0,
            aws_port=0,
            gateway_public="127.0.0.1:0",
            gateway_private="127.0.0.1:0",
            **settings,
        )

    def __enter__(self) -> Self:
        with self._console.status("Starting Aerodrome, installing Airflow …"):
            api = starting.up(self.settings).api
            key_id, secret = credentials_file.read(self.settings.paths.credentials)
            session = boto3.Session(key_id, secret, region_name=self.settings.region)
            # One attempt: what is refused is to be seen as refused.
            config = Config(inject_host_prefix=False, retries={"total_max_attempts": 1})
            self.mwaa: Any = session.client("mwaa", endpoint_url=api, config=config)
            self.s3: Any = session.client("s3", endpoint_url=api)
            self._make_bucket()
            iam: Any = session.client("iam", endpoint_url=api)
            iam.create_role(RoleName="benchmark", AssumeRolePolicyDocument=TRUST)
            iam.put_role_policy(RoleName="benchmark", PolicyName="benchmark", PolicyDocument=POLICY)
            if self._versions is None:
                self.create("first")  # installs the version, builds its template database
                self.delete("first")
        found = installation.find(self.version, self.settings.paths.versions)
        assert found is not None
        self.python = found.python
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        stopping.purge(self.settings)

    def create(self, name: str, version: str | None = None, folder: str = "dags", **more: Any) -> float:
        """Make an environment; returns the seconds from the call to AVAILABLE."""
        started = time.monotonic()
        self.mwaa.create_environment(
            Name=name,
            AirflowVersion=version or self.version,
            ExecutionRoleArn=ROLE,
            SourceBucketArn=f"arn:aws:s3:::{BUCKET}",
            DagS3Path=folder,
            NetworkConfiguration=NETWORK,
            **more,
        )
        self._wait_until_available(name)
        return time.monotonic() - started

    def update(self, name: str, **members: Any) -> float:
        """Change an environment; returns the seconds from the call to AVAILABLE."""
        started = time.monotonic()
        self.mwaa.update_environment(Name=name, **members)
        self._wait_until_available(name)
        return time.monotonic() - started

    def get(self, name: str) -> dict[str, Any]:
        """What GetEnvironment says."""
        return dict(self.mwaa.get_environment(Name=name)["Environment"])

    def delete(self, name: str) -> None:
        self.mwaa.delete_environment(Name=name)
        wait_for(lambda: name not in self.mwaa.list_environments()["Environments"])

    def put(self, key: str, content: bytes) -> str:
        """Write an object; returns the id of its version."""
        return str(self.s3.put_object(Bucket=BUCKET, Key=key, Body=content)["VersionId"])

    def put_dag(self, name: str, text: str, folder: str = "dags") -> None:
        self.put(f"{folder}/{name}.py", text.encode())

    def rest(self, name: str, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Status and document of a call to Airflow's REST API through InvokeRestApi."""
        more = {} if body is None else {"Body": body}
        try:
            answer = self.mwaa.invoke_rest_api(Name=name, Method=method, Path=path, **more)
        except (
            self.mwaa.exceptions.RestApiClientException,
            self.mwaa.exceptions.RestApiServerException,  # a busy web server did not answer in time
        ) as refusal:
            return refusal.response["RestApiStatusCode"], refusal.response.get("RestApiResponse")
        return answer["RestApiStatusCode"], answer["RestApiResponse"]

    def status(self, name: str) -> dict[str, Any]:
        """What `aerodrome status --json` says of an environment."""
        status = operator_client.ask(self.settings, "GET", "/status")
        [found] = [each for each in status["environments"] if each["name"] == name]
        return dict(found)

    def operate(self, method: str, path: str) -> Any:
        """The answer on the operator's socket."""
        return operator_client.ask(self.settings, method, path)

    def phases(self, name: str) -> str:
        """What the last change of an environment took its time for."""
        found = self.status(name)["progress"]["phases"]
        return ", ".join(f"{each['name']} {each['seconds']:.1f} s" for each in found)

    def processes(self, name: str) -> list[psutil.Process]:
        """Every process of an environment: its cells and all below, and the processes that they were forked from."""
        run = self.settings.paths.run
        pid_files = (run / self.status(name)["identifier"]).glob("**/cell.pid")
        cells = [psutil.Process(int(path.read_text())) for path in pid_files]
        warm = [psutil.Process(json.loads(path.read_text())["pid"]) for path in run.glob("warm-*.pid")]
        return families((*warm, *cells))

    def sidecar(self, name: str) -> psutil.Process:
        """An environment's sidecar."""
        [found] = [each for each in self.processes(name) if "aerodrome.sidecar" in each.cmdline()]
        return found

    def services(self) -> list[psutil.Process]:
        """What all environments share, also what is kept ready for the next: every process but those of cells."""
        paths = self.settings.paths
        pids = [json.loads(path.read_text())["pid"] for path in paths.run.glob("*.pid")]
        pids += [int(path.read_text().split()[0]) for path in paths.data.glob("postgres/*/postmaster.pid")]
        return families(psutil.Process(pid) for pid in pids if psutil.pid_exists(pid))

    def _wait_until_available(self, name: str) -> None:
        def settled() -> bool:
            found = self.get(name)
            if found["Status"] in {"CREATE_FAILED", "UPDATE_FAILED"}:
                raise RuntimeError(found["LastUpdate"])
            return bool(found["Status"] == "AVAILABLE")

        wait_for(settled)

    def _make_bucket(self) -> None:
        self.s3.create_bucket(Bucket=BUCKET)
        self.s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
        private = {
            "BlockPublicAcls": True,
            "IgnorePublicAcls": True,
            "BlockPublicPolicy": True,
            "RestrictPublicBuckets": True,
        }
        self.s3.put_public_access_block(Bucket=BUCKET, PublicAccessBlockConfiguration=private)
        self.s3.put_object(Bucket=BUCKET, Key="dags/")
