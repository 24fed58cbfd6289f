"""The packages that a user's requirements add to an installed Airflow version, in a folder of their own.

`building` calls `resolve` and then `install`. Each runs uv at most twice, as the unprivileged user where we are root.
The first time uv builds nothing, so no code of a package runs, and it may fill the environment's cache. If a package
comes as source, which is a program, uv runs a second time, with a cache that is thrown away.
"""

from __future__ import annotations

import contextlib
import os
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import uv
from packaging.utils import canonicalize_name

from aerodrome import errors, private_files, trees
from aerodrome.release import (
    airflow_home,
    essential_packages,
    failures,
    package_cache,
    sandbox,
    sealing,
    shadowed_modules,
    url_credentials,
    uv_environment,
    uv_errors,
    uv_lines,
    uv_secrets,
)
from aerodrome.release.essential_packages import BasePackage
from aerodrome.release.failures import ReleaseError
from aerodrome.release.installation import Installation
from aerodrome.release.installed_packages import InstalledPackages
from aerodrome.release.locks import Lock
from aerodrome.release.requirements import Requirements
from aerodrome.release.sandbox import SandboxLimits, WritablePaths
from aerodrome.services import accounts
from aerodrome.unix_users import UnixUser

LIMIT = 600.0
"""Seconds for resolving, and again for installing; MWAA allows as long for both together."""

MOST_WRITTEN = 24 * 2**30
"""Bytes that are written meanwhile, caches among them: three times the largest packages for graphics processors."""

_UMASK = 0o077
"""Only the builder reads what it makes, until `sealing` opens it for all."""

MOST_LINES = 20_000
"""The last lines of uv's output that are kept; a package's program may print without end."""

_INDEX_VARIABLES = ("UV_DEFAULT_INDEX", "UV_INDEX_URL")
_EXTRA_VARIABLES = ("UV_INDEX", "UV_EXTRA_INDEX_URL")

Report = Callable[[str], None]
"""Called with each line of uv's that is worth showing."""


@dataclass(frozen=True)
class Package:
    """One package of an overlay."""

    name: str
    version: str


@dataclass(frozen=True, kw_only=True)
class OverlaySpec:
    """What an overlay is made of, and where."""

    requirements: Requirements
    installation: Installation
    base: InstalledPackages
    lock: Lock
    """The lock of the version, with every constraint of Airflow's own."""

    plugins: Path
    """The release's unpacked plugins, which `--find-links` and paths of wheels mean."""

    scratch: Path
    """A folder that only we and the user of the build may enter; the caller removes it."""

    environ: Mapping[str, str]
    """The control plane's environment, of which an allow-list reaches uv."""

    user: UnixUser | None = None
    report: Report = lambda _: None
    cache: Path | None = None
    """Where packages that were fetched are kept for the environment's next build; None = nowhere, or, where we are not
    root, in our own cache."""

    tick: Callable[[], None] = lambda: None


@dataclass(frozen=True)
class Resolution:
    """What must be installed beside the version's packages."""

    packages: tuple[Package, ...]
    builds: bool
    """Whether a package comes as source and must be built."""

    notes: tuple[str, ...] = ()
    replaced: frozenset[str] = frozenset()
    """Packages of the version that must go: then the release needs a virtual environment of its own."""


def resolve(spec: OverlaySpec) -> Resolution:
    """Which packages the version lacks. Raises ReleaseError or RetryError, and installs nothing."""
    requested = uv_lines.to_resolve(spec.requirements, spec.plugins)
    if not requested:
        return Resolution((), builds=False)
    constrained = spec.requirements.constrained
    held = essential_packages.pins(spec.base.packages)
    constraints, notes = uv_lines.constraints(spec.requirements, spec.base.packages if constrained else held)
    if not constrained:
        constraints += [f"{name}=={version}" for name, version in held.items()]
    lines: deque[str] = deque(maxlen=MOST_LINES)
    builds = _run(
        spec,
        [
            "pip",
            "install",
            "--dry-run",
            *(f"--constraints={path}" for path in (_copied(spec, spec.lock.constraints) if constrained else ())),
            f"--python={spec.installation.python}",
        ],
        requested,
        constraints,
        lines.append,
        builds=None,
    )
    packages, gone = uv_lines.planned(lines, spec.base.packages)
    unhashed = [name for name in packages if name not in _hashed(spec.requirements)]
    if spec.requirements.require_hashes and unhashed:
        raise ReleaseError(
            f"--require-hashes is written, and no --hash for {', '.join(unhashed[:5])}",
            code=failures.REQUIREMENTS_INVALID, file="requirements.txt", package=unhashed[0],
        )  # fmt: skip
    needs = spec.base.needs
    kept = [BasePackage(name, version, needs.get(name, ())) for name, version in spec.base.packages.items()]
    replaced = {name: packages.get(name, "none") for name in sorted(gone)}
    notes += essential_packages.judge(kept, replaced, spec.requirements, python=spec.base.line)
    notes += _told(replaced, spec.base)
    return Resolution(tuple(Package(*each) for each in packages.items()), builds, notes, frozenset(gone))


