"""The order that a cell follows, in a file beside its others: nothing else tells what was stopped on purpose.

The file exists only after the order has been carried out completely; it is removed before another order begins. It may
hold secrets, because users put them into configuration options.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

from aerodrome import private_files
from aerodrome.backends.local.paths import CellPaths
from aerodrome.model.orders import CellOrder, Keep, ServicesOrder
from aerodrome.model.release import Deployed


def read(cell: CellPaths) -> CellOrder | ServicesOrder | None:
    """The order; None = there is none, or it is not known."""
    try:
        document = json.loads(cell.order.read_text(encoding="utf-8"))
        document["keep"] = Keep(document["keep"])
        if "deployed" not in document:
            return ServicesOrder(**document)
        document["deployed"] = Deployed(**document["deployed"])
        for name in ("workers", "draining", "zones", "without"):
            document[name] = tuple(document.get(name, ()))  # an earlier Aerodrome knew no zones
        return CellOrder(**document)
    except (OSError, ValueError, KeyError, TypeError):  # TypeError: another version of Aerodrome wrote it
        return None


def write(cell: CellPaths, order: CellOrder | ServicesOrder) -> None:
    """Write down that the order has been carried out."""
    document = {each.name: getattr(order, each.name) for each in fields(order)}
    private_files.write(cell.order, json.dumps(document, default=_plain))


def forget(cell: CellPaths) -> None:
    """Remove the file, because another order is about to be carried out."""
    cell.order.unlink(missing_ok=True)


def _plain(value: Any) -> Any:
    if isinstance(value, Deployed):
        return asdict(value)
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"an order holds a {type(value).__name__}")
