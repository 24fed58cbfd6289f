"""Warnings: what was accepted and will surprise, as events of the environment."""

from __future__ import annotations

from collections.abc import Iterable

from aerodrome.operations.dependencies import Dependencies


def record(deps: Dependencies, name: str, kind: str, sentences: Iterable[str]) -> None:
    """Write an event for each sentence; called after the request itself is written."""
    for sentence in sentences:
        deps.environments.record(name, kind, sentence, {}, deps.clock())
