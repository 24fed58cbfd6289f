"""Which files of a folder are nobody's wish to upload: caches, editors' leavings, version control.

`aerodrome dev` does not bring them, and `aerodrome check` does not copy them. `.airflowignore` is Airflow's to obey and
is brought like any file, and so is what it names: DAGs may read it. What `.gitignore` names is brought too: files that
are generated are often ignored there, and needed.
"""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

from watchfiles import DefaultFilter

FOLDERS = frozenset({*DefaultFilter.ignore_dirs, "__MACOSX", ".ipynb_checkpoints", ".ruff_cache", ".vscode", "venv"})
"""A virtual environment of another name is known by its `pyvenv.cfg`."""

_FILES = re.compile(
    "|".join((
        *DefaultFilter.ignore_entity_patterns,
        r"^\.git(ignore|keep|attributes|modules)$",
        r"^#.*#$",
        r"^\.goutputstream-",
        r"^4913$",  # Vim tries with this one whether it may write
        r"^~\$",
    ))
)  # fmt: skip


def is_unwanted(path: str) -> bool:
    """Whether a file is left where it is; `path` is relative, with slashes. Pure."""
    *folders, name = PurePosixPath(path).parts
    return bool(FOLDERS.intersection(folders)) or _FILES.search(name) is not None


def is_unwanted_folder(folder: Path) -> bool:
    """Whether a folder is left where it is, with all that it holds; asks the disk for virtual environments."""
    return folder.name in FOLDERS or (folder / "pyvenv.cfg").exists()
