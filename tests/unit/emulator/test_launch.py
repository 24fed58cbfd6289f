from __future__ import annotations

from pathlib import Path

from aerodrome.emulator import launch
from aerodrome.emulator.own_address import OwnAddress

FOLDER = Path("/data/aws")


def test_its_environment_is_complete_and_holds_nothing_of_the_hosts(monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "host-secret")
    monkeypatch.setenv("DOCKER_HOST", "tcp://somewhere")
    found = launch.describe(
        FOLDER, address=OwnAddress(port=4561), region="eu-west-1", account_id="123456789012", domain="pages.localhost"
    )
    assert not [name for name in found.env if name.startswith("AWS_")]
    assert found.env["DOCKER_HOST"] == "unix:///nonexistent"
    assert (found.env["PERSIST_STATE"], found.env["S3_PERSIST"]) == ("1", "1")
    assert (found.env["MINISTACK_REGION"], found.env["MINISTACK_ACCOUNT_ID"]) == ("eu-west-1", "123456789012")
    for name in ("HOME", "TMPDIR", "STATE_DIR", "S3_DATA_DIR"):
        assert Path(found.env[name]).is_relative_to(FOLDER)
    assert found.address.url == "http://127.0.0.1:4561"


def test_two_data_folders_have_two_identities():
    first, second = (
        launch.describe(folder, address=OwnAddress(port=1), region="us-east-1", account_id="0" * 12, domain="d")
        for folder in (FOLDER, FOLDER / "b")
    )
    assert first.identity != second.identity


def test_a_wanted_port_is_taken_as_it_is(tmp_path):
    assert launch.choose_port(tmp_path, 4561) == 4561
    assert list(tmp_path.iterdir()) == []
