"""What CreateEnvironment and UpdateEnvironment demand beyond the service model: sentences with field and fix. Pure.

`create` and `update` ask after the door has validated shapes, so every value here has its type. An earlier
configuration is judged as a request that names every member. What Aerodrome cannot do is refused here, never ignored.
Sources: MWAA user guide (environment class, networking, options).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from aerodrome.airflow import sections, versions
from aerodrome.errors import CallerError
from aerodrome.model import classes, defaults, hibernation, updates
from aerodrome.model.spec import Document, Spec

FORBIDDEN_OPTIONS = {
    "core.multi_team": "MWAA does not support multi-team deployments",
    "triggerer.queues_enabled": "MWAA does not support triggerer queues",
}
"""Options that cannot be set, by MWAA's user guide, and why."""

RESERVED_TAG_PREFIX = "aws:"

PUBLIC_AND_PRIVATE_SINCE = (3, 2)
"""The first minor version with WebserverAccessMode PUBLIC_AND_PRIVATE (API reference of UpdateEnvironment)."""


def refuse(found: Sequence[str], *, what: str = "", instead: str = "") -> None:
    """Raise CallerError if there are sentences: it says `what` is refused, the sentences, and what to do `instead`."""
    if found:
        parts = [f"{what}: " if what else "", ". ".join(found), ".", f" {instead}" if instead else ""]
        raise CallerError("".join(parts))


def creation_refusals(name: str, request: Document, *, offered: Sequence[str], latest: str) -> list[str]:
    """Every reason to refuse the creation of this environment; empty when there is none."""
    found = [
        *_network(request.get("NetworkConfiguration", {})),
        *_members(request),
        *_lone_versions(request, request),
        *_version(request.get("AirflowVersion", latest), offered),
        *_access_mode(request.get("WebserverAccessMode"), request.get("AirflowVersion", latest)),
        *_not_offered(request),
        *tag_refusals(request.get("Tags", {})),
        *_class(request),
    ]
    is_known = request.get("EnvironmentClass", classes.DEFAULT) in classes.CLASSES
    return [*found, *(_counts(defaults.complete(name, request, latest_version=latest)) if is_known else ())]


def update_refusals(request: Document, current: Spec, wanted: Spec, *, offered: Sequence[str]) -> list[str]:
    """Every reason to refuse this update of `current` to `wanted`, except `move_refusal`."""
    return [
        *_members(request),
        *_version(wanted.airflow_version, offered, running=current.airflow_version),
        *_access_mode(wanted.webserver_access_mode, wanted.airflow_version),
        *_class(request),
        *_counts(wanted),
        *_lone_versions(request, {**current.document(), **request}),
    ]


def move_refusal(current: Spec, wanted: Spec, *, offered: Sequence[str]) -> str | None:
    """Why no migration leads from one Airflow version to the other; None = one does, or the version is not offered."""
    if wanted.airflow_version not in {*offered, current.airflow_version}:
        return None
    return versions.move_refusal(current.airflow_version, wanted.airflow_version)


def _members(request: Document) -> Iterator[str]:
    """Demands on single members, in both operations."""
    if "DagS3Path" in request:
        yield from _path(
            "DagS3Path", request["DagS3Path"], "the folder of the bucket that holds the DAGs, such as dags"
        )
    yield from _files(request)
    yield from option_refusals(request.get("AirflowConfigurationOptions", {}))


def _class(request: Document) -> Iterator[str]:
    chosen = request.get("EnvironmentClass", classes.DEFAULT)
    if chosen not in classes.CLASSES:
        yield f"EnvironmentClass '{chosen[:100]}' is unknown: choose one of {', '.join(classes.CLASSES)}"


def tag_refusals(tags: Mapping[str, str]) -> Iterator[str]:
    """AWS reserves a prefix of tag keys, in upper and lower case; tags that Aerodrome obeys must be readable."""
    yield from hibernation.refusals(tags)
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


def _path(member: str, path: str, what: str) -> Iterator[str]:
    if not path.strip("/ "):
        yield f"{member} is empty: give {what}"
    elif path.startswith(("s3://", "arn:")):
        yield f"{member} must be the path within the bucket: leave out the bucket"
    elif path.startswith("/"):
        yield f"{member} begins with '/': give it relative to the bucket"
    elif not path.isprintable() or "\\" in path:
        yield f"{member} has a control character or a backslash: use '/' between folders and printable characters"
    elif {"", ".", ".."} & set(path.removesuffix("/").split("/")):
        yield f"{member} has an empty, '.' or '..' part: write the path out in full"


def _files(request: Document) -> Iterator[str]:
    for path in updates.FILES:
        if request.get(path):
            yield from _path(path, request[path], "the path of the file within the bucket")


def _lone_versions(given: Document, paths: Document) -> Iterator[str]:
    """Versions of files that have no path: neither this request nor an earlier one gave it (`paths`)."""
    for path, version in updates.FILES.items():
        if given.get(version) and not paths.get(path):
            yield f"{version} was given without {path}: give both, or leave {version} out"


def option_refusals(options: Mapping[str, str]) -> Iterator[str]:
    for key in options:
        if key in FORBIDDEN_OPTIONS:
            yield f"AirflowConfigurationOptions: {key} cannot be set ({FORBIDDEN_OPTIONS[key]}): remove it"
        elif not all(key.partition(".")):
            yield f"AirflowConfigurationOptions: the key {key} has no section: write it as section.option"
    try:
        sections.check(options)
    except CallerError as error:
        yield str(error).removesuffix(".")


def _version(version: str, offered: Sequence[str], *, running: str = "") -> Iterator[str]:
    """A version that is no longer offered is allowed where it is `running`."""
    if version not in {*offered, running}:
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
        yield "KmsKey is refused: this release of Aerodrome cannot encrypt with customer keys yet. Leave KmsKey out"


def _counts(spec: Spec) -> Iterator[str]:
    chosen = classes.CLASSES.get(spec.environment_class)
    if chosen is None:  # `_class` says so
        return
    yield from _bounds("MinWorkers", spec.min_workers, 1, chosen.most_workers, chosen)
    yield from _bounds("MaxWorkers", spec.max_workers, 1, chosen.most_workers, chosen)
    yield from _schedulers(spec, chosen)
    for member, value in (("MinWebservers", spec.min_webservers), ("MaxWebservers", spec.max_webservers)):
        yield from _bounds(member, value, chosen.fewest_webservers, chosen.most_webservers, chosen)
    yield from _ordered("Workers", spec.min_workers, spec.max_workers)
    yield from _ordered("Webservers", spec.min_webservers, spec.max_webservers)


def _schedulers(spec: Spec, chosen: classes.EnvironmentClass) -> Iterator[str]:
    if not defaults.has_one_scheduler(spec.airflow_version):
        yield from _bounds("Schedulers", spec.schedulers, chosen.fewest_schedulers, chosen.most_schedulers, chosen)
    elif spec.schedulers != 1:
        yield (
            f"Schedulers is {spec.schedulers}, but Airflow {spec.airflow_version} can have only 1: "
            "leave Schedulers out, or choose a later AirflowVersion"
        )


def _bounds(member: str, value: int, least: int, most: int, chosen: classes.EnvironmentClass) -> Iterator[str]:
    if least <= value <= most:
        return
    allowed = f"{least}" if least == most else f"{least} to {most}"
    yield f"{member} is {value}, but {chosen.name} allows {allowed}: change {member} or EnvironmentClass"


def _ordered(what: str, least: int, most: int) -> Iterator[str]:
    if least > most:
        yield f"Min{what} ({least}) is greater than Max{what} ({most}): lower Min{what} or raise Max{what}"
