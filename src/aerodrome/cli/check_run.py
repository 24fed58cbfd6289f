"""What `aerodrome check` does: gather a folder's files, build a release of them, parse the DAGs, report everything.

`check` calls it. It neither asks nor changes a running Aerodrome. Airflow versions are installed once below the data
folder; everything else is scratch.
"""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.status import Status
from rich.text import Text

from aerodrome import errors
from aerodrome.airflow import options as airflow_options
from aerodrome.backends.local import users
from aerodrome.cli import ignored_files, project_layout, rendering
from aerodrome.operations import validation
from aerodrome.release import building, comparison, install, interpreters, locks, sandbox, sealing, verification
from aerodrome.release.building import BuildContext, BuildStep
from aerodrome.release.built_releases import Built
from aerodrome.release.failures import ReleaseError
from aerodrome.release.installation import Installation
from aerodrome.release.user_files import UserFiles, among
from aerodrome.services import accounts
from aerodrome.settings import Settings

_WORDS = {
    "airflow": "Airflow is installed",
    "startup": "The startup script runs",
    "requirements": "The requirements are understood",
    "plugins": "The plugins unpack",
    "resolve": "The requirements fit Airflow's own packages",
    "install": "The packages install",
    "try": "Packages and plugins load",
    "dags": "The DAGs parse",
}

_PASSED = ("AIRFLOW_VAR_", "AIRFLOW_CONN_")
"""Prefixes of variables that DAGs under check find: CI gives in these what an environment has in its database."""


@dataclass
class Checked:
    """What a check found; the document that `--json` prints."""

    version: str
    """Empty when no version was named and nothing could be checked."""

    ok: bool = False
    seconds: float = 0.0
    steps: list[dict[str, Any]] = field(default_factory=list)
    packages: list[str] = field(default_factory=list)
    plugins: list[str] = field(default_factory=list)
    dags: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    errors: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class CheckRequest:
    """What is to be checked."""

    version: str
    sources: UserFiles
    dags: Path | None
    include: Path | None = None
    """A folder that DAGs find among them as `include`, as `aerodrome dev` brings it."""

    environ: Mapping[str, str] = field(default_factory=dict, repr=False)
    """What the caller gives to the startup script and the DAGs."""
    options: Mapping[str, str] = field(default_factory=dict, repr=False)
    """AirflowConfigurationOptions."""


def gather(
    folder: Path,
    *,
    version: str | None = None,
    requirements: Path | None = None,
    plugins: Path | None = None,
    startup: Path | None = None,
    dags: Path | None = None,
    env: Sequence[str] = (),
    options: Sequence[str] = (),
) -> CheckRequest:
    """The files to check: those that are named, else those that lie in the folder under their usual names.

    `options` are AirflowConfigurationOptions as `section.key=value`. Raises CallerError for a version that is not on
    offer, for a named file that does not exist, and for options that an environment would refuse.
    """
    given = _options(options)
    version = locks.of(version or next(iter(locks.LOCKS))).version
    listed = _found(folder, requirements, *project_layout.REQUIREMENTS)
    script = _found(folder, startup, *project_layout.STARTUP)
    include = project_layout.look(folder).include if dags is None else None
    dags = _found(folder, dags, *project_layout.DAGS)
    sources = UserFiles(
        requirements=listed.read_bytes() if listed else None,
        plugins=_found(folder, plugins, *project_layout.PLUGINS),
        startup=script.read_bytes() if script else None,
        dags=among(dags),
        variables={"AIRFLOW_ENV_NAME": "check"},
        environ=passed(env, os.environ),
    )
    if not any((sources.requirements, sources.plugins, sources.startup, dags)):
        raise errors.CallerError(
            f"there is nothing to check in {folder.resolve()}: none of requirements.txt, plugins.zip, plugins, "
            "startup.sh and dags; name them by --requirements and its like"
        )
    return CheckRequest(
        version=version, sources=sources, dags=dags, include=folder / include if include else None,
        environ=sources.environ, options=given,
    )  # fmt: skip


