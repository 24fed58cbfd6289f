"""The desired state of an environment: CreateEnvironment's members under names of ours. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

Document = Mapping[str, Any]
"""A JSON object."""

COUNTS = {
    "GivenSchedulers": "Schedulers",
    "GivenWebservers": "MinWebservers",
    "GivenMostWebservers": "MaxWebservers",
}
"""The members that keep which numbers a request gave, and those of the request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """The desired state: CreateEnvironment's members, defaults filled in; None where MWAA has no value.

    What begins with `given_` is no member of MWAA's: a default of MWAA's is told, and not run.
    """

    execution_role_arn: str
    source_bucket_arn: str
    dag_s3_path: str
    network_configuration: Document
    airflow_version: str
    environment_class: str
    min_workers: int
    max_workers: int
    schedulers: int
    min_webservers: int
    max_webservers: int
    logging_configuration: Document
    webserver_access_mode: str
    endpoint_management: str
    weekly_maintenance_window_start: str
    airflow_configuration_options: Mapping[str, str] = field(default_factory=dict, repr=False)
    plugins_s3_path: str | None = None
    plugins_s3_object_version: str | None = None
    requirements_s3_path: str | None = None
    requirements_s3_object_version: str | None = None
    startup_script_s3_path: str | None = None
    startup_script_s3_object_version: str | None = None
    kms_key: str | None = None
    given_schedulers: int | None = None
    """Schedulers as a caller gave it, which is followed; None = nobody did, and one scheduler runs."""
    given_webservers: int | None = None
    """The same of MinWebservers."""
    given_most_webservers: int | None = None
    """The same of MaxWebservers; None = as many web servers run as do at least."""

    @property
    def running_schedulers(self) -> int:
        """How many schedulers run."""
        return self.given_schedulers or 1

    @property
    def running_webservers(self) -> int:
        """How many web servers run at least."""
        return self.given_webservers or 1

    @property
    def most_running_webservers(self) -> int:
        """How many web servers run at most."""
        return max(self.running_webservers, self.given_most_webservers or 1)

    @property
    def zones(self) -> tuple[str, ...]:
        """The subnets in whose zones it runs a part each: where two of everything were asked for; empty = in one."""
        subnets = tuple(self.network_configuration.get("SubnetIds", ()))
        is_spread = self.running_schedulers > 1 and self.running_webservers > 1 and len(subnets) > 1
        return subnets if is_spread else ()

    def document(self) -> dict[str, Any]:
        """The spec under MWAA's member names; members without a value are left out."""
        members = {_member(each.name): getattr(self, each.name) for each in fields(self)}
        return {name: value for name, value in members.items() if value is not None}

    def request(self) -> dict[str, Any]:
        """The request of CreateEnvironment, but for its name, that makes this spec again."""
        members = self.document()
        for own, member in COUNTS.items():
            if members.pop(own, None) is None:
                del members[member]
        return members

    @classmethod
    def of(cls, document: Document) -> Spec:
        """The spec within a document of MWAA's member names; other members are passed over."""
        known = {_member(each.name): each.name for each in fields(cls)}
        return cls(**{known[name]: value for name, value in document.items() if name in known})


def counts_given(request: Document) -> dict[str, Any]:
    """The members of a spec that keep which numbers a request gave."""
    return {own: request[member] for own, member in COUNTS.items() if request.get(member) is not None}


def _member(name: str) -> str:
    """`dag_s3_path` → `DagS3Path`."""
    return "".join(part.capitalize() for part in name.split("_"))