def install(spec: OverlaySpec, resolution: Resolution, site: Path) -> tuple[str, ...]:
    """Fill the new folder `site` with the packages, compiled and sealed, and return notes. Raises as `resolve` does."""
    site.mkdir()
    if not resolution.packages:
        sealing.seal(site)  # whatever our umask is
        return ()
    packages = [(package.name, package.version) for package in resolution.packages]
    requested = uv_lines.to_install(spec.requirements, spec.plugins, packages)
    _run(
        spec,
        [
            "pip",
            "install",
            "--no-deps",
            f"--python={spec.installation.python}",
            f"--target={site}",
            "--compile-bytecode",
        ],
        requested,
        [],
        spec.report,
        builds=resolution.builds,
        site=site,
    )
    (site / ".lock").unlink(missing_ok=True)  # uv's own, of no use in a folder that never changes
    sealing.seal(site)
    return shadowed_modules.remove(site, spec.base, spec.requirements)


def _hashed(requirements: Requirements) -> set[str]:
    return {requirement.name for requirement in requirements.requested if requirement.hashes}


def _told(replaced: Mapping[str, str], base: InstalledPackages) -> tuple[str, ...]:
    if not replaced:
        return ()
    each = ", ".join(f"{name} {version} for {base.packages[name]}" for name, version in replaced.items())
    return (f"the release has its own virtual environment, because it replaces what Airflow comes with: {each}",)


def installed(site: Path) -> list[tuple[str, str]]:
    """Names (normalised) and versions of the packages in a filled folder."""
    parts = (folder.name.removesuffix(".dist-info").rpartition("-") for folder in sorted(site.glob("*.dist-info")))
    return [(str(canonicalize_name(name)), version) for name, _, version in parts]


def _run(
    spec: OverlaySpec,
    arguments: Sequence[str],
    requested: Sequence[str],
    constraints: Sequence[str],
    on_line: Callable[[str], None],
    *,
    builds: bool | None,
    site: Path | None = None,
) -> bool:
    """Run uv over the lines; returns whether it had to build. `builds` None = only if there is no other way."""
    limits = spec.scratch / "constraints.txt"
    arguments = [*arguments, "--no-progress"]
    if constraints:
        _write(limits, constraints, spec.user)
        arguments.append(f"--constraints={limits}")
    if spec.requirements.prereleases:
        arguments.append("--prerelease=allow")
    arguments += [f"--allow-insecure-host={host}" for host in spec.requirements.trusted_hosts]
    if spec.requirements.extra_indexes:
        # As pip does it: the best version of all indexes, not the first index that knows the name.
        arguments.append("--index-strategy=unsafe-best-match")
    if not builds and not spec.requirements.no_binary and not _has_repository(spec.requirements):
        try:
            _fetch(spec, [*arguments, "--no-build"], requested, on_line, site)
        except _NeedsBuildError:
            if builds is not None:
                raise
        else:
            return False
    arguments += [f"--only-binary={name}" for name in spec.requirements.only_binary]
    arguments += [f"--no-binary={name}" for name in spec.requirements.no_binary]
    _build(spec, arguments, requested, on_line, site)
    return True


def _has_repository(requirements: Requirements) -> bool:
    """Whether a package comes from git, which is always built: then git runs where the cache is thrown away."""
    return any(requirement.direct and "git+" in requirement.text for requirement in requirements.requested)


def _endless(tail: tuple[str, ...] = ()) -> ReleaseError:
    return ReleaseError(
        f"the requirements could not be installed within {LIMIT / 60:.0f} minutes",
        code=failures.REQUIREMENTS_INSTALL_FAILED,
        tail=tail,
    )


class _NeedsBuildError(errors.AerodromeError):
    """A package comes as source only."""


