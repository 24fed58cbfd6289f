"""The databases behind the embedded Redshift Data API: what each is called, and the notes by which they come to be.

The AWS emulator, where the statements of DAG code arrive, may make neither databases nor roles. It leaves a wish in a
folder; the keeper writes the way in, makes the database, and takes the wish away. Pure.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

WISH = ".wish"
"""What the file of a wish ends in; it holds a `Warehouse`."""

WAY_IN = ".json"
"""The file with an `Access`; it is good when there is no wish beside it."""

REFUSAL = ".refused"
"""The file that comes in the place of a way in: a sentence for whoever wished."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Warehouse:
    """A database as callers of the Redshift Data API name it."""

    endpoint: str
    """`cluster/<ClusterIdentifier>` or `workgroup/<WorkgroupName>`."""
    database: str

    @property
    def key(self) -> str:
        """The beginning of its files' names: of one length and alphabet, whatever a caller wrote."""
        return hashlib.sha256(json.dumps([self.endpoint, self.database]).encode()).hexdigest()[:24]


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """The way into one database, as the role that owns it."""

    warehouse: Warehouse
    host: str
    port: int
    name: str
    """Of the database and of the role."""
    password: str = field(repr=False)
    options: tuple[tuple[str, str], ...] = ()
    """More of libpq's connection parameters."""

    def text(self) -> str:
        """What its file holds."""
        return json.dumps(asdict(self))

    @classmethod
    def of(cls, text: str) -> Access:
        """The access in a file's text; any other text raises ValueError, KeyError or TypeError."""
        document: Mapping[str, Any] = json.loads(text)
        options = tuple((str(name), str(value)) for name, value in document["options"])
        return cls(**{**document, "warehouse": Warehouse(**document["warehouse"]), "options": options})
