"""Denies first, then every layer that limits; and the sentence that says which statement decided."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aerodrome.errors import BrokenError
from aerodrome.identity import evaluation
from aerodrome.identity.authorizer import Authorizer, Request
from aerodrome.identity.policy.statements import StatementElement
from aerodrome.model.principals import Granted
from unit.identity.memory_store import (
    ACCOUNT,
    ADA,
    ENVIRONMENT,
    SESSION,
    MemoryIdentityStore,
    document,
    grants,
    statement,
)

GET = Request(action="airflow:GetEnvironment", resource=ENVIRONMENT, context={"aws:username": ("ada",)})
EVERYTHING = document(statement())
NOTHING_MORE = document(statement(action="iam:*"))


def authorizer(granted: Granted, principal=ADA) -> Authorizer:
    return Authorizer(MemoryIdentityStore(grants={principal.unique_id.partition(":")[0]: granted}))


def allowed(*identity, **layers) -> bool:
    return evaluation.evaluate(grants(*[document(one) for one in identity], **layers), GET).allowed


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (statement(), True),
        (statement(action="AIRFLOW:getenvironment"), True),
        (statement(action="airflow:Get*"), True),
        (statement(action="airflow:GetEnvironmen?"), True),
        (statement(action=["iam:*", "airflow:*"]), True),
        (statement(action="*:*"), True),
        (statement(action="airflow:List*"), False),
        (statement(action="airflow:GetEnv"), False),
        (statement(resource=ENVIRONMENT), True),
        (statement(resource=ENVIRONMENT.upper().replace("ARN:AWS:AIRFLOW", "arn:aws:airflow")), False),
        (statement(resource="arn:aws:airflow:*:*:environment/o*"), True),
        (statement(resource="arn:aws:airflow:*:*:environment/${aws:username}"), False),
        (statement(resource="arn:aws:airflow:*:*:environment/two"), False),
        ({"Effect": "Allow", "NotAction": "iam:*", "Resource": "*"}, True),
        ({"Effect": "Allow", "NotAction": ["iam:*", "airflow:get*"], "Resource": "*"}, False),
        ({"Effect": "Allow", "Action": "*", "NotResource": "arn:aws:airflow:*:*:environment/two"}, True),
        ({"Effect": "Allow", "Action": "*", "NotResource": [ENVIRONMENT]}, False),
        ({"Effect": "Allow", "Action": "*", "NotResource": "arn:aws:airflow:*:*:environment/${aws:nothing}"}, False),
        (statement(Condition={"StringEquals": {"AWS:UserName": "ada"}}), True),
        (statement(Condition={"StringEquals": {"aws:username": ["bob", "ada"]}}), True),
        (statement(Condition={"StringEquals": {"aws:username": "ada"}, "Null": {"aws:x": "false"}}), False),
        (statement(Condition={"StringEquals": {"aws:username": "ada", "aws:x": "y"}}), False),
        (statement(Condition={}), True),
        (statement("Deny"), False),
    ],
)
def test_a_statement_applies_when_all_of_it_matches(found, expected):
    assert allowed(found) is expected


@pytest.mark.parametrize(
    ("layers", "expected", "because"),
    [
        (grants(), False, "because no identity-based policy allows the airflow:GetEnvironment action"),
        (grants(EVERYTHING), True, ""),
        (grants(EVERYTHING, boundary=EVERYTHING), True, ""),
        (
            grants(EVERYTHING, boundary=NOTHING_MORE),
            False,
            "because no permissions boundary allows the airflow:GetEnvironment action",
        ),
        (
            grants(boundary=EVERYTHING),
            False,
            "because no identity-based policy allows the airflow:GetEnvironment action",
        ),
        (
            grants(EVERYTHING, session=[NOTHING_MORE]),
            False,
            "because no session policy allows the airflow:GetEnvironment action",
        ),
        (grants(EVERYTHING, session=[NOTHING_MORE, EVERYTHING]), True, ""),
        (grants(EVERYTHING, document(statement("Deny"))), False, "with an explicit deny in an identity-based policy"),
        (
            grants(EVERYTHING, boundary=document(statement(), statement("Deny", "airflow:*"))),
            False,
            "with an explicit deny in a permissions boundary",
        ),
        (
            grants(EVERYTHING, session=[EVERYTHING, document(statement("Deny", "airflow:*"))]),
            False,
            "with an explicit deny in a session policy",
        ),
    ],
)
def test_every_layer_that_there_is_must_allow_and_none_may_deny(layers, expected, because):
    decision = evaluation.evaluate(layers, GET)
    assert (decision.allowed, decision.because) == (expected, because)
    assert decision.explicit is ("explicit deny" in because)


def test_a_refusal_is_worded_as_aws_words_it():
    found = authorizer(grants(NOTHING_MORE)).access_denied(ADA, GET)
    assert found == (
        f"User: arn:aws:iam::{ACCOUNT}:user/ada is not authorized to perform: airflow:GetEnvironment on resource: "
        f"{ENVIRONMENT} because no identity-based policy allows the airflow:GetEnvironment action"
    )


def test_the_sentence_names_the_statement_that_decided():
    reading = document(statement(action="airflow:List*"), statement(action="airflow:Get*", Sid="Read"))
    decision = evaluation.evaluate(grants(NOTHING_MORE, reading, boundary=EVERYTHING), GET)
    assert decision.sentence == (
        f"airflow:GetEnvironment on {ENVIRONMENT} is allowed by statement 2 (Sid Read) of policy 2, "
        "within statement 1 of the boundary."
    )
    assert decision.deciding is not None
    assert decision.deciding.statement.sid == "Read"
    denied = evaluation.evaluate(grants(reading, document(statement("Deny", "airflow:*", Sid="Stop"))), GET)
    assert denied.sentence == (
        f"airflow:GetEnvironment on {ENVIRONMENT} is denied by statement 1 (Sid Stop) of policy 2: "
        "an explicit deny overrides every allow."
    )


def test_the_sentence_names_the_nearest_statement_when_none_allowed():
    near = statement(action="airflow:Get*", Condition={"StringLike": {"aws:username": ["b*", "c*"]}})
    decision = evaluation.evaluate(grants(NOTHING_MORE, document(near), document(statement(action="s3:*"))), GET)
    assert decision.sentence == (
        f"No identity-based policy allows airflow:GetEnvironment on {ENVIRONMENT}. "
        "The nearest, statement 1 of policy 2, does not: "
        "the condition StringLike aws:username b*, c* does not match the request's aws:username ada."
    )
    assert decision.deciding is None


def test_the_trace_tells_of_every_statement_what_did_not_match():
    decision = evaluation.evaluate(
        grants(
            document(
                statement(action="iam:*"),
                statement(resource="arn:aws:s3:::*"),
                statement(Condition={"Bool": {"aws:SecureTransport": "true"}}),
                {"Effect": "Deny", "NotAction": [f"airflow:{letter}*" for letter in "ABCDEFH"], "Resource": "*"},
                {"Effect": "Allow", "Action": "*", "NotResource": ENVIRONMENT},
            ),
            session=[EVERYTHING],
        ),
        GET,
    )
    parts = [found.mismatch.part if found.mismatch else None for found in decision.trace]
    assert parts == [
        StatementElement.ACTION,
        StatementElement.RESOURCE,
        StatementElement.CONDITION,
        None,
        StatementElement.RESOURCE,
        None,
    ]
    assert [found.sentence for found in decision.trace[:3]] == [
        "statement 1 of policy 1 does not apply: Action iam:* does not match the action airflow:GetEnvironment",
        f"statement 2 of policy 1 does not apply: Resource arn:aws:s3:::* does not match the resource {ENVIRONMENT}",
        (
            "statement 3 of policy 1 does not apply: the condition Bool aws:SecureTransport true does not match "
            "a request without aws:SecureTransport"
        ),
    ]
    assert decision.trace[3].sentence == "statement 4 of policy 1 applies: Deny"
    assert "NotResource" in decision.trace[4].sentence


def test_a_principal_that_is_gone_may_nothing():
    decision = Authorizer(MemoryIdentityStore()).decide(ADA, GET)
    assert not decision.allowed
    assert "exists no more" in decision.sentence


def test_a_stored_policy_that_cannot_be_read_stops_every_decision():
    with pytest.raises(BrokenError, match="policy 2 cannot be read"):
        authorizer(grants(EVERYTHING, "nonsense")).decide(ADA, GET)


def role_arn(environment: str, role: str) -> str:
    return f"arn:aws:airflow:eu-west-1:{ACCOUNT}:role/{environment}/{role}"


@pytest.mark.parametrize(
    ("statements", "highest"),
    [
        ([statement(resource=role_arn("one", "*"))], "Admin"),
        ([statement(resource=role_arn("*", "User")), statement(resource=role_arn("one", "Op"))], "Op"),
        ([statement(), statement("Deny", resource=[role_arn("one", "Admin"), role_arn("one", "Op")])], "User"),
        ([statement(resource=role_arn("one", "Viewer"))], "Viewer"),
        ([statement(resource=role_arn("one", "Public"))], "Public"),
        ([statement(resource=role_arn("two", "Admin"))], None),
        ([statement(resource=role_arn("one", "admin"))], None),
        ([statement(resource=ENVIRONMENT)], None),
        ([statement(), statement("Deny", resource=role_arn("one", "*"))], None),
    ],
)
def test_the_highest_granted_role_counts(statements, highest):
    found, decision = authorizer(grants(document(*statements)), SESSION).highest_role(
        SESSION,
        region="eu-west-1",
        account=ACCOUNT,
        environment="one",
        action="airflow:CreateWebLoginToken",
        context={},
    )
    assert found == highest
    assert decision.allowed is (highest is not None)


STATEMENTS = st.builds(
    statement,
    st.sampled_from(["Allow", "Allow", "Deny"]),
    st.sampled_from(["*", "airflow:*", "airflow:Get*", "airflow:List*", "iam:*"]),
    st.sampled_from(["*", ENVIRONMENT, "arn:aws:airflow:*:*:environment/*", "arn:aws:airflow:*:*:environment/two"]),
    Condition=st.sampled_from([{}, {"StringEquals": {"aws:username": "ada"}}, {"Null": {"aws:username": "true"}}]),
)
POLICIES = st.lists(st.lists(STATEMENTS, min_size=1, max_size=3).map(lambda found: document(*found)), max_size=3)
GRANTS = st.builds(
    lambda identity, boundary, session: grants(*identity, boundary=boundary[0] if boundary else None, session=session),
    POLICIES,
    POLICIES,
    POLICIES,
)


@given(GRANTS, st.sampled_from(["identity", "boundary", "session"]))
def test_a_deny_always_wins(granted, layer):
    deny = grants(document(statement("Deny", "airflow:GetEnvironment")))
    changed = {
        "identity": replace(granted, identity=granted.identity + deny.identity),
        "boundary": replace(granted, boundary=deny.identity[0]),
        "session": replace(granted, session=granted.session + deny.identity),
    }[layer]
    decision = evaluation.evaluate(changed, GET)
    assert not decision.allowed
    assert decision.explicit


@given(GRANTS, STATEMENTS)
def test_one_more_allow_never_takes_anything_away(granted, extra):
    more = grants(document({**extra, "Effect": "Allow"})).identity
    if evaluation.evaluate(granted, GET).allowed:
        assert evaluation.evaluate(replace(granted, identity=granted.identity + more), GET).allowed


@given(GRANTS, POLICIES.filter(bool))
def test_boundaries_and_session_policies_only_shrink(granted, limits):
    without = replace(granted, boundary=None, session=())
    limited = [
        replace(granted, boundary=grants(limits[0]).identity[0]),
        replace(without, session=grants(*limits).identity),
        granted,
    ]
    if not evaluation.evaluate(without, GET).allowed:
        assert not any(evaluation.evaluate(one, GET).allowed for one in limited)


@given(GRANTS)
def test_a_decision_is_consistent_with_its_trace(granted):
    decision = evaluation.evaluate(granted, GET)
    applying = [found for found in decision.trace if found.mismatch is None]
    denies = any(found.statement.effect == "Deny" for found in applying)
    assert decision.explicit is denies
    assert decision.allowed is (decision.because == "")
    if decision.allowed:
        assert decision.deciding in applying
    assert len(decision.trace) >= len(granted.identity) + len(granted.session)
