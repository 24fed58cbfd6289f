"""The context of an environment that never runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from aerodrome.airflow import versions
from aerodrome.airflow.context import Context, Database

SECRETS = {
    "database": "pass:w@rd/%$é",
    "fernet": "fernet-secret",
    "jwt": "jwt-secret-" + "j" * 64,
    "web": "web-secret",
    "broker": "broker-secret",
}


def context(version: str = versions.DEFAULT, **changes: object) -> Context:
    """An environment's context with `changes`."""
    home = Path("/data/environments/probe")
    fields = {
        "name": "probe",
        "region": "eu-west-1",
        "account_id": "123456789012",
        "version": version,
        "interpreter": Path("/venv/bin/python"),
        "home": home / "airflow",
        "airflow_home": home / "airflow",
        "configuration": home / "configuration/1",
        "dags": home / "dags",
        "plugins": home / "plugins",
        "logs": home / "logs",
        "unit_logs": home / "logs/units",
        "run": Path("/run/0a1b2c3d"),
        "temporary": Path("/run/0a1b2c3d/t"),
        "web_socket": Path("/run/0a1b2c3d/web.sock"),
        "jwks": home / "airflow/jwks.json",
        "database": Database(host="/run/pg", name="env_1", user="env_1", password=SECRETS["database"]),
        "broker_url": "redis+socket:///run/0a1b2c3d/redis.sock?virtual_host=0",
        "result_backend_url": "redis+socket:///run/0a1b2c3d/redis.sock?virtual_host=1",
        "fernet_key": SECRETS["fernet"],
        "jwt_secret": SECRETS["jwt"],
        "secret_key": SECRETS["web"],
        "execution_port": 19001,
        "gateway_audience": "env:probe",
        "base_url": "https://probe.localhost:4560",
    }
    return Context(**{**fields, **changes})  # type: ignore[arg-type]  # the fields' types are the test's business


@pytest.fixture
def make_context():
    return context


@pytest.fixture(params=[number for number, version in versions.OFFERED.items() if number == version.number])
def version(request):
    """Each version that runs."""
    return versions.lookup(request.param)


@pytest.fixture
def secrets():
    return SECRETS