def _options(given: Sequence[str]) -> dict[str, str]:
    found = {}
    for option in given:
        name, equals, value = option.partition("=")
        if not equals:
            raise errors.CallerError(f"--set takes section.key=value, not {name!r}")
        found[name.strip()] = value
    refusals = list(validation.option_refusals(found))
    if refusals:
        raise errors.CallerError("; ".join(refusals))
    return found


def _found(folder: Path, named: Path | None, *usual: str) -> Path | None:
    if named is not None:
        for path in (folder / named, named):
            if path.exists():
                return path
        raise errors.CallerError(f"there is no {named}, neither in {folder.resolve()} nor here")
    return next((folder / name for name in usual if (folder / name).exists()), None)


class CheckRun:
    """One check, reported as it goes."""

    def __init__(self, wanted: CheckRequest, settings: Settings, console: Console, spinner: Status) -> None:
        self._wanted = wanted
        self._settings = settings
        self._console = console
        self._spinner = spinner
        self._found = Checked(wanted.version)
        self._open: tuple[str, float] | None = None

    def run(self) -> Checked:
        """Do everything; the result has the failures."""
        started = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="aerodrome-check-") as scratch:
            try:
                self._try(Path(scratch))
            except errors.AerodromeError as error:
                self._failed(error)
        self._found.ok = not self._found.errors
        self._found.seconds = round(time.monotonic() - started, 2)
        return self._found

    def _try(self, scratch: Path) -> None:
        installation = self._install()
        # A user that no environment has, and that may not write to the folder under check.
        user = users.checker_of(os.getpid(), self._settings)
        sandbox.let_in(scratch, user)
        if user is not None:
            for path in (installation.python, installation.python.resolve()):
                accounts.open_way_to(path)
        context = BuildContext(
            installation=installation,
            releases=scratch / "releases",
            environ=os.environ,
            user=user,
            options=self._wanted.options,
            report=self._step,
            on_line=lambda line: self._spinner.update(Text(line[:100] or "…", "dim")),
        )
        built = building.build(self._wanted.sources, context)
        self._found.packages = [f"{name}=={version}" for name, version in built.packages]
        self._found.plugins = list(built.plugin_names)
        # The same notes, in the same order, as of a change of an environment.
        self._found.notes = [*airflow_options.warnings(self._wanted.version, self._wanted.options), *built.notes]
        if self._wanted.dags is not None:
            self._parse(built, context, scratch, self._wanted.dags)

    def _install(self) -> Installation:
        self._step(BuildStep("airflow"))
        started = time.monotonic()
        installation = install.install(
            self._wanted.version,
            self._settings.paths.versions,
            environ=os.environ,
            folders=interpreters.named_folders(self._settings.python_folders),
            report=lambda phase, done, total: self._spinner.update(f"Airflow: {phase} {done}/{total or '?'}"),
        )
        install.programs(
            self._settings.paths.versions,
            environ=os.environ,
            folders=interpreters.named_folders(self._settings.python_folders),
            report=lambda phase, done, total: self._spinner.update(f"AWS CLI: {phase} {done}/{total or '?'}"),
        )
        self._step(BuildStep("airflow", time.monotonic() - started, installation.version))
        return installation

    def _parse(self, built: Built, context: BuildContext, scratch: Path, dags: Path) -> None:
        self._step(BuildStep("dags"))
        started = time.monotonic()
        trial = building.trial(built, context, scratch=scratch, variables={
            **self._wanted.sources.variables, **given(os.environ), **self._wanted.environ,
        })  # fmt: skip
        if trial.user is not None or self._wanted.include is not None:
            dags = brought(dags, self._wanted.include, scratch / "dags")
        parsed = verification.parse_dags(
            trial, dags, report=lambda done, total: self._spinner.update(f"Parsing DAGs: {done} of {total} files")
        )
        self._found.dags = list(parsed.dags)
        refusals = [error for failure in parsed.failures if (error := comparison.refusal([failure])) is not None]
        self._found.errors += [document(error) for error in refusals]
        detail = f"{len(parsed.dags)} DAGs in {parsed.files} files"
        if refusals:
            self._open = None
            self._record("dags", "failed", time.monotonic() - started, f"{detail}, {len(refusals)} errors")
        else:
            self._step(BuildStep("dags", time.monotonic() - started, detail))

    def _step(self, step: BuildStep) -> None:
        if step.seconds is None:
            self._open = (step.name, time.monotonic())
            self._spinner.update(f"{_WORDS.get(step.name, step.name)} …")
            return
        self._open = None
        self._record(step.name, "done", step.seconds, step.detail)

    def _record(self, name: str, state: str, seconds: float, detail: str) -> None:
        self._found.steps.append({"name": name, "state": state, "seconds": round(seconds, 2), "detail": detail})
        mark = Text("✓ ", "green") if state == "done" else Text("✗ ", "red")
        told = Text.assemble(mark, f"{_WORDS.get(name, name):46}", (f"{seconds:6.1f} s", "dim"), f"  {detail}")
        self._console.print(told, soft_wrap=True)

    def _failed(self, error: errors.AerodromeError) -> None:
        if self._open is not None:
            name, started = self._open
            self._record(name, "failed", time.monotonic() - started, "")
        self._found.errors.append(document(error))


