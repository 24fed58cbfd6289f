"""The principal that reads a release's files, by an S3 that verifies signatures and counts its callers."""

from __future__ import annotations

import re
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest
from cryptography.fernet import Fernet

from aerodrome.backends.control_plane import ControlPlane
from aerodrome.backends.releases import fetching
from aerodrome.errors import BrokenError, RetryError
from aerodrome.identity.vault import Vault
from aerodrome.model import defaults
from aerodrome.model.tenant import Tenant
from aerodrome.model.web_address import Ports
from aerodrome.release.failures import ReleaseError
from aerodrome.release.user_files import UserFiles
from aerodrome.settings import EMBEDDED, Settings

TENANT = Tenant(
    name="one", identifier="00000001", arn="arn:aws:airflow:us-east-1:000000000000:environment/one", number=1
)
ROLE = "arn:aws:iam::000000000000:role/execution"
CONTROL_PLANE, OF_THE_ROLE = "AKIACONTROL", "ASIAROLE"
ASSUMED = """<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><Credentials>
<AccessKeyId>ASIAROLE</AccessKeyId><SecretAccessKey>secret</SecretAccessKey><SessionToken>token</SessionToken>
<Expiration>2099-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>"""
REFUSED = "<Error><Code>AccessDenied</Code><Message>{}</Message></Error>"
KEY_REFUSED = (
    "User: arn:aws:sts::000000000000:assumed-role/execution/AmazonMWAA-airflow is not authorized to perform: "
    "kms:Decrypt on resource: arn:aws:kms:us-east-1:000000000000:key/k because no identity-based policy allows it"
)


class AWS:
    """STS and S3 on one port. `denied` holds the paths that the role may not read, with S3's sentence for each."""

    def __init__(self) -> None:
        self.asked: Counter[tuple[str, str]] = Counter()
        self.denied: dict[str, str] = {}
        self.sts = (200, ASSUMED)
        aws = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                self.tell("sts", *aws.sts)

            def do_GET(self) -> None:
                path = self.path.partition("?")[0]
                if path in aws.denied or self.who() != OF_THE_ROLE:
                    self.tell("s3", 403, REFUSED.format(aws.denied.get(path, "Access Denied")))
                else:
                    self.tell("s3", 200, "cow==1.0\n")

            def who(self) -> str:
                return re.findall(r"Credential=(\w+)/", self.headers["Authorization"])[0]

            def tell(self, service: str, status: int, text: str) -> None:
                aws.asked[service, self.who()] += 1
                self.send_response(status)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def aws() -> Iterator[AWS]:
    made = AWS()
    serving = threading.Thread(target=made.server.serve_forever, args=(0.05,))
    serving.start()
    yield made
    made.server.shutdown()
    serving.join()
    made.server.server_close()


@pytest.fixture
def place(aws):
    request = {
        "ExecutionRoleArn": ROLE,
        "SourceBucketArn": "arn:aws:s3:::bucket",
        "DagS3Path": "dags",
        "NetworkConfiguration": {"SubnetIds": ["subnet-a", "subnet-b"], "SecurityGroupIds": ["sg-a"]},
        "RequirementsS3Path": "requirements.txt",
        "RequirementsS3ObjectVersion": "v1",
    }
    plane = ControlPlane(
        settings=Settings(aws_endpoint_url=EMBEDDED),
        cluster=lambda: pytest.fail("no database is asked"),
        vault=Vault(Fernet.generate_key()),
        key_set={},
        aws_endpoint_url=aws.url,
        mwaa_endpoint_url=aws.url,
        gateway_ports=Ports(public=1, private=1),
        service_key=lambda _name, _identifier: (CONTROL_PLANE, "secret"),
    )
    spec = defaults.complete("one", request, latest_version="3.3.1")
    return SimpleNamespace(spec=spec, s3=lambda: plane.s3(TENANT, spec.execution_role_arn))


def fetched(place, folder):
    return fetching.fetch(place.s3(), place.spec, UserFiles(), folder, lambda: None)


def test_the_execution_role_reads_and_nobody_else(aws, place, tmp_path):
    assert fetched(place, tmp_path).requirements == b"cow==1.0\n"
    assert aws.asked == {("sts", CONTROL_PLANE): 1, ("s3", OF_THE_ROLE): 1}


@pytest.mark.parametrize(
    ("said", "action", "resource"),
    [
        ("Access Denied", "s3:GetObjectVersion", "arn:aws:s3:::bucket/requirements.txt"),
        (KEY_REFUSED, "kms:Decrypt", "arn:aws:kms:us-east-1:000000000000:key/k"),
    ],
)
def test_a_right_that_the_role_lacks_is_named_with_the_statement_that_gives_it(
    aws, place, tmp_path, said, action, resource
):
    aws.denied["/bucket/requirements.txt"] = said
    with pytest.raises(ReleaseError) as caught:
        fetched(place, tmp_path)
    assert caught.value.code == "S3_OBJECT_UNREADABLE"
    assert str(caught.value) == (
        f"Unable to read version v1 of file requirements.txt: the execution role {ROLE} may not {action} on {resource}."
        f' Add this statement to one of its policies: {{"Effect": "Allow", "Action": "{action}", '
        f'"Resource": "{resource}"}}'
    )
    assert aws.asked["s3", CONTROL_PLANE] == 0


def test_dags_that_are_to_be_tried_are_read_as_the_role_too(aws, place, tmp_path):
    aws.denied["/bucket"] = "Access Denied"
    with pytest.raises(ReleaseError, match=r"may not s3:ListBucket on arn:aws:s3:::bucket\. Add"):
        fetching.fetch_dags(place.s3(), place.spec, tmp_path, lambda: None)
    assert aws.asked["s3", CONTROL_PLANE] == 0


def test_a_role_that_is_denied_is_told_in_the_words_of_sts(aws, place):
    aws.sts = (403, "<ErrorResponse>" + REFUSED.format("no trust policy allows it") + "</ErrorResponse>")
    with pytest.raises(BrokenError, match=f"The execution role {ROLE} cannot be assumed: no trust policy") as caught:
        place.s3()
    assert caught.value.code == "EXECUTION_ROLE_DENIED"


def test_an_sts_that_is_away_is_asked_again(aws, place):
    aws.sts = (503, "")
    with pytest.raises(RetryError):
        place.s3()
