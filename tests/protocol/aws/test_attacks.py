# ruff: noqa: ARG001, S608, E501 - what `made` makes is there by being asked for; the SQL is an attack
"""A role that may use its own bucket, queue and table tries to reach its neighbour's, or to act as the emulator."""

from __future__ import annotations

import gzip
import http.client
import json
import socket
import stat
from base64 import b64encode
from urllib.parse import urlencode

import pytest
from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from aerodrome.api.aws import denied
from aerodrome.budget import Budget
from aerodrome.emulator import rules
from protocol.aws.cases import QUEUE, TABLE
from protocol.aws.world import ADMINISTRATOR, REGION, allow
from waiting import wait_for

REFUSED = {400, 403}


@pytest.fixture(scope="module")
def hostile(world, made):
    """The key of a role that may do everything with what is its own."""
    return world.user(
        allow("s3:*", "arn:aws:s3:::mine", "arn:aws:s3:::mine/*"),
        allow("sqs:*", QUEUE),
        allow(["dynamodb:*"], TABLE),
        allow(["athena:*", "glue:*", "redshift-data:*", "states:*", "sns:*", "events:*", "logs:*"]),
    )


@pytest.fixture
def untouched(world, made):
    """Their bucket is as it was."""

    def keys() -> list[str]:
        found = world.client("s3", made["root"]).list_objects_v2(Bucket="theirs")
        return [each["Key"] for each in found["Contents"]]

    before = keys()
    yield
    assert keys() == before


def sent(world, key, method, path, *, headers=None, body=b"", service="s3", host=None):
    """One request with a right signature, whatever it asks for."""
    host = host or f"127.0.0.1:{world.port}"
    request = AWSRequest(method, f"http://{host}{path}", {"Host": host, **(headers or {})}, body)
    signer = S3SigV4Auth if service == "s3" else SigV4Auth
    signer(Credentials(key.access_key_id, key.secret), service, REGION).add_auth(request)
    connection = http.client.HTTPConnection("127.0.0.1", world.port, timeout=30)
    connection.request(method, path, body, dict(request.headers.items()))
    answer = connection.getresponse()
    found = answer.status, answer.read()
    connection.close()
    return found


@pytest.mark.parametrize(
    ("method", "path", "more"),
    [
        ("PUT", "/theirs/dags/evil.py", {}),
        ("PUT", "//theirs/dags/evil.py", {}),
        ("PUT", "/mine/../theirs/dags/evil.py", {"refused": False}),
        ("PUT", "/%2Ftheirs/dags/evil.py", {}),
        ("PUT", "/theirs%2Fdags/evil.py", {}),
        ("PUT", "/dags/evil.py", {"host": "theirs.localhost:1"}),
        ("PUT", "/mine/evil.py", {"host": "theirs.localhost:1"}),
        ("PUT", "/dags/evil.py", {"host": "theirs.s3.us-east-1.amazonaws.com"}),
        ("PUT", "/dags/evil.py", {"host": "theirs.s3.amazonaws.com"}),
        ("GET", "/theirs/k", {}),
        ("GET", "/theirs?list-type=2", {}),
        ("GET", "/theirs?policy&acl", {}),
        ("DELETE", "/theirs/k", {}),
        ("PUT", "/mine/stolen", {"headers": {"x-amz-copy-source": "/theirs/k"}}),
        ("PUT", "/mine/stolen", {"headers": {"x-amz-copy-source": "theirs%2Fk"}}),
        ("PUT", "/mine/stolen?x-amz-copy-source=/theirs/k", {}),
        ("PUT", "/mine?notification&tagging", {}),
        ("PUT", "/mine?replication", {"body": b"<ReplicationConfiguration/>"}),
        ("POST", "/mine?delete", {"body": b"<Delete><Object><Key>a</Key><Key>b</Key></Object></Delete>"}),
        ("GET", "/anything-s3alias/k", {}),
        ("POST", "/v20180820/accesspoint/x", {}),
        ("GET", "/iceberg/v1/config", {}),
        ("GET", "/_ministack/reset", {}),
        ("POST", f"{rules.QUESTIONS}/buckets", {}),
        ("POST", "/WriteGetObjectResponse", {"headers": {"x-amz-request-route": "x"}}),
    ],
)
@pytest.mark.usefixtures("untouched")
def test_no_way_of_writing_it_reaches_their_bucket(world, hostile, method, path, more):
    wanted = more.pop("refused", True) if "refused" in more else True
    status, body = sent(world, hostile, method, path, **more)
    if wanted:
        assert status in REFUSED, body


