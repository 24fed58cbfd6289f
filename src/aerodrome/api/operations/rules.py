"""What CreateEnvironment demands beyond the service model: pure sentences, each naming the field and the fix.

`create` calls it after the wire has validated shapes, so every value here has its type. What this release does not
honour is refused here, never ignored. Sources: MWAA user guide (environment class, networking, configuration options).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from aerodrome.model import classes, defaults
from aerodrome.model.environment import Document, Spec

FORBIDDEN_OPTIONS = {
    "core.multi_team": "MWAA does not support multi-team deployments",
    "triggerer.queues_enabled": "MWAA does not support triggerer queues",
}
"""Options that MWAA's user guide says cannot be set."""

UNAPPLIED_FILES = {
    "PluginsS3Path": ("PluginsS3ObjectVersion", "plugins"),
    "RequirementsS3Path": ("RequirementsS3ObjectVersion", "requirements"),
    "StartupScriptS3Path": ("StartupScriptS3ObjectVersion", "a startup script"),
}
"""Path member → its version member, and what it would bring in."""

RESERVED_TAG_PREFIX = "aws:"

PUBLIC_AND_PRIVATE_SINCE = (3, 2)
"""The first Airflow line with WebserverAccessMode PUBLIC_AND_PRIVATE (API reference of UpdateEnvironment)."""


def refusals(name: str, request: Document, *, offered: Sequence[str], latest: str) -> list[str]:
    """Everything that stands against creating this environment; empty when nothing does."""
    found = [
        *_network(request.get("NetworkConfiguration", {})),
        *_dag_path(request["DagS3Path"]),
        *_files(request),
        *_options(request.get("AirflowConfigurationOptions", {})),
        *_version(request.get("AirflowVersion", latest), offered),
        *_access_mode(request.get("WebserverAccessMode"), request.get("AirflowVersion", latest)),
        *_not_offered(request),
        *reserved_tags(request.get("Tags", {})),
    ]
    chosen = request.get("EnvironmentClass", classes.DEFAULT)
    if chosen not in classes.CLASSES:
        return [*found, f"EnvironmentClass '{chosen[:100]}' is unknown: choose one of {', '.join(classes.CLASSES)}"]
    return [*found, *_counts(defaults.complete(name, request, latest_version=latest))]


def reserved_tags(tags: Mapping[str, str]) -> Iterator[str]:
    """AWS keeps a prefix of tag keys for itself, in any case of letters."""
    for key in tags:
        if key.lower().startswith(RESERVED_TAG_PREFIX):
            yield f"Tags: the key '{key}' begins with '{RESERVED_TAG_PREFIX}', which is reserved: choose another key"


def _network(network: Document) -> Iterator[str]:
    subnets = network.get("SubnetIds")
    if subnets is None:
        yield "NetworkConfiguration.SubnetIds is missing: give exactly two subnets"
    elif len(set(subnets)) != len(subnets):
        yield f"NetworkConfiguration.SubnetIds names '{subnets[0][:100]}' twice: give two different subnets"
    if network.get("SecurityGroupIds") is None:
        yield "NetworkConfiguration.SecurityGroupIds is missing: give one to five security groups"


def _dag_path(path: str) -> Iterator[str]:
    if not path.strip("/ "):
        yield "DagS3Path is empty: give the folder of the bucket that holds the DAGs, such as dags"
    elif path.startswith(("s3://", "arn:")):
        yield "DagS3Path must be the path within the bucket, such as dags: leave out the bucket"
    elif path.startswith("/"):
        yield "DagS3Path begins with '/': give it relative to the bucket, such as dags"
    elif not path.isprintable() or "\\" in path:
        yield "DagS3Path has a control character or a backslash: use '/' between folders and printable characters"
    elif {"", ".", ".."} & set(path.removesuffix("/").split("/")):
        yield "DagS3Path has an empty, '.' or '..' part: write the folder out in full, such as team/dags"


