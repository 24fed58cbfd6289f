"""TagResource, UntagResource and ListTagsForResource."""

from __future__ import annotations

from typing import Any

from aerodrome.errors import CallerError
from aerodrome.model.spec import Document
from aerodrome.operations import find, validation
from aerodrome.operations.dependencies import Dependencies

MOST_TAGS = 50
"""Tags that one resource may have (AWS's quota; the model limits only one request)."""

TAGS_CHANGED = "TAGS_CHANGED"
"""The kind of the events that say so."""


def tag_resource(deps: Dependencies, given: Document) -> dict[str, Any]:
    """Add tags; they are counted together with those that the environment has."""
    environment = find.by_arn(deps, given["ResourceArn"])
    tags = given["Tags"]
    refused = list(validation.tag_refusals(tags))
    if refused:
        raise CallerError(". ".join(refused) + ".")
    merged = {*environment.tags, *tags}
    if len(merged) > MOST_TAGS:
        raise CallerError(
            f"Tags: the environment would have {len(merged)} tags and {MOST_TAGS} are allowed: remove some first."
        )
    deps.environments.set_tags(environment.name, tags)
    detail = {"keys": sorted(tags)}
    deps.environments.record(environment.name, TAGS_CHANGED, "Tags were added.", detail, deps.clock())
    return {}


def untag_resource(deps: Dependencies, given: Document) -> dict[str, Any]:
    """Remove tags; a key that the environment does not have is no error."""
    environment = find.by_arn(deps, given["ResourceArn"])
    keys = given["tagKeys"]
    deps.environments.remove_tags(environment.name, keys)
    detail = {"keys": sorted(keys)}
    deps.environments.record(environment.name, TAGS_CHANGED, "Tags were removed.", detail, deps.clock())
    return {}


def list_tags_for_resource(deps: Dependencies, given: Document) -> dict[str, Any]:
    """All tags of an environment."""
    return {"Tags": dict(find.by_arn(deps, given["ResourceArn"]).tags)}
