"""What a request asks of a service other than S3: its action and the ARNs of what it is about. Pure.

`readings` has the one reading of it. Two readings of one request are refused: the emulator must act on what was decided
on.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from ministack.core import iam_actions, router

from aerodrome.api.aws import readings
from aerodrome.api.aws.readings import Reading
from aerodrome.api.aws.requested import BEYOND, NeededPermission, OnwardHead, Requested, UnclearError, parsed
from aerodrome.emulator import rules
from aerodrome.identity.policy.patterns import Context
from aerodrome.telemetry.metrics import acceptance

REDSHIFT_DATA = rules.REDSHIFT_DATA

SCOPES: Mapping[str, frozenset[str]] = {"dynamodb": frozenset({"dynamodb", "dynamodbstreams"})}
"""What a request is signed for → the services of MiniStack's that it may be for; all others are those of their name."""

ACT_THEMSELVES: Mapping[str, re.Pattern[str]] = {
    service: re.compile(names)
    for service, names in {
        "states": "(Create|Update|Start|Test).*",
        "scheduler": "(Create|Update)Schedule",
        "events": "PutTargets|(Create|Update)(Connection|ApiDestination)|StartReplay",
        "firehose": "CreateDeliveryStream|UpdateDestination",
        "logs": "Put(SubscriptionFilter|Destination|DeliveryDestination)|CreateExportTask|CreateDelivery",
        "glue": "(Create|Update|Start)(Job|JobRun|Crawler|Trigger|WorkflowRun)",
        "dynamodb": "(Batch)?Execute(Statement|Transaction)|ExportTableToPointInTime|ImportTable|"
        "EnableKinesisStreamingDestination",
        "sns": "Subscribe",
        "secretsmanager": "RotateSecret|ReplicateSecretToRegions",
        "sqs": "StartMessageMoveTask",
        "cloudwatch": "Put(CompositeAlarm|MetricStream)",
        "ec2": "RunInstances",
    }.items()
}
"""Operations after which the emulator acts with rights of its own, and no role limits it as on AWS."""

NAMES: Mapping[str, Mapping[str, str]] = {
    "acm": {"CertificateArn": ""},
    "athena": {"ResourceARN": ""},
    "dynamodb": dict.fromkeys(
        ("ResourceArn", "TableArn", "SourceTableArn", "BackupArn", "ExportArn", "ImportArn", "StreamArn"), ""
    ),
    "dynamodbstreams": {"StreamArn": ""},
    "firehose": {"DeliveryStreamName": "deliverystream/"},
    "kinesis": {"StreamARN": "", "ConsumerARN": "", "ResourceARN": "", "StreamName": "stream/"},
    "sns": dict.fromkeys(("TopicArn", "TargetArn", "ResourceArn", "PlatformApplicationArn", "EndpointArn"), ""),
    "states": dict.fromkeys(
        ("stateMachineArn", "executionArn", "activityArn", "mapRunArn", "resourceArn", "stateMachineAliasArn",
         "stateMachineVersionArn"), ""
    ),
}  # fmt: skip
"""By service: members that name a resource, and what its ARN has before that name; empty: they are ARNs."""

OF_ALL: Mapping[str, str] = {
    "dynamodb:ListTables": "table/*",
    "events:ListRules": "rule/*",
    "sns:ListSubscriptions": "*",
    "sns:ListTopics": "*",
    "sqs:ListQueues": "",
    "ssm:DescribeParameters": "*",
    "states:ListStateMachines": "stateMachine:*",
}
"""Operations on no particular resource that AWS judges by an ARN all the same: how that ARN ends."""

NAMESPACE = "cloudwatch:namespace"
ENVIRONMENT = "aerodrome:environment"
"""What PutMetricData writes to, and of which environments, as `app` asks for our own parts of these."""

_RULES = frozenset({"PutRule", "DeleteRule", "DescribeRule", "EnableRule", "DisableRule", "PutTargets", "RemoveTargets",
                    "ListTargetsByRule"})  # fmt: skip

_QUEUE = re.compile(r"[A-Za-z0-9_-]{1,80}(\.fifo)?")

