"""Everything that the configuration of one environment depends on, as one frozen value.

The backends fill it in; the adapters turn it into files and units. It computes nothing, and its `repr` shows no secret.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

INSIDE = Path(__file__).with_name("inside")
"""The folder of the code that runs under Airflow's interpreter."""

JWT_SECRET_BYTES = 64
"""Airflow 3 signs with HS512, whose key must not be shorter than its hash (RFC 7518, section 3.2)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Database:
    """Where the metadata database is."""

    host: str
    """A host name, or the folder of PostgreSQL's unix socket."""
    name: str
    user: str
    password: str = field(repr=False)
    port: int | None = None
    """None: PostgreSQL's own port, 5432."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Context:
    """One environment, seen from Airflow."""

    name: str
    region: str
    account_id: str
    version: str
    """The Airflow version, one of `versions.OFFERED`."""

    interpreter: Path
    """`bin/python` of the version's virtual environment."""
    programs: Path | None = None
    """The folder of programs that tasks find beside the version's own."""
    home: Path
    """The folder that units find at `airflow_home`."""
    airflow_home: Path
    """AIRFLOW_HOME and HOME of the units, as they find it; so for `dags`, `plugins` and `logs`."""
    configuration: Path
    """Where the configuration files of this revision lie."""
    dags: Path
    plugins: Path
    site: Path | None = None
    """The packages that the user's requirements add; None = none."""
    logs: Path
    """Task logs."""
    unit_logs: Path
    """What the units print."""
    run: Path
    """Sockets; a short path."""
    temporary: Path
    """TMPDIR of the units. It is the environment's own: in a shared folder other environments' files have the same
    names.
    """
    web_socket: Path
    """Unix socket of the web server, bound with mode 0600."""
    metrics_socket: Path | None = None
    """Where the sidecar takes metrics; None: nobody does."""
    traces_uri: str | None = None
    """Where the sidecar takes traces, in OTLP over HTTP; None: nobody wants them."""
    jwks: Path
    """The gateway's public keys (a JWK set)."""
    inside: Path = INSIDE

    database: Database
    broker_url: str = field(repr=False)
    result_backend_url: str = field(repr=False)
    key_prefix: str | None = None
    """Put before every Redis key when environments share one Redis; None when the Redis is the environment's own."""

    fernet_key: str = field(repr=False)
    jwt_secret: str = field(repr=False)
    """Signs the tokens of tasks (3.x): at least `JWT_SECRET_BYTES`."""
    secret_key: str = field(repr=False)
    """Signs web sessions."""

    execution_port: int
    """TCP port on 127.0.0.1 of the task execution API (3.x)."""
    gateway_issuer: str = "aerodrome"
    gateway_audience: str
    base_url: str
    """The URL under which people reach the web server."""

    aws_endpoint_url: str | None = None
    """None: the real AWS."""
    mwaa_endpoint_url: str | None = None
    """Where DAG code finds the MWAA API; None: as `aws_endpoint_url`."""
    iam_endpoint_url: str | None = None
    """Where DAG code finds IAM; None: as `aws_endpoint_url`."""
    sts_endpoint_url: str | None = None
    """Where DAG code finds STS; None: as `aws_endpoint_url`."""
    credentials_uri: str | None = None
    """The container-credentials endpoint of the execution role."""
    credentials_token_file: Path | None = None

    defaults: Mapping[str, str] = field(default_factory=dict)
    """Environment variables of the units that the startup script may set to something else."""

    options: Mapping[str, str] = field(default_factory=dict, repr=False)
    """AirflowConfigurationOptions, `section.key` to value."""
    tasks_per_worker: int = 5
    """Of the environment class; `celery.worker_autoscale` overrides it."""
    variables: Mapping[str, Mapping[str, str]] = field(default_factory=dict, repr=False)
    """What the startup script exported, by component (scheduler, webserver, worker); may hold secrets."""

    revision: int = 1
    """Of the configuration: workers of two revisions may run side by side and must not share a host name."""
    takes_over: bool = False
    """Whether the units start beside those of another revision that serve, and so need not hurry."""

    schedulers: int = 1
    web_servers: int = 1
    workers: tuple[int, ...] = (1,)
    """The numbers of the workers that run now."""
    draining: tuple[int, ...] = ()
    """Those of them that take no more tasks."""
    max_workers: int = 10
    parsing_processes: int = 1
    triggerer_capacity: int = 60

    uid: int | None = None
    """Whom DAG code runs as; None = whoever starts the cell."""
    gid: int | None = None

    control_uid: int | None = None
    """Whom runs as what holds secrets, with the same group; None: the same user."""
    control_home: Path | None = None
    """HOME of that user; given with `control_uid`, as the next."""
    control_temporary: Path | None = None
    """TMPDIR of that user."""

    def __post_init__(self) -> None:
        """Refuse keys that Airflow would accept without a word and then use wrongly."""
        if len(self.jwt_secret.encode()) < JWT_SECRET_BYTES:
            raise ValueError(f"jwt_secret must have at least {JWT_SECRET_BYTES} bytes")
        if (self.control_uid, self.control_home, self.control_temporary).count(None) not in {0, 3}:
            raise ValueError("control_uid, control_home and control_temporary must be given together")
        if not self.fernet_key or not self.secret_key:
            raise ValueError("fernet_key and secret_key must not be empty")
