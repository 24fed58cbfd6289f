"""Try a built release before anything runs on it: imports, plugins, and every DAG, in scratch processes.

`building` calls `try_content` before it declares a release whole. The backends call `parse_dags` for each environment,
with the new release and with the running one, and compare. No metadata database is reached: DAG code that asks for a
variable or a connection finds what the environment variables say and nothing else.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from aerodrome import private_files, trees
from aerodrome.airflow import option_variables, startup_variables
from aerodrome.model.release import PATH_VARIABLE
from aerodrome.release import (
    airflow_home,
    failures,
    import_names,
    package_records,
    probe_reports,
    sandbox,
    smoke_inside,
)
from aerodrome.release.airflow_home import DAGS, LOGS, PLUGINS, HomeView, Parts
from aerodrome.release.comparison import ImportFailure
from aerodrome.release.failures import ReleaseError
from aerodrome.release.installation import Installation
from aerodrome.release.requirement_line import AIRFLOW
from aerodrome.release.requirements import Requirements
from aerodrome.release.sandbox import SandboxLimits, WritablePaths
from aerodrome.release.startup import Startup
from aerodrome.unix_users import UnixUser

CONTENT_LIMIT = 180.0
"""Seconds for importing packages, and again for loading plugins."""

FILE_LIMIT = 50.0
"""Seconds for one DAG file if its `dag_file_processor_timeout` cannot be read: Airflow's own default."""

DAGS_LIMIT = 1200.0
"""Seconds for all DAG files together."""

DATABASE_FILE = "database"
FERNET_FILE = "fernet"
"""Files of mode 0600 in the home of a trial that has secrets."""

_ENDS = frozenset({"Killed", "SystemExit", "Timeout"})
"""Kinds of failure that end a process."""

_SOMEWHERE = "plugins"
"""Stands for the file of a failure that does not say where it was."""

_NOTED = 10
"""Files that notes name one by one."""

Lender = Callable[[Installation, Mapping[str, str], Path | None, Sequence[Path]], Path | None]
"""Gives the socket of a process that lends one in which Airflow has been imported as a trial would import it; None =
there is none. Asked with the installation, the trial's environment variables, the packages that are added, and the
folders of the user's modules.
"""

_PROBE = Path(__file__).with_name("inside") / "probe.py"


@dataclass(frozen=True, kw_only=True)
class Secrets:
    """What DAG code needs to reach its variables and connections in a metadata database."""

    database: str = field(repr=False)
    """The SQLAlchemy URL."""

    fernet_key: str = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What is tried, and how."""

    installation: Installation
    site: Path | None
    """None = the bare version."""

    plugins: Path | None
    parts: Parts = field(default_factory=Parts)
    """What else is found below AIRFLOW_HOME."""

    startup: Startup = field(default_factory=Startup, repr=False)
    options: Mapping[str, str] = field(default_factory=dict, repr=False)
    """AirflowConfigurationOptions, `section.key` to value."""

    variables: Mapping[str, str] = field(default_factory=dict, repr=False)
    """More environment variables, such as AIRFLOW_ENV_NAME or AIRFLOW_VAR_…; they win over all but our own."""

    defaults: Mapping[str, str] = field(default_factory=dict)
    """Variables that the startup script may set to something else."""

    user: UnixUser | None = None
    """Whom user code runs as when we are root; for DAGs the environment's own user, who may read them."""

    secrets: Secrets | None = None
    """None = there is no metadata database."""

    lender: Lender = lambda *_: None
    scratch: Path
    """A folder that the user may enter; a folder in it is made and removed."""

    parallel: int = field(default_factory=lambda: min(4, os.cpu_count() or 1))
    tick: Callable[[], None] = lambda: None


@dataclass(frozen=True)
class ParseResult:
    """The result of parsing a folder of DAGs."""

    files: int
    dags: tuple[str, ...]
    failures: tuple[ImportFailure, ...]


@dataclass(frozen=True)
class LoadResult:
    """The result of importing packages and loading plugins."""

    plugins: tuple[str, ...] = ()
    """Their names."""

    notes: tuple[str, ...] = ()
    """Files among the plugins that Airflow cannot load and does without."""


