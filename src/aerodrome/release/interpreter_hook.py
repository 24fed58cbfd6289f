"""How our modules and a release's packages reach the interpreter of an Airflow version, and no other.

`installation` puts `inside/aerodrome_path.py` into each version's virtual environment, and so does whoever makes
another interpreter for units. PYTHONPATH would not do: it would reach every Python that a task starts, which may have
other versions of the same packages.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from aerodrome import errors, private_files
from aerodrome.release import uv_output

_MODULE = Path(__file__).with_name("inside") / "aerodrome_path.py"
_PTH = "aerodrome.pth"
_PATIENCE = 60.0
_MODE = 0o644


def add(venv: Path) -> None:
    """Put it into the virtual environment unless it is there; then it costs only a look.

    Raises BrokenError where we may not write.
    """
    for site in (venv / "lib").glob("python3*/site-packages"):
        wanted = {_MODULE.name: _MODULE.read_bytes(), _PTH: f"import {_MODULE.stem}\n".encode()}
        if all(_holds(site / name, data) for name, data in wanted.items()):
            continue
        try:
            for name, data in wanted.items():
                _write(site / name, data)
        except OSError as error:
            raise errors.BrokenError(f"cannot write to {site}: {error.strerror}", code=uv_output.CODE) from error
        # Its own interpreter compiles it, because units could not store what they compile.
        compiler = [str(venv / "bin" / "python"), "-I", "-m", "compileall", "-q", str(site / _MODULE.name)]
        subprocess.run(compiler, env={}, capture_output=True, timeout=_PATIENCE, check=False, umask=0o022)


def _holds(file: Path, data: bytes) -> bool:
    try:
        return file.read_bytes() == data
    except OSError:
        return False


def _write(file: Path, data: bytes) -> None:
    """Write the file whole, because interpreters start meanwhile."""
    private_files.write(file, data, mode=_MODE)
