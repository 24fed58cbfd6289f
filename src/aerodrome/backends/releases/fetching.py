"""Reads the files that a spec names from the source bucket, in the S3 versions that it names; and its DAGs.

`building` calls it before it builds. It reads with the rights of the execution role, as MWAA does. The room `release`
reads what is in the files.
"""

from __future__ import annotations

import errno
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from aerodrome.aws import buckets
from aerodrome.errors import RetryError
from aerodrome.model import arns
from aerodrome.model.spec import Spec
from aerodrome.release import plugins, requirements_text
from aerodrome.release.failures import (
    PLUGINS_ARCHIVE_INVALID,
    RELEASE_BUILD_FAILED,
    S3_OBJECT_UNREADABLE,
    ReleaseError,
)
from aerodrome.release.user_files import UserFiles

LARGEST_TEXT = requirements_text.LARGEST
"""Bytes of requirements.txt and of a startup script. One more is read, so that the reader sees that it is too long."""

MOST_DAG_FILES = 50_000
LARGEST_DAGS = 2**30
"""Files and bytes of a DAGs folder that is tried before the sidecar brings it; arbitrary, far above any real one."""

LARGEST_DAG = 100 * 2**20
"""Bytes of one file in it; the sidecar brings no larger one."""

_CHUNK = 2**20

GET, GET_VERSION, LIST = "s3:GetObject", "s3:GetObjectVersion", "s3:ListBucket"

_REFUSED = re.compile(r"not authorized to perform: (?P<action>[\w:]+) on resource: \"?(?P<resource>[^\s\"]+)")
"""AWS's sentence when it refuses."""


def has_files(spec: Spec) -> bool:
    """Whether a release must be built at all."""
    return any((spec.requirements_s3_path, spec.plugins_s3_path, spec.startup_script_s3_path))


def fetch(s3: Any, spec: Spec, sources: UserFiles, folder: Path, tick: Callable[[], None]) -> UserFiles:
    """`sources` with the spec's files; plugins.zip is in `folder`, and a file among the DAGs is read when asked for.

    Raises:
        ReleaseError: a file or its version cannot be read. RetryError: S3 does not answer.
    """
    bucket = _Bucket(s3, spec, tick)
    prefix = _dags_place(spec)[1]
    found = replace(sources, dags=cache(lambda path: bucket.find(f"{prefix}{path}")))
    if spec.requirements_s3_path:
        text = bucket.read(spec.requirements_s3_path, spec.requirements_s3_object_version)
        found = replace(found, requirements=text)
    if spec.startup_script_s3_path:
        text = bucket.read(spec.startup_script_s3_path, spec.startup_script_s3_object_version)
        found = replace(found, startup=text)
    if spec.plugins_s3_path:
        archive = folder / plugins.NAME
        bucket.download(spec.plugins_s3_path, spec.plugins_s3_object_version, archive)
        found = replace(found, plugins=archive)
    return found


def moves_dags(wanted: Spec, running: Spec) -> bool:
    """Whether the DAGs come from another bucket or folder than before."""
    return _dags_place(wanted) != _dags_place(running)


def _dags_place(spec: Spec) -> tuple[str, str]:
    return arns.bucket_name(spec.source_bucket_arn), buckets.dag_prefix(spec.dag_s3_path)


def fetch_dags(s3: Any, spec: Spec, folder: Path, tick: Callable[[], None]) -> None:
    """Bring the DAGs of a spec into an empty folder, to be parsed. Odd keys are left out; the sidecar will report them.

    Raises:
        ReleaseError: the bucket cannot be read, or holds too much. RetryError: S3 does not answer.
    """
    name, prefix = _dags_place(spec)
    bucket = _Bucket(s3, spec, tick)
    folder.chmod(_ENTERED)
    left = LARGEST_DAGS
    for count, (key, size) in enumerate(bucket.listed(prefix)):
        path = PurePosixPath(key.removeprefix(prefix))
        left -= size
        if count >= MOST_DAG_FILES or left < 0:
            raise ReleaseError(
                f"{spec.dag_s3_path} in {name} holds more than {MOST_DAG_FILES} files or {LARGEST_DAGS // 2**30} GiB",
                code=S3_OBJECT_UNREADABLE,
                file=spec.dag_s3_path,
            )
        if key.endswith("/") or path.is_absolute() or ".." in path.parts or size > LARGEST_DAG:
            continue
        try:
            _fetch_dag(bucket, key, folder, path)
        except OSError as error:
            if error.errno in _FULL:
                raise ReleaseError(
                    f"no space is left on the disk to try the DAGs of {spec.dag_s3_path}", code=RELEASE_BUILD_FAILED
                ) from error


