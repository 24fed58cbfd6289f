"""What a startup script and the installation of requirements print, as files that the sidecar ships to CloudWatch Logs.

MWAA runs both in each container and has a stream for each; here they run once for a release, and each component's log
group has the same stream.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from aerodrome import private_files
from aerodrome.release import url_credentials
from aerodrome.release.building import BuildStep

FOLDER = "builds"
"""Beside the folders of what units print."""

COMPONENTS = ("scheduler", "worker", "webserver")
"""Those whose log groups have the streams; a folder for each."""

KEPT = 5
"""Files of each kind and component; the oldest go."""

LONGEST = 2**20
"""Bytes of one file; what is printed after that is left out, but for the last word."""

_KINDS: Mapping[str, str] = {
    "startup": "startup_script_execution",
    "requirements": "requirements_install",
    "resolve": "requirements_install",
    "install": "requirements_install",
    "try": "requirements_install",
}
"""Step of a build → how the name of its file begins, as on MWAA."""

ADDRESS = "127.0.0.1"
"""MWAA's names have that of the container; a build runs on this machine."""

log = structlog.get_logger("releases")


@dataclass(slots=True)
class BuildLog:
    """The lines of one build, by the beginning of the file that they go to."""

    has_requirements: bool = True
    """Whether packages are installed at all."""
    lines: dict[str, list[str]] = field(default_factory=dict)
    _step: str = ""
    _sizes: dict[str, int] = field(default_factory=dict)

    def report(self, step: BuildStep) -> None:
        """A step has begun or ended."""
        self._step = _KINDS.get(step.name, "") if self.has_requirements or step.name == "startup" else ""
        if step.name == "startup" and step.seconds is not None:
            self._say(f"Finished running startup script. Execution time: {step.seconds:.1f}s.")
        elif step.name == "install" and step.seconds is not None and step.detail:
            self._say(f"Requirements installed {step.detail}.")

    def on_line(self, line: str) -> None:
        """A line was printed."""
        kind, line = self._step, url_credentials.hide(line)
        size = len(line.encode("utf-8", "replace")) + 1
        if kind and self._sizes.get(kind, 0) + size <= LONGEST:
            self._sizes[kind] = self._sizes.get(kind, 0) + size
            self._say(line)
        elif kind and self._sizes.get(kind, 0) <= LONGEST:
            self._sizes[kind] = LONGEST + 1
            self._say("More was printed, and is left out.")

    def failed(self, why: str) -> None:
        """The build has failed in the step that was last begun."""
        self._say(f"ERROR: {url_credentials.hide(why)}")

    def _say(self, line: str) -> None:
        if self._step:
            self.lines.setdefault(self._step, []).append(line.replace("\n", " "))


def write(folder: Path, found: BuildLog, *, epoch: int) -> None:
    """Write the files of a build; a disk that does not take them fails no build."""
    for kind, lines in found.lines.items():
        for component in COMPONENTS:
            name = f"{kind}_{ADDRESS}_{epoch}.log"
            try:
                (folder / component).mkdir(mode=0o700, parents=True, exist_ok=True)
                private_files.write(folder / component / name, "".join(f"{line}\n" for line in lines))
            except OSError as error:
                log.warning("a build's log was not written", file=name, error=error.strerror)
            for old in sorted((folder / component).glob(f"{kind}_*.log"))[:-KEPT]:
                with suppress(OSError):
                    old.unlink()
