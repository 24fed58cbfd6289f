"""Tries the environment's DAGs on a release, beside what runs.

A trial needs a `TrialEnvironment` from the runtime, and knows nothing else of the runtime.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from aerodrome import file_locks, trees
from aerodrome.backends.jobs import Job
from aerodrome.backends.releases import fetching
from aerodrome.backends.releases.build_logs import BuildLog
from aerodrome.model.spec import Spec
from aerodrome.model.tenant import Tenant
from aerodrome.release import building, comparison, sandbox, verification
from aerodrome.release.building import BuildContext
from aerodrome.release.built_releases import Built
from aerodrome.release.installation import Installation
from aerodrome.release.verification import Lender, ParseResult, Secrets
from aerodrome.unix_users import UnixUser

PREFIX = "aerodrome-trial."
"""How the names of trials' folders begin."""

_PREFIX_BEFORE = "aerodrome-trial-"
"""How they begin in versions of Aerodrome that may hold no locks."""

_LONGEST_BEFORE = 24 * 3600.0
"""Seconds after which one of those belongs to nobody."""

_WORDS = {
    "startup": "Running the startup script.",
    "requirements": "Reading the requirements.",
    "plugins": "Unpacking the plugins.",
    "resolve": "Resolving the requirements against Airflow's own packages.",
    "install": "Installing packages.",
    "try": "Loading packages and plugins.",
    "found": "The release is there already.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialEnvironment:
    """What an environment's code finds when it is built or tried, and the user that it runs as."""

    dags: Path
    """The DAGs that the environment has now."""

    owner: UnixUser | None
    """Whom its DAG code runs as; None = ourselves."""

    control: UnixUser | None
    """Whom runs as what holds its secrets; None = `owner`."""

    builder: UnixUser | None
    """Whom its packages and startup script run as, if we are root: a user that no environment's units have."""

    lender: Lender
    """Who lends a process that has imported Airflow already."""

    cache: Path
    """Where packages that the environment's builds fetch are kept for its next build."""

    build_logs: Path
    """Where what builds print is kept until it is shipped."""

    variables: Mapping[str, str] = field(repr=False)
    """Environment variables that DAG code gets as well."""

    defaults: Mapping[str, str]
    """Environment variables that DAG code gets unless the startup script sets them."""


class TrialEnvironments(Protocol):
    """Gives what trials need; a runtime does this."""

    def trial_environment(self, tenant: Tenant, version: str) -> TrialEnvironment:
        """What code of an environment finds when it is tried on an Airflow version."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A configuration, and the Airflow installation that it is built for and tried on."""

    spec: Spec
    installation: Installation


@dataclass(frozen=True, slots=True, kw_only=True)
class Trials:
    """The trials of one environment."""

    job: Job
    """The job that learns how far the trials are."""

    around: TrialEnvironment
    releases: Path
    """The folder of all built releases."""

    s3: Callable[[], Any]
    """Makes a client with the rights of the execution role that the environment will have."""

    def with_dags_of(self, wanted: Spec, running: Spec, scratch: str) -> Trials:
        """The trials of the DAGs that the environment will have; DAGs of another place are fetched into `scratch`."""
        if not fetching.moves_dags(wanted, running):
            return self
        self.job.tell("Reading the DAGs from the bucket.")
        folder = Path(scratch) / "dags"
        folder.mkdir()
        fetching.fetch_dags(self.s3(), wanted, folder, self.job.check)
        return replace(self, around=replace(self.around, dags=folder))

    def parse(
        self, candidate: Candidate, built: Built | None, scratch: str, secrets: Secrets | None = None
    ) -> ParseResult:
        """Parse the DAGs; with `secrets`, they find the metadata database that these lead to."""
        trial = building.trial(
            built,
            self.build_context(candidate),
            scratch=Path(scratch),
            variables=self.around.variables,
            defaults=self.around.defaults,
            user=self.around.owner,
            secrets=secrets,
        )

        def report(done: int, total: int) -> None:
            self.job.tell(f"Trying the DAGs: {done} of {total} files.", done / total if total else None)

        self.job.tell("Trying the DAGs.")
        return verification.parse_dags(trial, self.around.dags, report=report)

    def build_context(self, candidate: Candidate, log: BuildLog | None = None) -> BuildContext:
        """What a candidate's release is built with; `log` gets what is printed."""
        heard = log or BuildLog()

        def report(step: building.BuildStep) -> None:
            heard.report(step)
            if step.seconds is None or step.name == "found":
                self.job.tell(_WORDS.get(step.name, step.name))

        return BuildContext(
            installation=candidate.installation,
            releases=self.releases,
            environ=os.environ,
            user=self.around.builder,
            cache=self.around.cache,
            lender=self.around.lender,
            options=candidate.spec.airflow_configuration_options,
            report=report,
            on_line=heard.on_line,
            tick=self.job.check,
        )


@contextmanager
def scratch_folder(user: UnixUser | None) -> Iterator[str]:
    """A folder that its user may enter but not list; outside the data folder, whose path may be too long."""
    sweep()
    folder, lock = _locked_folder()
    try:
        sandbox.let_in(folder, user)
        yield str(folder)
    finally:
        trees.remove(folder)
        os.close(lock)


def sweep() -> None:
    """Remove the folders of trials whose control plane was killed: nobody holds their locks.

    One of an Aerodrome from before the locks may be in use, and is left for a day.
    """
    for folder in _unheard_of():
        with suppress(OSError):
            lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                if os.fstat(lock).st_uid == os.geteuid() and file_locks.taken(lock):
                    trees.remove(folder)
            finally:
                os.close(lock)


def _unheard_of() -> Iterator[Path]:
    """The folders that are nobody's unless their lock is held."""
    parent = Path(tempfile.gettempdir())
    yield from parent.glob(f"{PREFIX}*")
    for folder in parent.glob(f"{_PREFIX_BEFORE}*"):
        with suppress(OSError):
            if time.time() - folder.lstat().st_mtime > _LONGEST_BEFORE:
                yield folder


def _locked_folder() -> tuple[Path, int]:
    """A new folder, and the descriptor that holds its lock; no sweep has removed it in between."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=PREFIX))
        with suppress(FileNotFoundError):
            lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            if file_locks.taken(lock) and folder.exists():
                return folder, lock
            os.close(lock)


def refuse_news(tried: ParseResult, *, broken: frozenset[str], before: Callable[[], ParseResult] | None) -> None:
    """Raise ReleaseError for import errors that the running release does not have.

    `broken` are the files that the environment itself reports as failing; `before` parses with the running release.
    """
    known = [failure for failure in tried.failures if failure.file not in broken]
    if known and before is not None:
        known = list(comparison.news(known, before().failures))
    refusal = comparison.refusal(known)
    if refusal is not None:
        raise refusal
