"""What a folder's environment needs in AWS: its bucket, its execution role, and the environment itself.

Each is made only if it is missing. This module is a client: boto3 and nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from aerodrome.cli import aws_clients
from aerodrome.cli.dev.steps import EnvironmentFile
from aerodrome.errors import CallerError, NotFoundError
from aerodrome.identity import execution_role
from aerodrome.settings import Settings

TAG = "aerodrome:dev"
"""Marks an environment that `aerodrome dev` made; the value says for which folder."""

POLICY = "aerodrome-dev"
"""The role's policy that we make; other policies of the role are left alone."""

PRIVATE = dict.fromkeys(("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"), True)

NETWORK = {"SubnetIds": ["subnet-dev-a", "subnet-dev-b"], "SecurityGroupIds": ["sg-dev"]}
"""MWAA demands a network; here it is a name only."""

_DELETED_AT_ONCE = 1000
"""Objects that S3 deletes in one request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceNames:
    """The names of everything that belongs to one folder."""

    environment: str
    bucket: str
    prefix: str
    """What keys begin with, slash included: nothing in a bucket of our own, `<environment>/` in one that was named."""
    role: str | None
    """The role that we make; None = a role was named."""
    role_arn: str
    mark: str
    """The value of the environment's tag."""

    @property
    def dags(self) -> str:
        """The prefix of DAGs, with its slash."""
        return f"{self.prefix}dags/"

    def key(self, member: EnvironmentFile) -> str:
        """Where a file lies in the bucket."""
        return f"{self.prefix}{member.key}"


