"""What we wrote to disk and from which object: the memory that survives a restart of the sidecar.

`sync` keeps it in one file (0600) beside the DAGs folder. Losing it costs one fetch of everything, never a wrong file:
an entry counts only while the file on disk has exactly the size and time that it names.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from aerodrome.sidecar.diff import ManifestEntry
from aerodrome.sidecar.private_files import write_private

FORMAT = 1

SIZE_LIMIT = 64 * 1024 * 1024
"""Bytes; 50 000 entries of the longest kind stay below it."""


def path_for(dags_dir: Path) -> Path:
    """Where the manifest of a DAGs folder lies."""
    return dags_dir.parent / f".{dags_dir.name}.manifest.json"


def load(path: Path, *, source: str) -> dict[str, ManifestEntry]:
    """Read it; empty when it is missing, damaged, or about another `source` (bucket and prefix)."""
    try:
        with path.open("rb") as file:
            document = json.loads(file.read(SIZE_LIMIT))
        if document["format"] != FORMAT or document["source"] != source:
            return {}
        return {name: ManifestEntry(*entry) for name, entry in document["files"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def save(path: Path, *, source: str, files: Mapping[str, ManifestEntry]) -> None:
    """Replace it in one step."""
    entries = {name: [held.etag, held.size, held.mtime_ns, held.version] for name, held in files.items()}
    write_private(path, json.dumps({"format": FORMAT, "source": source, "files": entries}).encode())
