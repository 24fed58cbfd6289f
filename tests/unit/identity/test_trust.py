"""Who may assume a role: what its trust policy says, and when an identity-based policy must say so too."""

from __future__ import annotations

from dataclasses import replace

import pytest

from aerodrome.errors import CallerError
from aerodrome.identity import execution_role
from aerodrome.identity.authorizer import Authorizer, FederatedPrincipal, Request, refusal
from aerodrome.model import arns
from unit.identity.memory_store import (
    ACCOUNT,
    ADA,
    ENGINEER,
    SESSION,
    SIDECAR,
    MemoryIdentityStore,
    document,
    grants,
    statement,
    trusting,
)

ROLE = f"arn:aws:iam::{ACCOUNT}:role/Executor"
ROOT = f"arn:aws:iam::{ACCOUNT}:root"
PROVIDER = f"arn:aws:iam::{ACCOUNT}:oidc-provider/issuer.example"
GITHUB = FederatedPrincipal(provider=PROVIDER, subject="repo:a/b")
ALLOWED = statement(action="sts:AssumeRole", resource=ROLE)
OTHER = f"arn:aws:iam::{ACCOUNT}:user/bob"


def test_mwaa_takes_a_role_on_for_the_environment_that_its_trust_policy_names():
    named = arns.environment(region="us-east-1", account=ACCOUNT, name="one")
    condition = {"StringEquals": {"aws:SourceAccount": ACCOUNT}, "ArnLike": {"aws:SourceArn": named}}
    trust = trusting({"Service": "airflow-env.amazonaws.com"}, Condition=condition)
    authorizer = Authorizer(MemoryIdentityStore(trusts={ROLE: document(trust)}))
    execution_role.check(authorizer, ROLE, account=ACCOUNT, context=execution_role.on_behalf_of(named, ACCOUNT))
    other = execution_role.on_behalf_of(named.replace("one", "two"), ACCOUNT)
    with pytest.raises(CallerError, match="Failed to assume role"):
        execution_role.check(authorizer, ROLE, account=ACCOUNT, context=other)


def decide(principal, trust, *identity, action="sts:AssumeRole", context=None, **layers):
    granted = grants(*[document(one) for one in identity], **layers)
    store = MemoryIdentityStore(trusts={ROLE: document(*trust)} if trust else {})
    if not isinstance(principal, FederatedPrincipal):
        store.grants[principal.unique_id.partition(":")[0]] = granted
    return Authorizer(store).may_assume(principal, ROLE, action, context or {})


@pytest.mark.parametrize(
    ("principal", "trust", "identity", "expected"),
    [
        # Named itself: enough within the account.
        (ADA, [trusting({"AWS": ADA.arn})], [], True),
        (ADA, [trusting({"AWS": ADA.unique_id})], [], True),
        (ADA, [trusting("*")], [], True),
        (ADA, [trusting({"AWS": "*"})], [], True),
        (SESSION, [trusting({"AWS": SESSION.arn})], [], True),
        (SESSION, [trusting({"AWS": ENGINEER})], [], True),
        (SESSION, [trusting({"AWS": "AROAAAAAAAAAAAAAAAAAA"})], [], True),
        # Named by its account: IAM decides who of the account.
        (ADA, [trusting({"AWS": ROOT})], [], False),
        (ADA, [trusting({"AWS": ACCOUNT})], [], False),
        (ADA, [trusting({"AWS": ROOT})], [ALLOWED], True),
        (ADA, [trusting({"AWS": ACCOUNT})], [ALLOWED], True),
        (SESSION, [trusting({"AWS": ROOT})], [ALLOWED], True),
        (ADA, [trusting({"AWS": ROOT})], [statement(action="sts:AssumeRole", resource=ENGINEER)], False),
        # Not named: nothing helps.
        (ADA, [trusting({"AWS": OTHER})], [ALLOWED], False),
        (ADA, [trusting({"AWS": "210987654321"})], [ALLOWED], False),
        (ADA, [trusting({"AWS": ADA.arn.replace("ada", "Ada")})], [ALLOWED], False),
        (ADA, [trusting({"Service": "airflow.amazonaws.com"})], [ALLOWED], False),
        (ADA, [], [ALLOWED], False),
        (SESSION, [trusting({"AWS": ADA.arn})], [ALLOWED], False),
        # Another action, and denies on either side.
        (ADA, [trusting({"AWS": ADA.arn}, action="sts:TagSession")], [ALLOWED], False),
        (ADA, [trusting({"AWS": ADA.arn}), trusting("*", "Deny")], [ALLOWED], False),
        (ADA, [trusting({"AWS": ADA.arn}), trusting({"AWS": ROOT}, "Deny")], [ALLOWED], False),
        (ADA, [trusting({"AWS": ADA.arn}), trusting({"AWS": OTHER}, "Deny")], [], True),
        (ADA, [trusting({"AWS": ADA.arn})], [statement("Deny", "sts:*")], False),
        (SESSION, [trusting({"AWS": SESSION.arn}), trusting({"AWS": ENGINEER}, "Deny")], [ALLOWED], False),
        # Services and federated principals.
        (SIDECAR, [trusting({"Service": ["airflow.amazonaws.com", "airflow-env.amazonaws.com"]})], [], True),
        (SIDECAR, [trusting({"Service": "airflow.amazonaws.com"})], [ALLOWED], False),
        (SIDECAR, [trusting("*")], [ALLOWED], False),
        (SIDECAR, [trusting({"Service": SIDECAR.name}), trusting("*", "Deny")], [], False),
        (GITHUB, [trusting({"Federated": PROVIDER})], [], True),
        (GITHUB, [trusting({"Federated": "accounts.google.com"})], [], False),
        (GITHUB, [trusting("*")], [], False),
        (GITHUB, [trusting({"AWS": ROOT})], [], False),
        (GITHUB, [trusting({"Federated": PROVIDER}), trusting("*", "Deny")], [], False),
    ],
)
def test_who_may_assume_a_role(principal, trust, identity, expected):
    assert decide(principal, trust, *identity).allowed is expected


