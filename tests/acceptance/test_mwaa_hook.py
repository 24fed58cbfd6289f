"""The Amazon provider's own MwaaHook, unmodified, under each line's Airflow: by InvokeRestApi and by a web session."""

from __future__ import annotations

import json
import subprocess

import pytest

from aerodrome.release import installation
from product import VERSIONS

CALL = """
import json, os, socket, sys, warnings
warnings.simplefilter("ignore")
resolve = socket.getaddrinfo
# Names below localhost mean this machine (RFC 6761), which not every machine's resolver knows.
socket.getaddrinfo = lambda host, *more, **named: resolve(
    "127.0.0.1" if str(host).endswith(".localhost") else host, *more, **named
)
from airflow.providers.amazon.aws.hooks.mwaa import MwaaHook
name, line = sys.argv[1], int(sys.argv[2])
hook = MwaaHook(aws_conn_id=None)
called = [
    hook.invoke_rest_api(env_name=name, path="/pools", method="GET", airflow_version=line, **more)
    for more in ({}, {"generate_local_token": True})
]
made = hook.invoke_rest_api(
    env_name=name, path="/pools", method="POST", body={"name": "hooked", "slots": 3}, generate_local_token=True,
    airflow_version=line,
)
print("RESULT " + json.dumps([called, made]))
"""

DENY = {"Effect": "Deny", "Action": "airflow:InvokeRestApi", "Resource": "*"}
ALLOW = {"Effect": "Allow", "Action": "airflow:*", "Resource": "*"}


@pytest.fixture
def environment(shared_environment):
    return shared_environment


def hooked(product, environment, home, **more):
    """What the script prints, run as a client with the profile and the certificate authority of the product."""
    name, version = environment
    found = installation.find(version, VERSIONS)
    assert found is not None
    variables = {
        "PATH": "/usr/bin:/bin",
        "HOME": str(home),
        "AIRFLOW_HOME": str(home),
        "REQUESTS_CA_BUNDLE": str(product.data / "ca" / "ca.pem"),
        **product.exports,
        **more,
    }
    command = [str(found.python), "-c", CALL, name, version[0]]
    result = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 0, result.stderr
    [line] = [line for line in result.stdout.splitlines() if line.startswith("RESULT ")]
    return json.loads(line.removeprefix("RESULT "))


def test_the_hook_calls_the_rest_api_both_ways(product, environment, tmp_path):
    called, made = hooked(product, environment, tmp_path)
    for answer in called:
        assert answer["RestApiStatusCode"] == 200
        assert "default_pool" in [pool["name"] for pool in answer["RestApiResponse"]["pools"]]
    assert made["RestApiResponse"]["name"] == "hooked"
    product.rest(environment[0], "DELETE", "/pools/hooked")


def test_the_hook_falls_back_to_a_web_session_when_iam_forbids_invoke_rest_api(product, environment, tmp_path):
    user = f"only-web-{environment[0]}"
    product.iam.create_user(UserName=user)
    policy = json.dumps({"Version": "2012-10-17", "Statement": [ALLOW, DENY]})
    product.iam.put_user_policy(UserName=user, PolicyName="web", PolicyDocument=policy)
    key = product.iam.create_access_key(UserName=user)["AccessKey"]
    credentials = tmp_path / "credentials"
    credentials.write_text(
        f"[aerodrome]\naws_access_key_id = {key['AccessKeyId']}\naws_secret_access_key = {key['SecretAccessKey']}\n"
    )
    called, _ = hooked(product, environment, tmp_path, AWS_SHARED_CREDENTIALS_FILE=str(credentials))
    assert [answer["RestApiStatusCode"] for answer in called] == [200, 200]
    product.rest(environment[0], "DELETE", "/pools/hooked")
