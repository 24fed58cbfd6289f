"""What the control plane gives every part of a backend: settings, secrets, and the addresses of AWS."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from aerodrome.aws import clients, credentials, roles
from aerodrome.aws.clients import Endpoint
from aerodrome.aws.credentials import Credentials
from aerodrome.errors import BrokenError
from aerodrome.identity.vault import EnvironmentSecrets, Vault
from aerodrome.model.tenant import Tenant
from aerodrome.model.web_address import Ports
from aerodrome.services.clusters import Cluster
from aerodrome.settings import EMBEDDED, Settings

SESSION_NAME = "AmazonMWAA-airflow"
"""The session name of the execution role, as on MWAA."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlPlane:
    """The values that are the same for every environment."""

    settings: Settings
    cluster: Callable[[], Cluster]
    """The PostgreSQL server with the ledger and the metadata databases."""

    vault: Vault
    key_set: Mapping[str, Any] = field(repr=False)
    """The public keys of the tokens that Airflow accepts."""

    aws_endpoint_url: str | None
    """None = the real AWS."""

    mwaa_endpoint_url: str
    gateway_ports: Ports
    service_key: Callable[[str, str], tuple[str, str]]
    """Name and identifier of an environment → access key id and secret of its service, for our STS."""

    @property
    def iam_endpoint_url(self) -> str | None:
        """Where IAM is: ours with the embedded emulator; None when the AWS endpoint has its own."""
        return self.mwaa_endpoint_url if self.settings.aws_endpoint_url == EMBEDDED else None

    @property
    def sts_endpoint_url(self) -> str | None:
        """Where STS is; None when that is the AWS endpoint, which answers while the control plane is away.

        Ours has STS too, where there is a door before the emulator.
        """
        return None if self.settings.guards_aws else self.iam_endpoint_url

    def secrets(self, tenant: Tenant) -> EnvironmentSecrets:
        """The secrets of an environment.

        Raises:
            BrokenError: the ledger holds none.
        """
        if not tenant.sealed_secrets:
            raise BrokenError(f"the ledger holds no secrets of {tenant.name}", code="SECRETS_MISSING")
        return self.vault.open(tenant.sealed_secrets)

    def role_source(self, tenant: Tenant) -> Credentials | None:
        """The keys that assume an execution role; None = those that botocore finds on the host, for the real AWS."""
        if self.settings.aws_endpoint_url == EMBEDDED:
            key_id, secret = self.service_key(tenant.name, tenant.identifier)
            return Credentials(access_key_id=key_id, secret_access_key=secret)
        return credentials.configured(self.settings)

    def s3(self, tenant: Tenant, execution_role_arn: str) -> Any:
        """A client of S3 with the rights of an environment's execution role.

        Raises:
            BrokenError: STS denies the role. RetryError: STS does not answer.
        """
        region = self.settings.region
        url = self.sts_endpoint_url or self.aws_endpoint_url
        sts = Endpoint(region=region, url=url, credentials=self.role_source(tenant))
        role = roles.assume(sts, execution_role_arn, SESSION_NAME)
        return clients.client(Endpoint(region=region, url=self.aws_endpoint_url, credentials=role), "s3")
