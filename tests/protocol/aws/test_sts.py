"""The door answers for STS too: whoever may assume a role gets credentials that the door itself takes."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest
from botocore import UNSIGNED
from botocore.exceptions import ClientError
from sqlalchemy.exc import OperationalError

from aerodrome import clock
from aerodrome.api.aws import concurrency
from aerodrome.api.aws.app import LOOKS_AT_ONCE
from aerodrome.identity import execution_role
from aerodrome.model.iam import roles
from aerodrome.model.principals import AccessKey, Granted, PolicyText, Principal, PrincipalKind
from protocol.api.behind import VAULT
from protocol.api.memory import ACCOUNT, Key, policy
from protocol.aws.world import allow

ENVIRONMENT = "one"
NAME = "airflow-env.amazonaws.com"
ROLE, ROLE_ID = f"arn:aws:iam::{ACCOUNT}:role/execution", "AROAEXECUTION"
TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Principal": {"Service": NAME}, "Action": "sts:AssumeRole"}],
    }
)
SERVICE = Key("AKIAAERODROMEABCDEFG", "secret of the service")


@dataclass
class Away:
    """Whether the ledger is away."""

    now: bool = False


@pytest.fixture
def ledger(world, monkeypatch):
    """An environment with an execution role that reads the bucket `mine`, and its service's key."""
    away = Away()

    def execution_roles(name):
        if away.now:
            raise OperationalError("SELECT", {}, Exception("connection refused at 192.0.2.1"))
        return {ROLE} if name == ENVIRONMENT else set()

    monkeypatch.setattr(world, "execution_roles", execution_roles)
    service = Principal(
        kind=PrincipalKind.SERVICE, account=ACCOUNT, arn=NAME, unique_id=NAME, name=NAME, environment=ENVIRONMENT
    )
    world.identity.keys[SERVICE.access_key_id] = AccessKey(
        access_key_id=SERVICE.access_key_id,
        sealed_secret=VAULT.seal_secret(SERVICE.secret),
        principal=service,
        active=True,
    )
    before = world.principals.directory
    world.principals.directory = roles.create(before, "execution", TRUST, unique_id=ROLE_ID, now=clock.now())
    world.identity.trusts[ROLE] = TRUST
    reads = policy(allow("s3:GetObject", "arn:aws:s3:::mine/*"))
    world.identity.grants[ROLE_ID] = Granted(identity=(PolicyText(source="inline", document=reads),))
    yield away
    world.principals.directory = before
    del world.identity.trusts[ROLE], world.identity.grants[ROLE_ID], world.identity.keys[SERVICE.access_key_id]


def assumed(world, key=SERVICE):
    return world.client("sts", key).assume_role(RoleArn=ROLE, RoleSessionName="AmazonMWAA-airflow")["Credentials"]


@dataclass
class Session:
    access_key_id: str
    secret_access_key: str
    session_token: str


@pytest.mark.usefixtures("ledger", "made")
def test_an_environments_service_gets_its_role_and_the_door_takes_the_credentials(world):
    world.entries.clear()
    found = assumed(world)
    session = Session(found["AccessKeyId"], found["SecretAccessKey"], found["SessionToken"])
    assert world.client("sts", session).get_caller_identity()["Arn"].endswith("role/execution/AmazonMWAA-airflow")
    assert world.client("s3", session).get_object(Bucket="mine", Key="k")["Body"].read() == b"old"
    with pytest.raises(ClientError, match="not authorized"):
        world.client("s3", session).get_object(Bucket="theirs", Key="k")
    [entry] = [each for each in world.entries if each.action == execution_role.ACTION and each.allowed]
    assert (entry.environment, entry.resource) == (ENVIRONMENT, ROLE)


@pytest.mark.usefixtures("ledger")
def test_what_the_api_changed_a_moment_ago_counts(world, monkeypatch):
    trusts = dict(world.identity.trusts)
    assumed(world)

    def withdrawn():
        del world.identity.trusts[ROLE]

    monkeypatch.setattr(world, "on_refresh", withdrawn)
    with pytest.raises(ClientError, match="not authorized to perform: sts:AssumeRole"):
        assumed(world)

    def given():
        world.identity.trusts.update(trusts)

    monkeypatch.setattr(world, "on_refresh", given)
    assert assumed(world)