def try_content(trial: Trial, requirements: Requirements, *, starts: bool = False) -> LoadResult:
    """Import the packages that the user named and load the plugins.

    `starts`: import what Airflow's own processes begin with too, because their packages are not those of the lock.

    Raises ReleaseError: REQUIREMENTS_INSTALL_FAILED for a package that cannot be imported, PLUGIN_IMPORT_FAILED.
    """
    named = {requirement.name: requirement for requirement in requirements.requested}
    wanted = {
        "roots": {**(import_names.of(trial.site, named) if trial.site else {}), **(_begins(trial) if starts else {})},
        "plugins": _plugins_folder(trial) if has_plugins(trial.plugins, trial.site) else "",
        "limit": CONTENT_LIMIT,
    }
    if not wanted["roots"] and not wanted["plugins"]:
        return LoadResult()
    findings = _probe(trial, wanted, None, 2 * CONTENT_LIMIT + 60)
    for error in _errors(findings, "imports"):
        if error.get("package") == AIRFLOW:
            raise ReleaseError(
                f"Airflow does not start with the packages that the requirements put in its own packages' places: "
                f"{_sentence(error)}",
                code=failures.REQUIREMENTS_CONFLICT, tail=tuple(error["trace"]), file="requirements.txt",
            )  # fmt: skip
        asked = named.get(error.get("package", ""))
        what = f"{asked.file}, line {asked.line}: {asked.name}" if asked else "a package"
        raise ReleaseError(
            f"{what} is installed and cannot be imported: {_sentence(error)}",
            code=failures.REQUIREMENTS_INSTALL_FAILED, tail=tuple(error["trace"]),
            file=asked.file if asked else None, line=asked.line if asked else None,
            package=asked.name if asked else None,
        )  # fmt: skip
    ours = [(error, failure) for error in _errors(findings, "plugins") if (failure := _of_ours(error, trial))]
    broken = [failure for error, failure in ours if not error["survived"]]
    if broken:
        more = "" if len(broken) == 1 else f" (and {len(broken) - 1} more)"
        raise ReleaseError(
            f"{_of_plugin(broken[0])}{more}", code=failures.PLUGIN_IMPORT_FAILED,
            file=broken[0].file, line=broken[0].line, tail=broken[0].trace,
        )  # fmt: skip
    names = tuple(name for finding in findings for name in finding.get("plugins", ()))
    return LoadResult(names, _passed_over([failure for _, failure in ours]))


def _of_plugin(failure: ImportFailure) -> str:
    """The sentence of a failure that keeps Airflow from starting, or that loses a plugin."""
    if failure.kind not in _ENDS or failure.file == _SOMEWHERE:
        return failure.sentence
    return (
        f"{failure.sentence}; this ends or holds up each of Airflow's processes when it loads the plugins: take the "
        f"file out of plugins.zip, or name it in an .airflowignore there"
    )


def _passed_over(passed: Sequence[ImportFailure]) -> tuple[str, ...]:
    """Notes about files that define no plugin and whose errors Airflow only logs."""
    notes = [f"plugins.zip: {failure.sentence}; Airflow logs this and goes on" for failure in passed[:_NOTED]]
    more = len(passed) - len(notes)
    return (*notes, *([f"plugins.zip: {more} more files cannot be loaded as plugins"] if more > 0 else []))


def _begins(trial: Trial) -> dict[str, list[str]]:
    return {AIRFLOW: list(smoke_inside.modules(int(trial.installation.version.split(".")[0])))}


def parse_dags(
    trial: Trial, dags: Path, *, limit: float = DAGS_LIMIT,
    report: Callable[[int, int], None] = lambda _done, _total: None,
) -> ParseResult:  # fmt: skip
    """Parse every DAG file as the DAG processor would; import errors are data. If there is no file, nothing starts.

    Each file has as long as the options say: `dag_file_processor_timeout`, and `dagbag_import_timeout` within it.
    `report` is called with the number of files done and of all. Raises ReleaseError if not even Airflow starts, or if
    the whole takes longer than `limit` seconds.
    """
    if not has_dag_files(dags):
        return ParseResult(0, (), ())
    seen = airflow_home.path_of(DAGS, dags.resolve())
    wanted = {"dags": str(seen), "file_limit": FILE_LIMIT, "parallel": trial.parallel}
    total = done = 0

    def told(finding: Mapping[str, Any]) -> None:
        nonlocal total, done
        total = finding.get("count", total)
        done += finding["event"] == "dags"
        report(done, total)

    findings = _probe(trial, wanted, dags, limit, told)
    parsed = sorted((finding for finding in findings if finding["event"] == "dags"), key=lambda each: str(each["file"]))
    return ParseResult(
        len(parsed),
        tuple(sorted({dag for finding in parsed for dag in finding.get("dags", ())})),
        tuple(_failure(finding["file"], error, seen) for finding in parsed for error in finding.get("errors", ())),
    )


