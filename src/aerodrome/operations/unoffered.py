"""Operations of MWAA that Aerodrome does not offer: each answers with a declared error that says so."""

from __future__ import annotations

from typing import Any

from aerodrome.errors import CallerError
from aerodrome.model.spec import Document
from aerodrome.operations.dependencies import Dependencies


def publish_metrics(_deps: Dependencies, _given: Document) -> dict[str, Any]:
    """Refuse: MWAA's own model calls the operation internal and no longer available."""
    raise CallerError("PublishMetrics is internal to MWAA and no longer available; nothing was published.")
