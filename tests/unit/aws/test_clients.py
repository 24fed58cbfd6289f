from __future__ import annotations

import pytest

from aerodrome import errors
from aerodrome.aws import clients, credentials
from aerodrome.aws.clients import Endpoint
from aerodrome.aws.credentials import Credentials
from aerodrome.settings import Settings

URL = "http://127.0.0.1:4561"
ENDPOINT = Endpoint(region="eu-central-1", url=URL, credentials=credentials.EMULATOR)


@pytest.fixture
def hostile_host(monkeypatch, tmp_path):
    """A person's own AWS settings, which must never reach our endpoint."""
    config = tmp_path / "config"
    config.write_text("[profile work]\nregion = us-west-2\nendpoint_url = http://elsewhere\n")
    for name, value in {
        "AWS_ACCESS_KEY_ID": "AKIAHOST",
        "AWS_SECRET_ACCESS_KEY": "host-secret",
        "AWS_SESSION_TOKEN": "host-token",
        "AWS_PROFILE": "missing-profile",
        "AWS_CONFIG_FILE": str(config),
        "AWS_ENDPOINT_URL": "http://elsewhere",
        "AWS_ENDPOINT_URL_S3": "http://elsewhere",
        "AWS_DEFAULT_REGION": "us-west-2",
        "AWS_MAX_ATTEMPTS": "99",
        "AWS_CA_BUNDLE": "/no/such/bundle",
        "HTTP_PROXY": "http://proxy:3128",
    }.items():
        monkeypatch.setenv(name, value)


@pytest.mark.usefixtures("hostile_host")
def test_nothing_of_the_hosts_settings_is_taken():
    s3 = clients.client(ENDPOINT, "s3")
    assert s3.meta.endpoint_url == URL
    assert s3.meta.region_name == "eu-central-1"
    assert s3.meta.config.retries["total_max_attempts"] == clients.ATTEMPTS
    assert s3.meta.config.proxies == {}
    found = s3._request_signer._credentials
    assert (found.access_key, found.secret_key, found.token) == ("test", "test", None)


def test_buckets_go_into_the_path_where_host_names_resolve_nowhere():
    url = clients.client(ENDPOINT, "s3").generate_presigned_url("get_object", Params={"Bucket": "bkt", "Key": "key"})
    assert url.startswith(f"{URL}/bkt/key?")


def test_the_hosts_credentials_are_for_the_real_aws_only():
    with pytest.raises(ValueError, match="only for the real AWS"):
        clients.client(Endpoint(region="us-east-1", url=URL, credentials=None), "s3")


def test_the_real_aws_has_no_endpoint_of_ours():
    key = Credentials(access_key_id="AKIA", secret_access_key="s", session_token="t")
    sts = clients.client(Endpoint(region="eu-central-1", url=None, credentials=key), "sts")
    assert sts.meta.endpoint_url == "https://sts.eu-central-1.amazonaws.com"


@pytest.mark.parametrize(
    ("setting", "url", "key"),
    [
        ("embedded", URL, "test"),
        ("aws", None, None),
        ("http://minio:9000", "http://minio:9000", "test"),
    ],
)
def test_the_settings_name_the_endpoint_and_its_credentials(tmp_path, setting, url, key):
    found = clients.configured(Settings(data=tmp_path, aws_endpoint_url=setting, region="eu-west-1"), URL)
    assert (found.url, found.region) == (url, "eu-west-1")
    assert (found.credentials.access_key_id if found.credentials else None) == key


def test_another_endpoints_key_is_in_a_file(tmp_path):
    settings = Settings(data=tmp_path, aws_endpoint_url="http://minio:9000")
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "aws").write_text('{"AccessKeyId": "mine", "SecretAccessKey": "s"}')
    assert clients.configured(settings).credentials == Credentials(access_key_id="mine", secret_access_key="s")
    for text in ("mine:s", "[]", "{}", "null"):
        (tmp_path / "keys" / "aws").write_text(text)
        with pytest.raises(errors.CallerError, match="keys/aws must be JSON"):
            clients.configured(settings)


def test_credentials_do_not_print_their_secrets():
    text = repr(Credentials(access_key_id="AKIA", secret_access_key="very-secret", session_token="very-token"))
    assert "very" not in text
