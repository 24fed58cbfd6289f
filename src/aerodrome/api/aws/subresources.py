"""Which S3 operation a request is, by its method, its level and its subresource: what the emulator serves, no more.

MiniStack looks for the names that it knows and otherwise does the plain operation: it would take a read of `?location`
on an object for a read of the object. So a subresource that it does not serve for that method and level is refused
here. The tests compare this table with MiniStack's own dispatch.
"""

from __future__ import annotations

from collections.abc import Mapping

from aerodrome.api.aws.requested import UnclearError

PLAIN = ""
"""No subresource."""

SERVED: Mapping[str, Mapping[str, Mapping[str, str]]] = {
    "service": {"GET": {PLAIN: "ListAllMyBuckets"}},
    "bucket": {
        "HEAD": {PLAIN: "ListBucket"},
        "GET": {
            PLAIN: "ListBucket",
            "list-type": "ListBucket",
            "uploads": "ListBucketMultipartUploads",
            "versions": "ListBucketVersions",
            "location": "GetBucketLocation",
            "policy": "GetBucketPolicy",
            "versioning": "GetBucketVersioning",
            "encryption": "GetEncryptionConfiguration",
            "logging": "GetBucketLogging",
            "notification": "GetBucketNotification",
            "tagging": "GetBucketTagging",
            "cors": "GetBucketCORS",
            "acl": "GetBucketAcl",
            "lifecycle": "GetLifecycleConfiguration",
            "accelerate": "GetAccelerateConfiguration",
            "website": "GetBucketWebsite",
            "object-lock": "GetBucketObjectLockConfiguration",
            "replication": "GetReplicationConfiguration",
            "ownershipControls": "GetBucketOwnershipControls",
            "publicAccessBlock": "GetBucketPublicAccessBlock",
        },
        "PUT": {
            PLAIN: "CreateBucket",
            "policy": "PutBucketPolicy",
            "notification": "PutBucketNotification",
            "tagging": "PutBucketTagging",
            "versioning": "PutBucketVersioning",
            "encryption": "PutEncryptionConfiguration",
            "lifecycle": "PutLifecycleConfiguration",
            "cors": "PutBucketCORS",
            "acl": "PutBucketAcl",
            "website": "PutBucketWebsite",
            "logging": "PutBucketLogging",
            "accelerate": "PutAccelerateConfiguration",
            "requestPayment": "PutBucketRequestPayment",
            "object-lock": "PutBucketObjectLockConfiguration",
            "replication": "PutReplicationConfiguration",
            "ownershipControls": "PutBucketOwnershipControls",
            "publicAccessBlock": "PutBucketPublicAccessBlock",
        },
        "DELETE": {
            PLAIN: "DeleteBucket",
            "policy": "DeleteBucketPolicy",
            "tagging": "PutBucketTagging",
            "cors": "PutBucketCORS",
            "lifecycle": "PutLifecycleConfiguration",
            "encryption": "PutEncryptionConfiguration",
            "website": "DeleteBucketWebsite",
            "replication": "PutReplicationConfiguration",
            "ownershipControls": "PutBucketOwnershipControls",
            "publicAccessBlock": "PutBucketPublicAccessBlock",
        },
        "POST": {PLAIN: "PutObject", "delete": "DeleteObject"},
    },
    "object": {
        "HEAD": {PLAIN: "GetObject"},
        "GET": {
            PLAIN: "GetObject",
            "uploadId": "ListMultipartUploadParts",
            "annotation": "ListObjectAnnotations",
            "tagging": "GetObjectTagging",
            "retention": "GetObjectRetention",
            "legal-hold": "GetObjectLegalHold",
            "acl": "GetObjectAcl",
            "attributes": "GetObjectAttributes",
        },
        "PUT": {
            PLAIN: "PutObject",
            "uploadId": "PutObject",
            "annotation": "PutObjectAnnotation",
            "tagging": "PutObjectTagging",
            "retention": "PutObjectRetention",
            "legal-hold": "PutObjectLegalHold",
            "acl": "PutObjectAcl",
        },
        "DELETE": {
            PLAIN: "DeleteObject",
            "uploadId": "AbortMultipartUpload",
            "annotation": "DeleteObjectAnnotation",
            "tagging": "DeleteObjectTagging",
        },
        "POST": {"restore": "RestoreObject", "uploads": "PutObject", "uploadId": "PutObject"},
    },
}
"""Level, method, subresource: the IAM action. DELETE of a configuration needs what PUT of it needs, as in AWS."""

_UNSERVED = frozenset(
    {"abac", "analytics", "intelligent-tiering", "inventory", "metadataAnnotationTable", "metadataConfiguration",
     "metadataInventoryTable", "metadataJournalTable", "metadataTable", "metrics", "policyStatus", "renameObject",
     "request-payment", "select", "select-type", "session", "torrent"}
)  # fmt: skip

NAMES = _UNSERVED | {
    name for methods in SERVED.values() for served in methods.values() for name in served if name != PLAIN
}
"""All that are subresources somewhere."""

_OF_VERSIONS = {
    "GetObject": "GetObjectVersion",
    "DeleteObject": "DeleteObjectVersion",
    "GetObjectTagging": "GetObjectVersionTagging",
    "PutObjectTagging": "PutObjectVersionTagging",
    "DeleteObjectTagging": "DeleteObjectVersionTagging",
    "GetObjectAcl": "GetObjectVersionAcl",
    "PutObjectAcl": "PutObjectVersionAcl",
    "GetObjectAttributes": "GetObjectVersionAttributes",
}


def action(method: str, level: str, query: Mapping[str, list[str]]) -> str | None:
    """The IAM action without its prefix; `level` is `service`, `bucket` or `object`. None: there is no such operation.

    Raises:
        UnclearError: a parameter is named twice, or a subresource is not served.
    """
    if any(len(values) > 1 for values in query.values()):
        raise UnclearError("The query names a parameter twice.")
    named = sorted(NAMES & query.keys())
    if len(named) > 1:
        raise UnclearError("The request names more than one subresource.")
    subresource = named[0] if named else PLAIN
    served = SERVED[level].get(method, {})
    if subresource and subresource not in served:
        raise UnclearError(f"{method} of ?{subresource} is not served for this {level}.")
    _check_parts(method, level, subresource, query)
    found = served.get(subresource)
    if found == "ListObjectAnnotations" and "annotationName" in query:
        found = "GetObjectAnnotation"
    if level == "object" and query.get("versionId", [""])[0]:
        return _OF_VERSIONS.get(found or "", found)
    return found


def _check_parts(method: str, level: str, subresource: str, query: Mapping[str, list[str]]) -> None:
    """A part of an upload has its number, and a number its upload."""
    is_numbered = "partNumber" in query
    if level == "object" and method == "PUT" and is_numbered != (subresource == "uploadId"):
        raise UnclearError("A part is named by uploadId and partNumber.")
    if subresource == "uploadId" and "versionId" in query:
        raise UnclearError("An upload has no version.")