def _refused(spec: OverlaySpec, lines: Sequence[str]) -> errors.AerodromeError:
    if uv_errors.needs_build(lines):
        return _NeedsBuildError("a package must be built")
    return _refusal(spec, lines)


def _refusal(spec: OverlaySpec, lines: Sequence[str]) -> errors.AerodromeError:
    pins = spec.lock.pins if spec.requirements.constrained else {}
    base = spec.base.packages if spec.requirements.constrained else essential_packages.pins(spec.base.packages)
    return uv_errors.refusal(lines, spec.requirements, base, pins)


def _fetch(
    spec: OverlaySpec,
    arguments: Sequence[str],
    requested: Sequence[str],
    on_line: Callable[[str], None],
    site: Path | None,
) -> None:
    """Run uv where it runs no package's program, and so may be given the machine's own passwords for indexes."""
    file = spec.scratch / "requirements.txt"
    _write(file, [*uv_lines.indexes(spec.requirements, spec.plugins), *requested], spec.user)
    arguments = [*arguments, f"--requirements={file}"]
    home = _own_folder(spec, "fetch")
    views: list[tuple[Path, Path]] = []
    environ = _environ(spec)
    if spec.user is not None:
        cache = home / "cache"
        if spec.cache is not None and airflow_home.can_be_shown():
            cache = spec.scratch / "cache"  # a folder of ours, which the builder cannot replace by a link
            cache.mkdir(exist_ok=True)
            views.append((package_cache.opened(spec.cache, spec.user), cache))
        environ |= {"HOME": str(home), "UV_CACHE_DIR": str(cache), **_credentials(spec, home)}
    try:
        _sandboxed(spec, arguments, environ, home, on_line, site, views, failure=_refused)
    finally:
        trees.remove(home)
        file.unlink()


NO_PASSWORDS = (
    "aerodrome: packages are built, and must not see the passwords of package indexes in this machine's uv.toml: where "
    "an index asks for one, put the package into it as a wheel"
)
"""The line that a build begins with when an index's address was shortened."""


def _build(
    spec: OverlaySpec,
    arguments: Sequence[str],
    requested: Sequence[str],
    on_line: Callable[[str], None],
    site: Path | None,
) -> None:
    """Run uv where it may run the programs of packages. What `resolve` has built is there when `install` needs it."""
    home = _own_folder(spec, "build")
    environ = _environ(spec)
    program, given = Path(uv.find_uv_bin()), []
    with contextlib.ExitStack() as held:
        if spec.user is not None and uv_secrets.can_be_hidden(spec.scratch):
            program = uv_secrets.copy_of(program, spec.scratch)
            settings, environ = uv_secrets.told(environ, spec.environ, spec.requirements)
            given.append(held.enter_context(uv_secrets.piped(settings, spec.user)))
            environ["UV_CONFIG_FILE"] = f"/dev/fd/{given[0]}"
            lines = [*uv_lines.indexes(spec.requirements, spec.plugins, public=True), *requested]
        else:
            environ["UV_CONFIG_FILE"] = _bare_settings(spec, on_line)
            lines = [*uv_lines.indexes(spec.requirements, spec.plugins), *requested]
        file = spec.scratch / "requirements.txt"
        if spec.user is not None and given and url_credentials.found("\n".join(lines)):
            given.append(held.enter_context(uv_secrets.piped("".join(f"{line}\n" for line in lines), spec.user)))
            file = Path(f"/dev/fd/{given[-1]}")
        else:
            _write(file, lines, spec.user)
        environ |= {"HOME": str(home), "PATH": f"{spec.installation.python.parent}:/usr/bin:/bin"}
        if spec.user is not None:
            environ["UV_CACHE_DIR"] = str(home / "cache")
        arguments = [*arguments, f"--requirements={file}"]
        _sandboxed(spec, arguments, environ, home, on_line, site, program=program, given=given, failure=_refusal)


def _bare_settings(spec: OverlaySpec, on_line: Callable[[str], None]) -> str:
    """A uv.toml without passwords, for packages' programs can read it."""
    own = spec.requirements.index is not None or spec.requirements.no_index
    if uv_environment.withholds(spec.environ, indexes=not own):
        on_line(NO_PASSWORDS)
    file = spec.scratch / "uv.toml"  # in a folder of ours, where no package has left a link
    private_files.write(file, uv_environment.settings(spec.environ, indexes=not own).encode(), owner=spec.user)
    return str(file)


