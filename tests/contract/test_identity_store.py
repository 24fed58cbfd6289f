"""IAM's storage as authentication and authorisation see it: three in memory, and the ledger's on a real PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import pytest
from cryptography.fernet import Fernet

from aerodrome.identity.managed_policies.catalogue import policies as aws_policies
from aerodrome.identity.vault import Vault
from aerodrome.ledger.environments import Environments
from aerodrome.ledger.principals import Principals
from aerodrome.model.lifecycle import Event
from aerodrome.model.principals import AccessKey, Granted
from aerodrome.model.spec import Spec
from contract.stages import (
    ACCOUNT,
    Ruled,
    Stage,
    Written,
    document,
    role_arn,
    service,
    session,
    trusting,
    user,
)
from protocol.api.memory import MemoryIdentity
from protocol.iam.world import SERVICE_KEY, MemoryPrincipals
from unit.identity.memory_store import MemoryIdentityStore

NOW = datetime(2026, 1, 1, tzinfo=UTC)
VAULT = Vault(Fernet.generate_key())
READING, WRITING, LIMIT = document("s3:Get*"), document("s3:Put*"), document("s3:*")


@dataclass
class Arranged:
    """A stage, and what becomes of the environment `demo` on it."""

    stage: Stage
    service_key: str
    end_demo: Callable[[], object]


def written(store: MemoryIdentityStore) -> Arranged:
    store.environments = {"demo"}
    store.keys["AKIASERVICE"] = AccessKey(
        access_key_id="AKIASERVICE",
        sealed_secret=VAULT.seal_secret("secret"),
        principal=service("demo"),
        active=True,
    )
    return Arranged(Written(store), "AKIASERVICE", store.environments.clear)


def ruled_in_memory() -> Arranged:
    store = MemoryPrincipals(VAULT)
    return Arranged(Ruled(store), SERVICE_KEY[0], store.environments.clear)


def on_postgresql(engine, spec: Spec) -> tuple[Arranged, Principals]:
    store = Principals(
        engine,
        account=ACCOUNT,
        region="us-east-1",
        seal=VAULT.seal_secret,
        service_key=b"k" * 32,
        aws_policies=aws_policies("aws"),
    )
    environments = Environments(engine, region="us-east-1", account=ACCOUNT)
    made = environments.create("demo", spec, {}, sealed_secrets=b"", quota=1, now=NOW)

    def end_demo() -> None:
        environments.request("demo", Event.DELETE_REQUESTED, NOW)
        environments.request("demo", Event.REMOVED, NOW)

    key_id, _ = store.service_access_key("demo", made.identifier)
    return Arranged(Ruled(store), key_id, end_demo), store


@pytest.fixture(params=["unit", "api", "iam", "postgresql"])
def arranged(request: pytest.FixtureRequest, spec: Spec) -> Iterator[Arranged]:
    match request.param:
        case "unit":
            yield written(MemoryIdentityStore())
        case "api":
            yield written(MemoryIdentity(VAULT))
        case "iam":
            yield ruled_in_memory()
        case _:
            made, store = on_postgresql(request.getfixturevalue("engine"), spec)
            yield made
            store.close()


@pytest.fixture
def stage(arranged: Arranged) -> Stage:
    return arranged.stage


def documents(granted: Granted | None) -> list[str]:
    assert granted is not None
    return [text.document for text in granted.identity]


def test_of_nobody_nothing_is_known(stage):
    store = stage.store
    assert store.access_key("AKIANOBODY") is None
    assert store.access_key("") is None
    assert store.granted(user("ada")) is None
    assert store.granted(session("Engineer", "today")) is None
    assert store.trust(role_arn("Engineer")) is None
    assert store.trust("") is None


@pytest.mark.parametrize("active", [True, False])
def test_a_key_is_its_users_active_or_not(stage, active):
    stage.add_user("ada")
    stage.add_key("ada", "AKIAADA", active=active)
    key = stage.store.access_key("AKIAADA")
    assert (key.access_key_id, key.sealed_secret, key.active) == ("AKIAADA", b"sealed", active)
    assert key.principal == user("ada")
    assert "sealed" not in repr(key)
    assert stage.store.access_key("akiaada") is None


def test_a_user_is_granted_what_it_was_given(stage):
    stage.add_user("ada", READING, WRITING, boundary=LIMIT)
    stage.add_user("bob")
    granted = stage.store.granted(user("ada"))
    assert documents(granted) == [READING, WRITING]
    assert granted.boundary.document == LIMIT
    assert granted.session == ()
    assert stage.store.granted(user("bob")) == Granted(identity=())


def test_a_session_is_granted_what_its_role_has(stage):
    stage.add_role("Engineer", READING)
    assert documents(stage.store.granted(session("Engineer", "today"))) == [READING]
    assert stage.store.granted(session("Engineer", "today")) == stage.store.granted(session("Engineer", "other"))


def test_what_a_session_was_limited_to_comes_with_it(stage):
    stage.add_role("Engineer", READING)
    limited = session("Engineer", "today", session_policies=(WRITING, LIMIT))
    granted = stage.store.granted(limited)
    assert [(text.source, text.document) for text in granted.session] == [
        ("session policy 1", WRITING),
        ("session policy 2", LIMIT),
    ]
    assert documents(granted) == [READING]
    assert stage.store.granted(replace(limited, session_policies=())).session == ()


def test_a_removed_user_is_nobody_at_once(stage):
    stage.add_user("ada", READING)
    stage.add_key("ada", "AKIAADA")
    stage.remove_user("ada")
    assert stage.store.granted(user("ada")) is None
    assert stage.store.access_key("AKIAADA") is None


def test_another_user_of_the_same_name_inherits_nothing(stage):
    stage.add_user("ada", READING)
    stage.remove_user("ada")
    stage.add_user("ada", WRITING, unique_id="AIDAnew")
    assert stage.store.granted(user("ada")) is None
    assert documents(stage.store.granted(user("ada", "AIDAnew"))) == [WRITING]


def test_a_renamed_user_is_no_more_who_it_was(stage):
    stage.add_user("ada", READING)
    stage.rename_user("ada", "grace")
    assert stage.store.granted(user("ada")) is None
    assert documents(stage.store.granted(user("grace", "AIDAada"))) == [READING]


def test_a_session_ends_with_its_role(stage):
    stage.add_role("Engineer", READING)
    stage.remove_role("Engineer")
    assert stage.store.granted(session("Engineer", "today")) is None
    assert stage.store.trust(role_arn("Engineer")) is None
    stage.add_role("Engineer", WRITING, unique_id="AROAnew")
    assert stage.store.granted(session("Engineer", "today")) is None
    assert documents(stage.store.granted(session("Engineer", "today", "AROAnew"))) == [WRITING]


def test_a_role_of_another_path_is_another_role(stage):
    stage.add_role("Engineer", READING, path="/team/")
    assert stage.store.granted(session("Engineer", "today")) is None
    whole = replace(session("Engineer", "today"), role_arn=role_arn("Engineer", "/team/"))
    assert documents(stage.store.granted(whole)) == [READING]


def test_trust_is_that_of_the_role_with_its_path(stage):
    stage.add_role("Engineer", path="/team/")
    trust = stage.store.trust(role_arn("Engineer", "/team/"))
    assert (trust.source, trust.document) == ("trust policy of role Engineer", trusting())
    assert stage.store.trust(role_arn("Engineer")) is None
    assert stage.store.trust(role_arn("engineer", "/team/")) is None


def test_a_service_has_no_policies_and_ends_with_its_environment(arranged):
    store = arranged.stage.store
    key = store.access_key(arranged.service_key)
    assert (key.principal, key.active) == (service("demo"), True)
    assert store.granted(key.principal) == Granted(identity=())
    assert store.granted(service("other")) is None

    arranged.end_demo()
    assert store.access_key(arranged.service_key) is None
    assert store.granted(key.principal) is None


def test_mwaa_itself_serves_before_there_is_an_environment(arranged):
    arranged.end_demo()
    assert arranged.stage.store.granted(service(None)) == Granted(identity=())


def test_a_use_is_noted_and_nobodys_use_does_no_harm(stage):
    stage.add_user("ada")
    stage.add_key("ada", "AKIAADA")
    for key_id in ("AKIAADA", "AKIANOBODY", "AKIAADA"):
        assert stage.store.used(key_id, "airflow", "us-east-1", NOW) is None
    assert stage.store.access_key("AKIAADA").principal == user("ada")
