"""Processes that an Aerodrome with one user for each environment started run on under this one."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from aerodrome import private_files, trees
from aerodrome.backends.control_plane import ControlPlane
from aerodrome.backends.local import cell_states, environment_folders, service_files, warm
from aerodrome.backends.local import paths as local_paths
from aerodrome.backends.local.cell_files import CellFiles
from aerodrome.backends.local.environment import LocalEnvironment
from aerodrome.identity.vault import EnvironmentSecrets
from aerodrome.model.orders import CellOrder, ServicesOrder
from aerodrome.model.release import Deployed
from aerodrome.model.tenant import Tenant
from aerodrome.model.web_address import Ports
from aerodrome.release.installation import Installation
from aerodrome.services import daemon
from aerodrome.services.clusters import Cluster
from aerodrome.settings import Settings
from aerodrome.unix_users import UnixUser

OWNER, CONTROL = UnixUser(30_001, 30_001), UnixUser(30_501, 30_001)
TENANT = Tenant(
    name="one", identifier="00000001", arn="arn:aws:airflow:us-east-1:000000000000:environment/one", number=1
)
ORDER = CellOrder(
    revision=3,
    deployed=Deployed(identifier="r", version="3.3.1", lock="l", cell=3),
    options={},
    web_access="PUBLIC_ONLY",
    tasks_per_worker=5,
    most_workers=10,
    workers=(1,),
)


@pytest.fixture
def folder() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="aero-"))
    path.chmod(0o711)
    yield path
    trees.remove(path)


@pytest.fixture
def environment(folder: Path) -> LocalEnvironment:
    settings = Settings(data=folder)
    plane = ControlPlane(
        settings=settings,
        cluster=lambda: Cluster(host="/nowhere", user="admin", password="p"),
        vault=None,  # type: ignore[arg-type] - nobody opens it
        key_set={},
        aws_endpoint_url=None,
        mwaa_endpoint_url="http://127.0.0.1:1",
        gateway_ports=Ports(public=1, private=2),
        service_key=lambda _name, _identifier: ("k", "s"),
    )
    return LocalEnvironment(
        tenant=TENANT,
        control_plane=plane,
        paths=local_paths.of(settings.paths, TENANT.name, TENANT.identifier),
        owner=OWNER,
        control=CONTROL,
        builder=None,
        groups=SimpleNamespace(for_cell=lambda *_: None, of_environment=lambda _: None, memory=8 * 2**30),
        secrets=EnvironmentSecrets(
            fernet_key="f" * 44, database_password="d", jwt_secret="j" * 64, secret_key="s", credentials_token="t"
        ),
        credentials_port=1,
    )


@pytest.mark.skipif(os.geteuid() != 0, reason="environments have uids of their own only as root")
def test_a_cell_that_knows_one_user_is_told_of_one_when_a_worker_is_added(environment: LocalEnvironment) -> None:
    installed = Installation("3.3.1", environment.paths.home, "l")
    before = CellFiles(
        environment=replace(environment, control=None),
        order=ORDER,
        installation=installed,
        built=None,
        execution_port=2,
    )
    environment_folders.prepare(environment.paths, OWNER)
    environment_folders.prepare_cell(environment.paths, 3, OWNER)
    before.change()
    cell = environment.paths.cell(3)
    private_files.write(cell.config, json.dumps({"units": []}))  # it knew of no `linkless`
    told = _units(before)

    environment_folders.prepare(environment.paths, OWNER, CONTROL)
    more = replace(before, environment=environment, order=replace(ORDER, workers=(1, 2)))
    now = replace(more, may_be_apart=cell_states.is_apart(cell))
    now.change()
    added = set(_units(now)) - set(told)
    assert {name.partition("-")[0] for name in added} == {"worker"}
    assert {name: unit for name, unit in _units(now).items() if name not in added} == told
    control = environment.paths.configuration / "3" / "control.cfg"
    assert control.stat().st_uid == OWNER.uid

    private_files.write(cell.config, json.dumps({"units": [], "linkless": ["/logs"]}))  # one of this Aerodrome
    assert replace(more, may_be_apart=cell_states.is_apart(cell)).units != now.units


def test_units_send_spans_to_a_sidecar_that_takes_them_and_to_none_of_before(environment: LocalEnvironment) -> None:
    settings = Settings(data=environment.control_plane.settings.data, otlp_endpoint="http://collector:4318")
    on = replace(environment, control_plane=replace(environment.control_plane, settings=settings))
    order = ServicesOrder(
        bucket_arn="arn:aws:s3:::b",
        dag_s3_path="dags",
        execution_role_arn="arn:aws:iam::000000000000:role/r",
        airflow_version="3.3.1",
        queue=3,
    )
    config = on.paths.sidecar_config
    config.parent.mkdir(parents=True)
    now = service_files.sidecar(on, order)
    before = json.dumps({name: value for name, value in json.loads(now).items() if name != service_files.COLLECTOR})

    def told(place: LocalEnvironment) -> str | None:
        installed = Installation("3.3.1", environment.paths.home, "l")
        return CellFiles(
            environment=place, order=ORDER, installation=installed, built=None, execution_port=2
        ).context.traces_uri

    assert told(on) is None
    config.write_text(before)
    assert told(on) is None
    config.write_text(now)
    assert told(on) == "http://127.0.0.1:1/v1/traces"
    assert told(environment) is None
    assert "collector:4318" not in now


def test_a_redis_that_runs_on_lets_both_users_in_when_its_cell_starts_it_again(environment: LocalEnvironment) -> None:
    path = environment.paths.redis_config
    path.parent.mkdir(parents=True)
    owner = None if os.geteuid() != 0 else OWNER
    here = replace(environment, owner=owner)
    service_files.share_broker(here)
    assert not path.exists()  # the services' cell is started with a configuration, as ever
    path.write_text("unixsocketperm 700\n")
    service_files.share_broker(here)
    assert "unixsocketperm 770\n" in path.read_text()


def test_a_warm_process_of_another_aerodrome_forks_no_more_cells(folder: Path, monkeypatch: Any) -> None:
    code = folder / "cell"
    shutil.copytree(warm.PROGRAM.parent, code, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(warm, "PROGRAM", code / warm.PROGRAM.name)
    own = folder / "release" / "venv"
    (own / "bin").mkdir(parents=True)
    (own / "bin" / "python").symlink_to(sys.executable)
    installed = Installation("3.3.1", folder / "3.3.1", "l", own=own)
    settings = Settings(data=folder)
    described = warm.describe(settings, installed)
    try:
        warm.start(settings, installed)
        first = daemon.find(described)
        warm.start(settings, installed)
        assert daemon.find(described) == first
        while time.time() <= described.pid_file.stat().st_ctime + 0.02:  # its clock ticks
            pass
        (code / "agent.py").chmod(0o644)  # as whoever puts a file in its place
        warm.start(settings, installed)
        assert daemon.find(described) not in {None, first}
    finally:
        daemon.stop(described)


def _units(files: CellFiles) -> dict[str, Any]:
    return {unit["name"]: unit for unit in files.units}
