"""What of a release lies on disk, named by what it is made of. Pure.

`built_releases` names its folders by it; the release itself, options and all, is `model.release`'s.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass

_RECIPE = 5
"""Raised when the same sources would be built into something else."""


@dataclass(frozen=True, kw_only=True)
class BuildInputs:
    """What of a release lies on disk: by bytes, not by S3 versions, so that environments share what is equal."""

    version: str
    """The Airflow version."""

    lock: str
    """The SHA-256 of the pins that requirements are held to: the lock's, and the whole of Airflow's constraints."""

    requirements: str | None = None
    """The SHA-256 of requirements.txt and of what it includes; None = none. So for the next two."""

    plugins: str | None = None
    startup: str | None = None
    surroundings: tuple[tuple[str, str], ...] = ()
    """Variables that the startup script finds; they count only where there is one. So for the next."""

    reader: str = ""
    """Whose rights it reads with."""

    @property
    def identifier(self) -> str:
        """The name of its folder: 32 hex characters."""
        fields = asdict(self) | {
            "surroundings": sorted(self.surroundings) if self.startup else [],
            "reader": self.reader if self.startup else "",
            "recipe": _RECIPE,
        }
        canonical = json.dumps(fields, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:32]
