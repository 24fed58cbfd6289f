"""Why a release cannot be had: the error that names kind, package, file and line.

Everything that builds or verifies a release raises it; the controller writes its code into `LastUpdate.Error`, and
`aerodrome check` prints it. Holds no decision.
"""

from __future__ import annotations

from aerodrome import errors
from aerodrome.release import url_credentials

REQUIREMENTS_INVALID = "REQUIREMENTS_INVALID"
"""requirements.txt itself cannot be used: its encoding, an option, a file that it names."""

REQUIREMENTS_CONFLICT = "REQUIREMENTS_CONFLICT"
"""Two requirements exclude each other, most often one of the user's and one of Airflow's."""

REQUIREMENTS_INSTALL_FAILED = "REQUIREMENTS_INSTALL_FAILED"
"""A package is unknown, does not fit this Python, cannot be built, downloaded, stored or imported."""

S3_OBJECT_UNREADABLE = "S3_OBJECT_UNREADABLE"
"""A file that the environment names, or its version, cannot be read from the bucket."""

PLUGINS_ARCHIVE_INVALID = "PLUGINS_ARCHIVE_INVALID"
"""plugins.zip is no archive, or one that must not be unpacked."""

PLUGIN_IMPORT_FAILED = "PLUGIN_IMPORT_FAILED"
STARTUP_SCRIPT_FAILED = "STARTUP_SCRIPT_FAILED"
DAG_IMPORT_FAILED = "DAG_IMPORT_FAILED"

RELEASE_BUILD_FAILED = "RELEASE_BUILD_FAILED"
"""The machine is at fault: no space, no permission, a process that could not be started."""

RELEASE_MISSING = "RELEASE_MISSING"
"""A release that was built is gone from the disk."""


class ReleaseError(errors.BrokenError):
    """A release cannot be built, or must not be used. `code` is one of this module's."""

    def __init__(
        self,
        message: str,
        *,
        code: str,
        file: str | None = None,
        line: int | None = None,
        package: str | None = None,
        tail: tuple[str, ...] = (),
    ) -> None:
        """`file` is a path below the folder of its kind (requirements.txt, plugins or dags); lines begin at 1.

        What a program says of an address may hold its password: the ledger and the API tell neither.
        """
        super().__init__(url_credentials.hide(message), code=code, tail=tuple(map(url_credentials.hide, tail)))
        self.file = file
        self.line = line
        self.package = package


def at(file: str, line: int | None) -> str:
    """File and line, as every sentence names them."""
    return f"{file}, line {line}" if line else file
