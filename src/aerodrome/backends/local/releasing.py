"""The release of a change: its files fetched, built, and the environment's DAGs tried on it beside what runs.

A job in the background (`jobs`). It changes nothing of the environment; that a release was built shows on disk, that
the DAGs were tried only in what this returns.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from aerodrome.airflow import options
from aerodrome.backends.contract import Step
from aerodrome.backends.local import fetching
from aerodrome.backends.local.jobs import Job
from aerodrome.backends.local.places import Owner
from aerodrome.model import release
from aerodrome.model.observed import Work
from aerodrome.model.release import Deployed
from aerodrome.model.spec import Spec
from aerodrome.release import building, built_releases, comparison, sandbox, verification
from aerodrome.release.building import BuildContext
from aerodrome.release.built_releases import Built
from aerodrome.release.failures import RELEASE_MISSING, ReleaseError
from aerodrome.release.installation import Installation
from aerodrome.release.user_files import UserFiles
from aerodrome.release.verification import ParseResult, Secrets

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
class Bench:
    """What releases of an environment are built and tried with."""

    name: str
    identifier: str
    releases: Path
    s3: Callable[[], Any]
    """A client that has the rights of the execution role."""

    dags: Path
    """What the sidecar has brought."""

    owner: Owner
    builder: Owner
    """Whom its packages and startup script run as, when we are root: nobody whom an environment is."""

    variables: Mapping[str, str] = field(repr=False)
    """What DAG code finds in its environment besides."""

    defaults: Mapping[str, str]
    """And what it finds there unless the startup script says something else."""

    broken: Callable[[], frozenset[str]]
    """DAG files that the environment itself reports as failing now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stand:
    """A configuration and the Airflow that it runs on."""

    spec: Spec
    installation: Installation


def deploy(job: Job, bench: Bench, wanted: Stand, before: tuple[Stand, Deployed] | None) -> Work:
    """Build what is wanted, and try the DAGs on it where `before` is known to compare with.

    Another Airflow version is compared when the database is moved, for then DAGs find their variables too.

    Raises:
        ReleaseError: it cannot be built, or brings import errors. RetryError: S3 or the package index is away.
    """
    version, lock = wanted.installation.version, wanted.installation.lock
    wish = release.of(wanted.spec, version=version, lock=lock)
    with scratch_folder(bench.owner) as scratch:
        built = _built(job, bench, wanted, scratch) if fetching.has_files(wanted.spec) else None
        deployed = Deployed(
            identifier=wish.identifier,
            version=version,
            lock=lock,
            content=built.identifier if built else None,
        )
        if before is not None and before[1].version == version and _differ(deployed, wanted.spec, before):
            tried = parse(
                job, with_coming_dags(job, bench, wanted.spec, before[0].spec, scratch), wanted, built, scratch
            )
            if tried.failures:
                refuse_news(tried, broken=bench.broken(), before=lambda: _parsed_before(job, bench, before, scratch))
    return Work(step=Step.RELEASE, done=True, deployed=deployed, report=_news(deployed, wanted.spec, built, before))


def _news(
    deployed: Deployed, spec: Spec, built: Built | None, before: tuple[Stand, Deployed] | None
) -> tuple[str, ...]:
    """What the user should know of the release, but for what was so before."""
    told = options.warnings(deployed.version, spec.airflow_configuration_options)
    notes = built.notes if built else ()
    if before is None:
        return (*told, *notes)
    stand, running = before
    known = options.warnings(running.version, stand.spec.airflow_configuration_options)
    return (
        *(each for each in told if each not in known),
        *(notes if deployed.content != running.content else ()),
    )


def rebuild(job: Job, bench: Bench, stand: Stand, content_wanted: str) -> Work:
    """Build a release again that an environment runs and whose folder is gone, from the versions that its spec names.

    Raises:
        ReleaseError: it cannot be built. RetryError: S3 or the package index is away.
    """
    with built_releases.held(content_wanted, bench.releases, job.check):  # another environment may just build the same
        if not built_releases.is_whole(content_wanted, bench.releases):
            built_releases.remove(content_wanted, bench.releases)
    with scratch_folder(bench.owner) as scratch:
        built = _built(job, bench, stand, scratch)
    if built.identifier != content_wanted:
        raise ReleaseError(
            "the folder of the release is gone from the disk, and what it was built with has changed since: "
            "update the environment, which builds a new one",
            code=RELEASE_MISSING,
        )
    return Work(step=Step.REBUILD, done=True)


