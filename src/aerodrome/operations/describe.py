"""GetEnvironment: the ledger's environment as MWAA's `Environment` object.

Pure but for the look-up. `WebserverUrl` has no scheme, because MWAA's real answers have none, whatever the model's
pattern says; it has a port when the gateway's is not 443. `LastUpdate` is always there, because Terraform's provider
reads it without a check. Members for which Aerodrome has no true value (CeleryExecutorQueue, VPC endpoint services) are
left out.
"""

from __future__ import annotations

from typing import Any

from aerodrome.model import arns, defaults
from aerodrome.model.environment import Environment, Failure
from aerodrome.model.spec import Document
from aerodrome.model.web_address import Ports, web_address
from aerodrome.operations import find
from aerodrome.operations.dependencies import Dependencies
from aerodrome.settings import Settings

LONGEST_ERROR = 1024
"""Characters that the service model allows in ErrorMessage."""

LONGEST_SENTENCE = 700
"""Characters that the sentence may take when log lines follow it; arbitrary."""

BETWEEN_LINES = " | "
"""Replaces a line end: the model's pattern allows none in ErrorMessage."""


def get_environment(deps: Dependencies, given: Document) -> dict[str, Any]:
    """The environment as it is now."""
    environment = find.by_name(deps, given["Name"])
    return {"Environment": described(environment, deps.settings, deps.gateway_ports)}


def described(environment: Environment, settings: Settings, ports: Ports) -> dict[str, Any]:
    """MWAA's `Environment` object."""
    region, account = settings.region, settings.account_id
    return environment.spec.document() | {
        "Name": environment.name,
        "Arn": environment.arn,
        "Status": str(environment.status),
        "CreatedAt": environment.created_at,
        "WebserverUrl": web_address(environment, settings, ports),
        "ServiceRoleArn": arns.service_role(region=region, account=account),
        "LoggingConfiguration": _logging(environment, region=region, account=account),
        "LastUpdate": _last_update(environment),
        "Tags": dict(environment.tags),
    }


def error_message(failure: Failure) -> str:
    """The sentence, then as many of the last log lines as the model's length allows, all on one line."""
    sentence = _one_line(failure.message) or "No reason was recorded."
    if not failure.tail:
        return _shortened(sentence, LONGEST_ERROR)
    text = _shortened(sentence, LONGEST_SENTENCE)
    room = LONGEST_ERROR - len(text)
    kept: list[str] = []
    for line in reversed([_one_line(line) for line in failure.tail]):
        if line and len(line) + len(BETWEEN_LINES) <= room:
            kept.insert(0, line)
            room -= len(line) + len(BETWEEN_LINES)
        elif line:
            break
    return BETWEEN_LINES.join([text, *kept])


def _logging(environment: Environment, *, region: str, account: str) -> dict[str, Any]:
    """Only an enabled module has a log group."""
    found = {}
    for module, chosen in environment.spec.logging_configuration.items():
        found[module] = dict(chosen)
        if chosen.get("Enabled"):
            group = f"airflow-{environment.name}-{defaults.LOG_MODULES[module]}"
            found[module]["CloudWatchLogGroupArn"] = arns.log_group(region=region, account=account, group=group)
    return found


def _last_update(environment: Environment) -> dict[str, Any]:
    last = environment.last_update
    found: dict[str, Any] = {"Status": last.status, "CreatedAt": last.created_at, "Source": last.source}
    if last.strategy is not None:
        found["WorkerReplacementStrategy"] = str(last.strategy)
    failure = last.failure or environment.failure
    if failure is not None:
        found["Error"] = {"ErrorCode": failure.code, "ErrorMessage": error_message(failure)}
    return found


def _one_line(text: str) -> str:
    return "".join(char if char.isprintable() else " " for char in text.strip())


def _shortened(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
