"""What a request asks of S3: where its bucket and key stand, and which actions on which ARNs it needs. Pure.

`subresources` says which action an HTTP request is; where bucket and key stand is read here, and the request goes on in
the one form that was read: by path.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from typing import Any
from urllib.parse import parse_qsl, quote

from ministack.core import iam_actions

from aerodrome.api.aws import subresources
from aerodrome.api.aws.requested import BEYOND, NeededPermission, OnwardHead, Requested, UnclearError, UnservedError
from aerodrome.identity.policy.patterns import Context

BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]")
"""Names of buckets; whatever else stands there is a path of the emulator's own."""

RESERVED = frozenset({"v20180820", "environments"})
"""First parts of paths that MiniStack takes for another service's, whatever they are signed for."""

ALL_BUCKETS = "arn:aws:s3:::*"
"""By what S3 judges ListAllMyBuckets, so that a policy may name this as well as `*`."""

_CATALOGUE = "iceberg"
"""MiniStack takes every path that begins so for a catalogue's."""

ALIASES = ("-s3alias", "--ol-s3", ".mrap")
"""Ends of names that stand for another bucket."""

_BY_HOST = re.compile(
    r"(?P<bucket>.+?)\.(?:s3(?:[.-][a-z0-9-]+)?\.(?:localhost|amazonaws\.com(?:\.cn)?)|localhost)", re.DOTALL
)
_SERVICE_HOST = re.compile(r"s3(?:[.-][a-z0-9-]+)?\.(?:localhost|amazonaws\.com(?:\.cn)?)")

FORM = (
    "Uploads by a form (presigned POST) are not served, since its fields say who sends it: presign a PUT in its place "
    "(generate_presigned_url('put_object', …))."
)

_GRANTS = ("x-amz-grant-read", "x-amz-grant-write", "x-amz-grant-read-acp", "x-amz-grant-write-acp",
           "x-amz-grant-full-control")  # fmt: skip

_VERSION = re.compile(r"(versionId=[^&=%+?]*)?")
"""What may stand behind the question mark of a copy's source."""

_HARMLESS_ACLS = frozenset({"", "private", "bucket-owner-full-control"})

_WRITTEN = ("x-amz-acl", "x-amz-server-side-encryption", "x-amz-storage-class", "x-amz-copy-source", *_GRANTS)

_READ = frozenset(
    {"CreateBucket", "PutBucketTagging", "PutObjectTagging", "PutObjectVersionTagging", "PutBucketPolicy"}
)
"""Operations whose bodies name tags, or are policies."""

MOST_MARKS = 200_000
"""Brackets and quotes of a document; an upload of ten thousand parts has half as many."""

_OBJECT_KEYS = "s3:requestobjecttagkeys"

_ACTS_ITSELF = frozenset(
    {"PutBucketNotification", "PutReplicationConfiguration", "PutBucketLogging", "PutInventoryConfiguration",
     "PutAnalyticsConfiguration"}
)  # fmt: skip
"""Settings after which S3 itself writes elsewhere."""


def by_path(host: str, raw_path: str) -> str:
    """The raw path with the bucket in it, wherever the request names it."""
    name = host.rpartition(":")[0] if re.search(r":\d+$", host) else host
    name = name.lower().rstrip(".")
    found = None if _SERVICE_HOST.fullmatch(name) else _BY_HOST.fullmatch(name)
    return f"/{quote(found['bucket'])}{raw_path}" if found else raw_path


def place(path: str) -> tuple[str, str]:
    """Bucket and key of a decoded path; empty where there is none."""
    bucket, _, key = path.lstrip("/").partition("/")
    return bucket, key