def _plugins_folder(trial: Trial) -> str:
    """Where the trial finds the plugins, or a folder that is not there: packages may bring plugins too."""
    return str(airflow_home.path_of(PLUGINS, (trial.plugins or trial.scratch / "plugins").resolve()))


def has_plugins(plugins: Path | None, site: Path | None) -> bool:
    """Whether Airflow would load anything of the folder, or of the packages that were added, when it starts."""
    if plugins is not None and any(plugins.rglob("*.py")):
        return True
    if site is None:
        return False
    entries = (package_records.text(path) for path in site.glob("*.dist-info/entry_points.txt"))
    return any(site.glob("airflow*")) or any("airflow" in text for text in entries)


_END = b"PK\x05\x06"
"""Of an archive (APPNOTE.TXT 4.3.16); a comment of 64 KiB may follow."""

_LONGEST_END = 22 + 2**16


def has_dag_files(folder: Path) -> bool:
    """Whether Airflow could find a DAG file in the folder: a module, an archive, or a link, which may lead to some."""
    for top, folders, files in os.walk(folder):
        paths = [Path(top, name) for name in (*folders, *files)]
        if any(path.is_symlink() or (path.is_file() and _may_be_dags(path)) for path in paths):
            return True
    return False


def _may_be_dags(path: Path) -> bool:
    """Whether it is a module, or has what ends an archive; we only look for those bytes, and read none of it."""
    if path.suffix == ".py":
        return True
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _LONGEST_END))
            return _END in file.read(_LONGEST_END)
    except OSError:  # nobody may read it, or it has gone
        return False


def environment(trial: Trial, home: Path, seen: HomeView, dags: Path | None) -> dict[str, str]:
    """The complete environment of a trial whose own files are in `home`."""
    site = trial.site / "bin" if trial.site else None
    path = [str(each) for each in (trial.installation.python.parent, site, trial.installation.programs) if each]
    options = option_variables.of(trial.options)
    kept = {name: value for name, value in options.items() if not startup_variables.is_protected(name)}
    own = {
        "HOME": str(seen.path),
        "LANG": "C.UTF-8",
        "TZ": "UTC",
        "TMPDIR": str(home),
        "USER": "airflow",
        PATH_VARIABLE: str(trial.site) if trial.site else "",
        "PYTHONDONTWRITEBYTECODE": "1",  # nothing may be written beside DAGs and plugins
        "AIRFLOW_HOME": str(seen.path),
        "AIRFLOW_VERSION": trial.installation.version,
        "AIRFLOW_CONN_AWS_DEFAULT": "aws://",
        **option_variables.of_trial(
            trial.installation.version,
            dags=airflow_home.path_of(DAGS, (dags or home / DAGS).resolve()),
            plugins=airflow_home.path_of(PLUGINS, (trial.plugins or home / PLUGINS).resolve()),
            logs=airflow_home.path_of(LOGS, (home / LOGS).resolve()),
            secrets=(home / DATABASE_FILE, home / FERNET_FILE) if trial.secrets else None,
        ),
        "MWAA_AIRFLOW_COMPONENT": "scheduler",
    }
    started = startup_variables.under_options(trial.startup.of("scheduler"), trial.options)
    path += [folder for folder in started.get("PATH", "/usr/local/bin:/usr/bin:/bin").split(":") if folder not in path]
    return {**trial.defaults, **started, **kept, **trial.variables, **own, "PATH": ":".join(path)}


def _write_secrets(trial: Trial, home: Path) -> None:
    if trial.secrets is None:
        return
    for name, text in ((DATABASE_FILE, trial.secrets.database), (FERNET_FILE, trial.secrets.fernet_key)):
        private_files.write(home / name, text)


