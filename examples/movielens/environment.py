"""The MWAA environment of the quickstart: created when missing, then awaited. A client of the `mwaa` API."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import boto3
from botocore.exceptions import ClientError

from . import failure, waiting

VERSIONS = {"3.3.1": "3.3.1", "3.3": "3.3.1", "2.11.2": "2.11.2", "2.11": "2.11.2"}
"""What `--airflow-version` takes → the version it means."""

NAME = re.compile(r"[a-zA-Z][0-9a-zA-Z\-_]{0,48}[0-9a-zA-Z]")
"""MWAA's pattern for names, kept short enough for the bucket (63 characters) and the role (64) named after it."""

CREATION_SECONDS = 45 * 60
"""The first creation downloads and compiles Airflow; this is the documented upper end for MWAA's own creation."""

READY = frozenset({"AVAILABLE", "UPDATE_FAILED"})
"""An environment whose update failed runs on as before."""

UNDER_WAY = frozenset({"CREATING", "UPDATING", "CREATING_SNAPSHOT", "ROLLING_BACK", "MAINTENANCE", "PENDING"})

COMES_BACK = 60.0
"""Seconds that an environment may be UNAVAILABLE: Aerodrome has just been started, and brings it back."""


@dataclass(frozen=True)
class Wanted:
    """The environment of the quickstart, as it is asked for."""

    name: str
    version: str

    @property
    def bucket(self) -> str:
        """The bucket of its own, named after it (bucket names know no capitals and no underscores)."""
        return f"aerodrome-{self.name.lower().replace('_', '-')}"

    @property
    def role(self) -> str:
        return f"{self.name}-execution"

    @property
    def database(self) -> str:
        """Its Glue database (database names know no hyphens)."""
        return self.name.lower().replace("-", "_")

    @property
    def major(self) -> int:
        return int(self.version.split(".")[0])


def name(text: str) -> str:
    """Check a name given on the command line.

    Raises:
        ValueError: MWAA, or the bucket that is named after the environment, would refuse it.
    """
    if not NAME.fullmatch(text):
        raise ValueError(text)
    return text


def wanted(version: str, own_name: str | None) -> Wanted:
    """Map the command line's words: `3.3` means 3.3.1 in an environment named `quickstart-3-3`."""
    full = VERSIONS[version]
    line = "-".join(full.split(".")[:2])
    return Wanted(own_name or f"quickstart-{line}", full)


def request(environment: Wanted, *, bucket_arn: str, role_arn: str) -> dict[str, Any]:
    """Give the arguments of CreateEnvironment. The network is named, as MWAA demands; locally it is a name only."""
    return {
        "Name": environment.name,
        "AirflowVersion": environment.version,
        "SourceBucketArn": bucket_arn,
        "DagS3Path": "dags",
        "ExecutionRoleArn": role_arn,
        "NetworkConfiguration": {
            "SubnetIds": ["subnet-quickstart-a", "subnet-quickstart-b"],
            "SecurityGroupIds": ["sg-quickstart"],
        },
        "EnvironmentClass": "mw1.small",
        "MinWorkers": 1,
        "MaxWorkers": 2,
        "WebserverAccessMode": "PUBLIC_ONLY",
        "Tags": {"made-by": "quickstart"},
    }


def ensure(environment: Wanted, *, bucket_arn: str, role_arn: str) -> bool:
    """Create the environment unless it exists; tells whether it was created now."""
    found = _get(environment.name)
    if found is None:
        boto3.client("mwaa").create_environment(**request(environment, bucket_arn=bucket_arn, role_arn=role_arn))
        return True
    if found.get("SourceBucketArn") != bucket_arn or found.get("AirflowVersion") != environment.version:
        raise failure.QuickstartError(
            f"there is another environment named {environment.name} (Airflow {found.get('AirflowVersion')}, "
            f"{found.get('SourceBucketArn')})",
            look="choose a name of your own: --name <name>",
        )
    return False


def wait(environment: Wanted, watch: Callable[[str], None]) -> dict[str, Any]:
    """Wait until the environment can be used; `watch` is told its status at each look."""
    begun = time.monotonic()

    def look() -> dict[str, Any] | None:
        found = _get(environment.name)
        if found is None:
            raise failure.QuickstartError(f"the environment {environment.name} has been deleted meanwhile")
        watch(found["Status"])
        return judge(found, time.monotonic() - begun)

    try:
        return waiting.until(look, seconds=CREATION_SECONDS, every=0.5)
    except TimeoutError:
        raise failure.QuickstartError(
            f"{environment.name} is not AVAILABLE after {CREATION_SECONDS // 60} minutes"
        ) from None


def judge(found: dict[str, Any], seconds: float) -> dict[str, Any] | None:
    """Decide on what GetEnvironment says after so many seconds: itself when it can be used, None when it needs time.

    Raises:
        QuickstartError: it will never come up by itself.
    """
    title, status = found["Name"], found["Status"]
    if status in READY:
        return found
    if status in UNDER_WAY or (status == "UNAVAILABLE" and seconds < COMES_BACK):
        return None
    error = (found.get("LastUpdate") or {}).get("Error") or {}
    reason = ": ".join(filter(None, (error.get("ErrorCode"), error.get("ErrorMessage"))))
    if status in {"DELETING", "DELETED"}:
        raise failure.QuickstartError(f"{title} is being deleted", look="run the quickstart again in a moment")
    raise failure.QuickstartError(
        f"{title} is {status}: {reason or f'`aerodrome why {title}` tells what is known'}",
        look=f"mend the cause, remove it with `aws mwaa delete-environment --name {title}`, run the quickstart again",
    )


def _get(name: str) -> dict[str, Any] | None:
    try:
        return dict(boto3.client("mwaa").get_environment(Name=name)["Environment"])
    except ClientError as error:
        if error.response["Error"]["Code"] != "ResourceNotFoundException":
            raise
        return None
