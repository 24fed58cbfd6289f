"""What passes to Airflow and back: hosts, headers, cookies, origins."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aerodrome.gateway import cookies, csrf, headers, hosts

DOMAIN = "us-east-1.airflow.localhost"
HOST = hosts.Host("0123abcd", f"0123abcd.{DOMAIN}:4562", 4562)


@pytest.mark.parametrize(
    ("authority", "identifier", "port"),
    [
        (f"0123abcd.{DOMAIN}", "0123abcd", None),
        (f"0123ABCD.{DOMAIN.upper()}:4562", "0123abcd", 4562),
        (f"0123abcd.{DOMAIN}.", "0123abcd", None),
        (f"0123abcd.{DOMAIN}.:443", "0123abcd", 443),
    ],
)
def test_hosts_of_environments(authority, identifier, port):
    found = hosts.parse(authority, DOMAIN)
    assert found is not None
    assert (found.identifier, found.port) == (identifier, port)


BAD_HOSTS = f"""
.{DOMAIN} x.0123abcd.{DOMAIN} 0123abcd.{DOMAIN}.evil.example 0123abcd{DOMAIN} 0123abcg.{DOMAIN} 0123abc.{DOMAIN}
{DOMAIN} 0123abcd.{DOMAIN}:x 0123abcd.{DOMAIN}:443:443 u@0123abcd.{DOMAIN} 0123abcd.{DOMAIN}/x 0123abcd.{DOMAIN}:999999
[::1]
"""


@pytest.mark.parametrize("authority", ["", f"0123abcd.{DOMAIN}\n", f"0123abcd.{DOMAIN} ", *BAD_HOSTS.split()])
def test_hosts_that_are_none(authority):
    assert hosts.parse(authority, DOMAIN) is None


NAMES = st.sampled_from(
    b"""
    authorization x-forwarded-for x_forwarded_for forwarded x-real-ip x-aerodrome-role cookie script_name path_info te
    remote-user connection x-hop host transfer-encoding proxy-authorization x-forwarded-proto upgrade x-original-url
    accept content-type
    """.split()
)
VALUES = st.sampled_from([b"evil", b"x-hop, content-type", b"_token=evil; session=evil; ok=1", b"close, accept"])


@given(st.lists(st.tuples(NAMES, VALUES)))
def test_nothing_that_airflow_believes_comes_from_the_client(received):
    sent = headers.towards(received, token="T", host=HOST, address="192.0.2.1")
    found = dict(sent)
    for name in (b"authorization", b"host", b"cookie", b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host"):
        assert sum(own == name for own, _ in sent) <= 1
    assert found[b"authorization"] == b"Bearer T"
    assert found[b"host"] == found[b"x-forwarded-host"] == HOST.authority.encode()
    assert (found[b"x-forwarded-for"], found[b"x-forwarded-proto"]) == (b"192.0.2.1", b"https")
    assert found[b"x-forwarded-port"] == b"4562"
    assert not found.keys() & {b"forwarded", b"x-real-ip", b"x-aerodrome-role", b"script_name", b"connection", b"te"}
    assert all(b"_" not in name for name in found)
    for part in found.get(b"cookie", b"").split(b";"):
        assert part.partition(b"=")[0].strip() not in {b"_token", b"session"}


@given(st.text("/\\.:@?#a\t\n evil", max_size=20))
def test_no_redirect_leads_away(text):
    try:
        given_back = dict(headers.back([(b"Location", text.encode())], host=HOST))[b"location"].decode()
    except headers.ForeignRedirectError:
        return
    read = "".join(char for char in given_back if char > " ").replace("\\", "/")
    assert not read.startswith("//")
    assert ":" not in read.split("/")[0].split("?")[0].split("#")[0]


@pytest.mark.parametrize(
    ("given_cookie", "returned"),
    [
        (b"a=1", b"a=1; Secure"),
        (b"a=1; Domain=x; Path=/y; HttpOnly; secure", b"a=1; Path=/y; HttpOnly; Secure"),
        (b"a=_token; DOMAIN=x", b"a=_token; Secure"),
        (b"session=1", None),
        (b" _token =1; Path=/", None),
        (b"_token", None),
        (b"", None),
        (b"=x", None),
        (b"=_token=x", None),
    ],
)
def test_airflow_s_cookies(given_cookie, returned):
    assert cookies.returned(given_cookie) == returned


def test_our_cookie_is_found_among_others_and_never_passed_on():
    sent = [b'a=1; _token=first;_token="x"; _token', b"session=s; b=2=3"]
    assert cookies.values(sent, "_token") == ["first", '"x"']
    assert cookies.without_ours(sent) == b"a=1; b=2=3"
    assert cookies.without_ours([b"_token=1"]) is None
    assert len(cookies.values([b"_token=1; " * 100], "_token")) == cookies.MOST
    tossed = [b"_token=" + b"x" * (cookies.LONGEST + 1) + b"; _token=; "] * cookies.MOST
    assert cookies.values([*tossed, b"_token=right"], "_token") == ["right"]


@pytest.mark.parametrize(
    ("sent", "own"),
    [
        ({}, True),
        ({b"origin": f"https://{HOST.authority}".encode()}, True),
        ({b"origin": f"https://{HOST.authority}".encode(), b"sec-fetch-site": b"cross-site"}, True),
        ({b"origin": f"https://0123abcd.{DOMAIN}".encode()}, False),
        ({b"origin": f"http://{HOST.authority}".encode()}, False),
        ({b"origin": b""}, False),
        ({b"origin": b"null"}, False),
        ({b"sec-fetch-site": b"none"}, True),
        ({b"sec-fetch-site": b"same-site"}, False),
    ],
)
def test_origins(sent, own):
    assert csrf.is_own(sent, HOST) is own


def test_the_default_port_may_be_written_or_not():
    plain = hosts.Host("0123abcd", f"0123abcd.{DOMAIN}", None)
    assert csrf.is_own({b"origin": f"https://0123abcd.{DOMAIN}:443".encode()}, plain)