@pytest.mark.usefixtures("untouched")
def test_a_request_for_one_service_is_not_taken_to_another(world, made, hostile):
    target = {"x-amz-target": "secretsmanager.GetSecretValue", "content-type": "application/x-amz-json-1.1"}
    body = json.dumps({"SecretId": "mine"}).encode()
    for service in ("s3", "sqs", "dynamodb", "logs"):
        status, told = sent(world, hostile, "POST", "/", headers=target, body=body, service=service)
        assert status in REFUSED
        assert b"SecretString" not in told
    status, told = sent(world, hostile, "GET", "/theirs/k", service="sqs")
    assert status in REFUSED
    status, told = sent(world, hostile, "POST", "/?Action=ListQueues", headers={
        "x-amz-target": "AmazonSQS.PurgeQueue", "content-type": "application/x-amz-json-1.0"
    }, body=json.dumps({"QueueUrl": made["their_queue"]}).encode(), service="sqs")  # fmt: skip
    assert status in REFUSED


def test_a_queue_that_is_named_twice_is_no_queue(world, made, hostile):
    path = "/000000000000/theirs"
    for body in (
        {"QueueUrl": made["queue"], "MessageBody": "x"},
        {"QueueUrl": made["their_queue"], "MessageBody": "x"},
    ):
        status, _ = sent(world, hostile, "POST", path, headers={
            "x-amz-target": "AmazonSQS.SendMessage", "content-type": "application/x-amz-json-1.0"
        }, body=json.dumps(body).encode(), service="sqs")  # fmt: skip
        assert status in REFUSED
    twice = f'{{"QueueUrl": "{made["queue"]}", "QueueUrl": "{made["their_queue"]}", "MessageBody": "x"}}'
    status, _ = sent(world, hostile, "POST", "/", headers={
        "x-amz-target": "AmazonSQS.SendMessage", "content-type": "application/x-amz-json-1.0"
    }, body=twice.encode(), service="sqs")  # fmt: skip
    assert status in REFUSED
    assert world.client("sqs", made["root"]).receive_message(QueueUrl=made["their_queue"]).get("Messages") is None


def test_sql_reads_what_who_asks_may_read(world, made, hostile):
    glue, athena = (world.client(name, hostile) for name in ("glue", "athena"))
    world.client("s3", made["root"]).put_object(Bucket="theirs", Key="table/rows.csv", Body=b"secret\n")
    world.client("s3", hostile).put_object(Bucket="mine", Key="table/rows.csv", Body=b"own\n")
    glue.create_database(DatabaseInput={"Name": "hostile"})
    for bucket in ("mine", "theirs"):
        columns = [{"Name": "a", "Type": "string"}]
        serde = {"SerializationLibrary": "org.apache.hadoop.hive.serde2.lazy.LazySimpleSerDe",
                 "Parameters": {"field.delim": ","}}  # fmt: skip
        storage = {
            "Columns": columns, "Location": f"s3://{bucket}/table/", "SerdeInfo": serde,
            "InputFormat": "org.apache.hadoop.mapred.TextInputFormat",
            "OutputFormat": "org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat",
        }  # fmt: skip
        glue.create_table(DatabaseName="hostile", TableInput={"Name": bucket, "StorageDescriptor": storage})

    def state(identifier: str) -> dict:
        return dict(athena.get_query_execution(QueryExecutionId=identifier)["QueryExecution"]["Status"])

    def answer(query: str) -> dict:
        identifier = athena.start_query_execution(
            QueryString=query, QueryExecutionContext={"Database": "hostile"},
            ResultConfiguration={"OutputLocation": "s3://mine/results/"},
        )["QueryExecutionId"]  # fmt: skip
        wait_for(query, lambda: state(identifier)["State"] in {"SUCCEEDED", "FAILED"})
        return state(identifier)

    assert answer("SELECT a FROM mine")["State"] == "SUCCEEDED"
    objects = world.folder / "objects" / "000000000000" / "theirs" / "table" / "rows.csv"
    assert objects.exists()
    for query in (
        "SELECT a FROM theirs",
        f"SELECT * FROM read_csv('{objects}')",
        "SELECT * FROM read_csv('s3://theirs/table/rows.csv')",
        f"SELECT * FROM glob('{world.folder}/objects/**')",
    ):
        found = answer(query)
        assert found["State"] == "FAILED" or "theirs" not in str(found), query
        assert found["State"] == "FAILED", query
    with pytest.raises(ClientError, match="s3:PutObject"):
        athena.start_query_execution(
            QueryString="SELECT 1", ResultConfiguration={"OutputLocation": "s3://theirs/results/"}
        )