@pytest.mark.usefixtures("ledger")
def test_a_signature_that_proves_nothing_has_nobody_read_iam(world):
    before = world.refreshed
    with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
        assumed(world, Key(SERVICE.access_key_id, "another secret"))
    assert world.refreshed == before
    assumed(world)
    assert world.refreshed == before + 1


@pytest.mark.usefixtures("ledger")
def test_a_key_that_the_api_made_a_moment_ago_is_known(world, monkeypatch):
    late = world.user()
    key = world.identity.keys.pop(late.access_key_id)
    monkeypatch.setattr(world, "on_refresh", lambda: world.identity.keys.update({late.access_key_id: key}))
    assert world.client("sts", late).get_caller_identity()["Arn"]


@pytest.mark.usefixtures("ledger")
def test_sts_counts_against_what_one_principal_may_have_under_way(world, monkeypatch):
    monkeypatch.setattr(concurrency, "MOST_OF_ONE", 0)
    with pytest.raises(ClientError, match="Other requests of yours are under way"):
        assumed(world)
    with pytest.raises(ClientError, match="Other requests of yours are under way"):
        world.client("sts", SERVICE).assume_role_with_web_identity(
            RoleArn=ROLE, RoleSessionName="session", WebIdentityToken="no.real.token"
        )


@pytest.mark.usefixtures("ledger")
def test_nobody_else_gets_it(world):
    with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
        assumed(world, Key(SERVICE.access_key_id, "another secret"))
    with pytest.raises(ClientError, match="InvalidClientTokenId"):
        assumed(world, Key("AKIAUNKNOWNUNKNOWNUN", "x"))
    with pytest.raises(ClientError, match="AccessDenied"):
        assumed(world, world.user())
    with pytest.raises(ClientError, match="MissingAuthenticationToken"):
        world.client("sts", SERVICE, signature_version=UNSIGNED).get_caller_identity()


@pytest.mark.usefixtures("ledger")
def test_the_operation_that_nobody_signs_is_answered(world):
    sts = world.client("sts", SERVICE)
    with pytest.raises(ClientError, match="InvalidIdentityToken"):
        sts.assume_role_with_web_identity(RoleArn=ROLE, RoleSessionName="session", WebIdentityToken="no.real.token")


def test_requests_that_name_service_keys_leave_threads_to_others_while_the_ledger_hangs(world, monkeypatch):
    access_key, ending = world.identity.access_key, threading.Event()
    hanging, more_than_all_share = threading.Semaphore(0), 45

    def hangs(access_key_id):
        if access_key_id == SERVICE.access_key_id:
            hanging.release()
            ending.wait(60)
        return access_key(access_key_id)

    monkeypatch.setattr(world.identity, "access_key", hangs)
    naming = world.client("sts", SERVICE, max_pool_connections=more_than_all_share)
    other = world.client("sts", world.user(), read_timeout=20)
    with ThreadPoolExecutor(more_than_all_share) as pool:
        asked = [pool.submit(naming.get_caller_identity) for _ in range(more_than_all_share)]
        try:
            for _ in range(LOOKS_AT_ONCE):
                assert hanging.acquire(timeout=60)
            while hanging.acquire(timeout=1):  # until no more come
                pass
            assert other.get_caller_identity()["Arn"]
        finally:
            ending.set()
        for each in asked:
            with pytest.raises(ClientError, match="InvalidClientTokenId"):
                each.result()


def test_while_the_ledger_is_away_sts_says_so_and_nothing_of_the_ledger(world, ledger):
    ledger.now = True
    with pytest.raises(ClientError, match="ServiceUnavailable") as told:
        assumed(world)
    assert "192.0.2.1" not in str(told.value)
    ledger.now = False
    assert assumed(world)
