"""The query protocol against botocore's own two ends: what its serialiser sends we read, what we answer it reads."""

from __future__ import annotations

import string
from datetime import UTC, datetime
from urllib.parse import urlencode

import pytest
from botocore.parsers import QueryParser
from botocore.serialize import QuerySerializer
from hypothesis import given
from hypothesis import strategies as st

from aerodrome.api.query import answers, errors, models, requests
from aerodrome.errors import RetryError
from aerodrome.identity.errors import AuthenticationError, MalformedPolicyError
from aerodrome.model.iam.errors import IamError

NAMES = st.text(string.ascii_letters + string.digits + "+=,.@-_", min_size=1, max_size=64)
TEXTS = st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF, blacklist_categories=["Cc", "Cs"]), max_size=40)
KEYS = st.text(string.ascii_letters + " _.:/=+-@é", min_size=1, max_size=20)
TAGS = st.lists(st.fixed_dictionaries({"Key": KEYS, "Value": KEYS}), max_size=5)


def read(service, name, form):
    fields = requests.fields("", form)
    operation = requests.operation(service, fields)
    assert operation.name == name
    return requests.read(operation, fields)


def refusal_of(form):
    """Code and message of the refusal; Nones when it is read."""
    try:
        fields = requests.fields("", form)
        requests.read(requests.operation("iam", fields), fields)
    except IamError as error:
        return error.code, str(error)
    return None, None


def sent(service, name, parameters):
    operation = models.operation(service, name)
    body = QuerySerializer().serialize_to_request(parameters, operation)["body"]
    return urlencode(body).encode()


@given(
    st.fixed_dictionaries(
        {"RoleName": NAMES, "AssumeRolePolicyDocument": TEXTS.filter(len)},
        optional={"MaxSessionDuration": st.integers(3600, 43200), "Tags": TAGS},
    )
)
def test_what_botocore_sends_is_read_as_it_was_meant(parameters):
    assert read("iam", "CreateRole", sent("iam", "CreateRole", parameters)) == parameters


@given(
    st.fixed_dictionaries(
        {
            "ActionNames": st.lists(st.text(string.ascii_letters + ":*", min_size=3), min_size=1, max_size=12),
            "PolicyInputList": st.lists(TEXTS.filter(len), max_size=3),
            "ContextEntries": st.lists(
                st.fixed_dictionaries(
                    {"ContextKeyName": st.text(string.ascii_letters, min_size=5, max_size=9)},
                    optional={"ContextKeyValues": st.lists(TEXTS, max_size=11)},
                ),
                max_size=3,
            ),
        }
    )
)
def test_lists_within_lists_keep_their_order(parameters):
    name = "SimulateCustomPolicy"
    assert read("iam", name, sent("iam", name, parameters)) == parameters


def test_booleans_are_read():
    form = sent("iam", "ListPolicies", {"OnlyAttached": True, "Scope": "AWS", "MaxItems": 7})
    assert read("iam", "ListPolicies", form) == {"OnlyAttached": True, "Scope": "AWS", "MaxItems": 7}


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(noise):
    code = refusal_of(b"Action=CreateUser&Version=2010-05-08&" + noise)[0]
    assert code in {None, "ValidationError", "InvalidAction", "MissingAction"}


@given(st.dictionaries(st.text("Tags.member1Key2Value", max_size=30), TEXTS, max_size=20))
def test_any_names_of_fields_are_read_or_refused(fields):
    code = refusal_of(urlencode({**fields, "Action": "CreateUser", "UserName": "ada"}).encode())[0]
    assert code in {None, "ValidationError"}


@pytest.mark.parametrize(
    ("form", "code", "words"),
    [
        (b"", "MissingAction", "no field Action"),
        (b"Action=Nothing", "InvalidAction", "Could not find operation Nothing for version 2010-05-08"),
        (b"Action=ListUsers&Version=2011-06-15", "InvalidAction", "2011-06-15"),
        (b"Action=CreateUser", "ValidationError", "Value null at 'userName'"),
        (b"Action=CreateUser&UserName=a&UserName=b", "ValidationError", "'UserName' was given twice"),
        (b"Action=CreateUser&UserName=a%20b", "ValidationError", "regular expression pattern"),
        (b"Action=CreateUser&UserName=" + b"a" * 65, "ValidationError", "less than or equal to 64"),
        (b"Action=CreateUser&UserName=a%00", "ValidationError", "XML does not allow"),
        (b"Action=CreateUser&UserName=%ff", "ValidationError", "UTF-8"),
        (b"Action=CreateUser&UserName.member.1=a", "ValidationError", "Member must be a string"),
        (b"Action=ListUsers&MaxItems=many", "ValidationError", "Member must be a whole number"),
        (b"Action=ListUsers&MaxItems=0", "ValidationError", "greater than or equal to 1"),
        (b"Action=ListPolicies&OnlyAttached=perhaps", "ValidationError", "true or false"),
        (b"Action=ListUsers&" + b"&".join(b"x%d=1" % n for n in range(1001)), "ValidationError", "1000 fields"),
    ],
)
def test_what_is_wrong_with_a_form_is_named(form, code, words):
    told, message = refusal_of(form)
    assert told == code
    assert words in message


