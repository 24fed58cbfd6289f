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

from aerodrome.cli import operator, steering
from aerodrome.release import installation
from aerodrome.settings import Settings

BUCKET = "benchmark"
ROLE = "arn:aws:iam::000000000000:role/benchmark"
NETWORK = {"SubnetIds": ["subnet-a", "subnet-b"], "SecurityGroupIds": ["sg-a"]}
LIMIT = 300.0
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

    def __init__(self, folder: Path, version: str, console: Console) -> None:
        self.folder = folder
        self.version = version
        self._console = console
        self.settings = Settings(data=folder / "data", port=0, aws_port=0)

    def __enter__(self) -> Self:
        with self._console.status("Starting Aerodrome, installing Airflow …"):
            api = steering.up(self.settings).api
            session = boto3.Session("test", "test", region_name=self.settings.region)
            config = Config(inject_host_prefix=False)
            self.mwaa: Any = session.client("mwaa", endpoint_url=api, config=config)
            self.s3: Any = session.client("s3", endpoint_url=api)
            self._make_bucket()
            session.client("iam", endpoint_url=api).create_role(RoleName="benchmark", AssumeRolePolicyDocument="{}")
            self.create("first")  # installs the version, builds its template database
            self.delete("first")
        found = installation.find(self.version, self.settings.paths.versions)
        assert found is not None
        self.python = found.python
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        steering.purge(self.settings)

    def create(self, name: str, **more: Any) -> float:
        """Make an environment; returns the seconds from the call to AVAILABLE."""
        started = time.monotonic()
        self.mwaa.create_environment(
            Name=name,
            AirflowVersion=self.version,
            ExecutionRoleArn=ROLE,
            SourceBucketArn=f"arn:aws:s3:::{BUCKET}",
            DagS3Path="dags",
            NetworkConfiguration=NETWORK,
            **more,
        )

        def settled() -> bool:
            status = self.mwaa.get_environment(Name=name)["Environment"]["Status"]
            if status == "CREATE_FAILED":
                raise RuntimeError(self.mwaa.get_environment(Name=name)["Environment"]["LastUpdate"])
            return bool(status == "AVAILABLE")

        wait_for(settled)
        return time.monotonic() - started

    def delete(self, name: str) -> None:
        self.mwaa.delete_environment(Name=name)
        wait_for(lambda: name not in self.mwaa.list_environments()["Environments"])

    def put_dag(self, name: str, text: str) -> None:
        self.s3.put_object(Bucket=BUCKET, Key=f"dags/{name}.py", Body=text.encode())

    def rest(self, name: str, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Status and document of a call to Airflow's REST API through InvokeRestApi."""
        more = {} if body is None else {"Body": body}
        try:
            answer = self.mwaa.invoke_rest_api(Name=name, Method=method, Path=path, **more)
        except self.mwaa.exceptions.RestApiClientException as refusal:
            return refusal.response["RestApiStatusCode"], refusal.response.get("RestApiResponse")
        return answer["RestApiStatusCode"], answer["RestApiResponse"]

    def processes(self, name: str) -> list[psutil.Process]:
        """Every process of an environment: its cell and all below, and the warm process that they were forked from."""
        status = operator.ask(self.settings, "GET", "/status")
        [found] = [each for each in status["environments"] if each["name"] == name]
        run = self.settings.paths.run
        cell = psutil.Process(int((run / found["identifier"] / "cell.pid").read_text()))
        warm = [psutil.Process(json.loads(path.read_text())["pid"]) for path in run.glob("warm-*.pid")]
        return [*warm, cell, *cell.children(recursive=True)]

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
