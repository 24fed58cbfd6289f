"""Which modules and packages a process has asked for while it imported what it imported.

More packages would not have changed it as long as none of them brings one of these. Imports nothing of Airflow.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

ALL = "*"
"""In the place of a package's name: it has looked through all that are installed."""


class AskedFor:
    """What a process has asked for."""

    def __init__(self) -> None:
        self.modules: set[str] = set()
        """Names of modules that it has, or looked for in vain."""

        self.namespaces: set[str] = set()
        """Those of them that are packages without a file, to which each folder on the path may add modules."""

        self.packages: set[str] = set()
        """Names of installed packages that it looked for (normalised), or `ALL`."""

    # The import system calls these two as those of a finder.

    def find_spec(self, name: str, *_: Any) -> None:
        """Note a module, and leave it to others."""
        self.modules.add(name)

    def find_distributions(self, context: Any = None) -> tuple[()]:
        """Note a package, and leave it to others; it is asked last, so it hears of what nobody else has found."""
        name = getattr(context, "name", None)
        self.packages.add(ALL if name is None else re.sub(r"[-_.]+", "-", name).lower())
        return ()


@contextmanager
def noted(asked: AskedFor) -> Iterator[None]:
    """Note what is asked for meanwhile, and at the end what is there."""
    finder: Any = asked
    sys.meta_path.append(finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        asked.modules |= set(sys.modules)
        asked.namespaces |= {name for name, module in list(sys.modules.items()) if _is_namespace(module)}


def _is_namespace(module: Any) -> bool:
    return hasattr(module, "__path__") and getattr(module, "__file__", None) is None
