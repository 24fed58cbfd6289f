"""What an installed Airflow version already holds: packages, their folder, and the modules of its Python.

`overlay` asks it, so that a release adds only what the base lacks and hides nothing of it.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from packaging.utils import canonicalize_name

from aerodrome.release.failures import RELEASE_BUILD_FAILED, ReleaseError
from aerodrome.release.installation import Installation

_ASK = """
import json, sys, sysconfig
from importlib import metadata
found = {d.metadata["Name"]: (d.version, d.requires or []) for d in metadata.distributions()}
print(json.dumps([sysconfig.get_path("purelib"), found, sorted(sys.stdlib_module_names), list(sys.version_info[:3])]))
"""
# Python 3.7 to 3.9 keep no list of their modules; the folder of the library is read instead.
_ASK_OLD = """
import json, os, sys, sysconfig
try:
    from importlib import metadata
except ImportError:
    import importlib_metadata as metadata
found = {d.metadata["Name"]: (d.version, d.requires or []) for d in metadata.distributions()}
names = set(sys.builtin_module_names)
for folder in (sysconfig.get_path("stdlib"), os.path.join(sysconfig.get_path("stdlib"), "lib-dynload")):
    names.update(name.split(".")[0] for name in os.listdir(folder) if name != "site-packages")
print(json.dumps([sysconfig.get_path("purelib"), found, sorted(names), list(sys.version_info[:3])]))
"""

_LIMIT = 60.0
"""Seconds; it takes a tenth of one."""


@dataclass(frozen=True)
class InstalledPackages:
    """An installed version, as packages."""

    packages: Mapping[str, str]
    """Normalised name to version."""

    site: Path
    modules: frozenset[str]
    """The top-level modules of the standard library."""

    python: tuple[int, int, int]
    needs: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Normalised name to what the package's metadata say it requires."""

    @property
    def line(self) -> str:
        """The line of Python, as `3.12`."""
        return f"{self.python[0]}.{self.python[1]}"


def look(installation: Installation) -> InstalledPackages:
    """Ask the version's own interpreter. Raises ReleaseError if it does not start."""
    for question in (_ASK, _ASK_OLD):
        try:
            answer = subprocess.run(
                [installation.python, "-I", "-c", question],
                env={},
                cwd="/",
                capture_output=True,
                check=True,
                timeout=_LIMIT,
            )
        except subprocess.CalledProcessError as error:
            last = error
            continue
        site, packages, modules, python = json.loads(answer.stdout)
        named = {str(canonicalize_name(name)): told for name, told in packages.items() if name}
        return InstalledPackages(
            {name: version for name, (version, _) in named.items()},
            Path(site),
            frozenset(modules),
            (python[0], python[1], python[2]),
            {name: needs for name, (_, needs) in named.items()},
        )
    raise ReleaseError(
        f"the interpreter of Airflow {installation.version} does not start",
        code=RELEASE_BUILD_FAILED,
        tail=tuple(last.stderr.decode(errors="replace").splitlines()[-5:]),
    )