@pytest.mark.parametrize(
    ("service", "call"),
    [
        ("stepfunctions", lambda c: c.create_state_machine(
            name="evil", roleArn="arn:aws:iam::000000000000:role/x", definition="{}")),
        ("sns", lambda c: c.subscribe(
            TopicArn="arn:aws:sns:us-east-1:000000000000:mine", Protocol="http", Endpoint="http://127.0.0.1:1/")),
        ("events", lambda c: c.put_targets(Rule="r", Targets=[{"Id": "1", "Arn": "arn:aws:sqs:us-east-1:000000000000:theirs"}])),
        ("logs", lambda c: c.put_subscription_filter(
            logGroupName="mine", filterName="f", filterPattern="", destinationArn="arn:aws:kinesis:us-east-1:000000000000:stream/x")),
    ],
)  # fmt: skip
def test_nothing_acts_with_the_emulator_s_own_rights(world, made, hostile, service, call):
    with pytest.raises(ClientError, match="aerodrome:ActBeyondRole"):
        call(world.client(service, hostile))


def test_an_operation_that_nobody_knows_is_refused(world, hostile):
    status, told = sent(world, hostile, "PATCH", "/mine/k")
    assert status in REFUSED
    assert b"UnknownOperation" in told or b"ActBeyondRole" in told


def test_the_emulator_s_socket_is_its_owner_s_alone(world):
    mode = stat.S_IMODE((world.folder / "aws.sock").stat().st_mode)
    assert mode & 0o077 == 0


def test_an_unknown_key_s_body_is_not_read(world):
    with socket.create_connection(("127.0.0.1", world.port), timeout=10) as connection:
        scope = (
            f"Credential=AKIAUNKNOWN/20260101/{REGION}/sqs/aws4_request, SignedHeaders=host;x-amz-date, Signature="
            + "0" * 64
        )
        connection.sendall(
            f"POST / HTTP/1.1\r\nHost: x\r\nX-Amz-Date: 20260101T000000Z\r\nAuthorization: AWS4-HMAC-SHA256 {scope}\r\n"
            f"Content-Length: {16 * 2**20}\r\n\r\n".encode()
        )
        assert b" 403 " in connection.recv(4096)


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Host": "evil.example", "User-Agent": "Mozilla/5.0"},
    ],
)
def test_a_web_page_cannot_reach_it(world, headers):
    connection = http.client.HTTPConnection("127.0.0.1", world.port, timeout=30)
    connection.request("GET", "/", headers=headers)
    assert connection.getresponse().status == 403
    connection.close()


