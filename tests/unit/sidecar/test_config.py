"""The file that tells a sidecar what to do."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from aerodrome.errors import BrokenError
from aerodrome.sidecar import config

WHOLE = {
    "environment": "blue",
    "region": "eu-central-1",
    "bucket": "blue-bucket",
    "dag_prefix": "dags",
    "dags_dir": "/data/dags",
    "aws_endpoint_url": "http://127.0.0.1:4561/",
    "role_arn": "arn:aws:iam::000000000000:role/execution",
    "session_name": "AmazonMWAA-airflow",
    "source_credentials": {"access_key_id": "AKIA", "secret_access_key": "the-secret"},
    "credentials_port": 4000,
    "credentials_token_file": "/data/token",
    "database": {"host": "/run/pg", "dbname": "env_1", "user": "env_1", "password": "the-password"},
    "priority_parse": {"sql": "INSERT INTO t VALUES (%s)", "style": "relative"},
    "status_file": "/data/status.json",
    "interval": 1,
}


@pytest.mark.parametrize(
    ("given", "meant"), [("dags", "dags/"), ("dags/", "dags/"), ("/a/b/", "a/b/"), ("", ""), ("/", "")]
)
def test_the_prefix_is_spelled_in_one_way(given, meant):
    assert config.parse(WHOLE | {"dag_prefix": given}).dag_prefix == meant


def test_a_whole_document_is_understood():
    parsed = config.parse(WHOLE)
    assert (parsed.dags_dir, parsed.interval) == (Path("/data/dags"), 1.0)
    assert parsed.dags_seen_at == parsed.dags_dir
    shown = config.parse({**WHOLE, "dags_seen_at": "/usr/local/airflow/dags"})
    assert (shown.dags_dir, shown.dags_seen_at) == (Path("/data/dags"), Path("/usr/local/airflow/dags"))
    assert parsed.aws_endpoint_url == "http://127.0.0.1:4561"
    assert parsed.source == config.AccessKeys("AKIA", "the-secret")
    assert parsed.database == config.DatabaseConfig("/run/pg", "env_1", "env_1", "the-password")


def test_a_database_elsewhere_may_have_a_port_and_more():
    more = {"port": 6543, "options": {"sslmode": "require"}}
    database = config.parse(WHOLE | {"database": WHOLE["database"] | more}).database
    assert (database.port, database.options) == (6543, (("sslmode", "require"),))


@pytest.mark.parametrize("users", [["0"], [-1], [True], 7, {}])
def test_users_are_numbers(users):
    assert config.parse(WHOLE | {"credentials_users": [7, 8]}).credentials_users == (7, 8)
    assert config.parse(WHOLE).credentials_users is None  # as an earlier control plane wrote it
    with pytest.raises(BrokenError, match="credentials_users"):
        config.parse(WHOLE | {"credentials_users": users})


def test_what_may_be_null_may_be_null():
    names = ("aws_endpoint_url", "source_credentials", "database", "priority_parse")
    parsed = config.parse(WHOLE | dict.fromkeys(names))
    assert (parsed.aws_endpoint_url, parsed.source, parsed.database, parsed.priority_parse) == (None,) * 4


def test_secrets_never_show_themselves():
    shown = repr(config.parse(WHOLE))
    assert "the-secret" not in shown
    assert "the-password" not in shown


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("bucket", None),
        ("bucket", ""),
        ("environment", 5),
        ("dags_dir", "relative/path"),
        ("status_file", "/nul\0"),
        ("aws_endpoint_url", "ftp://x"),
        ("credentials_port", 0),
        ("credentials_port", True),
        ("credentials_port", "80"),
        ("credentials_port", 65536),
        ("interval", 0),
        ("interval", float("nan")),
        ("interval", True),
        ("source_credentials", {}),
        ("source_credentials", []),
        ("database", {"host": "x"}),
        ("priority_parse", {"sql": "no place", "style": "relative"}),
        ("priority_parse", {"sql": "%s", "style": "sideways"}),
    ],
)
def test_a_wrong_field_is_named_and_its_value_is_not(name, value):
    with pytest.raises(BrokenError, match="configuration field") as caught:
        config.parse(WHOLE | {name: value})
    assert "the-secret" not in str(caught.value)


def test_the_file_must_be_private(tmp_path):
    path = tmp_path / "sidecar.json"
    path.write_text(json.dumps(WHOLE))
    path.chmod(0o640)
    with pytest.raises(BrokenError, match="0600"):
        config.load(path)
    path.chmod(0o600)
    assert config.load(path).environment == "blue"


@pytest.mark.parametrize("content", ["", "{", "[]", "x" * 100_000])
def test_a_file_that_is_none_is_refused(tmp_path, content):
    path = tmp_path / "sidecar.json"
    path.write_text(content)
    path.chmod(0o600)
    with pytest.raises(BrokenError):
        config.load(path)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(BrokenError, match="cannot read"):
        config.load(tmp_path / "none.json")
