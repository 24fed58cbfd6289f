"""The table of S3 operations against MiniStack's own dispatch: what the door decides on is what the emulator does."""

from __future__ import annotations

import botocore.session
import pytest
from ministack.services import s3 as ministack

from aerodrome.api.aws import subresources
from aerodrome.api.aws.requested import UnclearError, parsed

OTHERWISE = {
    "_abort_multipart_upload": "AbortMultipartUpload",
    "_complete_multipart_upload": "PutObject",
    "_create_multipart_upload": "PutObject",
    "_upload_part": "PutObject",
    "_post_object": "PutObject",
    "_delete_objects": "DeleteObject",
    "_head_bucket": "ListBucket",
    "_head_object": "GetObject",
    "_list_buckets": "ListAllMyBuckets",
    "_list_multipart_uploads": "ListBucketMultipartUploads",
    "_list_object_versions": "ListBucketVersions",
    "_list_objects_v1": "ListBucket",
    "_list_objects_v2": "ListBucket",
    "_list_parts": "ListMultipartUploadParts",
    "_get_public_access_block": "GetBucketPublicAccessBlock",
    "_get_object_lock_configuration": "GetBucketObjectLockConfiguration",
    "_put_object_lock_configuration": "PutBucketObjectLockConfiguration",
    "_put_public_access_block": "PutBucketPublicAccessBlock",
    "_delete_public_access_block": "PutBucketPublicAccessBlock",
    "_delete_bucket_ownership_controls": "PutBucketOwnershipControls",
    "_delete_bucket_tagging": "PutBucketTagging",
}
"""Actions of handlers that are not called like their action."""

WORDS = {"cors": "CORS"}
SHORTER = {f"Bucket{name}": f"{name}Configuration" for name in ("Encryption", "Lifecycle", "Accelerate", "Replication")}

PARAMETERS = {"annotationName", "partNumber"}
LEVELS = {"service": ("", ""), "bucket": ("b", ""), "object": ("b", "k")}
METHODS = ("GET", "HEAD", "PUT", "DELETE", "POST", "PATCH")


def handlers() -> set[str]:
    names = ministack._dispatch.__code__.co_names
    return {name for name in names if name.startswith("_") and name not in {"_qp", "_signed_region"}}


def dispatched_on() -> set[str]:
    """Every string that MiniStack's dispatch may look for in the query."""
    found = {each for each in ministack._dispatch.__code__.co_consts if isinstance(each, str)}
    return {each for each in found if each.isidentifier() or "-" in each} - {*METHODS, "MethodNotAllowed"}


def of_the_model() -> set[str]:
    model = botocore.session.get_session().get_service_model("s3")
    queries = [model.operation_model(name).http["requestUri"].partition("?")[2] for name in model.operation_names]
    return {pair.partition("=")[0] for query in queries for pair in query.split("&") if pair}


def action_of(handler: str) -> str:
    if handler in OTHERWISE:
        return OTHERWISE[handler]
    name = "".join(WORDS.get(word, word.title()) for word in handler.strip("_").split("_"))
    for ours, theirs in SHORTER.items():
        name = name.replace(ours, theirs)
    if name.startswith("DeleteBucket") and name not in {"DeleteBucket", "DeleteBucketPolicy", "DeleteBucketWebsite"}:
        return name.replace("Delete", "Put")
    if name.startswith(("DeleteEnc", "DeleteLife", "DeleteRepl")):
        return name.replace("Delete", "Put")
    return name


@pytest.fixture
def entered(monkeypatch):
    """Which handler MiniStack enters."""

    def naming(name: str):
        return lambda *_, **__: name

    for name in handlers():
        monkeypatch.setattr(ministack, name, naming(name))

    def enter(method: str, level: str, query: str) -> str:
        form = {"content-type": "multipart/form-data"}
        found = ministack._dispatch(method, *LEVELS[level], form, b"", parsed(query))
        return str(found)

    return enter


def test_no_name_is_unknown_here():
    headers = {"x-amz-copy-source", "content-type"}
    assert dispatched_on() - headers - PARAMETERS - {"multipart/form-data"} <= subresources.NAMES
    assert of_the_model() - {"x-id"} <= subresources.NAMES


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("method", METHODS)
def test_the_emulator_does_what_was_decided_on(entered, method, level):
    names = ["", *sorted(subresources.NAMES)]
    queries = [f"{name}{more}" for name in names for more in ("", "=2", "=2&annotationName=a", "=x&partNumber=1")]
    served = 0
    for query in queries:
        for asked in (query, f"{query}&versionId=v"):
            try:
                action = subresources.action(method, level, parsed(asked))
            except UnclearError:
                continue
            handler = entered(method, level, asked)
            if handler == "_error" or action is None:
                assert action is None or (method, level) == ("POST", "bucket"), (asked, handler, action)
                continue
            served += 1
            assert action.replace("ObjectVersion", "Object") == action_of(handler), (asked, handler)
    assert served or method == "PATCH" or level == "service" or (method, level) == ("POST", "object")


def test_the_table_serves_what_the_emulator_has():
    """No subresource is left out that MiniStack serves, but the one that it alone calls by that name."""
    served = {name for methods in subresources.SERVED.values() for found in methods.values() for name in found}
    looked_for = dispatched_on() & subresources.NAMES
    assert looked_for - served == {"request-payment"}


@pytest.mark.parametrize(
    ("method", "level", "query"),
    [
        ("GET", "object", "location"),
        ("GET", "object", "versioning"),
        ("PUT", "object", "versioning"),
        ("PUT", "object", "encryption"),
        ("PUT", "object", "uploadId=u"),
        ("PUT", "object", "partNumber=1"),
        ("DELETE", "object", "policy"),
        ("DELETE", "bucket", "uploadId=x"),
        ("DELETE", "bucket", "metrics"),
        ("GET", "bucket", "location&list-type=2"),
        ("GET", "bucket", "requestPayment"),
        ("GET", "bucket", "prefix=mine/&prefix=theirs/"),
        ("GET", "object", "tagging&acl"),
        ("GET", "object", "versionId=a&versionId=b"),
        ("HEAD", "object", "tagging"),
        ("GET", "service", "location"),
    ],
)
def test_what_is_not_served_there_is_refused(method, level, query):
    with pytest.raises(UnclearError):
        subresources.action(method, level, parsed(query))