def _files(request: Document) -> Iterator[str]:
    for path, (version, content) in UNAPPLIED_FILES.items():
        if path in request:
            yield f"{path} is refused: this release of Aerodrome does not apply {content} yet; leave {path} out"
        elif version in request:
            yield f"{version} was given without {path}: leave {version} out"


def _options(options: Mapping[str, str]) -> Iterator[str]:
    for key in options:
        if key in FORBIDDEN_OPTIONS:
            yield f"AirflowConfigurationOptions: {key} cannot be set ({FORBIDDEN_OPTIONS[key]}): remove it"
        elif not all(key.partition(".")):
            yield f"AirflowConfigurationOptions: the key {key} has no section: write it as section.option"


def _version(version: str, offered: Sequence[str]) -> Iterator[str]:
    if version not in offered:
        yield f"AirflowVersion '{version}' is not offered: choose one of {', '.join(offered)}"


def _access_mode(mode: str | None, version: str) -> Iterator[str]:
    if mode == "PUBLIC_AND_PRIVATE" and _line(version) < PUBLIC_AND_PRIVATE_SINCE:
        yield (
            "WebserverAccessMode PUBLIC_AND_PRIVATE needs Airflow 3.2 or later: "
            "choose PRIVATE_ONLY or PUBLIC_ONLY, or a later AirflowVersion"
        )


def _line(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2] if part.isascii() and part.isdigit())


def _not_offered(request: Document) -> Iterator[str]:
    if request.get("EndpointManagement") == "CUSTOMER":
        yield "EndpointManagement CUSTOMER is not offered by this release of Aerodrome yet: use SERVICE or leave it out"
    if "KmsKey" in request:
        yield "KmsKey is refused: this release of Aerodrome does not encrypt with customer keys yet; leave KmsKey out"


def _counts(spec: Spec) -> Iterator[str]:
    chosen = classes.CLASSES[spec.environment_class]
    yield from _bounds("MinWorkers", spec.min_workers, 1, chosen.most_workers, chosen)
    yield from _bounds("MaxWorkers", spec.max_workers, 1, chosen.most_workers, chosen)
    yield from _bounds("Schedulers", spec.schedulers, chosen.fewest_schedulers, chosen.most_schedulers, chosen)
    for member, value in (("MinWebservers", spec.min_webservers), ("MaxWebservers", spec.max_webservers)):
        yield from _bounds(member, value, chosen.fewest_webservers, chosen.most_webservers, chosen)
    yield from _ordered("Workers", spec.min_workers, spec.max_workers)
    yield from _ordered("Webservers", spec.min_webservers, spec.max_webservers)


def _bounds(member: str, value: int, least: int, most: int, chosen: classes.EnvironmentClass) -> Iterator[str]:
    if least <= value <= most:
        return
    allowed = f"{least}" if least == most else f"{least} to {most}"
    yield f"{member} is {value}, but {chosen.name} allows {allowed}: change {member} or EnvironmentClass"


def _ordered(what: str, least: int, most: int) -> Iterator[str]:
    if least > most:
        yield f"Min{what} ({least}) is greater than Max{what} ({most}): lower Min{what} or raise Max{what}"


def _bucket_hint(value: Any) -> str:
    if isinstance(value, str) and value.endswith("/"):
        return "remove the trailing '/' from SourceBucketArn"
    return "SourceBucketArn is the bucket's ARN alone, such as arn:aws:s3:::my-bucket"


def _option_hint(value: Any) -> str:
    if isinstance(value, str) and not value.isascii():
        return "option values may hold printable ASCII characters only: remove or escape the others"
    return "option values are strings of printable ASCII characters"


HINTS: Mapping[str, Callable[[Any], str]] = {
    "S3BucketArn": _bucket_hint,
    "ConfigValue": _option_hint,
    "ConfigKey": lambda _: "option keys are written section.option in lower case",
    "SubnetList": lambda _: "give exactly two subnets",
    "SecurityGroupList": lambda _: "give one to five security groups",
    "EnvironmentName": lambda _: "a letter first, then letters, digits, '-' and '_', 80 characters at most",
}
"""Shape name → the fix that a person needs beside the model's own constraint."""