class AwsResources:
    """What one folder needs in AWS. Methods raise CallerError when a service refuses, RetryError when none answers."""

    def __init__(self, settings: Settings, port: int, address: ResourceNames) -> None:
        self._settings = settings
        self.address = address
        self.mwaa: Any = aws_clients.client(settings, port, "mwaa")
        self._s3: Any = aws_clients.client(settings, port, "s3")
        self._iam: Any = aws_clients.client(settings, port, "iam")

    def make_bucket(self) -> None:
        """Make the bucket as MWAA demands it: versioned, closed to the public."""
        name, region = self.address.bucket, self._settings.region
        where = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
        with aws_clients.told():
            _unless("BucketAlreadyOwnedByYou", self._s3.create_bucket, Bucket=name, **where)
            self._s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
            self._s3.put_public_access_block(Bucket=name, PublicAccessBlockConfiguration=PRIVATE)

    def make_role(self) -> None:
        """Make the execution role, and renew the policy that is ours; does nothing for a role that was named."""
        name = self.address.role
        if name is None:
            return
        document = execution_role.standard_policy(
            self.address.environment, self.address.bucket,
            region=self._settings.region, account=self._settings.account_id,
        )  # fmt: skip
        with aws_clients.told():
            _unless(
                "EntityAlreadyExists",
                self._iam.create_role,
                RoleName=name,
                AssumeRolePolicyDocument=json.dumps(execution_role.TRUST),
            )
            self._iam.put_role_policy(RoleName=name, PolicyName=POLICY, PolicyDocument=json.dumps(document))

    def mark_folder(self) -> None:
        """Put the object that stands for the folder of DAGs, because an environment may begin without any DAG."""
        with aws_clients.told():
            self._s3.put_object(Bucket=self.address.bucket, Key=self.address.dags)

    def dags(self) -> dict[str, str]:
        """The digest of each DAG file in the bucket, by its path among the DAGs."""
        prefix = self.address.dags
        with aws_clients.told():
            pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=self.address.bucket, Prefix=prefix)
            objects = [each for page in pages for each in page.get("Contents", ())]
        return {each["Key"].removeprefix(prefix): each["ETag"].strip('"') for each in objects if each["Key"] != prefix}

    def put_dag(self, path: str, data: bytes) -> None:
        """Upload a DAG file."""
        with aws_clients.told():
            self._s3.put_object(Bucket=self.address.bucket, Key=f"{self.address.dags}{path}", Body=data)

    def delete_dags(self, paths: Iterable[str]) -> None:
        """Delete DAG files."""
        keys = [{"Key": f"{self.address.dags}{path}"} for path in paths]
        for first in range(0, len(keys), _DELETED_AT_ONCE):
            with aws_clients.told():
                objects = {"Objects": keys[first : first + _DELETED_AT_ONCE], "Quiet": True}
                self._s3.delete_objects(Bucket=self.address.bucket, Delete=objects)

    def digest(self, member: EnvironmentFile, version: str | None) -> str | None:
        """The digest of a member's file in one version; None when there is no such object."""
        more = {"VersionId": version} if version else {}
        try:
            with aws_clients.told():
                found = self._s3.head_object(Bucket=self.address.bucket, Key=self.address.key(member), **more)
        except NotFoundError:
            return None
        return str(found["ETag"]).strip('"')

    def put(self, member: EnvironmentFile, data: bytes, digest: str) -> str:
        """The version of a member's object that holds these bytes; uploads it only if the newest version does not."""
        where = {"Bucket": self.address.bucket, "Key": self.address.key(member)}
        with aws_clients.told():
            try:
                newest = self._s3.head_object(**where)
            except ClientError as error:
                if error.response["Error"]["Code"] not in {"404", "NoSuchKey"}:
                    raise
                newest = {}
            if newest.get("ETag", "").strip('"') != digest or "VersionId" not in newest:
                newest = self._s3.put_object(**where, Body=data)
        return str(newest["VersionId"])

    def get(self) -> dict[str, Any] | None:
        """The environment as GetEnvironment gives it; None when there is none."""
        try:
            with aws_clients.told():
                return dict(self.mwaa.get_environment(Name=self.address.environment)["Environment"])
        except NotFoundError:
            return None

    def create(self, files: Mapping[EnvironmentFile, str], options: Mapping[str, str], airflow: str | None) -> None:
        """Ask for the environment; `files` are the versions of its files."""
        request: dict[str, Any] = {
            "Name": self.address.environment,
            "SourceBucketArn": f"arn:aws:s3:::{self.address.bucket}",
            "DagS3Path": self.address.dags.rstrip("/"),
            "ExecutionRoleArn": self.address.role_arn,
            "NetworkConfiguration": NETWORK,
            "WebserverAccessMode": "PUBLIC_ONLY",
            "MaxWorkers": 1,
            "Tags": {TAG: self.address.mark},
            **self._members(files, ()),
        }
        if options:
            request["AirflowConfigurationOptions"] = dict(options)
        if airflow:
            request["AirflowVersion"] = airflow
        with aws_clients.told():
            self.mwaa.create_environment(**request)

    def update(
        self,
        files: Mapping[EnvironmentFile, str],
        gone: Iterable[EnvironmentFile],
        options: Mapping[str, str] | None,
        airflow: str | None,
    ) -> None:
        """Ask for a change: new versions of files, files that are `gone`, all options, an Airflow version."""
        request: dict[str, Any] = self._members(files, gone)
        if options is not None:
            request["AirflowConfigurationOptions"] = dict(options)
        if airflow:
            request["AirflowVersion"] = airflow
        with aws_clients.told():
            self.mwaa.update_environment(Name=self.address.environment, **request)

    def delete(self) -> None:
        """Delete the environment, which takes a while."""
        with aws_clients.told():
            self.mwaa.delete_environment(Name=self.address.environment)

    def adopt(self, arn: str) -> None:
        """Mark an environment as this folder's."""
        with aws_clients.told():
            self.mwaa.tag_resource(ResourceArn=arn, Tags={TAG: self.address.mark})

    def _members(self, files: Mapping[EnvironmentFile, str], gone: Iterable[EnvironmentFile]) -> dict[str, str]:
        named: dict[str, str] = dict.fromkeys((member.path for member in gone), "")
        for member, version in files.items():
            named |= {member.path: self.address.key(member), member.version: version}
        return named


def check_is_ours(found: Mapping[str, Any], address: ResourceNames, *, named: bool) -> None:
    """Refuse an environment that another folder, or a person by hand, has made. Pure.

    `named`: the person gave the name; then an environment of a folder that was moved may be taken over.

    Raises:
        CallerError: it is not this folder's.
    """
    mark = (found.get("Tags") or {}).get(TAG)
    bucket = str(found["SourceBucketArn"]).rpartition(":")[2]
    if mark is None:
        raise CallerError(
            f"There is an environment {address.environment} that `aerodrome dev` did not make, and it would overwrite "
            "its DAGs. Choose another name with --name."
        )
    if mark != address.mark and not named:
        raise CallerError(
            f"The environment {address.environment} belongs to another folder. Choose another name with --name; or, if "
            f"the folder was moved, take it over with --name {address.environment}."
        )
    if bucket != address.bucket or str(found["DagS3Path"]).strip("/") != address.dags.rstrip("/"):
        raise CallerError(
            f"The environment {address.environment} reads {bucket}/{found['DagS3Path']}, not "
            f"{address.bucket}/{address.dags}: give the same --bucket as before, or another --name."
        )


def _unless(already: str, make: Any, **arguments: Any) -> None:
    """Make something, unless the service answers that it exists `already` (an error code)."""
    try:
        make(**arguments)
    except ClientError as error:
        if error.response["Error"]["Code"] != already:
            raise
