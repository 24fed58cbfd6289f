"""The address that an environment is given, and the gateway reads it back."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from aerodrome.gateway import hosts
from aerodrome.model.web_address import Ports, web_address
from aerodrome.settings import Settings


@pytest.mark.parametrize(
    ("mode", "ports", "found"),
    [
        ("PUBLIC_ONLY", Ports(public=4562, private=4563), "0123abcd.us-east-1.airflow.localhost:4562"),
        ("PRIVATE_ONLY", Ports(public=4562, private=4563), "0123abcd.us-east-1.airflow.localhost:4563"),
        ("PUBLIC_AND_PRIVATE", Ports(public=4562, private=4563), "0123abcd.us-east-1.airflow.localhost:4562"),
        ("PUBLIC_ONLY", Ports(public=443, private=4563), "0123abcd.us-east-1.airflow.localhost"),
    ],
)
def test_an_address_has_the_port_of_its_listener(mode, ports, found):
    environment = SimpleNamespace(identifier="0123abcd", spec=SimpleNamespace(webserver_access_mode=mode))
    settings = Settings()
    address = web_address(environment, settings, ports)
    assert address == found
    read = hosts.parse(address, settings.domain)
    assert read is not None
    assert read.identifier == "0123abcd"
