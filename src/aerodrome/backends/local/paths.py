"""Where the files of environments and of their cells are on this machine. It only computes paths.

Only the local runtime knows them, and `cli`, which works on the same machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from aerodrome.settings import Paths

ZONES = 2
"""How many there are at most: MWAA's environments have two subnets."""


def part(revision: int, place: int) -> str:
    """The name of a revision's part in the zone at that place: `4` in the first one, `4b` in the second."""
    return f"{revision}{'abcdefgh'[place]}" if place else str(revision)


def of(paths: Paths, name: str, identifier: str) -> EnvironmentPaths:
    """The folders of the environment `name`, whose short id (8 hex characters) is `identifier`."""
    return EnvironmentPaths(paths.environments / name, paths.run / identifier)


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
    def dags_manifest(self) -> Path:
        """Which objects of the bucket the DAGs folder has; the sidecar writes it whenever that changes."""
        return self.dags.with_name(f".{self.dags.name}.manifest.json")

    @property
    def plugins(self) -> Path:
        return self.home / "plugins"

    @property
    def package_cache(self) -> Path:
        """Packages that its builds have fetched."""
        return self.home / "package-cache"

    @property
    def logs(self) -> Path:
        """Airflow's task logs."""
        return self.home / "logs"

    @property
    def logs_image(self) -> Path:
        """The disk image that units and sidecar find at `logs`."""
        return self.home / "logs.img"

    def temporary_image(self, revision: int) -> Path:
        """The disk image that a revision's units find at `temporary` and wherever else they make files."""
        return self.home / f"temporary-{revision}.img"

    @property
    def mount(self) -> Path:
        """Where a cell mounts an image for a moment, in a mount namespace of its own."""
        return self.run / "m"

    @property
    def unit_logs(self) -> Path:
        """What the units print; not in `logs`, because the cell writes here and units write there."""
        return self.home / "unit-logs"

    @property
    def log_positions(self) -> Path:
        """How far the sidecar has shipped each log file."""
        return self.home / "shipped.json"

    @property
    def airflow_homes(self) -> Path:
        """The folders that units have as AIRFLOW_HOME, one for each revision."""
        return self.home / "airflow-home"

    def airflow_home(self, revision: int) -> Path:
        """The folder that a revision's units have as AIRFLOW_HOME."""
        return self.airflow_homes / str(revision)

    @property
    def configuration(self) -> Path:
        """The generated configuration, a folder for each revision."""
        return self.home / "configuration"

    @property
    def redis_files(self) -> Path:
        """Redis's append-only file. The word on disk elsewhere means a folder of the AWS door's (`api.aws.spool`)."""
        return self.home / "spool"

    @property
    def queue(self) -> Path:
        """The file with the number (`ServicesOrder.queue`) of the queue that is in `redis_files`."""
        return self.home / "queue"

    @property
    def services(self) -> CellPaths:
        """The files of the services' cell, which keeps Redis and the sidecar."""
        return CellPaths(self.run)

    def cell(self, revision: int, place: int = 0) -> CellPaths:
        """The files of the cell that keeps a revision's units; of its part in the zone at that place."""
        return CellPaths(self.run / part(revision, place))

    def parts(self, revision: int) -> list[CellPaths]:
        """The files of every part that there is of it; of the first one in any case."""
        others = [each for place in range(1, ZONES) if (each := self.cell(revision, place)).run.is_dir()]
        return [self.cell(revision), *others]

    @property
    def sidecar_config(self) -> Path:
        return self.run / "sidecar.json"

    @property
    def sidecar_status(self) -> Path:
        return self.run / "sidecar.status.json"

    @property
    def metrics_socket(self) -> Path:
        """Where the sidecar takes the metrics of the units; they cannot put anything else in its place."""
        return self.run / "metrics.sock"

    @property
    def credentials_token(self) -> Path:
        """The token that units show the sidecar to get the execution role's credentials."""
        return self.run / "token"

    @property
    def unit_sockets(self) -> Path:
        """This and `temporary` are the only parts of the run folder that units may write to."""
        return self.run / "u"

    def web_socket(self, revision: int) -> Path:
        """Where a revision's web server listens."""
        return self.unit_sockets / f"web-{revision}.sock"

    @property
    def control(self) -> Path:
        """What is of that user alone whom everything with secrets runs as, where DAG code has another."""
        return self.run / "s"

    def control_web_socket(self, revision: int) -> Path:
        """Where a revision's web server listens then."""
        return self.control / f"web-{revision}.sock"

    @property
    def control_temporary(self) -> Path:
        """TMPDIR of that user's units."""
        return self.run / "v"

    def control_home(self, revision: int) -> Path:
        """HOME of that user's units."""
        return self.control / f"home-{revision}"

    @property
    def temporary(self) -> Path:
        """TMPDIR of the units; below the run folder, whose path is short, because some units put sockets into it."""
        return self.run / "t"

    @property
    def private(self) -> Path:
        """As root: what units find as /tmp and the like, which others have too."""
        return self.run / "p"

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
        """The public keys of the tokens that Airflow accepts; units cannot write there."""
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
        """The order that the cell follows; it does not exist while another order is being carried out."""
        return self.run / "order.json"

    @property
    def units(self) -> Path:
        """The specifications of all units that the cell has when everything is kept."""
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
        """The number of its units' loopback port: Airflow 3's execution API, or the sidecar, listens there."""
        return self.run / "port"
