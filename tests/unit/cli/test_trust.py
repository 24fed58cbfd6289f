"""`aerodrome trust`: where the authority lies, and lines that a shell reads as meant."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
from cryptography import x509
from typer.testing import CliRunner

from aerodrome.cli import trust
from aerodrome.cli.main import app

ODD = Path("/home/a user's/data/ca/ca.pem")


@pytest.mark.parametrize("line", [line for lines in trust.commands(ODD).values() for line in lines])
def test_an_odd_path_stays_one_word(line):
    if line.startswith(("Settings", "sudo update")):
        return
    words = shlex.split(line)
    assert any(word == str(ODD) or word.endswith(f"={ODD}") for word in words)


def test_the_command_shows_the_authority_of_the_data_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("AERODROME_DATA", str(tmp_path))
    shown = CliRunner().invoke(app, ["trust"])
    document = json.loads(CliRunner().invoke(app, ["trust", "--json"]).stdout)
    certificate = x509.load_pem_x509_certificate(Path(document["path"]).read_bytes())
    assert certificate.subject == certificate.issuer
    assert Path(document["path"]).is_relative_to(tmp_path)
    assert document["names"] == ["localhost", "us-east-1.airflow.localhost"]
    assert document["sha256"] in shown.stdout
    for word in (document["path"], "update-ca-certificates", "update-ca-trust", "Firefox", "REQUESTS_CA_BUNDLE"):
        assert word in shown.stdout
    assert "PRIVATE" not in shown.stdout


def test_a_certificate_of_one_s_own_needs_no_authority(tmp_path, monkeypatch):
    monkeypatch.setenv("AERODROME_DATA", str(tmp_path))
    monkeypatch.setenv("AERODROME_GATEWAY_CERTIFICATE", "/etc/own.pem")
    assert "/etc/own.pem" in CliRunner().invoke(app, ["trust"]).stdout
    assert list(tmp_path.iterdir()) == []
