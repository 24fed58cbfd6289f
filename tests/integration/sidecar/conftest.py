"""A real S3 and STS (MiniStack on loopback), a door before it that can be made to lie, and a real sidecar process."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import socketserver
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import boto3
import pytest

from waiting import wait_for

DEADLINE = 60.0
TOKEN = "token-of-this-environment-0123456789"
ROLE_ARN = "arn:aws:iam::000000000000:role/execution"
KEYS = {"access_key_id": "test", "secret_access_key": "test"}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


class MiniStack:
    """The emulator as a child process; stopped and started again it has the same port and no objects."""

    def __init__(self, folder: Path, *, strict: bool = False) -> None:
        self.strict = strict
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self._folder),
            "TMPDIR": str(self._folder),
            "GATEWAY_PORT": str(self.port),
            "PERSIST_STATE": "0",
            "S3_PERSIST": "0",
            "SFTP_ENABLED": "0",
            "IOT_MTLS_ENABLED": "0",
            "LOG_LEVEL": "ERROR",
            "AUTH": str(self.strict).lower(),
        }
        command = [sys.executable, "-m", "hypercorn", "ministack.app:app", "--bind", f"127.0.0.1:{self.port}"]
        with (self._folder / "ministack.log").open("ab") as output:
            self._process = subprocess.Popen(
                command, env=environment, cwd=self._folder, stdout=output, stderr=subprocess.STDOUT
            )
        wait_for("the emulator listens", lambda: _listens(self.port))

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(10)
            self._process.kill()
            self._process.wait()
            self._process = None


@pytest.fixture(scope="session")
def ministack(tmp_path_factory) -> Iterator[MiniStack]:
    stack = MiniStack(tmp_path_factory.mktemp("ministack"))
    stack.start()
    yield stack
    stack.stop()


def client(service: str, url: str) -> Any:
    return boto3.client(
        service, endpoint_url=url, region_name="us-east-1", aws_access_key_id="test", aws_secret_access_key="test"
    )


@pytest.fixture
def s3(ministack) -> Iterator[Any]:
    made = client("s3", ministack.url)
    yield made
    made.close()


@pytest.fixture
def bucket(s3) -> str:
    name = f"dags-{uuid.uuid4().hex}"
    s3.create_bucket(Bucket=name)
    s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    return name


Fault = Callable[[str], int | str | None]


class Door(socketserver.ThreadingTCPServer):
    """A forwarder before the emulator. `fault` turns a path into a status, 'cut' (half a body) or 'hang'."""

    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False

    def __init__(self, upstream: int, port: int = 0) -> None:
        self.upstream = upstream
        self.fault: Fault = lambda _path: None
        self.seen: list[str] = []
        self.released = threading.Event()
        super().__init__(("127.0.0.1", port), _Forward)
        self.port = self.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    def shut(self) -> None:
        self.released.set()
        self.shutdown()
        self.server_close()
        self._thread.join()


class _Forward(BaseHTTPRequestHandler):
    """One request a connection, so that a shut door is shut."""

    server: Door

    def _forward(self) -> None:
        self.server.seen.append(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fault = self.server.fault(self.path)
        if isinstance(fault, int):
            self._answer(fault, [], b"<Error><Code>InternalError</Code><Message>planned</Message></Error>")
            return
        if fault == "hang":
            self.server.released.wait(DEADLINE)
            self.close_connection = True
            return
        upstream = http.client.HTTPConnection("127.0.0.1", self.server.upstream, timeout=30)
        upstream.request(self.command, self.path, body=body, headers=dict(self.headers.items()))
        response = upstream.getresponse()
        content = response.read()
        upstream.close()
        skipped = {"content-length", "transfer-encoding", "connection"}
        headers = [(name, value) for name, value in response.getheaders() if name.lower() not in skipped]
        self._answer(response.status, headers, content, sent=len(content) // 2 if fault == "cut" else len(content))

    def _answer(self, status: int, headers: list[tuple[str, str]], content: bytes, sent: int | None = None) -> None:
        self.send_response(status)
        for name, value in (*headers, ("Content-Length", str(len(content))), ("Connection", "close")):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content[:sent])

    do_GET = do_POST = _forward  # noqa: N815 - the standard library's names

    def log_message(self, *_arguments: object) -> None:
        pass


@pytest.fixture
def door(ministack) -> Iterator[Door]:
    made = Door(ministack.port)
    yield made
    made.shut()


@dataclass
class Sidecar:
    """A real sidecar process with its files."""

    home: Path
    config: dict[str, Any]
    process: subprocess.Popen[bytes] | None = None
    notified: bytes = b""
    token: str = TOKEN
    log: Path = field(init=False)

    def __post_init__(self) -> None:
        self.log = self.home / "sidecar.log"

    @property
    def dags(self) -> Path:
        return Path(self.config["dags_dir"])

    @property
    def status(self) -> dict[str, Any]:
        with contextlib.suppress(OSError):
            return json.loads(Path(self.config["status_file"]).read_text())
        return {}

    @property
    def files(self) -> dict[str, str]:
        found = {}
        for path in sorted(self.dags.rglob("*")):
            with contextlib.suppress(FileNotFoundError):
                if path.is_file():
                    found[path.relative_to(self.dags).as_posix()] = path.read_text()
        return found

    def start(self) -> None:
        path = self.home / "sidecar.json"
        path.touch(0o600)
        path.write_text(json.dumps(self.config))
        reader, writer = os.pipe()
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.home), "AERODROME_NOTIFY_FD": str(writer)}
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-I", "-m", "aerodrome.sidecar", "--config", str(path)],
                env=environment,
                pass_fds=(writer,),
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        os.close(writer)
        with os.fdopen(reader, "rb") as pipe:
            while b"READY=1\n" not in self.notified:
                line = pipe.readline()
                assert line, self.log.read_text()
                self.notified += line

    def stop(self) -> int:
        assert self.process is not None
        self.process.terminate()
        try:
            return self.process.wait(DEADLINE)
        finally:
            self.process.kill()
            self.process.wait()
            self.process = None


@pytest.fixture
def own_ministack(tmp_path) -> Iterator[MiniStack]:
    """One that this test alone may stop."""
    stack = MiniStack(tmp_path)
    stack.start()
    yield stack
    stack.stop()


@pytest.fixture
def strict_ministack(tmp_path) -> Iterator[MiniStack]:
    """One that verifies the signatures and the policies of roles."""
    stack = MiniStack(tmp_path, strict=True)
    stack.start()
    yield stack
    stack.stop()


@pytest.fixture
def client_of() -> Callable[[str, str], Any]:
    return client


@pytest.fixture
def sidecar(tmp_path, bucket, door) -> Iterator[Sidecar]:
    token = tmp_path / "token"
    token.write_text(TOKEN)
    made = Sidecar(
        tmp_path,
        {
            "environment": "blue",
            "region": "us-east-1",
            "bucket": bucket,
            "dag_prefix": "dags",
            "dags_dir": str(tmp_path / "environment" / "dags"),
            "aws_endpoint_url": door.url,
            "role_arn": ROLE_ARN,
            "session_name": "AmazonMWAA-airflow",
            "source_credentials": KEYS,
            "credentials_port": free_port(),
            "credentials_token_file": str(token),
            "database": None,
            "priority_parse": None,
            "status_file": str(tmp_path / "status.json"),
            "interval": 0.1,
        },
    )
    yield made
    if made.process is not None:
        made.stop()
