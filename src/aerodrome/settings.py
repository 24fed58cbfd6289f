"""Settings of the control plane, and the paths of its files.

The settings come from `AERODROME_*` variables; every field says its unit and the meaning of special values. No other
module reads settings from the environment.
"""

from __future__ import annotations

import hashlib
import ipaddress
import os
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import platformdirs
from pydantic import Field, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

EMBEDDED = "embedded"
"""The value of a service setting that means: Aerodrome starts and stops the service itself."""

AWS = "aws"
"""The value of `aws_endpoint_url` that means: the real AWS."""

SOCKET_PATH_LIMIT = 100
"""Bytes that a unix socket's path may have here; Linux allows 107, macOS 103."""

HIGHEST_PORT = 65535

DOMAIN = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)(\.(?!-)[a-z0-9-]{1,63}(?<!-))*")
"""A DNS name in lower case."""

LONGEST_SOCKET_SUFFIX = len("/01234567/t/pymp-12345678/listener-12345678")
"""Bytes of the longest socket name below the run folder: one that Python's multiprocessing makes for a unit."""


class Settings(BaseSettings):
    """What a person can set; each field is the variable `AERODROME_<NAME>`."""

    model_config = SettingsConfigDict(
        env_prefix="AERODROME_",
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,  # a value may be a secret, or have one in it
    )

    data: Path = Field(default_factory=lambda: Path(platformdirs.user_data_dir("aerodrome")))
    """The folder with everything that must survive a restart; `aerodrome purge` removes it."""

    host: str = "127.0.0.1"
    """The address of the API. Loopback only: it speaks plain HTTP."""

    port: int = Field(default=4560, ge=0, le=65535)
    """TCP port of the API; 0 = the system chooses one, which is then kept."""

    region: str = "us-east-1"
    """The AWS region in ARNs."""

    account_id: str = Field(default="000000000000", pattern=r"^\d{12}$")
    """The AWS account in ARNs; the default is the embedded emulator's own account."""

    database_url: str = EMBEDDED
    """PostgreSQL >= 14 for ledger and metadata databases: `embedded`, or the URL of a role that may create both."""

    redis_url: str = EMBEDDED
    """`embedded` (one Redis for each environment), or the `redis://` URL of one Redis that all environments share, each
    under its own key prefix."""

    aws_endpoint_url: str = EMBEDDED
    """`embedded` (MiniStack), `aws` (the real AWS), or the URL of a compatible endpoint."""

    aws_port: int = Field(default=4561, ge=0, le=65535)
    """TCP port of the embedded AWS services on loopback; 0 = the system chooses one, which is then kept."""

    iam: Literal["on", "off"] = "on"
    """`off`: the embedded AWS emulator trusts everybody who reaches its port, DAG code of every environment included.
    For throw-away use alone. Requests for MWAA, IAM and STS are verified all the same."""

    logs_bytes: int = Field(default=5 * 2**30, ge=64 * 2**20)
    """Bytes of all logs in the embedded CloudWatch Logs; beyond it the oldest events go."""

    logs_days: int = Field(default=90, ge=1)
    """Days that the embedded CloudWatch Logs keeps an event at most; a log group's retention may be shorter."""

    metrics_bytes: int = Field(default=2**30, ge=16 * 2**20)
    """Bytes of all metrics in the embedded CloudWatch; beyond it the finest and oldest points go."""

    otlp_endpoint: str = ""
    """The URL of an OpenTelemetry collector that takes OTLP over HTTP, such as `http://127.0.0.1:4318`: all metrics go
    there, and the traces of environments with Airflow 3.2 or later, for cells that start from now on. Empty = nothing
    is exported."""

    otlp_headers_file: str = ""
    """Path of a file (mode 0600) with the headers that the collector wants, a `Name: value` a line; it is read again
    when it changes. They go over `https://`, or to a collector on this machine. Empty = none."""

    otlp_interval: float = Field(default=60.0, ge=1, le=3600)
    """Seconds between two exports of metrics."""

    temporary_bytes: int = Field(default=20 * 2**30, ge=16 * 2**20)
    """As root: bytes that an environment's code may write to /tmp, TMPDIR and AIRFLOW_HOME (an MWAA worker has 20 GB),
    at most a quarter of the disk; it holds for cells that start from now on."""

    dags_bytes: int = Field(default=2**30, ge=2**20)
    """Bytes of all files that an environment's DAGs folder has from the bucket; an object that finds no room is not
    taken. It holds for an environment from the next order for its services, such as an update."""

    task_logs_bytes: int = Field(default=4 * 2**30, ge=16 * 2**20)
    """As root: bytes of an environment's own task logs, at most a sixteenth of the disk; beyond it the oldest go. It
    holds for environments that are made from now on."""

    database_bytes: int = Field(default=10 * 2**30, ge=2**30)
    """Bytes from which on an environment's metadata database is called too large, in an event; in the embedded
    PostgreSQL at most an eighth of the disk. Nothing keeps it from growing on."""

    quota_environments: int = Field(default=10, ge=1)
    """How many environments may exist at the same time (MWAA's default quota is 10)."""

    snapshots_kept: int = Field(default=5, ge=1)
    """How many snapshots of its metadata database an environment keeps; a new one then replaces the oldest."""

    scale_in_after: float = Field(default=30.0, ge=1, le=86_400)
    """Seconds for which fewer workers must have been enough before an environment has fewer."""

    drain_limit: float = Field(default=12 * 3600.0, ge=1)
    """Seconds that a worker which is not needed any more has for its tasks; after that they are ended, and Airflow
    retries them (MWAA's twelve hours). Time in which the control plane does not run is not counted."""

    primed: Literal["on", "off"] = "on"
    """Whether each Airflow version of line 3 that is in use has a process with Airflow imported, of which the next
    environments' processes are forks. It makes creations faster, and has its memory while there is no environment.
    As root only."""

    python_folders: str = ""
    """More folders with Python interpreters, separated by `:`; they are searched before PATH."""

    first_uid: int = Field(default=30000, ge=10_000)
    """As root, environments run, packages are built and folders are checked under uids that no account need have. The
    machine's register gives this installation a range that no other one has, from this uid upwards."""

    gateway_public: str = "127.0.0.1:4562"
    """`address:port` where the gateway answers for environments whose web server is public; port 0 = the system
    chooses one, which is then kept."""

    gateway_private: str = "127.0.0.1:4563"
    """`address:port` where the gateway answers for environments whose web server is private; only your own network
    should reach the address."""

    gateway_domain: str = ""
    """The domain of environments' host names; empty = `<region>.airflow.localhost`."""

    gateway_certificate: str = ""
    """Path of a PEM file with a certificate for `*.<gateway_domain>` and its chain; empty = one by Aerodrome's local
    CA."""

    gateway_key: str = ""
    """Path of the PEM file with the private key of that certificate."""

    @field_validator("gateway_public", "gateway_private")
    @classmethod
    def _has_port(cls, value: str) -> str:
        split_address(value)
        return value

    @field_validator("otlp_endpoint")
    @classmethod
    def _is_collector(cls, value: str) -> str:
        try:
            parts = urlsplit(value)
            is_url = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
        except ValueError:
            is_url = False
        if value and not is_url:  # what urlsplit says has a part of the value
            raise ValueError("this is not an http:// or https:// URL with a host, such as http://127.0.0.1:4318")
        if any(mark in value for mark in "@?#"):
            raise ValueError(
                "the URL has more than a host, a port and a path: leave away what has @, ? or #, and write a key as a "
                "header into the file that AERODROME_OTLP_HEADERS_FILE names"
            )
        return value.rstrip("/")

    @field_validator("otlp_headers_file")
    @classmethod
    def _is_not_overheard(cls, value: str, info: ValidationInfo) -> str:
        parts = urlsplit(info.data.get("otlp_endpoint", ""))
        if value and parts.scheme == "http" and not is_loopback(parts.hostname or ""):
            raise ValueError(
                "the headers would cross the network for everybody to read: give AERODROME_OTLP_ENDPOINT an https:// "
                "URL, or that of a collector on this machine, which passes on by TLS"
            )
        return value

    @field_validator("gateway_domain")
    @classmethod
    def _is_domain(cls, value: str) -> str:
        name = value.rstrip(".").lower()
        if name and not DOMAIN.fullmatch(name):
            raise ValueError(f"{value!r} is not a domain such as airflow.example.com")
        return name

    @property
    def guards_aws(self) -> bool:
        """Whether IAM guards the embedded AWS services."""
        return self.aws_endpoint_url == EMBEDDED and self.iam == "on"

    @property
    def otlp_headers(self) -> Path | None:
        """The file with the collector's headers."""
        return Path(self.otlp_headers_file).expanduser().absolute() if self.otlp_headers_file else None

    @property
    def domain(self) -> str:
        """The domain of environments' host names."""
        return self.gateway_domain or f"{self.region}.airflow.localhost"

    def variables(self) -> dict[str, str]:
        """These settings as variables, for a child process."""
        return {f"AERODROME_{name.upper()}": str(value) for name, value in self.model_dump().items()}

    def url(self, port: int) -> str:
        """The URL of the API when it listens on `port`."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{port}"

    @property
    def paths(self) -> Paths:
        """The paths of the files."""
        return Paths(self.data.expanduser().absolute())


def is_loopback(host: str) -> bool:
    """Whether a host in a URL is this machine, by its name or its address."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def split_address(text: str) -> tuple[str, int]:
    """`127.0.0.1:4562` or `[::1]:4562` as address and port.

    Raises:
        ValueError: the text is neither.
    """
    address, separator, port = text.rpartition(":")
    if address.startswith("[") and address.endswith("]"):
        address = address[1:-1]
    elif ":" in address:
        raise ValueError(f"{text!r}: an IPv6 address needs brackets, such as [::1]:4562")
    if not separator or not address or not port.isascii() or not port.isdecimal() or int(port) > HIGHEST_PORT:
        raise ValueError(f"{text!r} is not an address and a port, such as 127.0.0.1:4562")
    return address, int(port)