def not_principal(principal, effect: str):
    return {"Effect": effect, "NotPrincipal": principal, "Action": "sts:AssumeRole"}


@pytest.mark.parametrize(
    ("principal", "listed", "spared"),
    [
        (ADA, [ADA.arn, ROOT], True),
        (ADA, [ADA.arn], False),
        (ADA, [ROOT], False),
        (ADA, [OTHER, ROOT], False),
        (SESSION, [SESSION.arn, ENGINEER, ROOT], True),
        (SESSION, [SESSION.arn, ROOT], False),
    ],
)
def test_a_deny_by_not_principal_spares_whom_it_lists_with_role_and_account(principal, listed, spared):
    trust = [trusting("*"), not_principal({"AWS": listed}, "Deny")]
    assert decide(principal, trust).allowed is spared


def test_an_allow_by_not_principal_reaches_others_of_the_account_only_by_their_own_policies():
    trust = [not_principal({"AWS": OTHER}, "Allow")]
    assert not decide(ADA, trust).allowed
    assert decide(ADA, trust, ALLOWED).allowed
    assert not decide(ADA, [not_principal({"AWS": ROOT}, "Allow")], ALLOWED).allowed
    assert not decide(SIDECAR, trust, ALLOWED).allowed


def test_a_service_is_denied_by_a_not_principal_that_does_not_list_it():
    trust = [trusting({"Service": SIDECAR.name}), not_principal({"Service": "airflow.amazonaws.com"}, "Deny")]
    assert not decide(SIDECAR, trust).allowed


def test_a_principal_of_another_account_needs_its_own_policy_as_well():
    stranger = replace(ADA, account="210987654321", arn="arn:aws:iam::210987654321:user/ada")
    trust = [trusting({"AWS": stranger.arn})]
    assert not decide(stranger, trust).allowed
    assert decide(stranger, trust, ALLOWED).allowed
    assert not decide(replace(GITHUB, provider=PROVIDER.replace(ACCOUNT, "2" * 12)), [trusting("*")]).allowed


def test_boundaries_limit_whom_the_trust_names_by_role_or_account_but_not_by_itself():
    narrow = document(statement(action="s3:*"))
    by_role, by_session, by_account = ([trusting({"AWS": arn})] for arn in (ENGINEER, SESSION.arn, ROOT))
    for layer in ({"boundary": narrow}, {"session": [narrow]}):
        assert not decide(SESSION, by_role, **layer).allowed
        assert not decide(SESSION, by_account, ALLOWED, **layer).allowed
        assert decide(SESSION, by_session, **layer).allowed
    assert decide(SESSION, by_role, boundary=document(ALLOWED)).allowed


def test_the_external_id_is_a_condition_like_any_other():
    trust = [trusting({"AWS": ADA.arn}, Condition={"StringEquals": {"sts:ExternalId": "secret"}})]
    assert not decide(ADA, trust).allowed
    assert not decide(ADA, trust, context={"sts:externalid": ("guess",)}).allowed
    assert decide(ADA, trust, context={"sts:externalid": ("secret",)}).allowed


def test_a_web_identity_must_meet_the_conditions_on_its_claims():
    claims = {"StringEquals": {"issuer.example:aud": "sts"}, "StringLike": {"issuer.example:sub": "repo:a/*"}}
    trust = [trusting({"Federated": PROVIDER}, action="sts:AssumeRoleWithWebIdentity", Condition=claims)]
    for aud, sub, expected in (("sts", "repo:a/b", True), ("x", "repo:a/b", False), ("sts", "repo:b/b", False)):
        context = {"issuer.example:aud": (aud,), "issuer.example:sub": (sub,)}
        found = decide(GITHUB, trust, action="sts:AssumeRoleWithWebIdentity", context=context)
        assert found.allowed is expected


def test_refusals_say_what_was_missing():
    decision = decide(ADA, [trusting({"AWS": OTHER})], ALLOWED)
    assert decision.because == "because no role trust policy allows the sts:AssumeRole action"
    assert f"Principal {OTHER} does not match the principal {ADA.arn}" in decision.sentence
    request = Request(action="sts:AssumeRole", resource=ROLE)
    assert refusal(ADA, request, decision).startswith(
        f"User: {ADA.arn} is not authorized to perform: sts:AssumeRole on resource: {ROLE} because"
    )
    assert decide(ADA, [trusting({"AWS": ROOT})]).because == (
        "because no identity-based policy allows the sts:AssumeRole action"
    )
    assert decide(ADA, [trusting("*", "Deny")]).because == "with an explicit deny in the role trust policy"
    assert decide(ADA, [], ALLOWED).because == "because no role trust policy allows the sts:AssumeRole action"


def test_a_principal_that_is_gone_assumes_nothing():
    store = MemoryIdentityStore(trusts={ROLE: document(trusting("*"))})
    assert not Authorizer(store).may_assume(ADA, ROLE, "sts:AssumeRole", {}).allowed