_ATTRIBUTE = re.compile(r"(Attributes?\.(?:entry\.)?\d+\.)(Name|key)")
"""The name of an attribute of a queue or a topic, in a form."""

_STREAM = frozenset({"PutLogEvents", "GetLogEvents", "DeleteLogStream", "CreateLogStream"})


def service_of(head: OnwardHead, signed_for: str) -> str:
    """MiniStack's name for the service that the request will reach.

    Raises:
        UnclearError: it would reach another service than the one that it is signed for.
    """
    if signed_for == REDSHIFT_DATA or rules.is_for_redshift(head.headers):
        if signed_for == REDSHIFT_DATA and rules.is_for_redshift(head.headers):
            return REDSHIFT_DATA
        raise UnclearError("The request is signed for another service than its target's.")
    found: str = router.detect_service(head.method, head.path, dict(head.headers), dict(head.query))
    if found not in SCOPES.get(signed_for, {signed_for}) or found not in rules.SERVICES:
        raise UnclearError("The request is signed for another service than its target's.")
    return found


def requested(service: str, head: OnwardHead, body: bytes, *, region: str, account: str) -> Requested:
    """What the request asks for.

    Raises:
        UnclearError: it can be read in two ways, or in none.
    """
    try:
        return _requested(service, head, body, region=region, account=account)
    except UnclearError:
        raise
    except Exception:  # noqa: BLE001 - MiniStack's readers take for granted what a client may send differently
        raise UnclearError("The request cannot be read.") from None


def _requested(service: str, head: OnwardHead, body: bytes, *, region: str, account: str) -> Requested:
    readings.check_connection(head)
    if service == REDSHIFT_DATA:
        return _redshift(readings.read_target(service, head, body))
    reading = readings.read(service, head, body)
    namespace = iam_actions.SERVICE_TO_IAM_NAMESPACE.get(service, service)
    if reading.name is None:
        return Requested(checks=(NeededPermission(action=f"{namespace}:UnknownOperation", resource="*"), BEYOND))
    action = f"{namespace}:{reading.name}"
    checks = tuple(_About(service, reading, head, body, region, account).checks(action))
    if namespace in ACT_THEMSELVES and ACT_THEMSELVES[namespace].fullmatch(reading.name):
        checks = (*checks, BEYOND)
    tags = partial(_request_tags, service, action, reading, head, body)
    policies = tuple(policy for policy in _policies(service, reading) if policy)
    return Requested(checks=checks, tags=tags, policies=policies, reads_buckets=action == "athena:StartQueryExecution")


def _environments(members: Mapping[str, Any]) -> tuple[str, ...]:
    """The environments that points are of, each once; empty where one has no such dimension."""
    data = [*members.get("MetricData", ()), *(each for entity in members.get("EntityMetricData", ())
            for each in entity.get("MetricData", ()))]  # fmt: skip
    found = [
        "".join(pair["Value"] for pair in each.get("Dimensions", ()) if pair["Name"] == "Environment") for each in data
    ]
    return tuple(dict.fromkeys(found))


def _policies(service: str, reading: Reading) -> list[str]:
    """What the request gives to a resource as its policy."""
    members = reading.members
    if service in {"kms", "kinesis"} and reading.name in {"CreateKey", "PutKeyPolicy", "PutResourcePolicy"}:
        return [str(members.get("Policy") or "")]
    if service == "secretsmanager" and reading.name == "PutResourcePolicy":
        return [str(members.get("ResourcePolicy") or "")]
    if service not in {"sqs", "sns"}:
        return []
    whole = members.get("Attributes")
    found = [str(whole.get("Policy") or "")] if isinstance(whole, dict) else []
    if members.get("AttributeName") == "Policy":
        found.append(str(members.get("AttributeValue") or ""))
    for member, name in members.items():
        if name == "Policy" and (pair := _ATTRIBUTE.fullmatch(member)):
            found.append(str(members.get(f"{pair[1]}{'Value' if pair[2] == 'Name' else 'value'}") or ""))
    return found


