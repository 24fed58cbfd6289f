"""What the door before the AWS services costs: a signature and a decision, and objects of a megabyte on their way."""

from __future__ import annotations

import statistics
import time
from typing import Any
from urllib.parse import urlsplit

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from rich.console import Console

from aerodrome import clock
from aerodrome.api.aws import s3
from aerodrome.api.aws.requested import OnwardHead, parsed
from aerodrome.aws import clients, credentials
from aerodrome.aws.clients import Endpoint
from aerodrome.emulator import launch
from aerodrome.emulator.own_address import OwnAddress
from aerodrome.identity import credentials_file, sigv4
from aerodrome.identity.authorizer import Request, principal_context
from aerodrome.identity.sigv4 import SignedRequest
from aerodrome.model.principals import PolicyText
from aerodrome.settings import Settings
from benchmarks import signatures
from benchmarks.ours import BUCKET, Installation
from benchmarks.table import Row
from tools import own_emulator

REQUESTS = 2000
MEGABYTE = b"x" * 2**20
PUTS = 250
"""Objects of each side; both take turns, so that a busy machine slows both."""

POLICY = (
    '{"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Principal": "*", "Action": "s3:*", '
    f'"Resource": "arn:aws:s3:::{BUCKET}/*", "Condition": {{"StringEquals": {{"aws:SourceIp": "10.0.0.1"}}}}}}]}}'
)


def door(ours: Installation, console: Console) -> list[Row]:
    """A PutObject's way through IAM, and 1 MB puts against an emulator that believes everybody."""
    with signatures.identity(ours.settings) as (authenticator, authorizer):
        spent = []
        for signed in _signed(ours.settings):
            started = time.perf_counter()
            now = clock.now()
            proof = authenticator.prove(signed, sigv4.presented(signed), now=now, services=frozenset({"s3"}))
            head = OnwardHead(method="PUT", path=signed.raw_path, query=parsed(signed.raw_query), headers={})
            [check] = s3.requested(head, None).checks
            context = principal_context(proof.principal, now=now, source_ip="127.0.0.1", secure=False)
            asked = Request(action=check.action, resource=check.resource, context={**context, **check.context})
            policy = PolicyText(source="policy", document=POLICY)
            assert authorizer.decide_on(proof.principal, asked, policy).allowed
            spent.append(1000 * (time.perf_counter() - started))
    console.print(f"  p99 {statistics.quantiles(spent, n=100)[98]:.2f} ms")
    guarded, believing = _puts(ours)
    return [
        Row(what="S3: signature and authorisation, p50", ours=statistics.median(spent), stock=None, unit="ms", bar=0.3),
        Row(what="S3: an object of 1 MB, beside the open emulator", ours=guarded, stock=believing, unit="ms", bar=1.11),
    ]


def _signed(settings: Settings) -> list[SignedRequest]:
    signer = S3SigV4Auth(Credentials(*credentials_file.read(settings.paths.credentials)), "s3", settings.region)
    found = []
    for number in range(REQUESTS):
        request = AWSRequest(method="PUT", url=f"http://127.0.0.1/{BUCKET}/object-{number}", data=b"x")
        signer.add_auth(request)
        url = urlsplit(str(request.url))
        headers = (("Host", url.netloc), *((name, str(value)) for name, value in request.headers.items()))
        found.append(SignedRequest("PUT", url.path, url.query, headers, None))
    return found


def _puts(ours: Installation) -> tuple[float, float]:
    """Milliseconds of one put: behind the door, and without it."""
    settings = ours.settings
    port = launch.choose_port(settings.paths.aws, settings.aws_port)
    key_id, secret = credentials_file.read(settings.paths.credentials)
    own = credentials.Credentials(access_key_id=key_id, secret_access_key=secret)
    guarded: Any = clients.client(
        Endpoint(region=settings.region, url=OwnAddress(port=port).url, credentials=own), "s3"
    )
    with own_emulator.running(settings=settings) as emulator:
        believing = emulator.client("s3")
        believing.create_bucket(Bucket=BUCKET)
        # As the other side's: a version more costs the emulator more than a body does the door.
        believing.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
        spent: dict[Any, list[float]] = {guarded: [], believing: []}
        for number in range(PUTS):
            for client, times in spent.items():
                started = time.perf_counter()
                client.put_object(Bucket=BUCKET, Key=f"large/{number}", Body=MEGABYTE)
                times.append(1000 * (time.perf_counter() - started))
        return statistics.median(spent[guarded]), statistics.median(spent[believing])
