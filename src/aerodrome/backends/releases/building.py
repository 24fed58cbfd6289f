"""Builds a release: fetches its files, builds it, and tries the environment's DAGs on it beside what runs.

This is long work (`jobs`). It changes nothing in the environment. A built release is on disk; that its DAGs were tried
is written down only in the result.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from aerodrome.airflow import options
from aerodrome.backends.releases import build_logs, fetching, trials
from aerodrome.backends.releases.build_logs import BuildLog
from aerodrome.backends.releases.trials import Candidate, Trials
from aerodrome.errors import AerodromeError, BrokenError
from aerodrome.model import release
from aerodrome.model.observed import Work
from aerodrome.model.orders import Build, Rebuild
from aerodrome.model.release import Deployed
from aerodrome.model.spec import Spec
from aerodrome.model.tenant import Tenant
from aerodrome.release import building, built_releases
from aerodrome.release.built_releases import Built
from aerodrome.release.failures import RELEASE_MISSING, ReleaseError
from aerodrome.release.user_files import UserFiles
from aerodrome.release.verification import ParseResult


def build(
    trying: Trials,
    tenant: Tenant,
    wanted: Candidate,
    before: tuple[Candidate, Deployed] | None,
    broken: Callable[[], frozenset[str]],
) -> Work:
    """Build the wanted release, and try the DAGs on it if there is a release `before` to compare with.

    For another Airflow version the DAGs are not tried here, but in the rehearsal: there they find their variables too.

    Raises:
        ReleaseError: the release cannot be built, or causes import errors. RetryError: S3 or the package index is away.
    """
    version, lock = wanted.installation.version, wanted.installation.lock
    with trials.scratch_folder(trying.around.owner) as scratch:
        built = _built(trying, tenant, wanted, scratch) if fetching.has_files(wanted.spec) else None
        deployed = Deployed(
            identifier=release.of(wanted.spec, version=version, lock=lock).identifier,
            version=version,
            lock=lock,
            content=built.identifier if built else None,
        )
        if before is not None and before[1].version == version and _differ(deployed, wanted.spec, before):
            tried = trying.with_dags_of(wanted.spec, before[0].spec, scratch).parse(wanted, built, scratch)
            if tried.failures:
                known = before
                trials.refuse_news(tried, broken=broken(), before=lambda: _parsed_before(trying, known, scratch))
    return Work(order=Build, done=True, deployed=deployed, report=_news(deployed, wanted.spec, built, before))


def rebuild(trying: Trials, tenant: Tenant, candidate: Candidate, wanted: str) -> Work:
    """Build a running release again whose folder is gone, from the file versions that its spec names.

    Raises:
        ReleaseError: the release cannot be built. RetryError: S3 or the package index is away.
    """
    with built_releases.held(wanted, trying.releases, trying.job.check):  # another environment may be building it now
        if not built_releases.is_whole(wanted, trying.releases):
            built_releases.remove(wanted, trying.releases)
    with trials.scratch_folder(trying.around.owner) as scratch:
        built = _built(trying, tenant, candidate, scratch)
    if built.identifier != wanted:
        raise ReleaseError(
            "the folder of the release is gone from the disk, and what it was built with has changed since then: "
            "update the environment to build a new release",
            code=RELEASE_MISSING,
        )
    return Work(order=Rebuild, done=True)


def find(deployed: Deployed, releases: Path) -> Built | None:
    """The release's folder on disk; None = the release is the bare version, or its folder was removed."""
    return None if deployed.content is None else built_releases.find(deployed.content, releases)


def on_disk(deployed: Deployed, releases: Path) -> Built | None:
    """The release's folder on disk; None = the release is the bare version.

    Raises:
        BrokenError: the folder was removed.
    """
    found = find(deployed, releases)
    if found is None and deployed.content is not None:
        raise BrokenError(f"the release {deployed.content} is gone from the disk", code=RELEASE_MISSING)
    return found


def _news(
    deployed: Deployed, spec: Spec, built: Built | None, before: tuple[Candidate, Deployed] | None
) -> tuple[str, ...]:
    """What the user should know about the release, without what was already true before."""
    told = options.warnings(deployed.version, spec.airflow_configuration_options)
    notes = built.notes if built else ()
    if before is None:
        return (*told, *notes)
    candidate, running = before
    known = options.warnings(running.version, candidate.spec.airflow_configuration_options)
    return (
        *(each for each in told if each not in known),
        *(notes if deployed.content != running.content else ()),
    )


def _built(trying: Trials, tenant: Tenant, wanted: Candidate, scratch: str) -> Built:
    trying.job.tell("Reading the files from the bucket.")
    variables = {"AIRFLOW_ENV_NAME": tenant.name}
    reader = f"{tenant.identifier} {wanted.spec.execution_role_arn}"
    found = {**trying.around.defaults, **trying.around.variables}
    bare = UserFiles(variables=variables, environ=found, reader=reader)
    sources = fetching.fetch(trying.s3(), wanted.spec, bare, Path(scratch), trying.job.check)
    log = BuildLog(has_requirements=sources.requirements is not None)
    try:
        return building.build(sources, trying.build_context(wanted, log))
    except AerodromeError as error:
        log.failed(str(error))
        raise
    finally:
        build_logs.write(trying.around.build_logs, log, epoch=int(time.time()))


def _parsed_before(trying: Trials, before: tuple[Candidate, Deployed], scratch: str) -> ParseResult:
    candidate, deployed = before
    return trying.parse(candidate, find(deployed, trying.releases), scratch)


def _differ(one: Deployed, spec: Spec, before: tuple[Candidate, Deployed]) -> bool:
    """Whether DAGs may behave differently with this release than with the one before."""
    candidate, other = before
    is_other = (one.identifier, one.lock, one.content) != (other.identifier, other.lock, other.content)
    return is_other or fetching.moves_dags(spec, candidate.spec)