def test_a_refusal_says_who_may_not_do_what_and_is_in_the_audit_log(world, made, hostile):
    with pytest.raises(ClientError) as caught:
        world.client("s3", hostile).get_object(Bucket="theirs", Key="k")
    told = caught.value.response["Error"]["Message"]
    assert "is not authorized to perform: s3:GetObject on resource: arn:aws:s3:::theirs/k" in told
    entry = world.entries[-1]
    assert (entry.action, entry.resource, entry.allowed) == ("s3:GetObject", "arn:aws:s3:::theirs/k", False)
    assert entry.principal == world.identity.keys[hostile.access_key_id].principal.arn
    root = world.client("s3", world.user(ADMINISTRATOR))
    before = len(world.entries)
    root.get_object(Bucket="theirs", Key="k")["Body"].read()
    assert len(world.entries) == before
    root.put_bucket_tagging(Bucket="mine", Tagging={"TagSet": []})
    assert world.entries[-1].action == "s3:PutBucketTagging"
    assert world.entries[-1].allowed


def asked_in_json(world, key, service, target, **body):
    headers = {"content-type": "application/x-amz-json-1.1", "x-amz-target": target}
    return sent(world, key, "POST", "/", headers=headers, body=json.dumps(body).encode(), service=service)


def test_a_body_of_no_form_is_no_second_request(world, made):
    asking = world.user(allow("sqs:ListQueues"), allow("ec2:DescribeRegions"))
    body = urlencode({"Action": "SendMessage", "QueueUrl": made["their_queue"], "MessageBody": "evil"}).encode()
    status, _ = sent(world, asking, "POST", "/?Action=ListQueues", headers={"content-type": "text/plain"}, body=body,
                     service="sqs")  # fmt: skip
    assert status in REFUSED
    status, _ = sent(world, asking, "POST", "/", headers={
        "content-type": "application/x-amz-json-1.0", "x-amz-target": "AmazonSQS.ListQueues",
        "Connection": "x-amz-target",
    }, body=body, service="sqs")  # fmt: skip
    assert status in REFUSED
    root = world.client("sqs", made["root"])
    assert root.receive_message(QueueUrl=made["their_queue"]).get("Messages") is None


def test_a_ciphertext_is_judged_by_its_own_key(world, made):
    root = world.client("kms", made["root"])
    theirs = root.create_key()["KeyMetadata"]["KeyId"]
    blob = b64encode(root.encrypt(KeyId=theirs, Plaintext=b"top secret")["CiphertextBlob"]).decode()
    own = f"arn:aws:kms:{REGION}:000000000000:key/{made['key']}"
    asking = world.user(allow("kms:*", own, f"arn:aws:kms:{REGION}:000000000000:alias/*"))
    for more in ({}, {"KeyId": made["key"]}, {"KeyId": "alias/none"}, {"KeyId": "nothing"}):
        status, told = asked_in_json(world, asking, "kms", "TrentService.Decrypt", CiphertextBlob=blob, **more)
        assert status in REFUSED, told
        assert b"Plaintext" not in told
    root.create_alias(AliasName="alias/theirs", TargetKeyId=theirs)
    status, told = asked_in_json(
        world, asking, "kms", "TrentService.UpdateAlias", AliasName="alias/theirs", TargetKeyId=made["key"]
    )
    assert status in REFUSED, told


def test_a_secret_is_judged_by_the_name_that_is_sent(world, made):
    root = world.client("secretsmanager", made["root"])
    root.create_secret(Name="victim-mine", SecretString="own")
    root.create_secret(Name="victim", SecretString="verysecret")
    asking = world.user(allow("secretsmanager:*", f"arn:aws:secretsmanager:{REGION}:000000000000:secret:victim-mine*"))
    for named in ("victim-mine", "victim"):
        _, told = asked_in_json(world, asking, "secretsmanager", "secretsmanager.GetSecretValue", SecretId=named)
        assert b"verysecret" not in told
        assert (b'"own"' in told) == (named == "victim-mine"), told
    only_batch = world.user(allow("secretsmanager:BatchGetSecretValue"))
    for body in ({"SecretIdList": ["victim"]}, {"Filters": [{"Key": "name", "Values": ["victim"]}]}):
        status, told = asked_in_json(world, only_batch, "secretsmanager", "secretsmanager.BatchGetSecretValue", **body)
        assert status in REFUSED
        assert b"verysecret" not in told