def _own_folder(spec: OverlaySpec, name: str) -> Path:
    home = spec.scratch / name
    if not home.exists():
        home.mkdir(mode=0o700)
        if spec.user is not None:
            os.chown(home, spec.user.uid, spec.user.gid)
    return home


def _credentials(spec: OverlaySpec, home: Path) -> dict[str, str]:
    """Copies for the builder of the files by which the machine's owner gives uv passwords and settings."""
    found = {}
    for name, file in uv_environment.files(spec.environ).items():
        private_files.write(home / name, file.read_bytes(), owner=spec.user)
        found[name] = str(home / name)
    return found


def _sandboxed(
    spec: OverlaySpec,
    arguments: Sequence[str],
    environ: Mapping[str, str],
    home: Path,
    on_line: Callable[[str], None],
    site: Path | None,
    views: Sequence[tuple[Path, Path]] = (),
    *,
    program: Path | None = None,
    given: Sequence[int] = (),
    failure: Callable[[OverlaySpec, Sequence[str]], errors.AerodromeError],
) -> None:
    """Run uv, or its copy `program`, as the builder, who may write to `home`, `site` and what is shown alone.

    Raises what `failure` makes of uv's last lines if uv fails.
    """
    program = program or Path(uv.find_uv_bin())
    if spec.user is not None:
        accounts.open_way_to(program)
        # If files were linked from a cache that the builder owns, the builder could still write to them.
        arguments = [*arguments, "--link-mode=copy"]
        if site is not None:
            os.chown(site, spec.user.uid, spec.user.gid)
    elif "UV_LINK_MODE" not in spec.environ:
        arguments = [*arguments, "--link-mode=clone"]
    temporary = _own_folder(spec, "temporary")
    lines: deque[str] = deque(maxlen=MOST_LINES)

    def told(line: str) -> None:
        lines.append(line)
        on_line(line)

    writable = filter(None, (home, temporary, site, *(path for _, path in views)))
    try:
        ended = sandbox.run(
            [str(program), *arguments],
            environ={**environ, "TMPDIR": str(temporary)},
            cwd=home,
            limits=SandboxLimits(LIMIT, processes=sandbox.MOST_PROCESSES, disk=MOST_WRITTEN),
            user=spec.user,
            umask=_UMASK,
            views=views,
            writable=WritablePaths(tuple(writable), temporary),
            on_line=told,
            hide=lambda line: spec.requirements.hide(url_credentials.hide(line)),
            tick=spec.tick,
            given=given,
        )
    finally:
        trees.remove(temporary)
    if ended.filled:
        raise ReleaseError(
            f"the requirements fill the disk, or more than {MOST_WRITTEN // 2**30} GiB of it, while they are installed",
            code=failures.REQUIREMENTS_INSTALL_FAILED,
            tail=ended.tail,
        )
    if not ended.in_time:
        raise _endless(ended.tail)
    if ended.code != 0:
        raise failure(spec, lines)


def _environ(spec: OverlaySpec) -> dict[str, str]:
    """The environment of uv. A user's index replaces the machine's, whose credentials the user must not see."""
    kept = uv_environment.scrubbed(spec.environ, uv_environment.pip_settings(spec.environ))
    if spec.requirements.no_index:
        dropped: tuple[str, ...] = (*_INDEX_VARIABLES, *_EXTRA_VARIABLES, "UV_FIND_LINKS")
    elif spec.requirements.index is not None:
        dropped = (*_INDEX_VARIABLES, "UV_NO_INDEX")
    else:
        dropped = ()
    if spec.user is not None:
        dropped += uv_environment.PERSONAL  # they lead to what the builder may not read, or must not choose
        authorities = kept.get(uv_environment.AUTHORITIES)
        if authorities is not None and Path(authorities).is_file():
            kept[uv_environment.AUTHORITIES] = str(_copied(spec, [Path(authorities)])[0])
    return {name: value for name, value in kept.items() if name not in dropped}


def _copied(spec: OverlaySpec, files: Sequence[Path]) -> list[Path]:
    """Copies of files of ours, which may lie where the builder cannot go."""
    copies = [spec.scratch / file.name for file in files]
    for file, copy in zip(files, copies, strict=True):
        private_files.write(copy, file.read_bytes(), owner=spec.user)
    return copies


def _write(path: Path, lines: Sequence[str], user: UnixUser | None) -> None:
    """A file that only we and the builder read: lines may hold the credentials of an index."""
    private_files.write(path, "".join(f"{line}\n" for line in lines), owner=user)
