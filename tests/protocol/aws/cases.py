# ruff: noqa: ARG001, ARG005 - every case is called alike
"""By operation: what allows it, and how it is asked for. A test runs all; docs/reference has a page of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

A, R = "000000000000", "us-east-1"
B = "arn:aws:s3:::mine"
QUEUE, TOPIC = f"arn:aws:sqs:{R}:{A}:mine", f"arn:aws:sns:{R}:{A}:mine"
SECRET, LOGS = f"arn:aws:secretsmanager:{R}:{A}:secret:mine-??????", f"arn:aws:logs:{R}:{A}:log-group:mine:*"
ALARM = f"arn:aws:cloudwatch:{R}:{A}:alarm:mine"
TABLE, STREAM = f"arn:aws:dynamodb:{R}:{A}:table/mine", f"arn:aws:kinesis:{R}:{A}:stream/mine"

NEW_LOGS = f"arn:aws:logs:{R}:{A}:log-group:new:*"

Call = Callable[[Callable[[str], Any], Mapping[str, Any]], Any]


@dataclass(frozen=True)
class Case:
    """One operation."""

    service: str
    operation: str
    needs: tuple[tuple[str, str], ...]
    """Actions with their resources: all of them allow it, and any of them missing refuses it."""
    call: Call

    @property
    def id(self) -> str:
        return f"{self.service}:{self.operation}"


def case(
    service: str, operation: str, needs: str | list[tuple[str, str]], resource: str | Call, call: Call | None = None
) -> Case:
    if isinstance(needs, list):
        assert not isinstance(resource, str)
        return Case(service, operation, tuple(needs), resource)
    assert isinstance(resource, str)
    assert call is not None
    return Case(service, operation, ((needs, resource),), call)


def recreated_group(c: Any) -> None:
    c("logs").create_log_group(logGroupName="new")


def multipart(c: Any, m: Mapping[str, Any]) -> None:
    s3 = c("s3")
    upload = s3.create_multipart_upload(Bucket="mine", Key="parts")["UploadId"]
    of = {"Bucket": "mine", "Key": "parts", "UploadId": upload}
    etag = s3.upload_part(**of, PartNumber=1, Body=b"x")["ETag"]
    s3.complete_multipart_upload(**of, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": etag}]})


CASES = (
    case("s3", "ListBuckets", "s3:ListAllMyBuckets", "arn:aws:s3:::*", lambda c, m: c("s3").list_buckets()),
    case("s3", "HeadBucket", "s3:ListBucket", B, lambda c, m: c("s3").head_bucket(Bucket="mine")),
    case("s3", "ListObjectsV2", "s3:ListBucket", B, lambda c, m: c("s3").list_objects_v2(Bucket="mine")),
    case(
        "s3", "ListObjectVersions", "s3:ListBucketVersions", B, lambda c, m: c("s3").list_object_versions(Bucket="mine")
    ),
    case("s3", "GetBucketLocation", "s3:GetBucketLocation", B, lambda c, m: c("s3").get_bucket_location(Bucket="mine")),
    case(
        "s3",
        "GetBucketVersioning",
        "s3:GetBucketVersioning",
        B,
        lambda c, m: c("s3").get_bucket_versioning(Bucket="mine"),
    ),
    case(
        "s3",
        "PutBucketVersioning",
        "s3:PutBucketVersioning",
        B,
        lambda c, m: c("s3").put_bucket_versioning(Bucket="mine", VersioningConfiguration={"Status": "Enabled"}),
    ),
    case(
        "s3",
        "GetPublicAccessBlock",
        "s3:GetBucketPublicAccessBlock",
        B,
        lambda c, m: c("s3").get_public_access_block(Bucket="mine"),
    ),
    case(
        "s3",
        "PutBucketTagging",
        "s3:PutBucketTagging",
        B,
        lambda c, m: c("s3").put_bucket_tagging(Bucket="mine", Tagging={"TagSet": [{"Key": "a", "Value": "b"}]}),
    ),
    case("s3", "CreateBucket", "s3:CreateBucket", f"{B}-new", lambda c, m: c("s3").create_bucket(Bucket="mine-new")),
    case(
        "s3",
        "PutObject",
        "s3:PutObject",
        f"{B}/*",
        lambda c, m: c("s3").put_object(Bucket="mine", Key="put", Body=b"x"),
    ),
    case(
        "s3",
        "PutObject with tags",
        [("s3:PutObject", f"{B}/*"), ("s3:PutObjectTagging", f"{B}/*")],
        lambda c, m: c("s3").put_object(Bucket="mine", Key="tagged", Body=b"x", Tagging="a=b"),
    ),
    case(
        "s3",
        "GetObject",
        "s3:GetObject",
        f"{B}/*",
        lambda c, m: c("s3").get_object(Bucket="mine", Key="k")["Body"].read(),
    ),
    case(
        "s3",
        "GetObject of a version",
        "s3:GetObjectVersion",
        f"{B}/*",
        lambda c, m: c("s3").get_object(Bucket="mine", Key="k", VersionId=m["version"])["Body"].read(),
    ),
    case("s3", "HeadObject", "s3:GetObject", f"{B}/*", lambda c, m: c("s3").head_object(Bucket="mine", Key="k")),
    case(
        "s3",
        "GetObjectTagging",
        "s3:GetObjectTagging",
        f"{B}/*",
        lambda c, m: c("s3").get_object_tagging(Bucket="mine", Key="k"),
    ),
    case(
        "s3",
        "GetObjectAttributes",
        [("s3:GetObjectAttributes", f"{B}/*"), ("s3:GetObject", f"{B}/*")],
        lambda c, m: c("s3").get_object_attributes(Bucket="mine", Key="k", ObjectAttributes=["ETag"]),
    ),
    case(
        "s3",
        "CopyObject",
        [("s3:PutObject", f"{B}/*"), ("s3:GetObject", "arn:aws:s3:::theirs/*")],
        lambda c, m: c("s3").copy_object(Bucket="mine", Key="copied", CopySource={"Bucket": "theirs", "Key": "k"}),
    ),
    case("s3", "UploadPart and what is around it", "s3:PutObject", f"{B}/*", multipart),
    case(
        "s3", "DeleteObject", "s3:DeleteObject", f"{B}/*", lambda c, m: c("s3").delete_object(Bucket="mine", Key="gone")
    ),
    case(
        "s3",
        "DeleteObjects",
        [("s3:DeleteObject", f"{B}/one"), ("s3:DeleteObject", f"{B}/two")],
        lambda c, m: c("s3").delete_objects(Bucket="mine", Delete={"Objects": [{"Key": "one"}, {"Key": "two"}]}),
    ),
    case(
        "sqs",
        "SendMessage",
        "sqs:SendMessage",
        QUEUE,
        lambda c, m: c("sqs").send_message(QueueUrl=m["queue"], MessageBody="x"),
    ),
    case(
        "sqs", "ReceiveMessage", "sqs:ReceiveMessage", QUEUE, lambda c, m: c("sqs").receive_message(QueueUrl=m["queue"])
    ),
    case("sqs", "GetQueueUrl", "sqs:GetQueueUrl", QUEUE, lambda c, m: c("sqs").get_queue_url(QueueName="mine")),
    case(
        "sqs",
        "GetQueueAttributes",
        "sqs:GetQueueAttributes",
        QUEUE,
        lambda c, m: c("sqs").get_queue_attributes(QueueUrl=m["queue"], AttributeNames=["All"]),
    ),
    case("sqs", "PurgeQueue", "sqs:PurgeQueue", QUEUE, lambda c, m: c("sqs").purge_queue(QueueUrl=m["queue"])),
    case("sqs", "ListQueues", "sqs:ListQueues", f"arn:aws:sqs:{R}:{A}:*", lambda c, m: c("sqs").list_queues()),
    case("sns", "Publish", "sns:Publish", TOPIC, lambda c, m: c("sns").publish(TopicArn=TOPIC, Message="x")),
    case(
        "sns",
        "GetTopicAttributes",
        "sns:GetTopicAttributes",
        TOPIC,
        lambda c, m: c("sns").get_topic_attributes(TopicArn=TOPIC),
    ),
    case("sns", "ListTopics", "sns:ListTopics", f"arn:aws:sns:{R}:{A}:*", lambda c, m: c("sns").list_topics()),
    case("sns", "CreateTopic", "sns:CreateTopic", f"{TOPIC}-new", lambda c, m: c("sns").create_topic(Name="mine-new")),
    case(
        "secretsmanager",
        "GetSecretValue",
        "secretsmanager:GetSecretValue",
        SECRET,
        lambda c, m: c("secretsmanager").get_secret_value(SecretId="mine"),
    ),
    case(
        "secretsmanager",
        "PutSecretValue",
        "secretsmanager:PutSecretValue",
        SECRET,
        lambda c, m: c("secretsmanager").put_secret_value(SecretId=m["secret"], SecretString="new"),
    ),
    case(
        "secretsmanager",
        "CreateSecret",
        "secretsmanager:CreateSecret",
        f"arn:aws:secretsmanager:{R}:{A}:secret:made*",
        lambda c, m: c("secretsmanager").create_secret(Name="made", SecretString="x"),
    ),
    case(
        "secretsmanager",
        "ListSecrets",
        "secretsmanager:ListSecrets",
        "*",
        lambda c, m: c("secretsmanager").list_secrets(),
    ),
    case(
        "kms",
        "Encrypt",
        "kms:Encrypt",
        f"arn:aws:kms:{R}:{A}:key/*",
        lambda c, m: c("kms").encrypt(KeyId=m["key"], Plaintext=b"x"),
    ),
    case(
        "kms",
        "Encrypt by an alias",
        "kms:Encrypt",
        f"arn:aws:kms:{R}:{A}:key/*",
        lambda c, m: c("kms").encrypt(KeyId="alias/mine", Plaintext=b"x"),
    ),
    case(
        "kms",
        "Decrypt",
        "kms:Decrypt",
        f"arn:aws:kms:{R}:{A}:key/*",
        lambda c, m: c("kms").decrypt(CiphertextBlob=m["ciphertext"]),
    ),
    case("kms", "ListKeys", "kms:ListKeys", "*", lambda c, m: c("kms").list_keys()),
    case(
        "logs",
        "CreateLogStream",
        "logs:CreateLogStream",
        LOGS,
        lambda c, m: c("logs").create_log_stream(logGroupName="mine", logStreamName="new"),
    ),
    case(
        "logs",
        "PutLogEvents",
        "logs:PutLogEvents",
        LOGS,
        lambda c, m: c("logs").put_log_events(
            logGroupName="mine", logStreamName="s", logEvents=[{"timestamp": m["now"], "message": "x"}]
        ),
    ),
    case(
        "logs",
        "GetLogEvents",
        "logs:GetLogEvents",
        LOGS,
        lambda c, m: c("logs").get_log_events(logGroupName="mine", logStreamName="s"),
    ),
    case("logs", "DescribeLogGroups", "logs:DescribeLogGroups", "*", lambda c, m: c("logs").describe_log_groups()),
    case("logs", "CreateLogGroup", "logs:CreateLogGroup", NEW_LOGS, lambda c, m: recreated_group(c)),
    case(
        "logs",
        "DescribeLogStreams",
        "logs:DescribeLogStreams",
        LOGS,
        lambda c, m: c("logs").describe_log_streams(logGroupName="mine"),
    ),
    case(
        "logs",
        "FilterLogEvents",
        "logs:FilterLogEvents",
        LOGS,
        lambda c, m: c("logs").filter_log_events(logGroupIdentifier=LOGS.removesuffix(":*"), filterPattern="x"),
    ),
    case(
        "logs",
        "PutRetentionPolicy",
        "logs:PutRetentionPolicy",
        LOGS,
        lambda c, m: c("logs").put_retention_policy(logGroupName="mine", retentionInDays=7),
    ),
    case(
        "logs",
        "TagResource",
        "logs:TagResource",
        LOGS.removesuffix(":*"),
        lambda c, m: c("logs").tag_resource(resourceArn=LOGS.removesuffix(":*"), tags={"a": "b"}),
    ),
    case(
        "monitoring",
        "PutMetricData",
        "cloudwatch:PutMetricData",
        "*",
        lambda c, m: c("cloudwatch").put_metric_data(Namespace="n", MetricData=[{"MetricName": "m", "Value": 1}]),
    ),
    case(
        "monitoring",
        "PutMetricAlarm",
        [("cloudwatch:PutMetricAlarm", ALARM), ("sns:Publish", TOPIC)],
        lambda c, m: c("cloudwatch").put_metric_alarm(
            AlarmName="mine",
            Namespace="n",
            MetricName="m",
            Statistic="Sum",
            Period=60,
            EvaluationPeriods=1,
            Threshold=1,
            ComparisonOperator="GreaterThanThreshold",
            AlarmActions=[TOPIC],
        ),
    ),
    case(
        "monitoring",
        "DeleteAlarms",
        "cloudwatch:DeleteAlarms",
        ALARM,
        lambda c, m: c("cloudwatch").delete_alarms(AlarmNames=["mine"]),
    ),
    case(
        "monitoring",
        "PutDashboard",
        "cloudwatch:PutDashboard",
        "arn:aws:cloudwatch::000000000000:dashboard/mine",
        lambda c, m: c("cloudwatch").put_dashboard(DashboardName="mine", DashboardBody='{"widgets": []}'),
    ),
    case("monitoring", "ListMetrics", "cloudwatch:ListMetrics", "*", lambda c, m: c("cloudwatch").list_metrics()),
    case(
        "dynamodb",
        "PutItem",
        "dynamodb:PutItem",
        TABLE,
        lambda c, m: c("dynamodb").put_item(TableName="mine", Item={"id": {"S": "1"}}),
    ),
    case(
        "dynamodb",
        "GetItem",
        "dynamodb:GetItem",
        TABLE,
        lambda c, m: c("dynamodb").get_item(TableName="mine", Key={"id": {"S": "1"}}),
    ),
    case(
        "dynamodb",
        "TransactWriteItems",
        "dynamodb:PutItem",
        TABLE,
        lambda c, m: c("dynamodb").transact_write_items(
            TransactItems=[{"Put": {"TableName": "mine", "Item": {"id": {"S": "2"}}}}]
        ),
    ),
    case(
        "kinesis",
        "PutRecord",
        "kinesis:PutRecord",
        STREAM,
        lambda c, m: c("kinesis").put_record(StreamName="mine", Data=b"x", PartitionKey="p"),
    ),
    case(
        "ssm",
        "PutParameter",
        "ssm:PutParameter",
        f"arn:aws:ssm:{R}:{A}:parameter/mine/*",
        lambda c, m: c("ssm").put_parameter(Name="/mine/p", Value="v", Type="String", Overwrite=True),
    ),
    case(
        "ssm",
        "GetParameter",
        "ssm:GetParameter",
        f"arn:aws:ssm:{R}:{A}:parameter/mine/*",
        lambda c, m: c("ssm").get_parameter(Name="/mine/q"),
    ),
    case(
        "glue",
        "CreateDatabase",
        "glue:CreateDatabase",
        f"arn:aws:glue:{R}:{A}:database/mine",
        lambda c, m: c("glue").create_database(DatabaseInput={"Name": "mine"}),
    ),
    case(
        "glue",
        "GetTables",
        "glue:GetTables",
        f"arn:aws:glue:{R}:{A}:table/lake/*",
        lambda c, m: c("glue").get_tables(DatabaseName="lake"),
    ),
    case(
        "athena",
        "StartQueryExecution",
        [
            ("athena:StartQueryExecution", f"arn:aws:athena:{R}:{A}:workgroup/primary"),
            ("s3:PutObject", f"{B}/results/*"),
        ],
        lambda c, m: c("athena").start_query_execution(
            QueryString="SELECT 1", ResultConfiguration={"OutputLocation": "s3://mine/results/"}
        ),
    ),
    case(
        "events",
        "PutEvents",
        "events:PutEvents",
        f"arn:aws:events:{R}:{A}:event-bus/default",
        lambda c, m: c("events").put_events(Entries=[{"Source": "s", "DetailType": "d", "Detail": "{}"}]),
    ),
    case(
        "states",
        "CreateStateMachine",
        [("states:CreateStateMachine", f"arn:aws:states:{R}:{A}:stateMachine:mine"), ("aerodrome:ActBeyondRole", "*")],
        lambda c, m: c("stepfunctions").create_state_machine(
            name="mine",
            roleArn=f"arn:aws:iam::{A}:role/x",
            definition=json.dumps({"StartAt": "a", "States": {"a": {"Type": "Succeed"}}}),
        ),
    ),
    case(
        "redshift-data",
        "ListStatements",
        "redshift-data:ListStatements",
        "*",
        lambda c, m: c("redshift-data").list_statements(),
    ),
    case("acm", "ListCertificates", "acm:ListCertificates", "*", lambda c, m: c("acm").list_certificates()),
    case("ec2", "DescribeVpcs", "ec2:DescribeVpcs", "*", lambda c, m: c("ec2").describe_vpcs()),
    case(
        "tagging", "GetResources", "tag:GetResources", "*", lambda c, m: c("resourcegroupstaggingapi").get_resources()
    ),
    case("scheduler", "ListSchedules", "scheduler:ListSchedules", "*", lambda c, m: c("scheduler").list_schedules()),
    case(
        "firehose",
        "ListDeliveryStreams",
        "firehose:ListDeliveryStreams",
        "*",
        lambda c, m: c("firehose").list_delivery_streams(),
    ),
    case("ses", "ListIdentities", "ses:ListIdentities", "*", lambda c, m: c("ses").list_identities()),
)
