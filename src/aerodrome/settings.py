"""Settings of the control plane, and where its files lie.

Read from `AERODROME_*` variables; every field says its unit and what its special values mean. No other module reads the
environment of the control plane.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

import platformdirs
from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

EMBEDDED = "embedded"
"""The value of a service setting that means: we start and stop it ourselves."""

AWS = "aws"
"""The value of `aws_endpoint_url` that means: the real AWS, without an endpoint of our own."""

SOCKET_PATH_LIMIT = 100
"""Bytes; Linux allows 107 for a unix socket's path, macOS 103."""

HIGHEST_PORT = 65535

DOMAIN = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)(\.(?!-)[a-z0-9-]{1,63}(?<!-))*")
"""A DNS name in lower case."""

LONGEST_SOCKET_SUFFIX = len("/01234567/t/pymp-12345678/listener-12345678")
"""Bytes that the longest socket name below the run folder takes: one that Python's multiprocessing makes for a unit."""


class Settings(BaseSettings):
    """What a person may set; each field is the variable `AERODROME_<NAME>`."""

    model_config = SettingsConfigDict(
        env_prefix="AERODROME_", extra="ignore", frozen=True, use_attribute_docstrings=True
    )

    data: Path = Field(default_factory=lambda: Path(platformdirs.user_data_dir("aerodrome")))
    """The folder that holds everything that must survive; `aerodrome purge` removes it."""

    host: str = "127.0.0.1"
    """The address of the API. Loopback only: it speaks plain HTTP, and the AWS emulator behind it trusts everybody."""

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

    snapshots_kept: int = Field(default=5, ge=1)
    """How many snapshots of its metadata database an environment keeps; a newer one takes the oldest one's place."""

    python_folders: str = ""
    """More folders to look for interpreters in, separated by `:`; searched before PATH."""

    first_uid: int = Field(default=30000, ge=11_000)
    """As root, environment number n runs under the uid `first_uid + n`, which no account need have; its packages are
    built, and folders checked, under one of the 10,000 below."""

    gateway_public: str = "127.0.0.1:4562"
    """Where the gateway answers for environments whose web server is public: `address:port`; port 0 lets the system
    choose once."""

    gateway_private: str = "127.0.0.1:4563"
    """Where it answers for those whose web server is private: an address that only your own network reaches."""

    gateway_domain: str = ""
    """The domain that environments' host names are made below; empty: `<region>.airflow.localhost`."""

    gateway_certificate: str = ""
    """Path of a PEM file: a certificate for `*.<gateway_domain>` and its chain; empty: one by our own local CA."""

    gateway_key: str = ""
    """Path of the PEM file with that certificate's private key."""

    @field_validator("gateway_public", "gateway_private")
    @classmethod
    def _has_port(cls, value: str) -> str:
        split_address(value)
        return value

    @field_validator("gateway_domain")
    @classmethod
    def _is_domain(cls, value: str) -> str:
        name = value.rstrip(".").lower()
        if name and not DOMAIN.fullmatch(name):
            raise ValueError(f"{value!r} is not a domain such as airflow.example.com")
        return name

    @property
    def domain(self) -> str:
        """The domain that environments' host names are made below."""
        return self.gateway_domain or f"{self.region}.airflow.localhost"

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


def split_address(text: str) -> tuple[str, int]:
    """`127.0.0.1:4562` or `[::1]:4562` as address and port.

    Raises:
        ValueError: it is neither.
    """
    address, separator, port = text.rpartition(":")
    if address.startswith("[") and address.endswith("]"):
        address = address[1:-1]
    elif ":" in address:
        raise ValueError(f"{text!r}: an IPv6 address must stand in brackets, such as [::1]:4562")
    if not separator or not address or not port.isascii() or not port.isdecimal() or int(port) > HIGHEST_PORT:
        raise ValueError(f"{text!r} is not an address and a port, such as 127.0.0.1:4562")
    return address, int(port)


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
    def user_databases(self) -> Path:
        """A file with the password for each of people's own databases, of its name."""
        return self.keys / "databases"

    @property
    def credentials(self) -> Path:
        """The first administrator's access key, in the form of the AWS shared credentials file."""
        return self.data / "credentials"

    @property
    def ca(self) -> Path:
        """The gateway's local certificate authority and the certificate it serves with."""
        return self.data / "ca"

    @property
    def authority(self) -> Path:
        """The certificate of that authority, which people and units may trust."""
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
        """Archives of metadata databases, a folder for each environment."""
        return self.data / "snapshots"

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

    @property
    def gateway_ports_file(self) -> Path:
        """The TCP ports that the running gateway listens on: the public one, then the private one."""
        return self.run / "gateway-ports"