def test_records_are_judged_by_the_iterator_s_stream(world, made):
    root = world.client("kinesis", made["root"])
    root.create_stream(StreamName="their-stream", ShardCount=1)
    wait_for("the stream", lambda: root.describe_stream_summary(StreamName="their-stream")
             ["StreamDescriptionSummary"]["StreamStatus"] == "ACTIVE")  # fmt: skip
    asking = world.user(allow("kinesis:*", f"arn:aws:kinesis:{REGION}:000000000000:stream/mine"))
    for name, refused in (("mine", False), ("their-stream", True)):
        iterator = root.get_shard_iterator(
            StreamName=name, ShardId="shardId-000000000000", ShardIteratorType="TRIM_HORIZON"
        )["ShardIterator"]
        mine = f"arn:aws:kinesis:{REGION}:000000000000:stream/mine"
        for more in ({}, {"StreamARN": mine}):
            status, told = asked_in_json(
                world, asking, "kinesis", "Kinesis_20131202.GetRecords", ShardIterator=iterator, **more
            )
            assert (status in REFUSED) == refused, told


def test_a_made_up_service_has_no_name_in_the_audit_log(world):
    world.entries.clear()
    for number in range(3):
        assert sent(world, world.user(), "POST", "/", body=b"", service=f"made-up-{number}")[0] in REFUSED
    assert {entry.action for entry in world.entries} == {"UnknownService"}


def test_s3_is_told_of_no_header_that_is_to_be_dropped_on_the_way(world, made):
    status, _ = sent(world, made["root"], "GET", "/mine/k", headers={"Connection": "x-amz-content-sha256"})
    assert status == 400


@pytest.mark.parametrize("body", [b'{"Sql": "SELECT 1", "Sql": "DROP"}', b'{"Sql": "SELECT 1", "Path": "/x"}', b"[]"])
def test_a_statement_has_the_members_that_its_service_knows(world, made, body):
    headers = {"X-Amz-Target": "RedshiftData.ExecuteStatement", "Content-Type": "application/x-amz-json-1.1"}
    status, told = sent(world, made["root"], "POST", "/", body=body, headers=headers, service="redshift-data")
    assert status == 400
    assert b"ValidationException" in told


PACKED = {"content-encoding": "gzip", "x-amz-target": "DynamoDB_20120810.PutItem"}


def test_a_small_body_that_is_unpacked_to_very_many_values_is_refused_before_it_is_read(world, made, hostile):
    body = gzip.compress(b'{"TableName":"mine","Item":{"a":[%s[]]}}' % (b"[]," * 5 * 2**20))
    status, told = sent(world, hostile, "POST", "/", headers=PACKED, body=body, service="dynamodb")
    assert (status, b"values" in told) == (400, True)


def test_a_packed_body_counts_as_what_it_is_unpacked(world, made, hostile, monkeypatch):
    shares, share = [], Budget.share

    def noted(self, length, owner):
        shares.append(length)
        return share(self, length, owner)

    monkeypatch.setattr(Budget, "share", noted)
    text = json.dumps({"TableName": "theirs", "Item": {"a": {"S": "x" * 2**20}}}).encode()
    body = gzip.compress(text)
    assert sent(world, hostile, "POST", "/", headers=PACKED, body=body, service="dynamodb")[0] in REFUSED
    assert shares == [len(text)] * 2


def test_one_that_is_denied_all_the_time_does_not_have_iam_read_all_the_time(world, made, monkeypatch):
    monkeypatch.setattr(denied, "SPACING", 3600.0)
    key, before = world.user(), world.refreshed
    for _ in range(denied.AT_ONCE + 5):
        assert sent(world, key, "GET", "/theirs/secret")[0] == 403
    assert world.refreshed == before + denied.AT_ONCE


def test_what_was_granted_a_moment_ago_counts(world, made, monkeypatch):
    key = world.user()
    assert sent(world, key, "GET", "/theirs?list-type=2")[0] == 403
    name = world.identity.keys[key.access_key_id].principal.name
    monkeypatch.setattr(world, "on_refresh", lambda: world.identity.grant(name, allow("s3:*")))
    assert sent(world, key, "GET", "/theirs?list-type=2")[0] == 200
