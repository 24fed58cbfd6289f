"""What a request asks of a service other than S3: its action and the ARNs of what it is about. Pure.

MiniStack's own table (`iam_actions`) reads most of it; what it lacks stands here. Two readings of one request are
refused: the emulator must act on what was decided on.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ministack.core import iam_actions, router

from aerodrome.api.aws.requested import BEYOND, Check, Head, Requested, UnclearError, parsed
from aerodrome.emulator import rules

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
        "cloudwatch": "Put(MetricAlarm|CompositeAlarm|MetricStream)",
        "ec2": "RunInstances",
    }.items()
}
"""Operations after which the emulator acts with rights of its own, and no role limits it as on AWS."""

_CBOR = re.compile(r"/service/[A-Za-z0-9]+/operation/([A-Za-z0-9]+)/?")

_STREAM = frozenset({"PutLogEvents", "GetLogEvents", "DeleteLogStream", "CreateLogStream"})


def service_of(head: Head, signed_for: str) -> str:
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


def requested(service: str, head: Head, body: bytes, *, region: str, account: str) -> Requested:
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


def _requested(service: str, head: Head, body: bytes, *, region: str, account: str) -> Requested:
    if service == REDSHIFT_DATA:
        return _redshift(head)
    parameters = _parameters(head, body)
    action = _action(service, head, body, parameters)
    if action is None:
        namespace = iam_actions.SERVICE_TO_IAM_NAMESPACE.get(service, service)
        return Requested(checks=(Check(action=f"{namespace}:UnknownOperation", resource="*"), BEYOND))
    document = _document(head, body)
    about = _About(service, action.partition(":")[2], head, body, document, parameters, region, account)
    checks = tuple(about.checks(action))
    namespace, _, name = action.partition(":")
    if namespace in ACT_THEMSELVES and ACT_THEMSELVES[namespace].fullmatch(name):
        checks = (*checks, BEYOND)
    return Requested(checks=checks, reads_buckets=action == "athena:StartQueryExecution")


def _redshift(head: Head) -> Requested:
    name = head.headers.get("x-amz-target", "").rpartition(".")[2]
    runs_sql = name in {"ExecuteStatement", "BatchExecuteStatement"}
    return Requested(checks=(Check(action=f"redshift-data:{name}", resource="*"),), reads_buckets=runs_sql)


def _parameters(head: Head, body: bytes) -> dict[str, Any]:
    """Query and form as one, as MiniStack merges them."""
    form = head.headers.get("content-type", "").startswith("application/x-www-form-urlencoded")
    has_target = "x-amz-target" in head.headers
    if has_target and (form or "Action" in head.query):
        raise UnclearError("The request names its operation in two ways.")
    if not form or not body:
        return dict(head.query)
    found = parsed(body.decode("utf-8", "replace"))
    twice = [name for name in found if name in head.query and name != "Version"]
    repeated = [name for name, values in found.items() if len(values) > 1]
    if twice or repeated:
        raise UnclearError("The request gives a parameter twice.")
    return {**found, **head.query}


def _action(service: str, head: Head, body: bytes, parameters: Mapping[str, Any]) -> str | None:
    cbor = _CBOR.fullmatch(head.path)
    if cbor is not None and ("x-amz-target" in head.headers or "Action" in parameters):
        raise UnclearError("The request names its operation in two ways.")
    if cbor is not None:
        return f"{iam_actions.SERVICE_TO_IAM_NAMESPACE[service]}:{cbor[1]}"
    found: str | None = iam_actions.extract_iam_action(
        service, head.method, head.path, dict(head.headers), body, dict(parameters)
    )
    return found


def _document(head: Head, body: bytes) -> dict[str, Any]:
    """The JSON of a request; empty where it has none."""
    if "json" not in head.headers.get("content-type", "") and "x-amz-target" not in head.headers:
        return {}
    try:
        found = json.loads(body, object_pairs_hook=_once) if body else {}
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise UnclearError("The request gives a member twice.")
    return found


class _About:
    """The resources of one operation."""

    def __init__(
        self, service: str, name: str, head: Head, body: bytes, document: Mapping[str, Any],
        parameters: Mapping[str, Any], region: str, account: str,
    ) -> None:  # fmt: skip
        self._service = service
        self._name = name
        self._head = head
        self._body = body
        self._document = document
        self._parameters = parameters
        self._region = region
        self._account = account

    def checks(self, action: str) -> Iterable[Check]:
        """What must be allowed."""
        if self._service == "dynamodb":
            return self._dynamodb(action)
        own: Callable[[], list[str]] | None = getattr(self, f"_{self._service}", None)
        arns = own() if own is not None else [self._extracted()]
        beside = self._output() if action == "athena:StartQueryExecution" else []
        return [*(Check(action=action, resource=arn) for arn in arns), *beside]

    def _arn(self, service: str, resource: str) -> str:
        return f"arn:aws:{service}:{self._region}:{self._account}:{resource}"

    def _text(self, *names: str) -> str:
        for name in names:
            value = self._document.get(name)
            if value is None:
                value = (self._parameters.get(name) or [""])[0]
            if isinstance(value, str) and value:
                return value
        return ""

    def _extracted(self) -> str:
        if self._service == "sqs":
            self._check_queue()
        found: str = iam_actions.extract_resource_arn(
            self._service, self._head.method, self._head.path, dict(self._head.headers), self._body,
            dict(self._parameters), self._region, self._account,
        )  # fmt: skip
        return found

    def _check_queue(self) -> None:
        """A queue must be named once."""
        named = self._text("QueueUrl").rstrip("/").rpartition("/")[2]
        parts = [part for part in self._head.path.split("/") if part]
        if len(parts) > 1 and named and parts[-1] != named:
            raise UnclearError("The request names two queues.")

    def _secretsmanager(self) -> list[str]:
        """A secret's name or ARN; `resources` completes it."""
        named = self._text("SecretId") or self._text("Name")
        several = self._document.get("SecretIdList")
        if isinstance(several, list) and several:
            return [self._secret(str(each)) for each in several]
        return [self._secret(named) if named else "*"]

    def _secret(self, named: str) -> str:
        return named if named.startswith("arn:") else self._arn("secretsmanager", f"secret:{named}")

    def _sns(self) -> list[str]:
        subscription = self._text("SubscriptionArn")
        if subscription:
            return [subscription.rpartition(":")[0]]
        return [self._text("ResourceArn") or self._extracted()]

    def _logs(self) -> list[str]:
        by_name, by_arn = self._text("logGroupName"), self._text("logGroupIdentifier")
        if by_name and by_arn:
            raise UnclearError("The request names two log groups.")
        if self._name in {"TagResource", "UntagResource", "ListTagsForResource"}:
            return [self._text("resourceArn") or "*"]
        several = [*self._several("logGroupNames"), *self._several("logGroupIdentifiers")]
        named = [each for each in (by_name or by_arn, *several) if each]
        stream = self._text("logStreamName") if self._name in _STREAM else ""
        return [self._log_group(each, stream) for each in named] or [self._log_group("", "")]

    def _log_group(self, named: str, stream: str) -> str:
        name = named.partition(":log-group:")[2].removesuffix(":*") if named.startswith("arn:") else named
        return self._arn("logs", f"log-group:{name}:log-stream:{stream}")

    def _several(self, name: str) -> list[str]:
        found = self._document.get(name)
        return [str(each) for each in found] if isinstance(found, list) else []

    def _glue(self) -> list[str]:
        database, name = self._text("DatabaseName"), self._text("Name", "TableName")
        if "Database" in self._name:
            given = self._document.get("DatabaseInput")
            named = name or (str(given.get("Name", "")) if isinstance(given, dict) else "")
            return [self._arn("glue", f"database/{named}") if named else self._arn("glue", "catalog")]
        if database and ("Table" in self._name or "Partition" in self._name):
            given = self._document.get("TableInput")
            table = self._text("TableName", "Name") or (str(given.get("Name", "")) if isinstance(given, dict) else "")
            tables = self._several("TablesToDelete") or [table or "*"]
            return [self._arn("glue", f"table/{database}/{each}") for each in tables]
        for kind in ("Job", "Crawler", "Trigger", "Connection"):
            if kind in self._name and (named := self._text(f"{kind}Name", "Name")):
                return [self._arn("glue", f"{kind.lower()}/{named}")]
        return [self._arn("glue", "catalog")]

    def _athena(self) -> list[str]:
        if self._name in {"ListWorkGroups", "ListDataCatalogs", "ListEngineVersions"}:
            return ["*"]
        group = self._text("WorkGroup") or (self._text("Name") if "WorkGroup" in self._name else "")
        if group or self._name == "StartQueryExecution":
            return [self._arn("athena", f"workgroup/{group or 'primary'}")]
        return ["*"]

    def _output(self) -> list[Check]:
        """Where Athena writes a result, with the rights of who asks for it."""
        configuration = self._document.get("ResultConfiguration")
        location = str(configuration.get("OutputLocation", "")) if isinstance(configuration, dict) else ""
        if not location.startswith("s3://"):
            return [BEYOND]  # the workgroup's, which somebody else has chosen
        bucket, _, key = location.removeprefix("s3://").partition("/")
        folder = key.rstrip("/")
        name = f"{folder}/result.csv" if folder else "result.csv"
        return [Check(action="s3:PutObject", resource=f"arn:aws:s3:::{bucket}/{name}")]

    def _dynamodb(self, action: str) -> list[Check]:
        context: Any = iam_actions.dynamodb_service_context(self._body)
        known = {key.lower(): _values(value) for key, value in context.items()}
        items: Any = iam_actions.dynamodb_transaction_checks(action, self._body, self._region, self._account)
        if items:
            return [Check(action=each, resource=arn, context=known) for each, arn in items]
        arns: Any = iam_actions.dynamodb_resource_arns(self._body, self._region, self._account)
        return [Check(action=action, resource=arn, context=known) for arn in arns or ["*"]]

    def _events(self) -> list[str]:
        buses: Any = iam_actions.eventbridge_resource_arns(self._body, self._region, self._account)
        return list(buses) or [self._extracted()]


def _values(value: Any) -> tuple[str, ...]:
    return tuple(map(str, value)) if isinstance(value, list | tuple | set) else (str(value),)