def requested(head: OnwardHead, body: bytes | None) -> Requested:
    """What the request asks for; `body` is that of DeleteObjects.

    Raises:
        UnclearError: it can be read in two ways. UnservedError: it is a form.
    """
    bucket, key = place(head.path)
    if head.path.startswith("//"):
        raise UnclearError("The path begins with two slashes.")
    if bucket and (not BUCKET.fullmatch(bucket) or bucket in RESERVED or bucket.startswith(_CATALOGUE)):
        raise UnclearError(f"The specified bucket is not valid: {bucket[:63]}")
    if head.method == "POST" and "multipart/form-data" in head.headers.get("content-type", "").lower():
        raise UnservedError(FORM)
    name = subresources.action(head.method, "object" if key else "bucket" if bucket else "service", head.query)
    if bucket.endswith(ALIASES):
        return Requested(checks=(NeededPermission(action="s3:GetAccessPoint", resource="*"), BEYOND))
    if name is None:
        return Requested(checks=(NeededPermission(action="s3:UnknownOperation", resource="*"), BEYOND))
    _check_size(body or b"")
    if deletes_many(head):
        return Requested(checks=_deletions(bucket, body or b"", head))
    headers = hoisted(head)
    arn = f"arn:aws:s3:::{bucket}/{key}" if key else f"arn:aws:s3:::{bucket}" if bucket else ALL_BUCKETS
    first = NeededPermission(
        action=f"s3:{name}", resource=arn, context=_context(name, head, headers), is_of_all=not bucket
    )
    more = [BEYOND] if name in _ACTS_ITSELF else []
    tags = partial(_request_tags, name, headers, body)
    policies = ((body or b"").decode("utf-8", "replace"),) if name == "PutBucketPolicy" else ()
    return Requested(checks=(first, *_beside(name, arn, head, headers), *more), tags=tags, policies=policies)


def is_held(head: OnwardHead) -> bool:
    """Whether its body is a document and no data: the emulator parses it, and some must be read to be decided on."""
    if head.method == "PUT":
        bucket, key = place(head.path)
        level = "object" if key else "bucket" if bucket else "service"
        return subresources.action(head.method, level, head.query) != "PutObject"
    return deletes_many(head) or (head.method == "POST" and "uploadId" in head.query)


def _check_size(document: bytes) -> None:
    """Raise UnclearError if it would hold up everybody while it is parsed."""
    if sum(map(document.count, (b"<", b'"', b"'"))) > MOST_MARKS:
        raise UnclearError("The XML you provided has too many elements and attributes.")


def _request_tags(name: str, headers: Mapping[str, str], body: bytes | None) -> Context | None:
    """The condition keys of tags that the request gives; None: it has them where nobody looks."""
    if name in _READ and name != "PutBucketPolicy":
        try:
            given = [(each.findtext("{*}Key"), each.findtext("{*}Value")) for each in _elements(body or b"", "Tag")]
        except (iam_actions.ParseError, ValueError):
            return None
    else:
        given = parse_qsl(headers.get("x-amz-tagging", ""), keep_blank_values=True)
    prefix, keys = ("aws:requesttag/", "aws:tagkeys") if "Bucket" in name else ("s3:requestobjecttag/", _OBJECT_KEYS)
    known: dict[str, tuple[str, ...]] = {}
    for tag, value in given:
        key = f"{prefix}{tag or ''}".lower()
        known[key] = (*known.get(key, ()), value or "")
    return {**known, keys: tuple(tag or "" for tag, _ in given)} if given else known


def _elements(body: bytes, name: str) -> list[Any]:
    """The elements of that name in a document, whatever their namespace."""
    if not body:
        return []
    return [each for each in iam_actions.fromstring(body).iter() if each.tag.rpartition("}")[2] == name]


def deletes_many(head: OnwardHead) -> bool:
    """Whether it is a DeleteObjects, which names its keys in the body."""
    return head.method == "POST" and "delete" in head.query and not place(head.path)[1]


def hoisted(head: OnwardHead) -> dict[str, str]:
    """The headers, with those that a presigned URL carries in its query, as the emulator merges them."""
    merged = dict(head.headers)
    for name, values in head.query.items():
        if name.lower().startswith("x-amz-"):
            merged.setdefault(name.lower(), values[0])
    return merged


