"""What was accepted and will surprise, among the environment's events."""

from __future__ import annotations

from collections.abc import Iterable

from aerodrome.operations.dependencies import Dependencies


def record(deps: Dependencies, name: str, kind: str, sentences: Iterable[str]) -> None:
    """An event for each sentence; once the request itself is written."""
    for sentence in sentences:
        deps.environments.record(name, kind, sentence, {}, deps.clock())
