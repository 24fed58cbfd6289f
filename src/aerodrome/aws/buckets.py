"""What CreateEnvironment demands of its source bucket: `inspect` reads facts, `judge` decides on them.

`operations.preflight` calls `check`, which raises the findings as one error. Nothing here changes a bucket.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from aerodrome import errors

MISSING = frozenset({"404", "NoSuchBucket", "NoSuchKey", "NoSuchVersion", "NotFound"})
DENIED = frozenset({"403", "AccessDenied", "AllAccessDisabled", "InvalidAccessKeyId", "SignatureDoesNotMatch"})
BAD_VERSION = frozenset({"400", "InvalidArgument"})
"""S3's answers to a version id that it never gave out; the error of a HEAD has only the status."""

BLOCKS = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")

US_EAST_1 = "us-east-1"
"""The region for which S3 answers null as the location constraint."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedBucket:
    """What the request names."""

    bucket: str
    region: str
    dag_path: str
    """DagS3Path, with or without its slash at the end."""
    files: tuple[WantedFile, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedFile:
    """A file that the request names."""

    field: str
    """Its field of the request: `RequirementsS3Path`."""
    path: str
    version: str | None = None
    """The S3 version id; None = the latest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BucketFacts:
    """What was found; if the bucket is missing or closed to us, nothing else is known."""

    exists: bool = True
    readable: bool = True
    region: str | None = None
    versioning: str | None = None
    """`Enabled`, `Suspended`, or None when it was never enabled."""
    public_access_blocks: frozenset[str] = frozenset()
    """The settings of the bucket's public access block that are on."""
    dag_prefix_exists: bool = False
    files: tuple[tuple[WantedFile, str, str], ...] = ()
    """Each named file with `readable`, `missing` or `denied`, and its version id (empty if it was not found)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BucketProblem:
    """One thing that the caller must correct."""

    field: str
    message: str


def check(s3: Any, wanted: WantedBucket) -> dict[str, str]:
    """The S3 version ids of the named files, by their fields; the latest one if the request names none.

    Raises:
        CallerError: something is wrong; its message has a sentence for each finding.
        RetryError: the endpoint does not answer.
    """
    facts = inspect(s3, wanted)
    findings = judge(wanted, facts)
    if findings:
        raise errors.CallerError(" ".join(f"{finding.field}: {finding.message}" for finding in findings))
    return {file.field: version for file, _, version in facts.files}


def judge(wanted: WantedBucket, facts: BucketFacts) -> list[BucketProblem]:
    """Everything that is wrong, in the order of the request's fields."""
    bucket = wanted.bucket
    if not facts.exists:
        return [_bucket_finding(f"The s3 bucket {bucket} does not exist; create it, or correct the ARN.")]
    if not facts.readable:
        return [_bucket_finding(f"Access to the s3 bucket {bucket} is denied; allow s3:GetBucket* and s3:List* on it.")]
    return [*_of_bucket(wanted, facts), *_of_dags(wanted, facts), *_of_files(facts)]


def _of_bucket(wanted: WantedBucket, facts: BucketFacts) -> Iterable[BucketProblem]:
    bucket = wanted.bucket
    if facts.region != wanted.region:
        yield _bucket_finding(
            f"The s3 bucket {bucket} is in {facts.region}; use a bucket in {wanted.region}, the environment's region."
        )
    if facts.versioning != "Enabled":
        yield _bucket_finding(
            f"Provided bucket does not have versioning enabled for s3 bucket {bucket}; run: "
            f"aws s3api put-bucket-versioning --bucket {bucket} --versioning-configuration Status=Enabled"
        )
    missing = [block for block in BLOCKS if block not in facts.public_access_blocks]
    if missing:
        everything = ",".join(f"{block}=true" for block in BLOCKS)
        yield _bucket_finding(
            f"Provided bucket does not have BlockPublicAccess set for s3 bucket {bucket} ({', '.join(missing)}); run: "
            f"aws s3api put-public-access-block --bucket {bucket} --public-access-block-configuration {everything}"
        )


