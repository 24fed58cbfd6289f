"""OTLP costs nothing where it is off."""

from __future__ import annotations

import subprocess
import sys

import pytest
from pydantic import ValidationError

from aerodrome.otlp import addresses
from aerodrome.otlp.addresses import AddressFile, CollectorAddress
from aerodrome.settings import Settings

LOADED = """
import sys, importlib
importlib.import_module(sys.argv[1])
print([name for name in sys.modules if name.startswith(("google.protobuf", "opentelemetry.proto"))])
"""


@pytest.mark.parametrize("process", ["aerodrome.runtime", "aerodrome.sidecar.process"])
def test_no_process_imports_the_messages_before_there_is_something_to_send(process):
    done = subprocess.run([sys.executable, "-c", LOADED, process], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


def test_the_address_is_heeded_when_it_changes(tmp_path):
    path = tmp_path / "collector.json"
    file = AddressFile(path)
    assert file.read() is None
    for address in (CollectorAddress("http://a:4318", None), CollectorAddress("https://b", tmp_path / "headers")):
        addresses.write(path, address)
        assert path.stat().st_mode & 0o777 == 0o600
        assert file.read() == address
    addresses.write(path, None)
    addresses.write(path, None)
    assert file.read() is None
    assert AddressFile(None).read() is None


@pytest.mark.parametrize("given", ["", "http://127.0.0.1:4318", "https://otlp.example.com/some/where/"])
def test_urls(given):
    assert Settings(otlp_endpoint=given).otlp_endpoint == given.rstrip("/")


@pytest.mark.parametrize(
    "given", ["127.0.0.1:4318", "grpc://h:4317", "http://", "http://h:99999", "http://u:p@h", "http://h/?key=k", "h"]
)
def test_what_is_no_url_of_a_collector(given):
    with pytest.raises(ValidationError, match="otlp_endpoint"):
        Settings(otlp_endpoint=given)


@pytest.mark.parametrize(
    "given",
    [
        "http://u:the-secret@h", "http://h/?key=the-secret", "http://h/#the-secret", "http://u:the-secret",
        "http://[the-secret]", "the-secret",
    ],
)  # fmt: skip
def test_a_secret_in_a_url_is_not_shown(given):
    with pytest.raises(ValidationError) as raised:
        Settings(otlp_endpoint=given)
    assert "the-secret" not in str(raised.value)
    assert "the-secret" not in str(raised.value.errors()[0]["msg"])


@pytest.mark.parametrize("given", ["http://u:p@h", "http://h?key=k", "http://h/#k"])
def test_a_key_in_a_url_is_refused_with_where_it_belongs(given):
    with pytest.raises(ValidationError, match="AERODROME_OTLP_HEADERS_FILE"):
        Settings(otlp_endpoint=given)


@pytest.mark.parametrize("given", ["http://collector:4318", "http://10.0.0.1:4318", "http://localhost.example.com"])
def test_headers_are_not_sent_over_a_network_in_plain_text(given):
    with pytest.raises(ValidationError, match="https://") as raised:
        Settings(otlp_endpoint=given, otlp_headers_file="/etc/headers")
    assert raised.value.errors()[0]["loc"] == ("otlp_headers_file",)
    assert Settings(otlp_endpoint=given).otlp_headers is None


@pytest.mark.parametrize(
    "given", ["", "https://collector", "http://localhost:4318", "http://127.0.0.2:4318", "http://[::1]:4318"]
)
def test_headers_are_sent_by_tls_or_to_this_machine(given):
    assert Settings(otlp_endpoint=given, otlp_headers_file="/etc/headers").otlp_headers is not None
