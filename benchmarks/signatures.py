"""What verifying a signature and asking IAM cost a request: the control plane's own code over the ledger's own IAM."""

from __future__ import annotations

import hashlib
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import sqlalchemy as sa
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from rich.console import Console

from aerodrome import clock
from aerodrome.identity import credentials_file, key_files
from aerodrome.identity.authenticator import Authenticator
from aerodrome.identity.authorizer import Authorizer, Request, principal_context
from aerodrome.identity.managed_policies import catalogue
from aerodrome.identity.session_tokens import SessionTokens
from aerodrome.identity.sigv4 import SignedRequest
from aerodrome.identity.vault import Vault
from aerodrome.ledger.migrate import DATABASE
from aerodrome.ledger.principals import Principals
from aerodrome.model import arns
from aerodrome.services import postgres
from aerodrome.settings import Settings
from benchmarks.ours import Installation
from benchmarks.table import Row

REQUESTS = 2000
SERVICES = frozenset({"airflow"})


def signatures(ours: Installation, console: Console) -> list[Row]:
    """SigV4 and authorisation of GetEnvironment, each request with a signature of its own."""
    settings = ours.settings
    account, region = settings.account_id, settings.region
    spent = []
    with identity(settings) as (authenticator, authorizer):
        for number, signed in enumerate(_signed(settings)):
            started = time.perf_counter()
            now = clock.now()
            principal = authenticator.authenticate(signed, now=now, services=SERVICES)
            context = principal_context(principal, now=now, source_ip="127.0.0.1", secure=False)
            resource = arns.environment(region=region, account=account, name=f"environment-{number}")
            asked = Request(action="airflow:GetEnvironment", resource=resource, context=context)
            assert authorizer.decide(principal, asked).allowed
            spent.append(1000 * (time.perf_counter() - started))
    console.print(f"  p99 {statistics.quantiles(spent, n=100)[98]:.2f} ms")
    return [Row(what="signature and authorisation, p50", ours=statistics.median(spent), stock=None, unit="ms", bar=1)]


@contextmanager
def identity(settings: Settings) -> Iterator[tuple[Authenticator, Authorizer]]:
    """Who verifies and who decides, over the installation's own IAM."""
    account, region = settings.account_id, settings.region
    vault = Vault(key_files.vault_key(settings.paths.keys))
    engine = _ledger(settings)
    principals = Principals(
        engine,
        account=account,
        region=region,
        seal=vault.seal_secret,
        service_key=key_files.service_key(settings.paths.keys),
        aws_policies=catalogue.policies(arns.partition(region)),
    )
    tokens = SessionTokens(key_files.session_key(settings.paths.keys))
    yield Authenticator(principals, vault, tokens, region), Authorizer(principals)
    principals.close()
    engine.dispose()


def _ledger(settings: Settings) -> sa.Engine:
    cluster = postgres.cluster_if_up(settings.paths)
    assert cluster is not None
    password = key_files.ledger_password(settings.paths.keys)
    return sa.create_engine(cluster.dsn(DATABASE, DATABASE, password, scheme="postgresql+psycopg"))


def _signed(settings: Settings) -> list[SignedRequest]:
    """Requests as boto3 signs them with the administrator's key."""
    signer = SigV4Auth(Credentials(*credentials_file.read(settings.paths.credentials)), "airflow", settings.region)
    found = []
    for number in range(REQUESTS):
        request = AWSRequest(method="GET", url=f"http://127.0.0.1/environments/environment-{number}")
        signer.add_auth(request)
        url = urlsplit(str(request.url))
        headers = (("Host", url.netloc), *((name, str(value)) for name, value in request.headers.items()))
        body = hashlib.sha256(b"").hexdigest()
        found.append(
            SignedRequest(method="GET", raw_path=url.path, raw_query=url.query, headers=headers, body_sha256=body)
        )
    return found