def _request_tags(service: str, action: str, reading: Reading, head: OnwardHead, body: bytes) -> Context | None:
    """The condition keys of tags that the request gives or takes away; None: its form hides them."""
    if "cbor" in head.headers.get("content-type", ""):
        return None
    form = {**head.query, **({} if body[:1] == b"{" else parsed(body.decode("utf-8", "replace")))}
    found: dict[str, Any] = iam_actions.request_tag_context(service, action, body, form)
    taken = reading.members.get("tagKeys")
    keys = [*_values(found.pop("aws:TagKeys", ())), *(_values(taken) if isinstance(taken, list) else ())]
    known = {key.lower(): _values(value) for key, value in found.items()}
    return {**known, "aws:tagkeys": tuple(keys)} if keys else known


def _redshift(reading: Reading) -> Requested:
    if reading.name is None:
        return Requested(checks=(NeededPermission(action="redshift-data:UnknownOperation", resource="*"), BEYOND))
    runs_sql = reading.name in {"ExecuteStatement", "BatchExecuteStatement"}
    return Requested(
        checks=(NeededPermission(action=f"redshift-data:{reading.name}", resource="*"),), reads_buckets=runs_sql
    )


class _About:
    """The resources of one operation.

    Whatever member names a resource is asked for: where a request names two, both must be allowed. What cannot be told
    is asked for on `*`.
    """

    def __init__(
        self, service: str, reading: Reading, head: OnwardHead, body: bytes, region: str, account: str
    ) -> None:
        self._service = service
        self._name = reading.name or ""
        self._members = reading.members
        self._head = head
        self._body = body
        self._region = region
        self._account = account

    def checks(self, action: str) -> list[NeededPermission]:
        """What must be allowed."""
        if self._service == "dynamodb":
            return self._dynamodb(action)
        if self._service == "secretsmanager":
            return self._secretsmanager(action)
        if self._service == "kms":
            return self._kms(action)
        if self._service == "monitoring":
            return self._monitoring(action)
        if self._service == "kinesis" and self._name == "GetRecords":
            return self._records(action)
        own: Callable[[], list[str]] | None = getattr(self, f"_{self._service}", None)
        arns = own() if own is not None else self._named(NAMES.get(self._service, {}))
        beside = self._output() if action == "athena:StartQueryExecution" else []
        found = [NeededPermission(action=action, resource=arn) for arn in dict.fromkeys(arns)]
        return [*(found or [self._of_all(action)]), *beside]

    def _of_all(self, action: str) -> NeededPermission:
        """What must be allowed for a request that names no resource."""
        if action not in OF_ALL:
            return NeededPermission(action=action, resource="*")
        return NeededPermission(action=action, resource=self._arn(self._service, OF_ALL[action]), is_of_all=True)

    def _arn(self, service: str, resource: str) -> str:
        return f"arn:aws:{service}:{self._region}:{self._account}:{resource}"

    def _text(self, *names: str) -> str:
        return next((value for name in names if isinstance(value := self._members.get(name), str) and value), "")

    def _texts(self, *names: str) -> list[str]:
        """What these members name, each, and each of their lists."""
        found: list[str] = []
        for name in names:
            value = self._members.get(name)
            found += [str(each) for each in value] if isinstance(value, list) else [str(value)] if value else []
        return found

    def _inner(self, member: str) -> list[str]:
        """The name in a member that describes what it makes or changes."""
        given = self._members.get(member)
        named = given.get("Name") if isinstance(given, dict) else None
        return [str(named)] if named else []

    def _named(self, members: Mapping[str, str]) -> list[str]:
        return [
            self._arn(self._service, f"{kind}{named}") if kind else _whole(named)
            for member, kind in members.items()
            for named in self._texts(member)
        ]

    def _sqs(self) -> list[str]:
        named = [self._queue(each) for each in self._texts("QueueUrl")]
        in_path = [part for part in self._head.path.split("/") if part][1:]
        if in_path and named and in_path != named:
            raise UnclearError("The request names two queues.")
        by_name = [_queue_name(each) for each in self._texts("QueueName")]
        found = [self._arn("sqs", each) for each in dict.fromkeys([*named, *in_path, *by_name])]
        return [*found, *(_whole(each) for each in self._texts("SourceArn", "DestinationArn"))]

    def _queue(self, url: str) -> str:
        """The name of the queue that a URL, or a name in its place, stands for."""
        parts = url.split("/")
        if len(parts) > 1 and parts[-2] != self._account:
            raise UnclearError("The queue is another account's.")
        return _queue_name(parts[-1])

    def _sns(self) -> list[str]:
        topics = [each.rpartition(":")[0] or "*" for each in self._texts("SubscriptionArn")]
        made = [self._arn("sns", each) for each in self._texts("Name")] if self._name == "CreateTopic" else []
        return [*topics, *made, *self._named(NAMES["sns"])]

    def _ssm(self) -> list[str]:
        if "Parameter" not in self._name:
            is_parameter = self._members.get("ResourceType") == "Parameter"
            return [self._parameter(each) for each in self._texts("ResourceId")] if is_parameter else []
        return [self._parameter(each) for each in self._texts("Name", "Names", "Path")]

    def _parameter(self, named: str) -> str:
        if named.startswith("arn:"):
            return named
        return self._arn("ssm", f"parameter{'' if named.startswith('/') else '/'}{named.partition(':')[0]}")

    def _states(self) -> list[str]:
        kind = {"CreateStateMachine": "stateMachine", "CreateActivity": "activity"}.get(self._name)
        made = [self._arn("states", f"{kind}:{each}") for each in self._texts("name")] if kind else []
        return [*made, *self._named(NAMES["states"])]

    def _scheduler(self) -> list[str]:
        kind, _, name = self._head.path.strip("/").partition("/")
        if not name:
            return []
        if kind == "tags":
            return [name]
        if kind == "schedule-groups":
            return [self._arn("scheduler", f"schedule-group/{name}")]
        by_query, by_body = self._head.query.get("groupName", []), self._texts("GroupName")
        is_by_body = self._head.method in {"POST", "PUT"}
        if (by_query if is_by_body else by_body) or self._texts("Name") not in ([], [name]):
            raise UnclearError("The request names two schedules.")
        group = (by_body if is_by_body else by_query) or ["default"]
        return [self._arn("scheduler", f"schedule/{group[0] or 'default'}/{name}")]

    def _secretsmanager(self, action: str) -> list[NeededPermission]:
        """By a secret's name or ARN, as the request has it; `resources` completes it."""
        if self._name == "BatchGetSecretValue":
            both = (action, "secretsmanager:GetSecretValue")
            several = self._texts("SecretIdList")
            if self._members.get("Filters") or not several:
                listed = "secretsmanager:ListSecrets"
                return [NeededPermission(action=each, resource="*") for each in (*both, listed)]
            return [self._secret(each, named) for named in several for each in both]
        named = self._texts("SecretId") or (self._texts("Name") if self._name == "CreateSecret" else [])
        if self._name == "CreateSecret" and named and named[0].startswith("arn:"):
            raise UnclearError("A secret's name is no ARN.")
        return [self._secret(action, each) for each in named] or [NeededPermission(action=action, resource="*")]

    def _secret(self, action: str, named: str) -> NeededPermission:
        arn = named if named.startswith("arn:") else self._arn("secretsmanager", f"secret:{named}")
        return NeededPermission(action=action, resource=arn, named=named)

    def _kms(self, action: str) -> list[NeededPermission]:
        named = self._texts("KeyId", "SourceKeyId", "DestinationKeyId", "TargetKeyId")
        if self._name in {"Decrypt", "ReEncrypt"}:
            named += self._key_of_ciphertext(is_named=bool(self._texts("KeyId", "SourceKeyId")))
        aliases = self._texts("AliasName") if self._name in {"CreateAlias", "UpdateAlias", "DeleteAlias"} else []
        if self._name != "CreateAlias":
            named += aliases
        found = [NeededPermission(action=action, resource=self._arn("kms", each), is_as_named=True) for each in aliases]
        found += [self._key(action, each) for each in dict.fromkeys(named)]
        return found or [NeededPermission(action=action, resource="*")]

    def _key_of_ciphertext(self, *, is_named: bool) -> list[str]:
        """The key that the ciphertext names. That of an asymmetric key names none: then the request must name it."""
        found: str = iam_actions._kms_key_id_from_ciphertext(self._text("CiphertextBlob"))  # noqa: SLF001 -- pinned version
        if not found and not is_named:
            raise UnclearError("The ciphertext is of no key.")
        return [found] if found else []

    def _key(self, action: str, named: str) -> NeededPermission:
        is_whole, is_alias = named.startswith("arn:"), named.startswith("alias/")
        arn = named if is_whole else self._arn("kms", named if is_alias else f"key/{named}")
        return NeededPermission(action=action, resource=arn, named=named)

    def _records(self, action: str) -> list[NeededPermission]:
        """The stream that the iterator reads, and the one that is named."""
        read = NeededPermission(
            action=action, resource=self._arn("kinesis", "stream/*"), named=self._text("ShardIterator")
        )
        return [read, *(NeededPermission(action=action, resource=each) for each in self._named(NAMES["kinesis"]))]

    def _monitoring(self, action: str) -> list[NeededPermission]:
        """Metrics have no ARNs: a namespace is a condition. An alarm tells the topics that who puts it may tell."""
        if self._name == "PutMetricData":
            namespace = self._text("Namespace")
            is_reserved = namespace.startswith(acceptance.RESERVED)
            about = {NAMESPACE: (namespace,)} | ({ENVIRONMENT: _environments(self._members)} if is_reserved else {})
            return [NeededPermission(action=action, resource="*", context=about)]
        named = [self._arn("cloudwatch", f"alarm:{each}") for each in self._texts("AlarmName", "AlarmNames")]
        named += [f"arn:aws:cloudwatch::{self._account}:dashboard/{each}" for each in
                  self._texts("DashboardName", "DashboardNames")]  # fmt: skip
        named += [_whole(each) for each in self._texts("ResourceARN")]
        topics = self._texts("AlarmActions", "OKActions", "InsufficientDataActions")
        told = {"cloudwatch:alarmactions": tuple(topics)} if topics else {}
        found = [NeededPermission(action=action, resource=arn, context=told) for arn in dict.fromkeys(named) or ["*"]]
        return [
            *found,
            *(NeededPermission(action="sns:Publish", resource=_whole(each)) for each in dict.fromkeys(topics)),
        ]

    def _logs(self) -> list[str]:
        by_name, by_arn = self._text("logGroupName"), self._text("logGroupIdentifier")
        if by_name and by_arn:
            raise UnclearError("The request names two log groups.")
        tagged = [self._tagged_log_group(each) for each in self._texts("resourceArn")]
        several = self._texts("logGroupNames", "logGroupIdentifiers")
        named = [each for each in (by_name or by_arn, *several) if each]
        stream = self._text("logStreamName") if self._name in _STREAM else ""
        found = [*(self._log_group(each, stream) for each in named), *tagged]
        return found or ([self._log_group("", "")] if self._name == "DescribeLogGroups" else [])

    def _log_group(self, named: str, stream: str) -> str:
        name = named.partition(":log-group:")[2].removesuffix(":*") if named.startswith("arn:") else named
        return self._arn("logs", f"log-group:{name}:log-stream:{stream}")

    def _tagged_log_group(self, arn: str) -> str:
        """A group whose tags are asked for has no `:*` at its end in policies; the request may write it."""
        _, is_group, name = arn.partition(":log-group:")
        return _whole(self._arn("logs", f"log-group:{name.removesuffix(':*')}") if is_group else arn)

    def _glue(self) -> list[str]:
        if self._name in {"TagResource", "UntagResource", "GetTags"}:
            return [_whole(each) for each in self._texts("ResourceArn")]
        if self._name == "GetDatabases":
            return [self._arn("glue", "catalog"), self._arn("glue", "database/*")]
        if "Database" in self._name:
            return [
                self._arn("glue", f"database/{each}") for each in (*self._texts("Name"), *self._inner("DatabaseInput"))
            ]
        database = self._text("DatabaseName")
        if "Table" in self._name or "Partition" in self._name:
            tables = [*self._texts("Name", "TableName", "TablesToDelete"), *self._inner("TableInput")]
            return [self._arn("glue", f"table/{database}/{each}") for each in tables or ["*"]] if database else []
        for kind in ("Job", "Crawler", "Trigger", "Connection"):
            if kind in self._name:
                named = self._texts(f"{kind}Name", f"{kind}Names", f"{kind}NameList", "Name")
                return [self._arn("glue", f"{kind.lower()}/{each}") for each in (*named, *self._inner(f"{kind}Input"))]
        return []

    def _athena(self) -> list[str]:
        group = self._texts("WorkGroup") or (self._texts("Name") if "WorkGroup" in self._name else [])
        if not group and self._name == "StartQueryExecution":
            group = ["primary"]
        return [*(self._arn("athena", f"workgroup/{each}") for each in group), *self._named(NAMES["athena"])]

    def _output(self) -> list[NeededPermission]:
        """Where Athena writes a result, with the rights of who asks for it."""
        configuration = self._members.get("ResultConfiguration")
        location = str(configuration.get("OutputLocation", "")) if isinstance(configuration, dict) else ""
        if not location.startswith("s3://"):
            return [BEYOND]  # the workgroup's, which somebody else has chosen
        bucket, _, key = location.removeprefix("s3://").partition("/")
        folder = key.rstrip("/")
        name = f"{folder}/result.csv" if folder else "result.csv"
        return [NeededPermission(action="s3:PutObject", resource=f"arn:aws:s3:::{bucket}/{name}")]

    def _dynamodb(self, action: str) -> list[NeededPermission]:
        context: Any = iam_actions.dynamodb_service_context(self._body)
        known = {key.lower(): _values(value) for key, value in context.items()}
        if self._name in {"TransactWriteItems", "TransactGetItems"}:
            items: Any = iam_actions.dynamodb_transaction_checks(action, self._body, self._region, self._account)
            if len(items) < len(self._members.get("TransactItems") or [None]):
                raise UnclearError("The transaction names no table.")
            return [NeededPermission(action=each, resource=arn, context=known) for each, arn in items]
        index = self._text("IndexName")
        tables = [self._table(each) for each in self._texts("TableName")]
        tables = [f"{each}/index/{index}" for each in tables] if index else tables
        several = self._members.get("RequestItems")
        tables += [self._table(each) for each in several] if isinstance(several, dict) else []
        tables += [self._table(each) for each in self._texts("SourceTableName", "TargetTableName")]
        arns = dict.fromkeys([*tables, *self._named(NAMES["dynamodb"])])
        found = [NeededPermission(action=action, resource=arn, context=known) for arn in arns]
        return found or [replace(self._of_all(action), context=known)]

    def _table(self, named: str) -> str:
        return named if named.startswith("arn:") else self._arn("dynamodb", f"table/{named}")

    def _events(self) -> list[str]:
        if self._name == "PutEvents":
            buses: Any = iam_actions.eventbridge_resource_arns(self._body, self._region, self._account)
            return ["*"] if self._texts("EndpointId") else list(buses)
        if self._name in _RULES:
            return [self._rule(each) for each in self._texts("Name", "Rule")]
        if "EventBus" in self._name or "Permission" in self._name:
            named = self._texts("EventBusName", "Name") or ["default"]
            return [each if each.startswith("arn:") else self._arn("events", f"event-bus/{each}") for each in named]
        return [_whole(each) for each in self._texts("ResourceARN")]

    def _rule(self, named: str) -> str:
        bus = self._text("EventBusName").rpartition("event-bus/")[2]
        return self._arn("events", f"rule/{named}" if bus in {"", "default"} else f"rule/{bus}/{named}")


def _whole(arn: str) -> str:
    """The text if it is an ARN of one thing; else `*`."""
    return arn if arn.startswith("arn:") and not set(arn) & set("*?") else "*"


def _queue_name(name: str) -> str:
    if not _QUEUE.fullmatch(name):
        raise UnclearError("The queue has no such name.")
    return name


def _values(value: Any) -> tuple[str, ...]:
    return tuple(map(str, value)) if isinstance(value, list | tuple | set) else (str(value),)
