"""AssumeRoleWithWebIdentity through unmodified boto3, against an issuer on loopback; and tokens that must not pass."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from aerodrome.api.sts import fetching, issuers
from protocol.iam.issuer import AUDIENCE, SUBJECT, issuing
from protocol.iam.refusals import refused
from protocol.iam.world import policy, trust

ROLE = "arn:aws:iam::000000000000:role/Deployer"
ACTION = "sts:AssumeRoleWithWebIdentity"


@pytest.fixture
def issuer():
    with issuing() as found:
        yield found


@pytest.fixture
def provider(iam, issuer):
    """The issuer, registered; its ARN."""
    made = iam.create_open_id_connect_provider(Url=issuer.url, ClientIDList=[AUDIENCE, "second"])
    return made["OpenIDConnectProviderArn"]


@pytest.fixture
def name(provider):
    """What condition keys of the issuer begin with."""
    return provider.partition("oidc-provider/")[2]


@pytest.fixture
def assume(iam, client, provider, name):
    """Assumes the role with a token; the role trusts this subject of this audience."""
    condition = {"StringEquals": {f"{name}:aud": AUDIENCE}, "StringLike": {f"{name}:sub": "repo:org/*"}}
    document = trust({"Federated": provider}, ACTION, Condition=condition)
    iam.create_role(RoleName="Deployer", AssumeRolePolicyDocument=document, MaxSessionDuration=7200)
    unsigned = client("sts", None)

    def run(token, **more):
        return unsigned.assume_role_with_web_identity(
            RoleArn=ROLE, RoleSessionName="ci", WebIdentityToken=token, **more
        )

    return run


def test_a_token_brings_a_session(assume, issuer, provider, client, iam, world):
    iam.put_role_policy(RoleName="Deployer", PolicyName="p", PolicyDocument=policy("iam:ListUsers"))
    answer = assume(issuer.token(), DurationSeconds=7200)
    assert (answer["SubjectFromWebIdentityToken"], answer["Audience"]) == (SUBJECT, AUDIENCE)
    assert answer["Provider"] == provider
    assert answer["AssumedRoleUser"]["Arn"] == "arn:aws:sts::000000000000:assumed-role/Deployer/ci"
    told = world.answers[-1]
    assert (told.action, told.allowed, told.federated) == (ACTION, True, f"{provider}:{SUBJECT}")

    given = answer["Credentials"]
    key = (given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"])
    assert client("iam", key).list_users()["Users"]
    with refused("ValidationError", "MaxSessionDuration"):
        assume(issuer.token(), DurationSeconds=7201)


TAGS = "https://aws.amazon.com/tags"


def test_tags_of_a_token_need_permission_and_become_the_principals(assume, issuer, client, iam, provider):
    claim = {"principal_tags": {"team": ["data"]}}
    with refused("AccessDenied", "sts:TagSession"):
        assume(issuer.token(**{TAGS: claim}))
    only = {"StringEquals": {"aws:RequestTag/team": "data"}}
    tagging = trust({"Federated": provider}, [ACTION, "sts:TagSession"], Condition=only)
    iam.update_assume_role_policy(RoleName="Deployer", PolicyDocument=tagging)
    document = policy("iam:ListUsers", Condition={"StringEquals": {"aws:PrincipalTag/team": "data"}})
    iam.put_role_policy(RoleName="Deployer", PolicyName="p", PolicyDocument=document)
    for written in (claim, json.dumps(claim)):
        given = assume(issuer.token(**{TAGS: written}))["Credentials"]
        key = (given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"])
        assert client("iam", key).list_users()["Users"]
    with refused("AccessDenied"):
        assume(issuer.token(**{TAGS: {"principal_tags": {"team": ["else"]}}}))


@pytest.mark.parametrize(
    ("claim", "code"),
    [
        (["team"], "InvalidIdentityToken"),
        ("no JSON", "InvalidIdentityToken"),
        ({"principal_tags": ["team"]}, "InvalidIdentityToken"),
        ({"principal_tags": {"team": ["a", "b"]}}, "InvalidIdentityToken"),
        ({"principal_tags": {"team": [1]}}, "InvalidIdentityToken"),
        ({"principal_tags": {"team": ["a"], "Team": ["b"]}}, "InvalidIdentityToken"),
        ({"principal_tags": {"k" * 129: ["a"]}}, "InvalidIdentityToken"),
        ({"principal_tags": {str(number): ["a"] for number in range(51)}}, "InvalidIdentityToken"),
        ({"principal_tags": {"team": ["a"]}, "transitive_tag_keys": ["team"]}, "ValidationError"),
    ],
)
def test_tags_that_are_none_are_refused(assume, issuer, claim, code):
    with refused(code):
        assume(issuer.token(**{TAGS: claim}))


def test_a_session_policy_limits_it(assume, issuer, client):
    given = assume(issuer.token(), Policy=policy("s3:*"))["Credentials"]
    key = (given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"])
    with refused("AccessDenied"):
        client("iam", key).list_users()


def test_keys_are_fetched_once(assume, issuer):
    for _ in range(3):
        assume(issuer.token())
    assert issuer.asked == ["/realm/.well-known/openid-configuration", "/realm/keys"]


def test_elliptic_curves_are_taken(assume, issuer):
    key = ec.generate_private_key(ec.SECP256R1())
    issuer.publish(key, "ec", alg="ES256")
    assert assume(issuer.token(key=key, algorithm="ES256", headers={"kid": "ec"}))["Credentials"]


def test_the_trust_policy_has_the_last_word(assume, issuer, iam, provider, name):
    with refused("AccessDenied", f"not authorized to perform: {ACTION} on resource: {ROLE}", status=403):
        assume(issuer.token(sub="repo:other/dags"))
    with refused("AccessDenied"):
        assume(issuer.token(aud="second"))
    document = trust({"Federated": provider}, ACTION, Condition={"ForAnyValue:StringEquals": {f"{name}:amr": "mfa"}})
    iam.update_assume_role_policy(RoleName="Deployer", PolicyDocument=document)
    assert assume(issuer.token(amr=["pwd", "mfa"]))["Credentials"]
    with refused("AccessDenied"):
        assume(issuer.token(amr=["pwd"]))
    iam.update_assume_role_policy(
        RoleName="Deployer", PolicyDocument=trust({"AWS": "arn:aws:iam::000000000000:root"}, "sts:AssumeRole")
    )
    with refused("AccessDenied"):
        assume(issuer.token(amr=["mfa"]))


def test_who_the_token_is_for_is_who_asked_for_it(assume, issuer):
    assert assume(issuer.token(aud=["elsewhere", AUDIENCE]))["Audience"] == AUDIENCE
    with refused("InvalidIdentityToken", "Incorrect token audience", status=400):
        assume(issuer.token(aud="elsewhere"))
    with refused("InvalidIdentityToken", "Incorrect token audience"):
        assume(issuer.token(azp="elsewhere"))
    with refused("InvalidIdentityToken", "Incorrect token audience"):
        assume(issuer.token(aud=None))


def encoded(part):
    return base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()


def test_no_algorithm_without_a_public_key_is_taken(assume, issuer):
    claims = jwt.decode(issuer.token(), options={"verify_signature": False})
    public = issuer.key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    for algorithm in ("none", "None", "NONE", "HS256"):
        head = f"{encoded({'alg': algorithm, 'typ': 'JWT', 'kid': 'k1'})}.{encoded(claims)}"
        mac = base64.urlsafe_b64encode(hmac.digest(public, head.encode(), hashlib.sha256)).rstrip(b"=").decode()
        for signature in ("", mac):
            with refused("InvalidIdentityToken", status=400):
                assume(f"{head}.{signature}")


def test_a_shared_secret_in_the_key_set_is_no_key(assume, issuer):
    secret = "s" * 64
    issuer.keys.append(
        {"kty": "oct", "kid": "shared", "alg": "HS256", "k": base64.urlsafe_b64encode(secret.encode()).decode()}
    )
    with refused("InvalidIdentityToken"):
        assume(issuer.token(key=secret, algorithm="HS256", headers={"kid": "shared"}))


def test_another_key_another_algorithm_or_a_changed_token_is_refused(assume, issuer):
    other = rsa.generate_private_key(65537, 2048)
    head, claims, signature = issuer.token().split(".")
    _, others, _ = issuer.token(sub="repo:org/else").split(".")
    issuer.publish(other, "only-512", alg="RS512")
    for token in (
        issuer.token(key=other),
        issuer.token(headers={"kid": "unknown"}),
        issuer.token(key=other, headers={"kid": "only-512"}),
        f"{head}.{others}.{signature}",
        f"{head}.{claims}.",
        f"{head}.{claims}",
        "not a token at all",
        issuer.token(
            headers={"kid": "k1", "jwk": jwt.algorithms.RSAAlgorithm.to_jwk(other.public_key(), as_dict=True)},
            key=other,
        ),
        issuer.token(headers={"kid": "k1", "jku": f"{issuer.url}/mine"}, key=other),
    ):
        with refused("InvalidIdentityToken", status=400):
            assume(token)
    assert set(issuer.asked) == {"/realm/.well-known/openid-configuration", "/realm/keys"}


@pytest.mark.parametrize(
    ("claims", "code"),
    [
        ({"exp": datetime.now(UTC) - timedelta(seconds=1)}, "ExpiredTokenException"),
        ({"exp": None}, "InvalidIdentityToken"),
        ({"exp": "tomorrow"}, "InvalidIdentityToken"),
        ({"exp": 1e300}, "InvalidIdentityToken"),
        ({"iat": None}, "InvalidIdentityToken"),
        ({"iat": datetime.now(UTC) + timedelta(hours=1)}, "InvalidIdentityToken"),
        ({"nbf": datetime.now(UTC) + timedelta(hours=1)}, "InvalidIdentityToken"),
        ({"sub": None}, "InvalidIdentityToken"),
        ({"sub": ""}, "InvalidIdentityToken"),
        ({"sub": "x" * 256}, "InvalidIdentityToken"),
        ({"sub": "a\nb"}, "InvalidIdentityToken"),
        ({"iss": "https://issuer.example"}, "InvalidIdentityToken"),
        ({"iss": None}, "InvalidIdentityToken"),
    ],
)
def test_claims_that_do_not_hold(assume, issuer, claims, code):
    with refused(code):
        assume(issuer.token(**claims))


def test_an_issuer_that_is_not_registered_is_not_asked(assume, iam, issuer, provider):
    iam.delete_open_id_connect_provider(OpenIDConnectProviderArn=provider)
    with refused("InvalidIdentityToken", "No OpenIDConnect provider found in your account for http://127.0.0.1"):
        assume(issuer.token())
    assert issuer.asked == []


@pytest.mark.parametrize(
    "arranged",
    [
        {"status": 500},
        {"status": 302},
        {"body": b"no json"},
        {"body": b"[1]"},
        {"body": b'{"x": "' + b"x" * fetching.LONGEST + b'"}'},
        {"discovery": {"issuer": "http://127.0.0.1/other"}},
        {"discovery": {"jwks_uri": "http://issuer.example/keys"}},
        {"discovery": {"jwks_uri": "file:///etc/passwd"}},
        {"discovery": {"jwks_uri": 7}},
        {"discovery": {"jwks_uri": "http://127.0.0.1:1/keys"}},
        {"keys": {"k1": "no list"}},
    ],
)
def test_an_issuer_that_cannot_be_asked_is_told_of_and_left_alone_for_a_while(assume, issuer, arranged):
    for member, value in arranged.items():
        setattr(issuer, member, value)
    with refused("IDPCommunicationError", "cannot be asked", status=400):
        assume(issuer.token())
    asked = len(issuer.asked)
    with refused("IDPCommunicationError"):
        assume(issuer.token())
    assert len(issuer.asked) == asked
    assert "/realm/elsewhere" not in issuer.asked


def test_keys_that_are_no_keys_are_passed_over(assume, issuer):
    weak = rsa.generate_private_key(65537, 1024)  # noqa: S505 - the point of the test
    issuer.publish(weak, "weak")
    issuer.keys += ["no object", {"kty": "RSA"}, {"kty": "RSA", "kid": 1}, {"kty": "EC", "crv": "?", "kid": "x"}]
    assert assume(issuer.token())["Credentials"]
    with pytest.warns(jwt.warnings.InsecureKeyLengthWarning):
        token = issuer.token(key=weak, headers={"kid": "weak"})
    with refused("InvalidIdentityToken"):
        assume(token)


def test_a_new_key_is_looked_for_once_a_minute_and_old_ones_go_after_an_hour(assume, issuer, world):
    now = [0.0]
    world.deps.issuers._monotonic = lambda: now[0]
    assume(issuer.token())
    new = rsa.generate_private_key(65537, 2048)
    token = issuer.token(key=new, headers={"kid": "k2"})
    issuer.keys.clear()
    issuer.publish(new, "k2")
    with refused("InvalidIdentityToken"):
        assume(token)
    now[0] = issuers.FOR_NEW_KEY
    assert assume(token)["Credentials"]
    with refused("InvalidIdentityToken"):
        assume(issuer.token())

    issuer.status = 500
    now[0] += issuers.KEPT
    with refused("IDPCommunicationError"):
        assume(token)
    issuer.status = 200
    now[0] += issuers.AFTER_FAILURE
    assert assume(token)["Credentials"]


def test_nothing_else_is_answered_without_a_signature(client, world):
    with refused("MissingAuthenticationToken", status=403):
        client("iam", None).list_users()
    assert (world.answers[-1].action, world.answers[-1].allowed) == ("iam:ListUsers", False)
