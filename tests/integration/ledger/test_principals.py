"""IAM's directory on a real PostgreSQL: durable, one transaction a change, and what requests are judged by."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from cryptography.fernet import Fernet

from aerodrome.identity.managed_policies.catalogue import policies as aws_policies
from aerodrome.identity.vault import Vault
from aerodrome.ledger import schema
from aerodrome.ledger.environments import Environments
from aerodrome.ledger.principals import Principals
from aerodrome.model import defaults
from aerodrome.model.iam import grants, groups, holders, policies, providers, roles, users
from aerodrome.model.iam.errors import IamError
from aerodrome.model.principals import Principal, PrincipalKind

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
ACCOUNT = "000000000000"
READ_ONLY = "arn:aws:iam::aws:policy/AmazonMWAAReadOnlyAccess"
DOCUMENT = '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}'
TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Principal": {"AWS": ACCOUNT}, "Action": "sts:AssumeRole"}],
    }
)
VAULT = Vault(Fernet.generate_key())


@pytest.fixture
def opened(engine):
    """Opens the directory anew, as a control plane that starts does."""
    made = []

    def open_again():
        made.append(
            Principals(
                engine,
                account=ACCOUNT,
                region="us-east-1",
                seal=VAULT.seal_secret,
                service_key=b"k" * 32,
                aws_policies=aws_policies("aws"),
            )
        )
        return made[-1]

    yield open_again
    for each in made:
        each.close()


@pytest.fixture
def principals(opened):
    return opened()


def add_user(store, name="ada", **more):
    return store.change(lambda iam: users.create(iam, name, unique_id=f"AIDA{name}", now=NOW, **more)).user(name)


def add_role(store, name="Engineer", **more):
    made = store.change(lambda iam: roles.create(iam, name, TRUST, unique_id=f"AROA{name}", now=NOW, **more))
    return made.role(name)


def add_key(store, user, key_id="AKIAADA"):
    sealed = VAULT.seal_secret("secret")
    store.change(lambda iam: users.create_key(iam, user, access_key_id=key_id, sealed_secret=sealed, now=NOW))


def everything(iam):
    """One of each, with all its fields used."""
    iam = users.create(iam, "ada", path="/team/", tags={"b": "2", "a": "é"}, unique_id="AIDA1", now=NOW)
    iam = users.create_key(iam, "ada", access_key_id="AKIAADA", sealed_secret=b"sealed", now=NOW)
    iam = groups.create(iam, "Data", unique_id="AGPA1", now=NOW)
    iam = groups.add_user(iam, "Data", "ada")
    iam = policies.create(iam, "own", DOCUMENT, description="words", tags={"k": "v"}, unique_id="ANPA1", now=NOW)
    own = "arn:aws:iam::000000000000:policy/own"
    iam, _ = policies.create_version(iam, own, DOCUMENT, set_as_default=True, now=NOW + timedelta(seconds=1))
    iam = holders.attach(iam, iam.group("Data"), READ_ONLY)
    iam = holders.put_boundary(iam, iam.user("ada"), own)
    iam = roles.create(
        iam, "Engineer", TRUST, description="d", max_session_seconds=7200, unique_id="AROA1", now=NOW, boundary=own
    )
    iam = holders.put_inline(iam, iam.role("Engineer"), "in", DOCUMENT)
    return providers.create(
        iam, "https://issuer.example/path", client_ids=["a", "b"], thumbprints=["a" * 40], tags={"k": "v"}, now=NOW
    )


def test_everything_outlives_the_process(principals, opened):
    made = principals.change(everything)
    assert opened().directory == made


def test_what_is_removed_stays_removed(principals, opened):
    principals.change(everything)

    def away(iam):
        iam = providers.delete(iam, "arn:aws:iam::000000000000:oidc-provider/issuer.example/path")
        iam = groups.remove_user(iam, "Data", "ada")
        iam = holders.detach(iam, iam.group("Data"), READ_ONLY)
        iam = groups.delete(iam, "Data")
        iam = users.delete_key(iam, "ada", "AKIAADA")
        return users.delete(iam, "ada")

    left = principals.change(away)
    assert opened().directory == left
    assert (left.users, left.groups, left.providers, left.keys) == ({}, {}, {}, {})
    assert principals.access_key("AKIAADA") is None


def test_a_renamed_user_keeps_keys_groups_and_policies(principals, opened):
    principals.change(everything)
    principals.change(lambda iam: users.update(iam, "ada", new_name="Ada", new_path="/"))
    for store in (principals, opened()):
        assert set(store.directory.users) == {"ada"}
        assert store.access_key("AKIAADA").principal.arn == "arn:aws:iam::000000000000:user/Ada"
        assert [each.name for each in store.directory.groups_of(store.directory.user("Ada"))] == ["Data"]


def test_a_refused_change_leaves_nothing_behind(principals, opened):
    add_user(principals)

    def half(iam):
        iam = users.create(iam, "grace", unique_id="AIDAgrace", now=NOW)
        return users.create(iam, "ADA", unique_id="AIDAother", now=NOW)

    with pytest.raises(IamError, match="User with name ADA already exists") as refused:
        principals.change(half)
    assert refused.value.code == "EntityAlreadyExists"
    assert set(principals.directory.users) == set(opened().directory.users) == {"ada"}


def test_of_many_who_create_one_name_one_succeeds(principals, opened):
    def create(number):
        try:
            principals.change(lambda iam: users.create(iam, "ada", unique_id=f"AIDA{number}", now=NOW))
        except IamError:
            return 0
        return 1

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(create, range(16))) == 1
    assert opened().directory == principals.directory


def test_two_directories_over_one_database_do_not_undo_each_other(principals, opened):
    other = opened()
    add_user(principals, "ada")
    add_user(other, "grace")
    assert set(other.directory.users) == {"ada", "grace"} == set(opened().directory.users)


def test_granted_gathers_the_policies_of_user_groups_and_boundary(principals):
    principals.change(everything)
    ada = principals.access_key("AKIAADA").principal
    granted = principals.granted(ada)
    assert [text.source for text in granted.identity] == ["managed policy AmazonMWAAReadOnlyAccess of group Data"]
    assert granted.boundary.source == "permissions boundary own of user ada"
    assert granted.session == ()
    assert ada.tags == {"a": "é", "b": "2"}


def test_who_is_gone_or_another_of_the_same_name_has_nothing(principals):
    add_user(principals)
    role = add_role(principals)
    ada = grants.user_principal(principals.directory.user("ada"), ACCOUNT)
    session = grants.session_principal(role, principals.directory, "grace")
    assert principals.granted(ada) is not None
    assert principals.granted(session) is not None

    principals.change(lambda iam: roles.delete(users.delete(iam, "ada"), "Engineer"))
    assert principals.granted(ada) is None
    assert principals.granted(session) is None
    principals.change(lambda iam: users.create(iam, "ada", unique_id="AIDAnew", now=NOW))
    principals.change(lambda iam: roles.create(iam, "Engineer", TRUST, unique_id="AROAnew", now=NOW))
    assert principals.granted(ada) is None
    assert principals.granted(session) is None


def test_a_boundary_that_cannot_be_found_denies_everything(principals):
    principals.change(everything)
    with principals._engine.begin() as connection:
        connection.execute(sa.delete(schema.iam_entity).where(schema.iam_entity.c.kind == "policy"))
    add_user(principals, "grace")  # reads the tables anew
    granted = principals.granted(principals.access_key("AKIAADA").principal)
    assert granted.boundary.document == grants.DENY_ALL


def test_trust_is_that_of_the_role_with_its_path(principals):
    role = add_role(principals, path="/team/")
    assert principals.trust(role.arn).document == TRUST
    assert principals.trust("arn:aws:iam::000000000000:role/Engineer") is None


def test_the_first_administrator_is_made_once(principals, opened):
    key = principals.ensure_administrator(NOW)
    assert principals.ensure_administrator(NOW) is None
    again = opened()
    assert again.ensure_administrator(NOW) is None

    found = again.access_key(key.access_key_id)
    assert VAULT.open_secret(found.sealed_secret) == key.secret_access_key
    assert key.secret_access_key not in repr(key)
    assert len(key.secret_access_key) == 40
    assert (found.active, found.principal.arn) == (True, "arn:aws:iam::000000000000:user/administrator")
    sources = [text.source for text in again.granted(found.principal).identity]
    assert sources == ["managed policy AdministratorAccess of user administrator"]


def test_an_administrator_whose_key_cannot_be_kept_is_not_made(principals, opened):
    def fails(_key):
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="full"):
        principals.ensure_administrator(NOW, keep=fails)
    assert principals.directory.users == opened().directory.users == {}
    kept = []
    assert [principals.ensure_administrator(NOW, keep=kept.append)] == kept
    assert principals.ensure_administrator(NOW, keep=fails) is None


def test_no_secret_lies_open_in_the_database(principals, engine):
    key = principals.ensure_administrator(NOW)
    with engine.begin() as connection:
        rows = [*connection.execute(sa.select(schema.access_key)), *connection.execute(sa.select(schema.iam_entity))]
    assert key.secret_access_key not in repr(rows)


def test_uses_of_a_key_are_known_at_once_and_written_once_a_minute(principals, opened):
    add_user(principals)
    add_key(principals, "ada")
    principals.used("AKIAADA", "airflow", "us-east-1", NOW)
    principals.used("AKIAADA", "sts", "us-east-1", NOW + timedelta(seconds=59))
    assert principals.last_use("AKIAADA").service == "sts"
    principals.used("AKIANOBODYS", "sts", "us-east-1", NOW)
    assert principals.last_use("AKIANOBODYS") is None

    principals._writer.shutdown(wait=True)
    assert opened().last_use("AKIAADA").service == "airflow"
    principals.close()
    assert opened().last_use("AKIAADA").at == NOW + timedelta(seconds=59)


def test_an_environments_own_key_lives_as_long_as_the_environment(principals, engine):
    environments = Environments(engine, region="us-east-1", account=ACCOUNT)
    spec = defaults.complete(
        "one",
        {
            "ExecutionRoleArn": "arn:aws:iam::000000000000:role/execution",
            "SourceBucketArn": "arn:aws:s3:::bucket",
            "DagS3Path": "dags",
            "NetworkConfiguration": {"SubnetIds": ["subnet-a", "subnet-b"], "SecurityGroupIds": ["sg-a"]},
        },
        latest_version="3.3.1",
    )
    made = environments.create("one", spec, {}, sealed_secrets=b"sealed", quota=3, now=NOW)
    key_id, secret = principals.service_access_key("one", made.identifier)
    assert (len(key_id), len(secret)) == (20, 40)

    key = principals.access_key(key_id)
    assert VAULT.open_secret(key.sealed_secret) == secret
    assert (key.principal.kind, key.principal.environment) == (PrincipalKind.SERVICE, "one")
    assert principals.granted(key.principal).identity == ()
    other_spelling = key_id[:-1] + chr(ord(key_id[-1]) + 1)
    assert principals.access_key(other_spelling) is None

    with engine.begin() as connection:
        connection.execute(sa.delete(schema.environment))
    assert principals.access_key(key_id) is None
    assert principals.granted(key.principal) is None


def test_a_service_has_no_policies_of_its_own_and_ends_with_its_environment(principals):
    mwaa = Principal(
        kind=PrincipalKind.SERVICE, account=ACCOUNT, arn="x", unique_id="x", name="airflow-env.amazonaws.com"
    )
    assert principals.granted(mwaa).identity == ()
    assert principals.granted(replace(mwaa, environment="gone")) is None
    assert principals.access_key("AKIAAERODROMEAAAAAAA") is None