def _beside(name: str, arn: str, head: OnwardHead, headers: Mapping[str, str]) -> list[NeededPermission]:
    """What an operation needs beside its first action."""
    found = []
    if name == "PutObject":
        found += _source(headers)
        if headers.get("x-amz-tagging"):
            found.append(NeededPermission(action="s3:PutObjectTagging", resource=arn))
        if headers.get("x-amz-acl", "") not in _HARMLESS_ACLS or any(headers.get(grant) for grant in _GRANTS):
            found.append(NeededPermission(action="s3:PutObjectAcl", resource=arn))
        if headers.get("x-amz-object-lock-mode") or headers.get("x-amz-object-lock-retain-until-date"):
            found.append(NeededPermission(action="s3:PutObjectRetention", resource=arn))
        if headers.get("x-amz-object-lock-legal-hold"):
            found.append(NeededPermission(action="s3:PutObjectLegalHold", resource=arn))
    if name in {"GetObjectAttributes", "GetObjectVersionAttributes"}:
        found.append(NeededPermission(action=f"s3:{name.removesuffix('Attributes')}", resource=arn))
    if _bypasses(headers):
        found.append(NeededPermission(action="s3:BypassGovernanceRetention", resource=arn))
    if head.method == "POST" and name == "PutObject" and not place(head.path)[1]:
        found.append(BEYOND)  # a form for browsers, whose key stands in the body
    return found


def _source(headers: Mapping[str, str]) -> list[NeededPermission]:
    """What a copy reads."""
    if "x-amz-copy-source" not in headers:
        return []
    named = headers["x-amz-copy-source"]
    found: Any = iam_actions._s3_source_object({"x-amz-copy-source": named})  # noqa: SLF001 -- pinned version
    if found is None or not _VERSION.fullmatch(named.partition("?")[2]) or named.startswith("arn:"):
        raise UnclearError("Copy Source must mention the source bucket and key: sourcebucket/sourcekey")
    arn, version = found
    bucket, _ = place(arn.removeprefix("arn:aws:s3:::"))
    if bucket.endswith(ALIASES) or not BUCKET.fullmatch(bucket):
        raise UnclearError("The source of a copy must be named by its bucket.")
    return [NeededPermission(action=f"s3:GetObject{_version(version)}", resource=arn, context=_of_version(version))]


def _version(version: str | None) -> str:
    """What an action on a version that is named ends with."""
    return "Version" if version else ""


def _of_version(version: str | None) -> Context:
    """By which a named version is judged, and not the current one."""
    return {"s3:versionid": (version,)} if version else {}


def _deletions(bucket: str, body: bytes, head: OnwardHead) -> tuple[NeededPermission, ...]:
    found: Any = iam_actions._s3_batch_delete_targets(bucket, body)  # noqa: SLF001 -- pinned version
    if not found or not _names_each_once(body, len(found)):
        raise UnclearError("The XML you provided was not well-formed or did not validate against our published schema")
    checks = [
        NeededPermission(action=f"s3:DeleteObject{_version(version)}", resource=arn, context=_of_version(version))
        for arn, version in found
    ]
    if _bypasses(hoisted(head)):
        checks += [NeededPermission(action="s3:BypassGovernanceRetention", resource=arn) for arn, _ in found]
    return tuple(
        {(each.action, each.resource, *each.context.get("s3:versionid", ())): each for each in checks}.values()
    )


def _names_each_once(body: bytes, objects: int) -> bool:
    """Whether each of the objects has one key and one version at most, and nothing else is called so."""
    try:
        root = iam_actions.fromstring(body)
    except (iam_actions.ParseError, ValueError):
        return False
    found = [each for each in root.iter() if each.tag.rpartition("}")[2] == "Object"]
    named = [[child.tag.rpartition("}")[2] for child in each] for each in found]
    is_flat = not any(len(child) for each in found for child in each)
    return is_flat and len(named) == objects and all(len(set(names)) == len(names) for names in named)


def _bypasses(headers: Mapping[str, str]) -> bool:
    return headers.get("x-amz-bypass-governance-retention", "").strip().lower() == "true"


def _context(name: str, head: OnwardHead, headers: Mapping[str, str]) -> Context:
    found: dict[str, tuple[str, ...]] = {}
    if name in {"ListBucket", "ListBucketVersions", "ListBucketMultipartUploads"}:
        for key in ("prefix", "delimiter", "max-keys"):
            if key in head.query:
                found[f"s3:{key}"] = (head.query[key][0],)
    if name == "PutObject":
        found |= {f"s3:{each}": (headers[each],) for each in _WRITTEN if headers.get(each)}
    if "versionId" in head.query:
        found["s3:versionid"] = (head.query["versionId"][0],)
    return found
