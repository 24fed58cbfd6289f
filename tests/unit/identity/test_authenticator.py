"""From the signed request to its principal, with long-term and temporary keys; all others are refused."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import pytest
from botocore import auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from cryptography.fernet import Fernet

from aerodrome.identity import sigv4
from aerodrome.identity.authenticator import Authenticator
from aerodrome.identity.errors import AuthenticationError
from aerodrome.identity.session_tokens import SessionTokens
from aerodrome.identity.vault import Vault
from aerodrome.model.principals import AccessKey
from unit.identity.memory_store import ADA, SESSION, SIDECAR, MemoryIdentityStore, grants

VAULT = Vault(Fernet.generate_key())
TOKENS = SessionTokens(b"a key of the control plane")
SECRET = "ada's secret"
HOUR = timedelta(hours=1)


def key(key_id: str, principal, *, active: bool = True) -> AccessKey:
    return AccessKey(access_key_id=key_id, sealed_secret=VAULT.seal_secret(SECRET), principal=principal, active=active)


@pytest.fixture
def store():
    return MemoryIdentityStore(
        keys={
            "AKIAADA": key("AKIAADA", ADA),
            "AKIAOLD": key("AKIAOLD", ADA, active=False),
            "AKIASIDECAR": key("AKIASIDECAR", SIDECAR),
        },
        grants={who.unique_id.partition(":")[0]: grants() for who in (ADA, SESSION, SIDECAR)},
    )


def signed(key_id: str, secret: str = SECRET, token: str | None = None, *, service="airflow", signer=auth.SigV4Auth):
    request = AWSRequest(method="GET", url="http://localhost:4560/environments")
    signer(Credentials(key_id, secret, token), service, "eu-west-1").add_auth(request)
    url = urlsplit(request.prepare().url)
    headers = [*request.headers.items(), ("Host", url.netloc)]
    return sigv4.SignedRequest("GET", url.path, url.query, headers, hashlib.sha256(b"").hexdigest())


def authenticate(store, request, *, service="airflow", now=None):
    authenticator = Authenticator(store, VAULT, TOKENS, "eu-west-1")
    return authenticator.authenticate(request, now=now or datetime.now(UTC), services=frozenset({service}))


def refused(store, request, **how) -> str:
    with pytest.raises(AuthenticationError) as refusal:
        authenticate(store, request, **how)
    assert SECRET not in str(refusal.value)
    return refusal.value.code


@pytest.mark.parametrize("signer", [auth.SigV4Auth, auth.SigV4QueryAuth])
def test_a_user_s_key_is_the_user_and_its_use_is_noted(store, signer):
    assert authenticate(store, signed("AKIAADA", signer=signer)) == ADA
    assert store.uses == [("AKIAADA", "airflow", "eu-west-1")]


def test_a_service_s_key_is_the_service(store):
    assert authenticate(store, signed("AKIASIDECAR")) == SIDECAR


@pytest.mark.parametrize("signer", [auth.SigV4Auth, auth.SigV4QueryAuth])
def test_a_session_s_key_is_the_session(store, signer):
    issued = TOKENS.issue(SESSION, now=datetime.now(UTC), duration=HOUR)
    request = signed(issued.access_key_id, issued.secret_access_key, issued.session_token, signer=signer)
    assert authenticate(store, request) == issued.principal
    assert store.uses == []


@pytest.mark.parametrize(
    ("service", "code"), [("airflow", "UnrecognizedClientException"), ("sts", "InvalidClientTokenId")]
)
def test_a_key_of_nobody_is_refused_in_the_service_s_words(store, service, code):
    now = datetime.now(UTC)
    issued = TOKENS.issue(SESSION, now=now, duration=HOUR)
    for key_id, token in (
        ("AKIANOBODY", None),
        ("AKIAOLD", None),
        (issued.access_key_id, None),
        ("AKIAADA", issued.session_token),
        (issued.access_key_id, "forged"),
        (issued.access_key_id, issued.session_token[:-4] + "AAAA"),
    ):
        request = signed(key_id, issued.secret_access_key, token, service=service)
        assert refused(store, request, service=service) == code
    assert store.uses == []


def test_a_wrong_secret_is_a_signature_that_does_not_match(store):
    assert refused(store, signed("AKIAADA", "guess")) == "SignatureDoesNotMatch"
    issued = TOKENS.issue(SESSION, now=datetime.now(UTC), duration=HOUR)
    request = signed(issued.access_key_id, "guess", issued.session_token)
    assert refused(store, request) == "SignatureDoesNotMatch"
    assert store.uses == []


def test_an_unsigned_request_has_no_token(store):
    request = replace(signed("AKIAADA"), headers=[("Host", "localhost")])
    assert refused(store, request) == "MissingAuthenticationToken"


def test_a_session_that_is_over_is_told_so(store):
    issued = TOKENS.issue(SESSION, now=datetime.now(UTC) - HOUR, duration=HOUR)
    request = signed(issued.access_key_id, issued.secret_access_key, issued.session_token)
    assert refused(store, request) == "ExpiredToken"


def test_a_session_or_user_that_is_gone_is_nobody(store):
    issued = TOKENS.issue(SESSION, now=datetime.now(UTC), duration=HOUR)
    store.grants.clear()
    request = signed(issued.access_key_id, issued.secret_access_key, issued.session_token)
    assert refused(store, request) == "UnrecognizedClientException"
    assert refused(store, signed("AKIAADA")) == "UnrecognizedClientException"
    assert store.uses == []


def test_a_request_for_another_service_is_refused(store):
    assert refused(store, signed("AKIAADA", service="iam")) == "SignatureDoesNotMatch"
