"""Against an emulator that verifies signatures and policies: what the role may not read does not reach the disk."""

from __future__ import annotations

import json

KEYS = ["one.py", "a b+c/d=e&f?g#h.csv", "é/ü~*'()!;:@$,.sql", "%41%2F.txt", "pkg/__init__.py"]
OPEN, CLOSED = "open-bucket", "closed-bucket"
TRUST = {"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::000000000000:root"}, "Action": "sts:AssumeRole"}
READ = {
    "Effect": "Allow",
    "Action": ["s3:GetObject*", "s3:List*"],
    "Resource": [f"arn:aws:s3:::{OPEN}", f"arn:aws:s3:::{OPEN}/*"],
}


def document(statement) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def furnish(stack, client_of, *, trust=TRUST) -> None:
    iam, s3 = client_of("iam", stack.url), client_of("s3", stack.url)
    iam.create_role(RoleName="execution", AssumeRolePolicyDocument=document(trust))
    iam.put_role_policy(RoleName="execution", PolicyName="read", PolicyDocument=document(READ))
    for bucket in (OPEN, CLOSED):
        s3.create_bucket(Bucket=bucket)
        for key in KEYS:
            s3.put_object(Bucket=bucket, Key=f"dags/{key}", Body=key.encode())
    iam.close()
    s3.close()


def test_every_key_is_signed_as_the_service_expects(strict_ministack, client_of, sidecar):
    furnish(strict_ministack, client_of)
    sidecar.config |= {"aws_endpoint_url": strict_ministack.url, "bucket": OPEN}
    sidecar.start()
    assert sidecar.status["error"] is None
    assert sidecar.files == {key: key for key in KEYS}
    assert sidecar.status["refused"] == {}


def test_a_bucket_that_is_closed_to_the_role_stays_unread(strict_ministack, client_of, sidecar):
    furnish(strict_ministack, client_of)
    sidecar.config |= {"aws_endpoint_url": strict_ministack.url, "bucket": CLOSED}
    sidecar.start()
    assert sidecar.files == {}
    assert "AccessDenied" in sidecar.status["error"]


def test_a_role_that_does_not_trust_us_is_named(strict_ministack, client_of, sidecar):
    furnish(strict_ministack, client_of, trust=TRUST | {"Principal": {"AWS": "arn:aws:iam::111111111111:root"}})
    sidecar.config |= {"aws_endpoint_url": strict_ministack.url, "bucket": OPEN}
    sidecar.start()
    assert sidecar.files == {}
    assert "sts answers 403 AccessDenied" in sidecar.status["credentials"]["error"]
