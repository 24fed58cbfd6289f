"""Where the files of environments and of their cells lie on this machine. Computes paths only.

Nobody outside the local runtime knows them, but who works on this machine beside the control plane (`cli`).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from aerodrome.settings import Paths


def of(paths: Paths, name: str, identifier: str) -> EnvironmentPaths:
    """The folders of the environment `name`, whose short id (8 hex characters) is `identifier`."""
    return EnvironmentPaths(paths.data / "environments" / name, paths.run / identifier)


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
    def airflow_homes(self) -> Path:
        """What is AIRFLOW_HOME for the units, a folder for each revision."""
        return self.home / "airflow-home"

    def airflow_home(self, revision: int) -> Path:
        """What is AIRFLOW_HOME for a revision's units."""
        return self.airflow_homes / str(revision)

    @property
    def configuration(self) -> Path:
        """The generated configuration, a folder for each revision."""
        return self.home / "configuration"

    @property
    def spool(self) -> Path:
        """Redis's append-only file."""
        return self.home / "spool"

    @property
    def queue(self) -> Path:
        """Of which number (`ServicesOrder.queue`) what lies in `spool` is."""
        return self.home / "queue"

    @property
    def services(self) -> CellPaths:
        """Of the cell that keeps Redis and the sidecar."""
        return CellPaths(self.run)

    def cell(self, revision: int) -> CellPaths:
        """Of the cell that keeps a revision's units."""
        return CellPaths(self.run / str(revision))

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
        """With `temporary` the only part of the run folder that the units themselves may write to."""
        return self.run / "u"

    def web_socket(self, revision: int) -> Path:
        """Where a revision's web server listens."""
        return self.unit_sockets / f"web-{revision}.sock"

    @property
    def temporary(self) -> Path:
        """TMPDIR of the units; below the run folder, for some put sockets into it."""
        return self.run / "t"

    @property
    def web(self) -> Path:
        """A link of ours to the socket of the web server that requests go to."""
        return self.run / "web"

    @property
    def redis_socket(self) -> Path:
        return self.unit_sockets / "redis.sock"

    @property
    def redis_config(self) -> Path:
        return self.configuration / "redis.conf"

    @property
    def key_set(self) -> Path:
        """The public keys of the tokens that Airflow accepts; where units cannot put others in their place."""
        return self.run / "jwks.json"

    @property
    def trust(self) -> Path:
        """The certificate authorities that units trust."""
        return self.run / "trust.pem"


@dataclass(frozen=True)
class CellPaths:
    """The files of one cell."""

    run: Path

    @property
    def config(self) -> Path:
        return self.run / "cell.json"

    @property
    def order(self) -> Path:
        """The order that it follows; not there while another is being carried out."""
        return self.run / "order.json"

    @property
    def units(self) -> Path:
        """The specifications of all units that it has when everything is kept."""
        return self.run / "units.json"

    @property
    def socket(self) -> Path:
        return self.run / "cell.sock"

    @property
    def state(self) -> Path:
        return self.run / "cell.state.json"

    @property
    def pid_file(self) -> Path:
        return self.run / "cell.pid"

    @property
    def port(self) -> Path:
        """Which loopback port is its units' own: Airflow 3's execution API, or the sidecar, listens there."""
        return self.run / "port"
