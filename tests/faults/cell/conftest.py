from __future__ import annotations

from integration.cell.conftest import cell, one_cell

__all__ = ["cell", "one_cell"]
