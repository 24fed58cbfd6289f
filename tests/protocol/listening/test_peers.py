"""The kernel says whose a connection is, in each of the ways in which it may be asked."""

from __future__ import annotations

import ipaddress
import os
import socket
import sys
from contextlib import contextmanager

import pytest

from aerodrome.listening import peers

OTHER = 1


@contextmanager
def connected(host):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family) as listener, socket.socket(family) as client:
        client.connect(listener.getsockname())
        accepted, _ = listener.accept()
        with accepted:
            yield accepted, client


@pytest.fixture(params=["sock_diag", "/proc/net/tcp"])
def asked(request, monkeypatch):
    if request.param != "sock_diag":

        def refused(*_):
            raise PermissionError

        monkeypatch.setattr(peers, "_asked", refused)
    return request.param


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_connection_over_loopback_is_a_users(asked, host):
    del asked
    with connected(host) as (accepted, _):
        assert peers.uid(accepted) == os.geteuid()
        assert peers.of(accepted) == f"uid {os.geteuid()}"


def test_one_of_ipv4_to_a_listener_of_ipv6_too(asked):
    del asked
    with (
        socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as listener,
        socket.create_connection(("127.0.0.1", listener.getsockname()[1])),
    ):
        accepted, _ = listener.accept()
        with accepted:
            assert peers.of(accepted) == f"uid {os.geteuid()}"


def test_of_a_client_that_has_left_nobody_is_said(asked):
    del asked
    with connected("127.0.0.1") as (accepted, client):
        client.close()
        assert peers.of(accepted) == peers.UNKNOWN


def test_one_that_only_writes_no_more_is_still_its_users(asked):
    del asked
    with connected("127.0.0.1") as (accepted, client):
        client.shutdown(socket.SHUT_WR)
        assert peers.of(accepted) == f"uid {os.geteuid()}"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be two users")
def test_another_user_is_told_from_this_one(asked):
    del asked
    os.seteuid(OTHER)  # a socket is owned by whoever made it
    try:
        client = socket.socket()
    finally:
        os.seteuid(0)
    with socket.create_server(("127.0.0.1", 0)) as listener, client:
        client.connect(listener.getsockname())
        accepted, _ = listener.accept()
        with accepted:
            assert peers.of(accepted) == f"uid {OTHER}"


def test_a_unix_socket_says_it_itself():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert peers.of(ours) == f"uid {os.geteuid()}"


class Elsewhere:
    """A connection from another machine."""

    def __init__(self, address):
        self._address = address
        self.family = socket.AF_INET6 if ":" in address else socket.AF_INET

    def getpeername(self):
        return (self._address, 40000)

    def getsockname(self):
        return ("2001:db8::1" if ":" in self._address else "192.0.2.1", 443)


@pytest.mark.parametrize(
    ("address", "peer"),
    [
        ("192.0.2.7", "address 192.0.2.7"),
        ("::ffff:192.0.2.7", "address 192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "address 2001:db8:1:2::"),
        ("fe80::1%eth0", "address fe80::"),
    ],
)
def test_from_elsewhere_the_address_counts(address, peer):
    assert peers.of(Elsewhere(address)) == peer


def test_an_address_is_written_as_the_kernel_writes_it():
    if sys.byteorder != "little":
        pytest.skip("the examples are of a little-endian machine")
    assert peers._written((ipaddress.ip_address("127.0.0.1"), 80)) == "0100007F:0050"
    assert peers._written((ipaddress.ip_address("::1"), 80)) == "00000000000000000000000001000000:0050"