def scratch_folder(owner: Owner) -> tempfile.TemporaryDirectory[str]:
    """A folder that its owner may enter, and not list; outside the data folder, where paths may be long."""
    folder = tempfile.TemporaryDirectory(prefix="aerodrome-trial-", ignore_cleanup_errors=True)
    sandbox.let_in(Path(folder.name), owner.user)
    return folder


def find(deployed: Deployed, releases: Path) -> Built | None:
    """What of a release lies on disk; None = it is the bare version, or was removed."""
    return None if deployed.content is None else built_releases.find(deployed.content, releases)


def with_coming_dags(job: Job, bench: Bench, wanted: Spec, running: Spec, scratch: str) -> Bench:
    """The bench with the DAGs that the environment is to have: those of another place are fetched into `scratch`."""
    if not fetching.moves_dags(wanted, running):
        return bench
    job.tell("Reading the DAGs from the bucket.")
    folder = Path(scratch) / "dags"
    folder.mkdir()
    fetching.fetch_dags(bench.s3(), wanted, folder, job.check)
    return replace(bench, dags=folder)


def parse(
    job: Job, bench: Bench, stand: Stand, built: Built | None, scratch: str, secrets: Secrets | None = None
) -> ParseResult:
    """Parse the environment's DAGs; with secrets they find the metadata database that those lead to."""
    context = _build_context(job, bench, stand)
    trial = building.trial(
        built,
        context,
        scratch=Path(scratch),
        variables=bench.variables,
        defaults=bench.defaults,
        user=bench.owner.user,
        secrets=secrets,
    )

    def report(done: int, total: int) -> None:
        job.tell(f"Trying the DAGs: {done} of {total} files.", done / total if total else None)

    job.tell("Trying the DAGs.")
    return verification.parse_dags(trial, bench.dags, report=report)


def refuse_news(tried: ParseResult, *, broken: frozenset[str], before: Callable[[], ParseResult] | None) -> None:
    """Raise ReleaseError for import errors that what runs does not have; `before` tries that in the same way."""
    known = [failure for failure in tried.failures if failure.file not in broken]
    if known and before is not None:
        known = list(comparison.news(known, before().failures))
    refusal = comparison.refusal(known)
    if refusal is not None:
        raise refusal


def _built(job: Job, bench: Bench, wanted: Stand, scratch: str) -> Built:
    job.tell("Reading the files from the bucket.")
    surroundings = {"AIRFLOW_ENV_NAME": bench.name}
    reader = f"{bench.identifier} {wanted.spec.execution_role_arn}"
    found = {**bench.defaults, **bench.variables}
    bare = UserFiles(surroundings=surroundings, environ=found, reader=reader)
    sources = fetching.fetch(bench.s3(), wanted.spec, bare, Path(scratch), job.check)
    return building.build(sources, _build_context(job, bench, wanted))


def _parsed_before(job: Job, bench: Bench, before: tuple[Stand, Deployed], scratch: str) -> ParseResult:
    stand, deployed = before
    return parse(job, bench, stand, find(deployed, bench.releases), scratch)


def _build_context(job: Job, bench: Bench, stand: Stand) -> BuildContext:
    def report(step: building.BuildStep) -> None:
        if step.seconds is None or step.name == "found":
            job.tell(_WORDS.get(step.name, step.name))

    return BuildContext(
        installation=stand.installation,
        releases=bench.releases,
        environ=os.environ,
        user=bench.builder.user,
        options=stand.spec.airflow_configuration_options,
        report=report,
        tick=job.check,
    )


def _differ(one: Deployed, spec: Spec, before: tuple[Stand, Deployed]) -> bool:
    """Whether DAGs may fare differently with the one than they did before."""
    stand, other = before
    is_other = (one.identifier, one.lock, one.content) != (other.identifier, other.lock, other.content)
    return is_other or fetching.moves_dags(spec, stand.spec)
