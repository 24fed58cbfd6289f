"""Build a release: plugins, startup script, requirements, a trial of all; then it is on disk for good.

The backends and `aerodrome check` call `build`. If the release is there already, that costs a look; a build that fails
leaves nothing. Afterwards `verification` is asked, for each environment, which DAGs still parse.
"""

from __future__ import annotations

import errno
import hashlib
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

from aerodrome import private_files, trees
from aerodrome.airflow import option_variables, startup_variables
from aerodrome.release import (
    built_releases,
    confined_requirements,
    installed_packages,
    locks,
    overlay,
    plugins,
    release_venv,
    sandbox,
    sealing,
    startup,
    user_files,
    uv_environment,
    verification,
)
from aerodrome.release.airflow_home import Parts
from aerodrome.release.built_releases import Built
from aerodrome.release.failures import RELEASE_BUILD_FAILED, ReleaseError
from aerodrome.release.installation import Installation
from aerodrome.release.requirements import Requirements
from aerodrome.release.startup import ScriptContext, Startup
from aerodrome.release.user_files import UserFiles
from aerodrome.release.verification import Lender, Secrets, Trial
from aerodrome.unix_users import UnixUser


@dataclass(frozen=True)
class BuildStep:
    """One step of a build, as it begins (`seconds` None) and as it ends."""

    name: str
    """`startup`, `requirements`, `resolve`, `install`, `plugins`, `try` or `found`."""

    seconds: float | None = None
    detail: str = ""


Report = Callable[[BuildStep], None]
"""Called with each step, in the thread that builds."""


NO_KEYRING = (
    "this machine's keyring is not asked for passwords of package indexes, for another user fetches the packages: "
    "put them into .netrc or uv.toml"
)


@dataclass(frozen=True, kw_only=True)
class BuildContext:
    """Where a release is built, and as whom."""

    installation: Installation
    """The Airflow version."""

    releases: Path
    """The folder of all releases: `<data>/releases`."""

    environ: Mapping[str, str] = field(repr=False)
    """The control plane's environment, of which an allow-list reaches uv."""

    user: UnixUser | None = None
    """The user that user code runs as when we are root; no running environment has it."""

    cache: Path | None = None
    """As `overlay.OverlaySpec.cache`."""

    options: Mapping[str, str] = field(default_factory=dict, repr=False)
    lender: Lender = lambda *_: None
    """As `verification.Trial.lender`."""

    report: Report = lambda _: None
    on_line: Callable[[str], None] = lambda _: None
    """Called with each line that uv and the startup script print."""

    tick: Callable[[], None] = lambda: None
    """Called several times a second; an exception that it raises stops the build."""

    startup_limit: float = startup.LIMIT


def build(wanted: UserFiles, context: BuildContext) -> Built:
    """The release of these files on this version, built unless it is there. Safe in several processes at once.

    Raises ReleaseError for what the user or a person must mend, RetryError when the package index cannot be reached,
    and what `tick` raises.
    """
    wanted = replace(wanted, user=context.user)
    identifier = user_files.inputs_of(wanted, locks.of(context.installation.version), context.options).identifier
    try:
        with built_releases.held(identifier, context.releases, context.tick) as lock, sandbox.holding(lock):
            found = built_releases.find(identifier, context.releases)
            if found is not None:
                context.report(BuildStep("found", 0.0, identifier))
                return found
            return _Build(wanted, context, identifier).run()
    except OSError as error:
        full = error.errno in {errno.ENOSPC, errno.EDQUOT}
        why = "no space is left on the disk" if full else f"{error.strerror or error} ({error.filename})"
        raise ReleaseError(f"the release could not be built: {why}", code=RELEASE_BUILD_FAILED) from error