def _of_dags(wanted: WantedBucket, facts: BucketFacts) -> Iterable[BucketProblem]:
    if not facts.dag_prefix_exists:
        prefix = dag_prefix(wanted.dag_path)
        yield BucketProblem(
            field="DagS3Path",
            message=f"There is no folder {prefix} in the s3 bucket {wanted.bucket}; upload a DAG below it, or make it "
            f"with: aws s3api put-object --bucket {wanted.bucket} --key {prefix}",
        )


def _of_files(facts: BucketFacts) -> Iterable[BucketProblem]:
    for file, state, _ in facts.files:
        if state == "readable":
            continue
        if state == "denied":
            message = f"Access to {file.path} is denied; allow s3:GetObject* on it."
        elif file.version is None:
            message = f"There is no file {file.path}; upload it, or correct the path."
        else:
            message = (
                f"Unable to read version {file.version} of file {file.path}; "
                f"list its versions with: aws s3api list-object-versions --prefix {file.path}"
            )
        yield BucketProblem(field=file.field, message=message)


def _bucket_finding(message: str) -> BucketProblem:
    return BucketProblem(field="SourceBucketArn", message=message)


def dag_prefix(dag_path: str) -> str:
    """The key prefix of a DagS3Path: a folder, so `dags` means `dags/` and not `dags-old/`; `/` is the whole bucket."""
    folder = dag_path.strip("/")
    return f"{folder}/" if folder else ""


def inspect(s3: Any, wanted: WantedBucket) -> BucketFacts:
    """Read the facts with a client of S3.

    Raises:
        RetryError: the endpoint does not answer.
    """
    try:
        return _inspect(s3, wanted)
    except ClientError as error:
        if _code(error) in MISSING:
            return BucketFacts(exists=False)
        if _code(error) in DENIED:
            return BucketFacts(readable=False)
        raise errors.RetryError(f"S3 cannot answer about {wanted.bucket} now ({_code(error)})") from error
    except BotoCoreError as error:
        raise errors.RetryError(f"S3 does not answer: {error}") from error


def _inspect(s3: Any, wanted: WantedBucket) -> BucketFacts:
    s3.head_bucket(Bucket=wanted.bucket)
    location = s3.get_bucket_location(Bucket=wanted.bucket).get("LocationConstraint")
    versioning = s3.get_bucket_versioning(Bucket=wanted.bucket).get("Status")
    listing = s3.list_objects_v2(Bucket=wanted.bucket, Prefix=dag_prefix(wanted.dag_path), MaxKeys=1)
    return BucketFacts(
        region=location or US_EAST_1,
        versioning=versioning,
        public_access_blocks=_public_access_blocks(s3, wanted.bucket),
        dag_prefix_exists=bool(listing.get("Contents")),
        files=tuple((file, *_file_state(s3, wanted.bucket, file)) for file in wanted.files),
    )


def _public_access_blocks(s3: Any, bucket: str) -> frozenset[str]:
    try:
        answer = s3.get_public_access_block(Bucket=bucket)
    except ClientError as error:
        if _code(error) == "NoSuchPublicAccessBlockConfiguration":
            return frozenset()
        raise
    return frozenset(name for name, on in answer["PublicAccessBlockConfiguration"].items() if on)


def _file_state(s3: Any, bucket: str, file: WantedFile) -> tuple[str, str]:
    version = {} if file.version is None else {"VersionId": file.version}
    try:
        found = s3.head_object(Bucket=bucket, Key=file.path, **version)
    except ClientError as error:
        code = _code(error)
        # S3 answers 405 to a HEAD of a delete marker: that version holds no file.
        if code in MISSING or code == "405" or (file.version is not None and code in BAD_VERSION):
            return "missing", ""
        if code in DENIED:
            return "denied", ""
        raise
    return "readable", str(found.get("VersionId", ""))


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))
