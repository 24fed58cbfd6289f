"""What IAM's grammar takes is read; anything else is refused with the reason, and in no other way."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aerodrome.identity.errors import MalformedPolicyError
from aerodrome.identity.policy import comparisons, grammar
from aerodrome.identity.policy.document import MAX_LENGTH
from aerodrome.identity.policy.statements import Effect
from unit.identity.memory_store import document, statement, trusting


def reason(text: str, parse=grammar.parse) -> str:
    with pytest.raises(MalformedPolicyError) as refusal:
        parse(text)
    return refusal.value.reason


def test_a_policy_is_read_whole():
    policy = grammar.parse(
        json.dumps(
            {
                "Version": "2012-10-17",
                "Id": "mine",
                "Statement": {
                    "Sid": "One1",
                    "Effect": "Deny",
                    "NotAction": ["airflow:Get*", "iam:PassRole"],
                    "NotResource": "arn:aws:airflow:*:*:environment/${aws:username}-*",
                    "Condition": {"NumericLessThan": {"aws:MultiFactorAuthAge": 3600}, "Bool": {"aws:X": [True]}},
                },
            }
        )
    )
    [only] = policy.statements
    assert (policy.version, policy.id, only.number, only.sid) == ("2012-10-17", "mine", 1, "One1")
    assert (only.effect, only.not_action, only.not_resource) == (Effect.DENY, True, True)
    assert [pattern.text for pattern in only.actions] == ["airflow:get*", "iam:passrole"]
    assert [(found.operator, found.key, found.values[0].text) for found in only.conditions] == [
        ("NumericLessThan", "aws:MultiFactorAuthAge", "3600"),
        ("Bool", "aws:X", "true"),
    ]


ALLOW = '{"Effect": "Allow", "Action": "a:b", "Resource": "*"'


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "invalid Json"),
        ("nonsense", "invalid Json"),
        ("[]", "must be a JSON object"),
        ("null", "must be a JSON object"),
        ('{"Statement": NaN}', "invalid Json"),
        ('{"Statement": Infinity}', "invalid Json"),
        (f'{{"Statement": [{ALLOW}}}], "Statement": [{ALLOW}}}]}}', "'Statement' stands twice"),
        (f'{{"Statement": [{ALLOW}, "Effect": "Deny"}}]}}', "'Effect' stands twice"),
        ("[" * 100000, "nested too deeply"),
        ('{"a":' * 5000, "nested too deeply"),
        (" " * MAX_LENGTH + "{}", "longer than"),
        ("{}", "Missing required field Statement"),
        ('{"Statement": []}', "Statement is empty"),
        ('{"Statement": ["x"]}', "a statement must be a JSON object"),
        (f'{{"Statement": {ALLOW}}}, "Extra": 1}}', "unknown element 'Extra'"),
        (f'{{"statement": {ALLOW}}}}}', "unknown element 'statement'"),
        (f'{{"Version": "2012-10-18", "Statement": {ALLOW}}}}}', "Version must be one of"),
        (f'{{"Version": 2012, "Statement": {ALLOW}}}}}', "Version must be a string"),
        (f'{{"Id": 1, "Statement": {ALLOW}}}}}', "Id must be a string"),
        (document({"Action": "a:b", "Resource": "*"}), "Missing required field Effect"),
        (document(statement("allow")), "Invalid effect: allow"),
        (document(statement(["Allow"])), "Effect must be a string"),
        (document({"Effect": "Allow", "Resource": "*"}), "Policy statement must contain actions."),
        (document(statement(action=[])), "Policy statement must contain actions."),
        (document({"Effect": "Allow", "Action": "*"}), "Policy statement must contain resources."),
        (document(statement(resource=[])), "Policy statement must contain resources."),
        (document(statement(NotAction="*")), "Action and NotAction exclude each other"),
        (document(statement(NotResource="*")), "Resource and NotResource exclude each other"),
        (document(statement(action="GetEnvironment")), "must be prefaced by a vendor"),
        (document(statement(action="air*:Get")), "must be prefaced by a vendor"),
        (document(statement(action="airflow:")), "must be prefaced by a vendor"),
        (document(statement(action="airflow:Get Environment")), "must be prefaced by a vendor"),
        (document(statement(action=1)), "Action must be a string"),
        (document(statement(action=[["a:b"]])), "Action must be a string"),
        (document(statement(resource="environment/one")), 'must be in ARN format or "*"'),
        (document(statement(resource="arn")), 'must be in ARN format or "*"'),
        (document(statement(resource="")), 'must be in ARN format or "*"'),
        (document(statement(resource="arn:aws:*:*:*:*")), "cannot contain regexes"),
        (document(statement(resource="arn:gcp:airflow:*:*:*")), "cannot contain regexes"),
        (document(statement(resource="arn:aws:airflow:${aws:x}:*:*")), "only after the fifth colon"),
        (document(statement(resource="arn:aws:s3:::${aws:username")), "not closed"),
        (document(statement(resource="arn:aws:s3:::${username}")), "not a policy variable"),
        (document(statement(resource="arn:aws:s3:::a\u0000b")), "control character"),
        (document(statement(resource="arn:aws:s3:::" + "*a" * 1100)), "longer than"),
        (document(statement(Sid="with blank")), "Statement IDs (SID) must be alpha-numeric"),
        (document(statement(Sid=1)), "Sid must be a string"),
        (document(statement(Sid="A"), statement(Sid="A")), "in a single policy must be unique"),
        (document(statement(Principal="*")), "should not specify a principal"),
        (document(statement(NotPrincipal="*")), "should not specify a principal"),
        (document(statement(), statement(Other=1)), "unknown element 'Other'. (statement 2)"),
        (document(statement(Condition=[])), "Condition must be a JSON object"),
        (document(statement(Condition={"StringEquals": "x"})), "must hold condition keys"),
        (document(statement(Condition={"StringEqual": {"aws:x": "y"}})), "Invalid Condition type : StringEqual"),
        (document(statement(Condition={"stringequals": {"aws:x": "y"}})), "Invalid Condition type"),
        (document(statement(Condition={"ForNoValue:StringEquals": {"aws:x": "y"}})), "Invalid Condition type"),
        (document(statement(Condition={"ForAllValues:Null": {"aws:x": "true"}})), "Null takes no set operator"),
        (document(statement(Condition={"NullIfExists": {"aws:x": "true"}})), "Null takes no set operator"),
        (document(statement(Condition={"StringEquals": {"x": "y"}})), "must be prefaced by a vendor"),
        (document(statement(Condition={"StringEquals": {"aws:x": []}})), "has no values"),
        (document(statement(Condition={"StringEquals": {"aws:x": None}})), "must be a string"),
        (document(statement(Condition={"StringEquals": {"aws:x": {}}})), "must be a string"),
        (document(statement(Condition={"StringEquals": {"aws:x\ty": "z"}})), "control character"),
        (document(statement(Condition={"NumericEquals": {"aws:x": "ten"}})), "Invalid value"),
        (document(statement(Condition={"NumericEquals": {"aws:x": "1e400000000"}})), "Invalid value"),
        (document(statement(Condition={"NumericEquals": {"aws:x": "${aws:y}"}})), "Invalid value"),
        (document(statement(Condition={"DateLessThan": {"aws:CurrentTime": "tomorrow"}})), "Invalid value"),
        (document(statement(Condition={"DateLessThan": {"aws:CurrentTime": "2024-13-01"}})), "Invalid value"),
        (document(statement(Condition={"Bool": {"aws:x": "yes"}})), "Invalid value"),
        (document(statement(Condition={"Null": {"aws:x": "maybe"}})), "Invalid value"),
        (document(statement(Condition={"BinaryEquals": {"aws:x": "&&&"}})), "Invalid value"),
        (document(statement(Condition={"IpAddress": {"aws:SourceIp": "10.0.0.0/33"}})), "Invalid value"),
        (document(statement(Condition={"ArnLike": {"aws:x": "role/one"}})), "Invalid value"),
        (document(statement(Condition={"ArnLike": {"aws:x": "arn:aws:iam"}})), "Invalid value"),
    ],
)
def test_what_is_no_policy_is_refused_with_the_reason(text, words):
    assert words in reason(text)


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ({"Effect": "Allow", "Action": "sts:AssumeRole"}, "Missing required field Principal"),
        (trusting("*", Resource="*"), "Has prohibited field Resource"),
        (trusting("*", NotResource="*"), "Has prohibited field Resource"),
        (trusting("*", action="airflow:GetEnvironment"), "may only specify STS AssumeRole actions"),
        (trusting("ada"), "must be * or name principals"),
        (trusting({}), "must be * or name principals"),
        (trusting({"AWS": []}), "names nobody"),
        (trusting({"Robot": "x"}), "unknown element 'Robot'"),
        (trusting({"AWS": "ada"}), 'Invalid principal in policy: "AWS":"ada"'),
        (trusting({"AWS": "arn:aws:iam::123456789012:user/*"}), "Invalid principal in policy"),
        (trusting({"AWS": "arn:aws:s3:::bucket"}), "Invalid principal in policy"),
        (trusting({"Service": "*"}), "Invalid principal in policy"),
        (trusting({"Federated": "*"}), "Invalid principal in policy"),
        (trusting("*", NotPrincipal="*"), "exclude each other"),
    ],
)
def test_what_is_no_trust_policy_is_refused_with_the_reason(found, words):
    assert words in reason(document(found), grammar.parse_trust)


@pytest.mark.parametrize(
    "principal",
    [
        "*",
        {"AWS": "*"},
        {"AWS": ["123456789012", "arn:aws:iam::123456789012:root", "AIDAAAAAAAAAAAAAAAAAA"]},
        {"AWS": "arn:aws:sts::123456789012:assumed-role/Engineer/ada@example.com"},
        {"Service": ["airflow.amazonaws.com", "airflow-env.amazonaws.com"]},
        {"Federated": "arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com"},
        {"Federated": "accounts.google.com"},
    ],
)
def test_principals_of_every_kind_are_read(principal):
    [only] = grammar.parse_trust(document(trusting(principal))).statements
    assert only.principals is not None
    assert not only.principals.negated


def test_a_document_without_a_version_is_of_2008_and_has_no_variables():
    policy = grammar.parse(json.dumps({"Statement": statement(resource="arn:aws:s3:::${aws:username")}))
    assert policy.version == "2008-10-17"


@pytest.mark.parametrize("operator", [*comparisons.POSITIVE, *comparisons.NEGATED])
@pytest.mark.parametrize("prefix", ["", "ForAllValues:", "ForAnyValue:"])
@pytest.mark.parametrize("suffix", ["", "IfExists"])
def test_every_operator_is_read_with_set_prefix_and_suffix(operator, prefix, suffix):
    usable = next(
        value
        for value in ("1", "2024-01-01", "true", "aaaa", "10.0.0.0/8", "arn:aws:iam::1:x")
        if {**comparisons.POSITIVE, **comparisons.NEGATED}[operator].usable(value)
    )
    text = document(statement(Condition={f"{prefix}{operator}{suffix}": {"aws:x": usable}}))
    [condition] = grammar.parse(text).statements[0].conditions
    assert condition.negated == (operator in comparisons.NEGATED)
    assert (condition.quantifier or "") == prefix.rstrip(":")
    assert condition.if_exists == bool(suffix)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=8)
    | st.sampled_from(["Allow", "*", "a:b", "${", "arn:"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from([*grammar._OF_STATEMENT, *grammar._ELEMENTS, "AWS", "StringLike", "aws:x"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(JSON.map(json.dumps) | st.text(max_size=40))
def test_no_document_does_anything_but_be_read_or_refused(text):
    for parse in (grammar.parse, grammar.parse_trust):
        try:
            policy = parse(text)
        except MalformedPolicyError:
            continue
        assert policy.statements