@dataclass(frozen=True)
class Paths:
    """The layout of the data folder. It only computes paths; the room that owns a folder makes it."""

    data: Path

    @property
    def uids(self) -> Path:
        """What the machine's register of uids gave to this data folder."""
        return self.data / "uids.json"

    @property
    def environments(self) -> Path:
        """A folder for each environment."""
        return self.data / "environments"

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
    def user_databases(self) -> Path:
        """The folder with a password file for each of people's own databases; the file has the database's name."""
        return self.keys / "databases"

    @property
    def credentials(self) -> Path:
        """The first administrator's access key, in the form of the AWS shared credentials file."""
        return self.data / "credentials"

    @property
    def ca(self) -> Path:
        """The gateway's local certificate authority, and the certificate that the gateway serves with."""
        return self.data / "ca"

    @property
    def authority(self) -> Path:
        """The certificate of that authority, which people and units can trust."""
        return self.ca / "ca.pem"

    @property
    def versions(self) -> Path:
        return self.data / "versions"

    @property
    def releases(self) -> Path:
        """Built releases, which environments share."""
        return self.data / "releases"

    @property
    def snapshots(self) -> Path:
        """Archives of metadata databases, with a folder for each environment."""
        return self.data / "snapshots"

    @property
    def logs(self) -> Path:
        return self.data / "logs"

    @property
    def run(self) -> Path:
        """Sockets and pid files: below the data folder if socket paths stay short enough, otherwise below /tmp."""
        inside = self.data / "run"
        if len(os.fsencode(inside)) + LONGEST_SOCKET_SUFFIX <= SOCKET_PATH_LIMIT:
            return inside
        digest = hashlib.sha256(os.fsencode(self.data)).hexdigest()[:8]
        return Path(tempfile.gettempdir()) / f"aerodrome-{os.getuid()}-{digest}"

    @property
    def announced(self) -> Path:
        """Sockets on which sidecars hear from the AWS door that objects have changed."""
        return self.run / "announced"

    @property
    def collector(self) -> Path:
        """Where sidecars read to which collector traces go; not there while OTLP is off."""
        return self.run / "collector.json"

    @property
    def aws_socket(self) -> Path:
        """Where the embedded AWS emulator answers, to the door alone."""
        return self.run / "aws.sock"

    @property
    def telemetry(self) -> Path:
        """What the log store keeps."""
        return self.data / "telemetry"

    @property
    def logs_socket(self) -> Path:
        """Where the log store answers, to the door alone."""
        return self.run / "logs.sock"

    @property
    def operator_socket(self) -> Path:
        """The socket where the control plane answers commands such as `aerodrome status`."""
        return self.run / "operator.sock"

    @property
    def port_file(self) -> Path:
        """The file with the TCP port that the running control plane listens on."""
        return self.run / "port"

    @property
    def gateway_ports_file(self) -> Path:
        """The file with the TCP ports that the running gateway listens on: the public one, then the private one."""
        return self.run / "gateway-ports"
