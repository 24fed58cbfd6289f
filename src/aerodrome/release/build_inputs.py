"""What a release is built from, hashed into the name of its folder on disk. Pure.

`built_releases` names its folders by it. `model.release` has the whole release, with options and all.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass

_RECIPE = 5
"""Raise it when the same inputs would be built into something else."""


@dataclass(frozen=True, kw_only=True)
class BuildInputs:
    """What a release is built from: by bytes, not by S3 versions, so that environments share equal releases."""

    version: str
    """The Airflow version."""

    lock: str
    """The SHA-256 of the pins that requirements are held to: the lock's, and the whole of Airflow's constraints."""

    requirements: str | None = None
    """The SHA-256 of requirements.txt and of what it includes; None = no requirements. The next two are the same."""

    plugins: str | None = None
    startup: str | None = None
    variables: tuple[tuple[str, str], ...] = ()
    """Variables that the startup script finds; they count only where there is a script. So does the next."""

    reader: str = ""
    """Whose rights the script reads with."""

    @property
    def identifier(self) -> str:
        """The name of its folder: 32 hex characters."""
        fields = asdict(self)
        variables = fields.pop("variables")
        fields |= {
            "surroundings": sorted(variables) if self.startup else [],  # another word would be another name
            "reader": self.reader if self.startup else "",
            "recipe": _RECIPE,
        }
        canonical = json.dumps(fields, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:32]
