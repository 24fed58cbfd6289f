"""What botocore signs is verified; nothing else is, and no request makes the verification fail in any other way."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from urllib.parse import quote, urlsplit

import pytest
from botocore import auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import assume, given
from hypothesis import strategies as st

from aerodrome.identity import sigv4
from aerodrome.identity.errors import AuthenticationError

SECRET = "a-secret-of-nobody"
REGION = "eu-west-1"
SERVICES = frozenset({"airflow"})

TEXTS = st.text(st.characters(min_codepoint=1, exclude_categories=["Cs"]), max_size=20)
NAMES = TEXTS.filter(lambda text: text != "" and not text.startswith("X-Amz-"))
PATHS = st.lists(TEXTS, max_size=4).map(lambda parts: "/" + "/".join(quote(part, safe="~") for part in parts))
QUERIES = st.dictionaries(NAMES, TEXTS, max_size=4)
HEADERS = st.dictionaries(
    st.from_regex(r"[Xx]-[A-Za-z][A-Za-z0-9-]{0,10}", fullmatch=True).filter(
        lambda name: not name.lower().startswith("x-amz")
    ),
    st.text(st.characters(min_codepoint=32, max_codepoint=0x2FF, exclude_characters="\x7f\x85\xa0"), max_size=20),
    max_size=3,
)


def received(signed: AWSRequest, method: str, body: bytes) -> sigv4.SignedRequest:
    """The request as a server sees it on the wire."""
    url = urlsplit(signed.prepare().url)
    headers = [(name, value.encode().decode("latin-1")) for name, value in signed.headers.items()]
    if "Host" not in signed.headers:
        headers.append(("Host", url.netloc))
    return sigv4.SignedRequest(method, url.path, url.query, headers, hashlib.sha256(body).hexdigest())


def sign(signer, method="GET", path="/environments/one", query=None, headers=None, body=b"", **kwargs):
    service = kwargs.pop("service", "airflow")
    credentials = Credentials("AKIAEXAMPLE", SECRET, kwargs.pop("token", None))
    request = AWSRequest(
        method=method, url=f"http://localhost:4560{path}", params=query or {}, headers=headers or {}, data=body
    )
    signer(credentials, service, REGION, **kwargs).add_auth(request)
    return received(request, method, body)


def check(request: sigv4.SignedRequest, *, now=None, services=SERVICES, region=REGION, secret=SECRET):
    found = sigv4.presented(request)
    assert found is not None
    sigv4.verify(request, found, secret, now=now or datetime.now(UTC), services=services, region=region)
    return found


def refused(request: sigv4.SignedRequest, **how) -> str:
    """The code of the refusal."""
    with pytest.raises(AuthenticationError) as refusal:
        check(request, **how)
    assert SECRET not in str(refusal.value)
    return refusal.value.code


@given(st.sampled_from(["GET", "POST", "DELETE"]), PATHS, QUERIES, HEADERS, st.binary(max_size=50))
def test_what_botocore_signs_in_the_header_is_verified(method, path, query, headers, body):
    found = check(sign(auth.SigV4Auth, method, path, query, headers, body))
    assert not found.is_presigned
    assert found.session_token is None


@given(PATHS, QUERIES, HEADERS, st.integers(600, sigv4.LONGEST_EXPIRY), st.none() | st.just("a/token+of=words"))
def test_what_botocore_presigns_is_verified(path, query, headers, expires, token):
    found = check(sign(auth.SigV4QueryAuth, "GET", path, query, headers, expires=expires, token=token))
    assert found.is_presigned
    assert (found.expires, found.session_token) == (expires, token)


@given(PATHS, QUERIES, st.binary(max_size=50))
def test_what_botocore_signs_for_s3_is_verified(path, query, body):
    check(sign(auth.S3SigV4Auth, "PUT", path, query, body=body, service="s3"), services=frozenset({"s3"}))


def test_an_s3_url_presigned_by_botocore_is_verified_whatever_its_body():
    request = sign(auth.S3SigV4QueryAuth, "PUT", service="s3")
    check(replace(request, body_sha256=None), services=frozenset({"s3"}))


@given(
    st.sampled_from([auth.SigV4Auth, auth.SigV4QueryAuth]),
    st.sampled_from(["method", "raw_path", "raw_query", "body", "host", "header"]),
    st.text(st.characters(min_codepoint=97, max_codepoint=122), min_size=1, max_size=5),
)
def test_any_change_to_what_was_signed_is_refused(signer, part, text):
    request = sign(signer, "POST", "/environments/one", {"a": "b"}, {"X-Shape": "round"})
    changed = {
        "method": lambda: replace(request, method=text),
        "raw_path": lambda: replace(request, raw_path=f"{request.raw_path}{text}"),
        "raw_query": lambda: replace(request, raw_query=f"{text}=&{request.raw_query}"),
        "body": lambda: replace(request, body_sha256=hashlib.sha256(text.encode()).hexdigest()),
        "host": lambda: with_header(request, "host", text),
        "header": lambda: with_header(request, "x-shape", text),
    }[part]()
    assume(changed != request)
    assert refused(changed) == "SignatureDoesNotMatch"


def with_header(request: sigv4.SignedRequest, name: str, value: str) -> sigv4.SignedRequest:
    headers = [(key, value if key.lower() == name else old) for key, old in request.headers]
    return replace(request, headers=headers)


def without_header(request: sigv4.SignedRequest, name: str) -> sigv4.SignedRequest:
    return replace(request, headers=[pair for pair in request.headers if pair[0].lower() != name])


@pytest.mark.parametrize("signer", [auth.SigV4Auth, auth.SigV4QueryAuth])
@pytest.mark.parametrize("path", ["/environments/one%2Ftwo", "/environments/%2e%2e/one", "/environments/one%252Ftwo"])
def test_an_encoded_path_is_not_signed_by_its_decoded_form(signer, path):
    request = sign(signer, path=path)
    check(request)
    for other in ("/environments/one/two", "/one", "/environments/../one", "/environments/one%2Ftwo%", "http://x/"):
        assert refused(replace(request, raw_path=other)) == "SignatureDoesNotMatch"


def test_a_swap_of_a_space_and_a_plus_sign_is_refused():
    request = sign(auth.SigV4Auth, query={"a": "b+c"})
    assert request.raw_query == "a=b%2Bc"
    assert refused(replace(request, raw_query="a=b+c")) == "SignatureDoesNotMatch"


@pytest.mark.parametrize("name", ["x-amz-target", "X-Amz-Content-Sha256", "x-AMZ-security-token"])
@pytest.mark.parametrize("signer", [auth.SigV4Auth, auth.SigV4QueryAuth])
def test_an_amazon_header_that_is_not_signed_is_refused(signer, name):
    request = sign(signer)
    assert refused(replace(request, headers=[*request.headers, (name, "x")])) == "SignatureDoesNotMatch"


def test_a_signed_header_that_is_gone_is_refused():
    request = sign(auth.SigV4Auth, headers={"X-Shape": ""})
    check(request)
    assert refused(without_header(request, "x-shape")) == "SignatureDoesNotMatch"


@pytest.mark.parametrize("name", ["host", "x-amz-date", "x-amz-security-token", "authorization"])
def test_a_header_that_must_be_single_is_refused_twice(name):
    request = sign(auth.SigV4Auth, token="one")
    assert refused(replace(request, headers=[*request.headers, (name, "x")])) == "IncompleteSignature"


@pytest.mark.parametrize("unsigned", ["host", "x-amz-date"])
def test_the_host_and_the_date_must_be_signed(unsigned):
    request = sign(auth.SigV4Auth)
    [text] = [value for name, value in request.headers if name.lower() == "authorization"]
    kept = {"host": "x-amz-date", "x-amz-date": "host"}[unsigned]
    altered = text.replace("SignedHeaders=host;x-amz-date", f"SignedHeaders={kept}")
    assert altered != text
    assert refused(with_header(request, "authorization", altered)) == "SignatureDoesNotMatch"


def test_the_date_header_stands_in_for_the_amazon_one():
    request = sign(auth.SigV4Auth, headers={"Date": "now"})
    assert "x-amz-date" not in {name.lower() for name, _ in request.headers}
    check(request)
    assert refused(with_header(request, "date", "Thu, 32 Foo")) == "IncompleteSignature"
    assert refused(without_header(request, "date")) == "IncompleteSignature"


@pytest.mark.parametrize(
    ("minutes", "holds"), [(0, True), (14, True), (-14, True), (16, False), (-16, False), (1440, False)]
)
def test_a_signature_in_the_header_holds_for_a_quarter_of_an_hour_around_it(minutes, holds):
    request = sign(auth.SigV4Auth)
    now = datetime.now(UTC) + timedelta(minutes=minutes)
    if holds:
        check(request, now=now)
    else:
        assert refused(request, now=now) == "RequestExpired"


def test_a_presigned_url_holds_as_long_as_it_says():
    request = sign(auth.SigV4QueryAuth, expires=60)
    check(request, now=datetime.now(UTC) + timedelta(seconds=50))
    assert refused(request, now=datetime.now(UTC) + timedelta(seconds=70)) == "RequestExpired"
    assert refused(request, now=datetime.now(UTC) - timedelta(minutes=16)) == "RequestExpired"


@pytest.mark.parametrize("expires", [0, -1, sigv4.LONGEST_EXPIRY + 1, "1e3", "9" * 30])
def test_a_presigned_url_must_hold_for_a_second_to_a_week(expires):
    assert refused(sign(auth.SigV4QueryAuth, expires=expires)) == "IncompleteSignature"


@pytest.mark.parametrize("service", ["iam", "sts"])
def test_global_services_may_be_signed_for_their_partition_s_region(service):
    credentials = Credentials("AKIAEXAMPLE", SECRET)
    request = AWSRequest(method="GET", url="http://localhost:4560/")
    auth.SigV4Auth(credentials, service, "us-east-1").add_auth(request)
    check(received(request, "GET", b""), services=frozenset({service}))
    assert refused(received(request, "GET", b""), services=frozenset({service}), region="cn-north-1")


def test_an_unsigned_payload_is_for_s3_and_presigned_urls_alone():
    headers = {"X-Amz-Content-SHA256": sigv4.UNSIGNED}
    request = sign(auth.SigV4Auth, "POST", headers=headers)
    assert refused(request) == "SignatureDoesNotMatch"


def test_a_body_that_was_not_read_proves_nothing():
    assert refused(replace(sign(auth.SigV4Auth), body_sha256=None)) == "SignatureDoesNotMatch"


def test_a_declared_body_hash_must_be_the_real_one():
    empty = hashlib.sha256(b"").hexdigest()
    request = sign(auth.SigV4Auth, "POST", headers={"X-Amz-Content-SHA256": empty}, body=b"")
    check(request)
    assert refused(replace(request, body_sha256=hashlib.sha256(b"x").hexdigest())) == "SignatureDoesNotMatch"


def test_both_forms_at_once_are_refused():
    request = sign(auth.SigV4QueryAuth)
    extra = [pair for pair in sign(auth.SigV4Auth).headers if pair[0].lower() != "host"]
    assert refused(replace(request, headers=[*request.headers, *extra])) == "IncompleteSignature"


@pytest.mark.parametrize("name", [*sigv4._IN_QUERY, "X-Amz-Signature"])
def test_a_parameter_of_the_signature_is_refused_twice_and_not_at_all(name):
    request = sign(auth.SigV4QueryAuth)
    assert refused(replace(request, raw_query=f"{request.raw_query}&{name}=1")) == "IncompleteSignature"
    others = [pair for pair in request.raw_query.split("&") if not pair.startswith(f"{name}=")]
    assert refused(replace(request, raw_query="&".join(others))) == "IncompleteSignature"


class _WithoutHost(auth.SigV4Auth):
    """Signs all but the host, so that the signature is right and covers too little."""

    def headers_to_sign(self, request):
        headers = super().headers_to_sign(request)
        del headers["host"]
        return headers


def _dated(stamp: str) -> AWSRequest:
    request = AWSRequest(method="GET", url="http://localhost/")
    request.context["timestamp"] = stamp
    return request


class _OtherDay(auth.SigV4Auth):
    """Signs today with the key of another day."""

    def scope(self, request):
        return f"{self.credentials.access_key}/{self.credential_scope(request)}"

    def credential_scope(self, request):  # noqa: ARG002  (botocore's signature)
        return f"20200101/{self._region_name}/{self._service_name}/aws4_request"

    def signature(self, string_to_sign, request):  # noqa: ARG002  (botocore's signature)
        return super().signature(string_to_sign, _dated("20200101"))


@pytest.mark.parametrize(
    ("signer", "words"), [(_WithoutHost, "'Host' must be"), (_OtherDay, "Date in Credential scope")]
)
def test_a_right_signature_over_too_little_is_refused(signer, words):
    request = sign(signer)
    found = sigv4.presented(request)
    assert found is not None
    with pytest.raises(AuthenticationError, match=words) as refusal:
        sigv4.verify(request, found, SECRET, now=datetime.now(UTC), services=SERVICES, region=REGION)
    assert refusal.value.code == "SignatureDoesNotMatch"


@pytest.mark.parametrize(
    "headers", [[], [("Authorization", "Bearer x")], [("Authorization", "Basic eA==")], [("Authorization", "")]]
)
def test_a_request_without_such_a_signature_presents_none(headers):
    assert sigv4.presented(sigv4.SignedRequest("GET", "/", "a=b", headers, None)) is None


SCOPE = "AKIAEXAMPLE/20240101/eu-west-1/airflow/aws4_request"
GOOD = f"AWS4-HMAC-SHA256 Credential={SCOPE}, SignedHeaders=host;x-amz-date, Signature={'0' * 64}"


@pytest.mark.parametrize(
    ("authorization", "code"),
    [
        ("AWS4-HMAC-SHA256", "IncompleteSignature"),
        ("AWS4-ECDSA-P256-SHA256 " + GOOD.partition(" ")[2], "IncompleteSignature"),
        (GOOD.replace("Credential=", "Credentials="), "IncompleteSignature"),
        (GOOD.replace(SCOPE, "AKIAEXAMPLE/20240101/airflow/aws4_request"), "IncompleteSignature"),
        (GOOD.replace(SCOPE, f"a/{SCOPE}"), "IncompleteSignature"),
        (GOOD.replace("AKIAEXAMPLE", ""), "IncompleteSignature"),
        (GOOD.replace("AKIAEXAMPLE", "A" * 129), "IncompleteSignature"),
        (GOOD.replace("aws4_request", "aws5_request"), "SignatureDoesNotMatch"),
        (GOOD.replace("host;x-amz-date", "x-amz-date;host"), "IncompleteSignature"),
        (GOOD.replace("host;x-amz-date", "host;host;x-amz-date"), "IncompleteSignature"),
        (GOOD.replace("host;x-amz-date", "Host;x-amz-date"), "IncompleteSignature"),
        (GOOD.replace("host;x-amz-date", "host;;x-amz-date"), "IncompleteSignature"),
        (GOOD.replace("Signature=", "Signature=x, Signature="), "IncompleteSignature"),
        (GOOD.replace("0" * 64, "é" * 64), "SignatureDoesNotMatch"),
        (GOOD.replace("0" * 64, "0" * 63), "SignatureDoesNotMatch"),
        (GOOD, "SignatureDoesNotMatch"),
    ],
)
def test_malformed_authorization_headers_are_refused_with_aws_s_codes(authorization, code):
    headers = [("Host", "x"), ("X-Amz-Date", "20240101T000000Z"), ("Authorization", authorization)]
    empty = hashlib.sha256(b"").hexdigest()
    request = sigv4.SignedRequest("GET", "/", "", headers, empty)
    assert refused(request, now=datetime(2024, 1, 1, tzinfo=UTC)) == code


def test_oversized_requests_are_refused_before_anything_is_computed():
    request = sign(auth.SigV4Auth)
    for large in (
        replace(request, raw_path="/" * (sigv4.MAX_PATH + 1)),
        replace(request, raw_query="&" * (sigv4.MAX_QUERY + 1)),
        replace(request, headers=[*request.headers, ("X", "x" * sigv4.MAX_HEADERS)]),
        replace(request, headers=[*request.headers, *[("X", "")] * sigv4.MAX_HEADER_COUNT]),
    ):
        assert refused(large) == "IncompleteSignature"


WILD = st.text(max_size=30)
MARKS = st.sampled_from(
    [*GOOD.replace(",", " ").replace("=", " ").split(), GOOD, "Authorization", "X-Amz-Date", "20240101T000000Z", "host"]
)
PIECES = st.lists(WILD | MARKS | st.sampled_from([",", "=", ";", "/", " ", "%", "&", "+"]), max_size=8).map("".join)
QUERY_NAMES = st.sampled_from([*sigv4._IN_QUERY, "X-Amz-Signature", "X-Amz-Security-Token", "a"])
HOSTILE_QUERY = st.lists(st.tuples(QUERY_NAMES, PIECES), max_size=9).map(
    lambda pairs: "&".join(f"{name}={value}" for name, value in pairs)
)


@given(
    PIECES,
    PIECES,
    PIECES | HOSTILE_QUERY,
    st.lists(st.tuples(PIECES | st.sampled_from(["Authorization", "X-Amz-Date", "Host", "Date"]), PIECES), max_size=6),
    st.none() | WILD,
)
def test_no_request_does_anything_but_fail_to_authenticate(method, path, query, headers, body):
    request = sigv4.SignedRequest(method, path, query, headers, body)
    try:
        found = sigv4.presented(request)
        if found is None:
            return
        sigv4.verify(request, found, SECRET, now=datetime(2024, 1, 1, tzinfo=UTC), services=SERVICES, region=REGION)
    except AuthenticationError:
        return
    raise AssertionError("a signature was guessed")