def _fetch_dag(bucket: _Bucket, key: str, folder: Path, path: PurePosixPath) -> None:
    target = folder / path
    for parent in reversed(target.parents[: len(path.parts) - 1]):
        parent.mkdir(exist_ok=True)
        parent.chmod(_ENTERED)
    bucket.download(key, None, target)
    target.chmod(_READ)


_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_ENTERED, _READ = 0o755, 0o644
"""Modes that let the environment's own user parse the DAGs, whatever our umask is."""


class _Bucket:
    def __init__(self, s3: Any, spec: Spec, tick: Callable[[], None]) -> None:
        self._s3 = s3
        self._arn = spec.source_bucket_arn
        self._name = arns.bucket_name(spec.source_bucket_arn)
        self._role = spec.execution_role_arn
        self._tick = tick

    def read(self, key: str, version: str | None) -> bytes:
        """The object's bytes, at most one more than a text may have."""
        try:
            text: bytes = self._get(key, version)["Body"].read(LARGEST_TEXT + 1)
        except BotoCoreError as error:
            raise _away(error) from error
        return text

    def find(self, key: str) -> bytes | None:
        """As `read`; None when the object cannot be read."""
        try:
            return self.read(key, None)
        except ReleaseError:
            return None

    def listed(self, prefix: str) -> Iterator[tuple[str, int]]:
        """Keys below a prefix, and the size of each in bytes."""
        try:
            for page in self._s3.get_paginator("list_objects_v2").paginate(Bucket=self._name, Prefix=prefix):
                self._tick()
                for found in page.get("Contents", ()):
                    yield str(found["Key"]), int(found["Size"])
        except ClientError as error:
            if _code(error) not in buckets.MISSING | buckets.DENIED:
                raise _away(error) from error
            why = self._why(error, LIST, self._arn)
            raise ReleaseError(f"Unable to read bucket {self._name}{why}", code=S3_OBJECT_UNREADABLE) from None
        except BotoCoreError as error:
            raise _away(error) from error

    def download(self, key: str, version: str | None, target: Path) -> None:
        answer = self._get(key, version)
        if answer["ContentLength"] > plugins.LARGEST:
            raise ReleaseError(
                f"{key} has {answer['ContentLength'] // 2**20} MiB; {plugins.LARGEST // 2**20} MiB are allowed",
                code=PLUGINS_ARCHIVE_INVALID,
                file=key,
            )
        try:
            with target.open("wb") as file:
                for chunk in answer["Body"].iter_chunks(_CHUNK):
                    self._tick()
                    file.write(chunk)
        except BotoCoreError as error:
            raise _away(error) from error

    def _get(self, key: str, version: str | None) -> dict[str, Any]:
        wanted = {} if version is None else {"VersionId": version}
        try:
            answer: dict[str, Any] = self._s3.get_object(Bucket=self._name, Key=key, **wanted)
        except ClientError as error:
            if _code(error) not in buckets.MISSING | buckets.DENIED | buckets.BAD_VERSION | {"405", "MethodNotAllowed"}:
                raise _away(error) from error
            what = f"version {version} of file {key}" if version else f"file {key}"
            why = self._why(error, GET_VERSION if version else GET, f"{self._arn}/{key}")
            raise ReleaseError(f"Unable to read {what}{why}", code=S3_OBJECT_UNREADABLE, file=key) from None
        except BotoCoreError as error:
            raise _away(error) from error
        return answer

    def _why(self, error: ClientError, action: str, resource: str) -> str:
        """Which right the role lacks, and the statement that gives it; empty when no right is lacking."""
        if _code(error) not in buckets.DENIED:
            return ""
        said = _REFUSED.search(str(error.response.get("Error", {}).get("Message", "")))
        if said is not None:  # for an encrypted object, AWS refuses the key and not the object
            action, resource = said["action"], said["resource"]
        statement = json.dumps({"Effect": "Allow", "Action": action, "Resource": resource})
        return (
            f": the execution role {self._role} may not {action} on {resource}. "
            f"Add this statement to one of its policies: {statement}"
        )


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _away(error: Exception) -> RetryError:
    return RetryError(f"S3 cannot give the environment's files now: {error}", delay=5.0)
