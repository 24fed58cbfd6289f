"""Checks what a configuration needs outside of itself, before it is accepted: version, execution role, bucket.

Every operation that begins a creation or a change asks here. Every check may block, because it asks S3 or the ledger.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import Any

from aerodrome.airflow import versions
from aerodrome.aws import buckets
from aerodrome.identity import execution_role
from aerodrome.identity.authorizer import Authorizer
from aerodrome.model import arns
from aerodrome.model.spec import Spec
from aerodrome.release import installation, interpreters, locks
from aerodrome.settings import EMBEDDED, Settings

WARNS = frozenset({"AirflowVersion", "AirflowConfigurationOptions"})
"""Members that can cause a warning."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cleared:
    """A configuration that passed every check."""

    spec: Spec
    """The configuration, with the S3 versions of its files filled in."""
    warnings: tuple[str, ...]
    """What is accepted and will surprise: a sentence for each."""


@dataclass(frozen=True, kw_only=True)
class Preflight:
    """Looks at this machine, at IAM and at the bucket."""

    settings: Settings
    authorizer: Authorizer
    s3: Callable[[], Any]
    """Makes a client of the S3 that has the source buckets."""

    def cleared(
        self, name: str, spec: Spec, *, running: Spec | None = None, asked: Collection[str] | None = None
    ) -> Cleared:
        """Check all that the environment `name` needs for the configuration `spec`.

        `running` is its present configuration (None = none): that Airflow version is not checked again. `asked` are the
        members that were asked for (None = all): the execution role is checked only when it is among them, the bucket
        always.

        Raises:
            CallerError: a check failed.
            RetryError: S3 does not answer.
        """
        if running is None or spec.airflow_version != running.airflow_version:
            self.check_version(spec.airflow_version)
        warnings = self.warnings(spec) if asked is None or not WARNS.isdisjoint(asked) else []
        if asked is None or "ExecutionRoleArn" in asked:
            self.check_execution_role(name, spec)
        return Cleared(spec=self.with_file_versions(spec), warnings=tuple(warnings))

    def check_version(self, number: str) -> None:
        """Look for an interpreter for an Airflow version, unless the version is installed already.

        Raises:
            CallerError: the version is offered, but this machine cannot run it.
        """
        folder = self.settings.paths.versions
        if installation.find(number, folder) is not None:
            return
        places = interpreters.places(folder, os.environ, interpreters.named_folders(self.settings.python_folders))
        refusal = interpreters.refusal(number, locks.of(number).python, places)
        if refusal is not None:
            raise refusal

    def check_execution_role(self, name: str, spec: Spec) -> None:
        """Ask IAM whether MWAA may assume the role for the environment `name`.

        Nothing is asked unless IAM is ours: another IAM refuses by itself when the role is assumed.

        Raises:
            CallerError: the role does not exist or does not trust MWAA.
        """
        if self.settings.aws_endpoint_url != EMBEDDED:
            return
        account = self.settings.account_id
        environment = arns.environment(region=self.settings.region, account=account, name=name)
        about = execution_role.on_behalf_of(environment, account)
        execution_role.check(self.authorizer, spec.execution_role_arn, account=account, context=about)

    def with_file_versions(self, spec: Spec) -> Spec:
        """Check the bucket, and fill in the S3 versions of the files that are named without one.

        Raises:
            CallerError: the bucket or a file in it cannot be used.
            RetryError: S3 does not answer.
        """
        named = {
            "PluginsS3Path": (spec.plugins_s3_path, spec.plugins_s3_object_version),
            "RequirementsS3Path": (spec.requirements_s3_path, spec.requirements_s3_object_version),
            "StartupScriptS3Path": (spec.startup_script_s3_path, spec.startup_script_s3_object_version),
        }
        wanted = buckets.WantedBucket(
            bucket=arns.bucket_name(spec.source_bucket_arn),
            region=self.settings.region,
            dag_path=spec.dag_s3_path,
            files=tuple(
                buckets.WantedFile(field=member, path=path, version=version)
                for member, (path, version) in named.items()
                if path is not None
            ),
        )
        found = buckets.check(self.s3(), wanted)
        return replace(
            spec,
            plugins_s3_object_version=found.get("PluginsS3Path") or spec.plugins_s3_object_version,
            requirements_s3_object_version=found.get("RequirementsS3Path") or spec.requirements_s3_object_version,
            startup_script_s3_object_version=found.get("StartupScriptS3Path") or spec.startup_script_s3_object_version,
        )

    def warnings(self, spec: Spec) -> list[str]:
        """What is accepted and will surprise: a sentence for each."""
        return versions.warnings(spec.airflow_version, spec.airflow_configuration_options)