def _probe(
    trial: Trial,
    wanted: Mapping[str, Any],
    dags: Path | None,
    limit: float,
    told: Callable[[Mapping[str, Any]], None] = lambda _: None,
) -> list[dict[str, Any]]:
    top = Path(tempfile.mkdtemp(prefix="trial-", dir=trial.scratch))
    try:
        sandbox.let_in(top, trial.user)
        home = top / "own"
        home.mkdir()
        for name in (DAGS, PLUGINS, LOGS):
            (home / name).mkdir()
        request = home / "request.json"
        request.write_text(json.dumps(wanted))
        _write_secrets(trial, home)
        if trial.user is not None:
            for path in (home, *home.iterdir()):
                os.chown(path, trial.user.uid, trial.user.gid)
        parts = replace(
            trial.parts, dags=dags or home / DAGS, plugins=trial.plugins or home / PLUGINS, logs=home / LOGS
        )
        seen = airflow_home.lay_out(top / "airflow", parts, trial.user)
        return _asked(trial, request, environment(trial, home, seen, dags), seen, dags, limit, told)
    finally:
        trees.remove(top)


def _lender(trial: Trial, environ: Mapping[str, str], dags: Path | None) -> Path | None:
    """Who lends a process for the trial; None = it needs a new interpreter."""
    if trial.secrets is not None or trial.startup.variables:
        return None
    code = [each for each in (trial.plugins, dags) if each is not None]
    return trial.lender(trial.installation, environ, trial.site, code)


def _asked(
    trial: Trial,
    request: Path,
    environ: Mapping[str, str],
    seen: HomeView,
    dags: Path | None,
    limit: float,
    told: Callable[[Mapping[str, Any]], None],
) -> list[dict[str, Any]]:
    findings: list[dict[str, Any]] = []

    def heard(finding: dict[str, Any]) -> None:
        findings.append(finding)
        told(finding)

    # Airflow 2 makes folders there when it is imported, and what is shown below AIRFLOW_HOME is a mount of its own.
    logs = airflow_home.path_of(LOGS, request.parent / LOGS)
    script = [str(_PROBE), str(request)]
    ended = sandbox.run(
        [str(trial.installation.python), "-s", *script], lender=_lender(trial, environ, dags), script=script,
        environ=environ, cwd=request.parent, limits=SandboxLimits(limit), user=trial.user, tick=trial.tick,
        views=seen.views, writable=WritablePaths((request.parent, seen.path, logs), request.parent),
        on_message=probe_reports.Gathered(heard).take,
    )  # fmt: skip
    for error in _errors(findings, "airflow"):
        folder = airflow_home.path_of(PLUGINS, trial.plugins) if trial.plugins else None
        failure = _failure("airflow_local_settings.py", error, folder)
        raise ReleaseError(
            f"Airflow does not start with this release: {_sentence(error)}",
            code=failures.PLUGIN_IMPORT_FAILED, file=failure.file, line=failure.line, tail=tuple(error["trace"]),
        )  # fmt: skip
    if not findings or findings[-1]["event"] != "end":
        how = "did not end in time" if not ended.in_time else "broke off"
        raise ReleaseError(
            f"trying the release {how} ({limit:g} s are allowed)", code=failures.RELEASE_BUILD_FAILED,
            tail=ended.tail[-15:],
        )  # fmt: skip
    return findings


def _errors(findings: Sequence[Mapping[str, Any]], event: str) -> list[Mapping[str, Any]]:
    return [error for finding in findings if finding["event"] == event for error in finding.get("errors", ())]


def _of_ours(error: Mapping[str, Any], trial: Trial) -> ImportFailure | None:
    """The failure, if the plugins or the overlay are at fault, and not the version itself."""
    folders = [trial.site.resolve()] if trial.site is not None else []
    if trial.plugins is not None:
        folders.insert(0, airflow_home.path_of(PLUGINS, trial.plugins.resolve()))
    subject = str(error.get("subject", ""))
    for folder in folders:
        for place in ([subject, None], *error.get("places", ())):
            if Path(place[0]).is_relative_to(folder):
                return _failure(os.path.relpath(place[0], folder), error, folder)
    # One that ended its process, hung, or said nothing of where it is, is none of Airflow's own either.
    return _failure(_SOMEWHERE, error, None) if not error.get("places") and not subject else None


def _failure(file: str, error: Mapping[str, Any], folder: Path | None) -> ImportFailure:
    top = folder.resolve() if folder else None
    lines = [line for path, line in error.get("places", ()) if top is not None and Path(path) == top / file]
    return ImportFailure(file, lines[0] if lines else None, error["kind"], error["message"], tuple(error["trace"]))


def _sentence(error: Mapping[str, Any]) -> str:
    said = str(error["message"]).splitlines()
    return f"{error['kind']}{': ' + said[0] if said else ''}"