def test_query_and_body_are_one_form_and_signatures_are_none_of_it():
    fields = requests.fields("Action=ListUsers&X-Amz-Signature=1&x-amz-date=2", b"Version=2010-05-08&MaxItems=3")
    assert fields == {"Action": "ListUsers", "Version": "2010-05-08", "MaxItems": "3"}
    with pytest.raises(IamError, match="twice"):
        requests.fields("Action=ListUsers", b"Action=DeleteUser")


def test_what_is_secret_is_not_repeated():
    form = b"Action=AssumeRoleWithWebIdentity&RoleArn=arn:aws:iam::1:role/x&RoleSessionName=xx&WebIdentityToken=abc"
    fields = requests.fields("", form)
    with pytest.raises(IamError) as refused:
        requests.read(requests.operation("sts", fields), fields)
    assert "webIdentityToken" in str(refused.value)
    assert "abc" not in str(refused.value)


def parsed(response, shape):
    return QueryParser().parse(
        {"body": response.body, "status_code": response.status_code, "headers": dict(response.headers)}, shape
    )


@given(st.lists(st.tuples(NAMES, TEXTS), max_size=4), st.booleans(), st.integers(0, 2**31))
def test_what_we_answer_botocore_reads(users, truncated, seconds):
    operation = models.operation("iam", "ListUsers")
    moment = datetime.fromtimestamp(seconds, UTC)
    listed = [
        {"UserName": name, "Path": text, "UserId": "x", "Arn": "<&>", "CreateDate": moment, "Tags": []}
        for name, text in users
    ]
    output = {"Users": listed, "IsTruncated": truncated, "Marker": None, "Unknown": 1}
    found = parsed(answers.success("iam", operation, output, "id"), operation.output_shape)
    assert found.pop("ResponseMetadata")["RequestId"] == "id"
    assert found == {"Users": listed, "IsTruncated": truncated}


def test_maps_and_operations_without_output():
    summary = models.operation("iam", "GetAccountSummary")
    response = answers.success("iam", summary, {"SummaryMap": {"Users": 3, "Roles": 0}}, "id")
    assert parsed(response, summary.output_shape)["SummaryMap"] == {"Users": 3, "Roles": 0}
    nothing = answers.success("iam", models.operation("iam", "DeleteUser"), {}, "id")
    assert parsed(nothing, None)["ResponseMetadata"]["RequestId"] == "id"


def test_policy_documents_leave_percent_encoded():
    operation = models.operation("iam", "GetUserPolicy")
    response = answers.success("iam", operation, {"PolicyDocument": '{"é": "a b+c"}', "PolicyName": "a b"}, "id")
    assert b"<PolicyDocument>%7B%22%C3%A9%22%3A%20%22a%20b%2Bc%22%7D</PolicyDocument>" in response.body
    assert b"<PolicyName>a b</PolicyName>" in response.body


@pytest.mark.parametrize(
    ("error", "service", "code", "status"),
    [
        (IamError("NoSuchEntity", "x"), "iam", "NoSuchEntity", 404),
        (IamError("AccessDenied", "x"), "sts", "AccessDenied", 403),
        (AuthenticationError("SignatureDoesNotMatch", "x"), "iam", "SignatureDoesNotMatch", 403),
        (MalformedPolicyError("x"), "sts", "MalformedPolicyDocument", 400),
        (IamError("ExpiredTokenException", "x"), "sts", "ExpiredTokenException", 400),
        (RetryError("x"), "iam", "ServiceUnavailable", 503),
    ],
)
def test_errors_have_the_models_status(error, service, code, status):
    told = errors.translated(service, error)
    assert told == errors.QueryError(code, status, "x")
    found = parsed(answers.failure(service, told, "id"), None)
    assert found["Error"] == {"Code": code, "Message": "x", "Type": "Receiver" if status >= 500 else "Sender"}
    assert found["ResponseMetadata"]["RequestId"] == "id"


@pytest.mark.parametrize(("service", "code"), [("iam", "ServiceFailure"), ("sts", "InternalFailure")])
def test_what_nobody_foresaw_tells_nothing(service, code):
    told = errors.translated(service, KeyError("a secret of ours"))
    assert (told.code, told.status) == (code, 500)
    assert "secret" not in told.message
    assert errors.translated(service, IamError("Invented", "x")).status == 500


def test_every_code_of_ours_is_known():
    assert errors.INTERNAL["iam"] in models.statuses("iam")
    assert errors.INTERNAL["sts"] in errors.COMMON
