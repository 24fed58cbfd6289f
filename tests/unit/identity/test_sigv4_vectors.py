"""AWS's published test vectors of Signature Version 4: each is verified, and refused once it is changed.

Facts from the suite `aws-signing-test-suite/v4` that AWS's SDKs share: the request, the names of the signed headers and
the signature. Key AKIDEXAMPLE, region us-east-1, service `service`, 20150830T123600Z. In the query form the suite's
unsigned `X-Amz-Date` header is left out: we refuse X-Amz headers that are not signed.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta

import pytest

from aerodrome.identity import sigv4
from aerodrome.identity.errors import AuthenticationError

SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
NOW = datetime(2015, 8, 30, 12, 40, tzinfo=UTC)
SCOPE = "20150830/us-east-1/service/aws4_request"
LETTERS = "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
STS_TOKEN = (
    "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeoIYRqTflfKD8YUuwt"
    "hAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY"
    "9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA=="
)
VANILLA_TOKEN = "6e86291e8372ff2a2260956d9b8aae1d763fbf315fa00fa31553b73ebf194267"
FORM_DIGEST = "9095672bbd1f56dfc5b65f3e153adc8731a4a654192329106275f4c7b24d0b6e"
FORM = "application/x-www-form-urlencoded"

# name, method, path, query, headers beside Host and X-Amz-Date, body, signature
IN_HEADER = [
    ("get-vanilla", "GET", "/", "", [], "", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
    ("get-vanilla-with-session-token", "GET", "/", "", [("X-Amz-Security-Token", VANILLA_TOKEN)], "",
     "07ec1639c89043aa0e3e2de82b96708f198cceab042d4a97044c66dd9f74e7f8"),
    ("get-vanilla-empty-query-key", "GET", "/", "Param1=value1", [], "",
     "a67d582fa61cc504c4bae71f336f98b97f1ea3c7a6bfe1b6e45aec72011b9aeb"),
    ("get-vanilla-query-order-key-case", "GET", "/", "Param2=value2&Param1=value1", [], "",
     "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"),
    ("get-vanilla-query-order-encoded", "GET", "/", "Param-3=Value3&Param=Value2&%E1%88%B4=Value1", [], "",
     "371d3713e185cc334048618a97f809c9ffe339c62934c032af5a0e595648fcac"),
    ("get-vanilla-query-unreserved", "GET", "/", f"{LETTERS}={LETTERS}", [], "",
     "9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197"),
    ("get-vanilla-utf8-query", "GET", "/", "ሴ=bar", [], "",
     "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04"),
    ("get-unreserved", "GET", f"/{LETTERS}", "", [], "",
     "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f"),
    ("get-utf8", "GET", "/ሴ", "", [], "", "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85"),
    ("get-space-normalized", "GET", "/example space/", "", [], "",
     "652487583200325589f1fba4c7e578f72c47cb61beeca81406b39ddec1366741"),
    ("get-relative-normalized", "GET", "/example/..", "", [], "",
     "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
    ("get-relative-relative-normalized", "GET", "/example1/example2/../..", "", [], "",
     "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
    ("get-slash-normalized", "GET", "//", "", [], "",
     "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
    ("get-slash-dot-slash-normalized", "GET", "/./", "", [], "",
     "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
    ("get-slashes-normalized", "GET", "//example//", "", [], "",
     "9a624bd73a37c9a373b5312afbebe7a714a789de108f0bdfe846570885f57e84"),
    ("get-slash-pointless-dot-normalized", "GET", "/./example", "", [], "",
     "ef75d96142cf21edca26f06005da7988e4f8dc83a165a80865db7089db637ec5"),
    ("get-header-key-duplicate", "GET", "/", "",
     [("My-Header1", "value2"), ("My-Header1", "value2"), ("My-Header1", "value1")], "",
     "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea"),
    ("get-header-value-order", "GET", "/", "",
     [("My-Header1", "value4"), ("My-Header1", "value1"), ("My-Header1", "value3"), ("My-Header1", "value2")], "",
     "08c7e5a9acfcfeb3ab6b2185e75ce8b1deb5e634ec47601a50643f830c755c01"),
    ("get-header-value-trim", "GET", "/", "", [("My-Header1", " value1"), ("My-Header2", ' "a   b   c"')], "",
     "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736"),
    ("get-header-value-multiline", "GET", "/", "", [("My-Header1", "value1\n  value2\n     value3")], "",
     "cfd34249e4b1c8d6b91ef74165d41a32e5fab3306300901bb65a51a73575eefd"),
    ("post-vanilla", "POST", "/", "", [], "", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
    ("post-vanilla-query", "POST", "/", "Param1=value1", [], "",
     "28038455d6de14eafc1f9222cf5aa6f1a96197d7deb8263271d420d138af7f11"),
    ("post-header-key-sort", "POST", "/", "", [("My-Header1", "value1")], "",
     "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c"),
    ("post-header-value-case", "POST", "/", "", [("My-Header1", "VALUE1")], "",
     "cdbc9802e29d2942e5e10b5bccfdd67c5f22c7c4e8ae67b53629efa58b974b7d"),
    ("post-sts-header-before", "POST", "/", "", [("X-Amz-Security-Token", STS_TOKEN)], "",
     "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead"),
    ("post-x-www-form-urlencoded", "POST", "/", "",
     [("Content-Type", FORM), ("Content-Length", "13"), ("x-amz-content-sha256", FORM_DIGEST)], "Param1=value1",
     "d3875051da38690788ef43de4db0d8f280229d82040bfac253562e56c3f20e0b"),
    ("post-x-www-form-urlencoded-parameters", "POST", "/", "",
     [("Content-Type", f"{FORM}; charset=utf-8"), ("Content-Length", "13"), ("x-amz-content-sha256", FORM_DIGEST)],
     "Param1=value1", "328d1b9eaadca9f5818ef05e8392801e091653bafec24fcab71e7344e7f51422"),
]  # fmt: skip

# name, path, query before the signature's parameters, headers beside Host, signature; all GET, 3600 seconds
IN_QUERY = [
    ("get-vanilla-query", "/", "", [], "e93c787ed7f371d5c6b165c1b38ede9550f4dce4144713e844b25b7192d3865d"),
    ("get-relative-relative-normalized", "/example1/example2/../..", "", [],
     "e93c787ed7f371d5c6b165c1b38ede9550f4dce4144713e844b25b7192d3865d"),
    ("get-vanilla-utf8-query", "/", "ሴ=bar&", [], "0bdd809b1519ac4f0c1dc3540e2cc46bd0c7f778eda408b2ebf3b913d21ff600"),
    ("get-vanilla-query-order-key-case", "/", "Param2=value2&Param1=value1&", [],
     "86012e2c9ad4d77369f5d81c11f75158aae4f895a085212cc6d3f923d300bed5"),
    ("get-vanilla-query-order-encoded", "/", "Param-3=Value3&Param=Value2&%E1%88%B4=Value1&", [],
     "c5f1848ceec943ac2ca68ee720460c23aaae30a2300586597ada94c4a65e4787"),
    ("get-unreserved", f"/{LETTERS}", "", [], "95968482db1b9e0fadef6efc1bd24689f77c77d9ef56919c96a28cc92e0d6005"),
    ("get-utf8", "/ሴ", "", [], "10eae3f14a260bd3911cc6d008d3c576d143b05b62f09782a7a4b37f52178e44"),
    ("get-slash-pointless-dot-normalized", "/./example", "", [],
     "35034b1a0bdd969f346975386daf8aedfd4976573b8348cf4f67eaa41c5857de"),
    ("get-header-value-order", "/", "",
     [("My-Header1", "value4"), ("My-Header1", "value1"), ("My-Header1", "value3"), ("My-Header1", "value2")],
     "313720e71ca6202fdcfa9b20f88de01a4eb0638a83c833b1c184359a4eda864e"),
    ("get-header-value-trim", "/", "", [("My-Header1", " value1"), ("My-Header2", ' "a   b   c"')],
     "e7bb0fd515e125e1aec2ecc4c0c17484fb06f6846b927c35e46005dd3df3acd4"),
    ("get-vanilla-with-session-token", "/", f"X-Amz-Security-Token={VANILLA_TOKEN}&", [],
     "7ff2b50b376cb4d151970630573d6291dc128cc5c2a12ffb237f73cc53f67b6c"),
]  # fmt: skip


def wire(text: str) -> str:
    """What ASGI hands over: the bytes of the wire, read as Latin-1."""
    return text.encode().decode("latin-1")


def in_header(method: str, path: str, query: str, headers: list[tuple[str, str]], body: str, signature: str):
    received = [("Host", "example.amazonaws.com"), ("X-Amz-Date", "20150830T123600Z"), *headers]
    signed = ";".join(sorted({name.lower() for name, _ in received}))
    credential = f"AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/{SCOPE}, SignedHeaders={signed}, Signature={signature}"
    digest = hashlib.sha256(body.encode()).hexdigest()
    return sigv4.SignedRequest(method, wire(path), wire(query), [*received, ("Authorization", credential)], digest)


def in_query(path: str, query: str, headers: list[tuple[str, str]], signature: str):
    received = [("Host", "example.amazonaws.com"), *headers]
    signed = "%3B".join(sorted({name.lower() for name, _ in received}))
    credential = f"AKIDEXAMPLE/{SCOPE}".replace("/", "%2F")
    parameters = (
        f"X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={credential}&X-Amz-Date=20150830T123600Z"
        f"&X-Amz-SignedHeaders={signed}&X-Amz-Expires=3600&X-Amz-Signature={signature}"
    )
    return sigv4.SignedRequest("GET", wire(path), wire(query) + parameters, received, hashlib.sha256(b"").hexdigest())


def verify(request: sigv4.SignedRequest, now: datetime = NOW) -> sigv4.Presented:
    found = sigv4.presented(request)
    assert found is not None
    sigv4.verify(request, found, SECRET, now=now, services=frozenset({"service"}), region="us-east-1")
    return found


REQUESTS = [pytest.param(in_header(*case[1:]), id=f"header-{case[0]}") for case in IN_HEADER] + [
    pytest.param(in_query(*case[1:]), id=f"query-{case[0]}") for case in IN_QUERY
]


@pytest.mark.parametrize("request_", REQUESTS)
def test_a_vector_of_the_suite_is_verified(request_):
    found = verify(request_)
    assert (found.access_key_id, found.region, found.service) == ("AKIDEXAMPLE", "us-east-1", "service")


@pytest.mark.parametrize("request_", REQUESTS)
def test_a_vector_is_refused_with_another_secret_region_service_or_time(request_):
    found = sigv4.presented(request_)
    right = {"now": NOW, "services": frozenset({"service"}), "region": "us-east-1"}
    with pytest.raises(AuthenticationError) as other_secret:
        sigv4.verify(request_, found, SECRET + "x", **right)
    assert other_secret.value.code == "SignatureDoesNotMatch"
    for wrong in ({"region": "eu-west-1"}, {"services": frozenset({"airflow"})}):
        with pytest.raises(AuthenticationError) as scope:
            sigv4.verify(request_, found, SECRET, **{**right, **wrong})
        assert scope.value.code == "SignatureDoesNotMatch"
    for apart in (timedelta(hours=-1), timedelta(hours=2)):
        with pytest.raises(AuthenticationError) as late:
            sigv4.verify(request_, found, SECRET, **{**right, "now": NOW + apart})
        assert late.value.code == "RequestExpired"
