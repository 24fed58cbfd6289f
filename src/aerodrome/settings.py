"""Settings of the control plane, and where its files lie.

Read from `AERODROME_*` variables; every field says its unit and what its special values mean. No other module reads the
environment of the control plane.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

import platformdirs
from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

EMBEDDED = "embedded"
"""The value of a service setting that means: we start and stop it ourselves."""

AWS = "aws"
"""The value of `aws_endpoint_url` that means: the real AWS, without an endpoint of our own."""

SOCKET_PATH_LIMIT = 100
"""Bytes; Linux allows 107 for a unix socket's path, macOS 103."""

LONGEST_SOCKET_SUFFIX = len("/01234567/u/redis.sock")
"""Bytes that the longest socket name below the run folder takes."""


class Settings(BaseSettings):
    """What a person may set; each field is the variable `AERODROME_<NAME>`."""

    model_config = SettingsConfigDict(
        env_prefix="AERODROME_", extra="ignore", frozen=True, use_attribute_docstrings=True
    )

    data: Path = Field(default_factory=lambda: Path(platformdirs.user_data_dir("aerodrome")))
    """The folder that holds everything that must survive; `aerodrome purge` removes it."""

    host: str = "127.0.0.1"
    """The address of the API. Anything but a loopback address is refused until signatures are checked."""

    port: int = Field(default=4560, ge=0, le=65535)
    """TCP port of the API; 0 lets the system choose once."""

    region: str = "us-east-1"
    """The AWS region that ARNs carry."""

    account_id: str = Field(default="000000000000", pattern=r"^\d{12}$")
    """The AWS account that ARNs carry; the embedded emulator's own account by default."""

    database_url: str = EMBEDDED
    """PostgreSQL >= 14 for ledger and metadata databases: `embedded`, or the URL of a role that may create both."""

    redis_url: str = EMBEDDED
    """`embedded` (one Redis for each environment), or a `redis://` URL that all share, each under a key prefix."""

    aws_endpoint_url: str = EMBEDDED
    """`embedded` (MiniStack), `aws` (the real one), or any compatible endpoint's URL."""

    aws_port: int = Field(default=4561, ge=0, le=65535)
    """TCP port of the embedded AWS emulator on loopback; 0 lets the system choose once."""

    quota_environments: int = Field(default=10, ge=1)
    """How many environments may exist at once (MWAA's default quota is 10)."""

    python_folders: str = ""
    """More folders to look for interpreters in, separated by `:`; searched before PATH."""

    first_uid: int = Field(default=30000, ge=1)
    """As root, environment number n runs under the uid `first_uid + n`, which no account need have."""

    def variables(self) -> dict[str, str]:
        """The variables that make these settings, for a child process."""
        return {f"AERODROME_{name.upper()}": str(value) for name, value in self.model_dump().items()}

    def url(self, port: int) -> str:
        """Where clients find the API that listens on `port`."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{port}"

    @property
    def paths(self) -> Paths:
        """Where the files lie."""
        return Paths(self.data.expanduser().absolute())


@dataclass(frozen=True)
class Paths:
    """The layout of the data folder. Computes paths only; the room that owns a folder makes it."""

    data: Path

    @property
    def postgres(self) -> Path:
        return self.data / "postgres"

    @property
    def aws(self) -> Path:
        return self.data / "aws"

    @property
    def keys(self) -> Path:
        return self.data / "keys"

    @property
    def versions(self) -> Path:
        return self.data / "versions"

    @property
    def logs(self) -> Path:
        return self.data / "logs"

    @property
    def run(self) -> Path:
        """Sockets and pid files: below the data folder when socket paths stay short enough, else below /tmp."""
        inside = self.data / "run"
        if len(os.fsencode(inside)) + LONGEST_SOCKET_SUFFIX <= SOCKET_PATH_LIMIT:
            return inside
        digest = hashlib.sha256(os.fsencode(self.data)).hexdigest()[:8]
        return Path(tempfile.gettempdir()) / f"aerodrome-{os.getuid()}-{digest}"

    @property
    def operator_socket(self) -> Path:
        """Where the control plane answers `aerodrome status` and the like."""
        return self.run / "operator.sock"

    @property
    def port_file(self) -> Path:
        """The TCP port that the running control plane listens on."""
        return self.run / "port"

    def environment(self, name: str, identifier: str) -> EnvironmentPaths:
        """The folders of the environment `name`, whose short id (8 hex characters) is `identifier`."""
        return EnvironmentPaths(self.data / "environments" / name, self.run / identifier)


@dataclass(frozen=True)
class EnvironmentPaths:
    """The folders of one environment."""

    home: Path
    run: Path
    """Its sockets, pid and state files (short path)."""

    @property
    def dags(self) -> Path:
        return self.home / "dags"

    @property
    def plugins(self) -> Path:
        return self.home / "plugins"

    @property
    def logs(self) -> Path:
        """Airflow's task logs."""
        return self.home / "logs"

    @property
    def unit_logs(self) -> Path:
        """What the units print; apart from `logs`, for the cell writes here and units write there."""
        return self.home / "unit-logs"

    @property
    def airflow(self) -> Path:
        """AIRFLOW_HOME: the generated configuration and the public key set."""
        return self.home / "airflow"

    @property
    def spool(self) -> Path:
        """Redis's append-only file."""
        return self.home / "spool"

    @property
    def cell_config(self) -> Path:
        return self.run / "cell.json"

    @property
    def cell_socket(self) -> Path:
        return self.run / "cell.sock"

    @property
    def cell_state(self) -> Path:
        return self.run / "cell.state.json"

    @property
    def cell_pid_file(self) -> Path:
        return self.run / "cell.pid"

    @property
    def ports(self) -> Path:
        """Which loopback ports its units listen on."""
        return self.run / "ports.json"

    @property
    def sidecar_config(self) -> Path:
        return self.run / "sidecar.json"

    @property
    def sidecar_status(self) -> Path:
        return self.run / "sidecar.status.json"

    @property
    def credentials_token(self) -> Path:
        """What units show to the sidecar for the execution role's credentials."""
        return self.run / "token"

    @property
    def unit_sockets(self) -> Path:
        """The only part of the run folder that the units themselves may write to."""
        return self.run / "u"

    @property
    def web_socket(self) -> Path:
        return self.unit_sockets / "web.sock"

    @property
    def redis_socket(self) -> Path:
        return self.unit_sockets / "redis.sock"

    @property
    def redis_config(self) -> Path:
        return self.airflow / "redis.conf"

    @property
    def key_set(self) -> Path:
        """The public keys of the tokens that Airflow accepts."""
        return self.airflow / "jwks.json"