class _Build:
    """One build, in its final place from the start: compiled files name the folder."""

    def __init__(self, wanted: UserFiles, context: BuildContext, identifier: str) -> None:
        self._wanted = wanted
        self._context = context
        self._identifier = identifier

    def run(self) -> Built:
        top = built_releases.begin(self._identifier, self._context.releases)
        # Not in the data folder: the user of the build must come into it, and paths of sockets must stay short.
        scratch = _scratch(top)
        try:
            sandbox.let_in(scratch, self._context.user)  # a startup script may hold secrets
            return self._fill(top, scratch)
        except BaseException:
            built_releases.remove(self._identifier, self._context.releases)
            raise
        finally:
            trees.remove(scratch)

    def _fill(self, top: Path, scratch: Path) -> Built:
        context = self._context
        given = {built_releases.REQUIREMENTS: self._wanted.requirements, built_releases.SCRIPT: self._wanted.startup}
        for name, data in given.items():
            if data is not None:
                private_files.write(top / name, data)
        with self._step("plugins") as told:  # first, because a script may look at them
            told.append(f"{self._plugins(top / built_releases.PLUGINS)} files")
        exported = self._startup(top, scratch)
        holds = installed_packages.look(context.installation)
        with self._step("requirements") as told:
            requirements = self._requirements(exported, holds.line)
            told.append(f"{len(requirements.requested)} requirements")
        spec = overlay.OverlaySpec(
            requirements=requirements, installation=context.installation, base=holds, plugins=top / "plugins",
            lock=locks.of(context.installation.version), scratch=self._folder(scratch, "packages"),
            environ=context.environ, user=context.user, cache=context.cache, report=context.on_line,
            tick=context.tick,
        )  # fmt: skip
        with self._step("resolve") as told:
            resolution = overlay.resolve(spec)
            told.append(f"{len(resolution.packages)} packages to add")
        with self._step("install") as told:
            if resolution.replaced:
                spec = self._private(spec, resolution.replaced, top)
                told.append("in a virtual environment of its own")
            notes = overlay.install(spec, resolution, top / "site")
            told.append("built from source" if resolution.builds else "from wheels")
        with self._step("try") as told:
            trial = replace(self._trial(top, scratch, exported), installation=spec.installation)
            tried = verification.try_content(trial, requirements, starts=bool(resolution.replaced))
            told.append(f"{len(tried.plugins)} plugins")
        document = {
            "identifier": self._identifier,
            "version": context.installation.version,
            "lock": locks.of(context.installation.version).sha256,
            "packages": overlay.installed(top / "site"),
            "plugin_names": list(tried.plugins),
            "notes": [*exported.notes, *requirements.notes, *resolution.notes, *notes, *tried.notes],
            "private": bool(resolution.replaced),
        }
        return built_releases.finish(self._identifier, context.releases, told=document, startup=exported)

    def _private(self, spec: overlay.OverlaySpec, gone: frozenset[str], top: Path) -> overlay.OverlaySpec:
        """The spec for a virtual environment of the release's own, without the packages that it replaces."""
        old = spec.installation
        made = release_venv.make(old, spec.base.site, gone, folder=top, environ=spec.environ, tick=spec.tick)
        return replace(spec, installation=made, base=installed_packages.look(made))

    def _startup(self, top: Path, scratch: Path) -> Startup:
        if self._wanted.startup is None:
            return Startup()
        with self._step("startup"):
            return startup.run(
                self._wanted.startup,
                ScriptContext(
                    scratch=self._folder(scratch, "startup"),
                    home=top / built_releases.HOME,
                    environ=self._found(),
                    path=":".join([*map(str, self._context.installation.path), "/usr/local/bin:/usr/bin:/bin"]),
                    plugins=top / built_releases.PLUGINS,
                    user=self._context.user,
                    limit=self._context.startup_limit,
                    on_line=self._context.on_line,
                    tick=self._context.tick,
                ),
            )

    def _found(self) -> dict[str, str]:
        """What the script finds: MWAA's variables, and the address of the package index without credentials."""
        ways = uv_environment.for_pip(self._context.environ)
        version = self._context.installation.version
        return {**ways, **self._wanted.environ, **self._wanted.variables, "AIRFLOW_VERSION": version}

    def _requirements(self, exported: Startup, python: str) -> Requirements:
        if self._wanted.requirements is None:
            return Requirements()
        found = confined_requirements.read(
            self._wanted.requirements,
            version=self._context.installation.version,
            python=python,
            files=lambda path: user_files.file(self._wanted, path),
            variables={
                **startup_variables.under_options(exported.of("scheduler"), self._context.options),
                **option_variables.of(self._context.options),
            },
            user=self._context.user,
            tick=self._context.tick,
        )
        if self._context.user is None or not uv_environment.asks_a_keyring(self._context.environ):
            return found
        return replace(found, notes=(*found.notes, NO_KEYRING))

    def _plugins(self, target: Path) -> int:
        if self._wanted.plugins is None:
            target.mkdir()
            count = 0
        else:
            count = plugins.bring(self._wanted.plugins, target, self._context.user, self._context.tick)
            self._wanted = replace(self._wanted, plugins=target)  # unpacked once, and nobody else's from here on
        sealing.seal(target)
        return count

    def _trial(self, top: Path, scratch: Path, exported: Startup) -> Trial:
        return Trial(
            installation=self._context.installation, site=top / "site", plugins=top / "plugins", startup=exported,
            options=self._context.options, variables=self._wanted.variables, user=self._context.user,
            scratch=self._folder(scratch, "trials"), tick=self._context.tick, parts=built_releases.parts(top),
            lender=self._context.lender,
        )  # fmt: skip

    def _folder(self, scratch: Path, name: str) -> Path:
        folder = scratch / name
        folder.mkdir()
        folder.chmod(sealing.FOLDER_MODE)
        return folder

    @contextmanager
    def _step(self, name: str) -> Iterator[list[str]]:
        """Report a step; the caller puts its detail into the list."""
        self._context.tick()
        self._context.report(BuildStep(name))
        started = time.monotonic()
        told: list[str] = []
        yield told
        self._context.report(BuildStep(name, time.monotonic() - started, ", ".join(told)))


def _scratch(top: Path) -> Path:
    """A new scratch folder for the build in `top`; what a killed build left is removed, because we hold its lock."""
    remove_scratch(top)
    return Path(tempfile.mkdtemp(prefix=_prefix(top)))


def remove_scratch(top: Path) -> None:
    """Remove what a killed build in the folder `top` left elsewhere; the caller holds the release's lock."""
    for left in Path(tempfile.gettempdir()).glob(f"{_prefix(top)}*"):
        trees.remove(left)


def _prefix(top: Path) -> str:
    return f"aerodrome-build-{hashlib.sha256(os.fsencode(top)).hexdigest()[:12]}-"


def trial(
    built: Built | None,
    context: BuildContext,
    *,
    scratch: Path,
    variables: Mapping[str, str],
    defaults: Mapping[str, str] = MappingProxyType({}),
    user: UnixUser | None = None,
    secrets: Secrets | None = None,
) -> Trial:
    """How DAGs are parsed under a built release (None: under the bare version), by whom and with which database."""
    return Trial(
        installation=built.on(context.installation) if built else context.installation,
        site=built.site if built else None,
        plugins=built.plugins if built else None,
        parts=built.parts if built else Parts(),
        startup=built.startup() if built else Startup(),
        options=context.options,
        variables=variables,
        defaults=defaults,
        user=user or context.user,
        secrets=secrets,
        scratch=scratch,
        tick=context.tick,
        lender=context.lender,
    )
