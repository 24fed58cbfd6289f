"""Which files of a folder nobody wants to upload: caches, what editors leave, version control.

`aerodrome dev` does not upload them, and `aerodrome check` does not copy them. `.airflowignore` is uploaded like any
file, because Airflow obeys it; what it names is uploaded too, because DAGs may read it. What `.gitignore` names is
uploaded as well: generated files are often ignored there, and needed.
"""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

from watchfiles import DefaultFilter

FOLDERS = frozenset({*DefaultFilter.ignore_dirs, "__MACOSX", ".ipynb_checkpoints", ".ruff_cache", ".vscode", "venv"})
"""A virtual environment with another name has a `pyvenv.cfg`."""

_FILES = re.compile(
    "|".join((
        *DefaultFilter.ignore_entity_patterns,
        r"^\.git(ignore|keep|attributes|modules)$",
        r"^#.*#$",
        r"^\.goutputstream-",
        r"^4913$",  # Vim makes this one to see whether it may write
        r"^~\$",
    ))
)  # fmt: skip


def is_unwanted(path: str) -> bool:
    """Whether a file is not uploaded; `path` is relative, with slashes. Pure."""
    *folders, name = PurePosixPath(path).parts
    return bool(FOLDERS.intersection(folders)) or _FILES.search(name) is not None


def is_unwanted_folder(folder: Path) -> bool:
    """Whether a folder is not uploaded, with all that it holds; looks on disk for virtual environments."""
    return folder.name in FOLDERS or (folder / "pyvenv.cfg").exists()
