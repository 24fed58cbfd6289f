"""Operations of MWAA that this release does not offer: each answers with a declared error and an honest sentence."""

from __future__ import annotations

from typing import Any

from aerodrome.errors import CallerError
from aerodrome.model.spec import Document
from aerodrome.operations.dependencies import Dependencies


def publish_metrics(_deps: Dependencies, _given: Document) -> dict[str, Any]:
    """MWAA's own model calls it internal and no longer available."""
    raise CallerError("PublishMetrics is internal to MWAA and no longer available; nothing was published.")