def brought(dags: Path, include: Path | None, target: Path) -> Path:
    """The new folder `target`, which everybody may read, with the DAGs as they would lie in an environment.

    Links stay links, because what they lead to may belong to somebody else.
    """
    for source, copy in ((dags, target), (include, target / project_layout.INCLUDE)):
        if source is not None:
            shutil.copytree(source.resolve(), copy, symlinks=True, ignore=_ignored, copy_function=_copy)
    for parent, _, _ in os.walk(target):
        Path(parent).chmod(sealing.FOLDER_MODE)
    return target


def _ignored(folder: str, names: list[str]) -> set[str]:
    """Files that nobody would upload, and what is neither file, folder nor link."""
    return {name for name in names if _is_odd(Path(folder, name)) or ignored_files.is_unwanted(name)}


def _is_odd(path: Path) -> bool:
    kind = path.lstat().st_mode
    if stat.S_ISDIR(kind):
        return ignored_files.is_unwanted_folder(path)
    return not stat.S_ISREG(kind) and not stat.S_ISLNK(kind)


def _copy(source: str, target: str) -> None:
    shutil.copyfile(source, target)
    Path(target).chmod(sealing.PROGRAM_MODE if os.access(source, os.X_OK) else sealing.FILE_MODE)


def given(environ: Mapping[str, str]) -> dict[str, str]:
    """Variables and connections that the caller gives to the DAGs. Pure."""
    return {name: value for name, value in environ.items() if name.startswith(_PASSED)}


def passed(named: Sequence[str], environ: Mapping[str, str]) -> dict[str, str]:
    """The variables that `--env` names: NAME=value, or NAME alone for the caller's own. Pure.

    Raises CallerError for a name that the caller's environment lacks.
    """
    found = {}
    for each in named:
        name, equals, value = each.partition("=")
        if not name or (not equals and name not in environ):
            raise errors.CallerError(f"--env {each} names no variable of yours; write NAME=value, or set it")
        found[name] = value if equals else environ[name]
    return found


def document(error: errors.AerodromeError) -> dict[str, Any]:
    """An error as data. Pure."""
    told: dict[str, Any] = {
        "code": "RETRY" if isinstance(error, errors.RetryError) else "INVALID",
        "message": str(error),
    }
    if isinstance(error, errors.BrokenError):
        told |= {"code": error.code, "tail": list(error.tail)}
    if isinstance(error, ReleaseError):
        told |= {"file": error.file, "line": error.line, "package": error.package}
    return told


def summary(found: Checked) -> RenderableType:
    """What a person reads at the end. Pure."""
    parts: list[RenderableType] = [Text()]
    if found.packages:
        parts.append(Text(f"Adds {len(found.packages)} packages: {', '.join(found.packages)}", "dim"))
    parts += [Text.assemble("note: ", rendering.clean(note), style="yellow") for note in found.notes]
    for error in found.errors:
        parts.append(Text.assemble((error["code"], "bold red"), "  ", rendering.clean(error["message"])))
        parts += rendering.log_lines(error.get("tail", ()))
    verdict = "works" if found.ok else "does not work"
    style = "green" if found.ok else "red"
    parts.append(Text(f"This folder {verdict} on Airflow {found.version} ({found.seconds:.1f} s)", style))
    return Group(*parts)
