from __future__ import annotations

import http.client
import io
import json
import secrets
import time
import zipfile

import psutil
import pytest
from botocore.exceptions import ClientError

import malformed
from aerodrome.aws import clients
from aerodrome.emulator import launch, memory, rules
from aerodrome.services import daemon
from protocol.api import raw

MIB = 2**20


def ask(service, method: str, path: str, headers: dict[str, str] | None = None) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", service.described.address.port, timeout=30)
    connection.request(method, path, headers=headers or {})
    answer = connection.getresponse()
    found = answer.status, answer.read()
    connection.close()
    return found


def code_script() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("code.py", "def handler(event, context): return 1")
    return buffer.getvalue()


def test_it_has_one_listener_on_loopback_and_no_children(service):
    service.client("sqs").list_queues()
    service.client("glue").get_databases()
    process = psutil.Process(service.pid)
    listeners = [c for c in process.net_connections("all") if c.status == psutil.CONN_LISTEN]
    assert [tuple(c.laddr) for c in listeners] == [("127.0.0.1", service.described.address.port)]
    assert process.children(recursive=True) == []


def test_its_health_says_whose_it_is(service):
    assert launch.answers(service.described)
    stranger = launch.describe(
        service.folder / "other",
        address=service.described.address,
        region="us-east-1",
        account_id="0" * 12,
        domain="pages.localhost",
    )
    assert not launch.answers(stranger)


def test_a_chosen_port_is_kept(service):
    assert launch.choose_port(service.folder, 0) == service.described.address.port


def test_its_own_mwaa_never_answers(service):
    with pytest.raises(ClientError, match="Aerodrome's own endpoint") as caught:
        mwaa(service).list_environments()
    assert caught.value.response["Error"]["Code"] == "AccessDeniedException"
    assert ask(service, "GET", "/environments")[0] in {400, 404}


def mwaa(service):
    found = clients.client(service.endpoint, "mwaa")
    found.meta.events.register("before-send.mwaa", lambda request, **_: without_prefix(request))
    return found


def without_prefix(request) -> None:
    """botocore puts `api.` before the host, which resolves nowhere."""
    request.url = request.url.replace("//api.", "//")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/_ministack/reset"),
        ("POST", "/%5Fministack/reset"),
        ("POST", "/_ministack/config"),
        ("GET", "/_ministack/ready"),
        ("GET", "/_localstack/health"),
        ("GET", "/health"),
    ],
)
def test_its_administration_is_refused(service, method, path):
    status, body = ask(service, method, path)
    assert status == 403
    assert json.loads(body)["__type"] == "AccessDeniedException"


@pytest.mark.parametrize("name", malformed.CASES)
def test_a_head_that_is_none_is_refused_and_nothing_behind_it_is_read(service, name):
    assert malformed.is_refused(raw.send(service.described.address.port, malformed.smuggled(name, "localhost")))


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Host": "evil.example", "User-Agent": "Mozilla/5.0"},
    ],
)
def test_a_web_page_cannot_reach_it(service, headers):
    assert ask(service, "GET", "/", headers)[0] == 403


def test_what_was_large_leaves_no_memory_taken(own_service):
    s3, body = own_service.client("s3"), secrets.token_bytes(100 * MIB)
    process = psutil.Process(own_service.pid)
    s3.create_bucket(Bucket="large")
    before = process.memory_info().rss
    s3.put_object(Bucket="large", Key="object", Body=body)
    upload = s3.create_multipart_upload(Bucket="large", Key="parts")["UploadId"]
    of_upload = {"Bucket": "large", "Key": "parts", "UploadId": upload}
    etags = [s3.upload_part(**of_upload, PartNumber=number, Body=body[: 50 * MIB])["ETag"] for number in range(1, 5)]
    time.sleep(memory.TRIM_EVERY)  # free memory is given back at most so often
    s3.put_object(Bucket="large", Key="small", Body=body[: 2 * MIB])
    assert process.memory_info().rss - process.memory_info().shared < before + 100 * MIB
    parts = [{"PartNumber": number, "ETag": etag} for number, etag in enumerate(etags, start=1)]
    s3.complete_multipart_upload(**of_upload, MultipartUpload={"Parts": parts})
    assert (
        s3.get_object(Bucket="large", Key="parts", Range=f"bytes={50 * MIB}-{50 * MIB + 9}")["Body"].read() == body[:10]
    )


def test_what_would_fill_the_memory_is_refused(service):
    headers = {"Content-Length": str(rules.BODY_LIMIT + 1)}
    assert ask(service, "PUT", "/bucket/key", headers)[0] == 413


def test_an_object_is_found_by_path_and_by_host(service):
    s3, bucket = service.client("s3"), f"bucket-{secrets.token_hex(4)}"
    s3.create_bucket(Bucket=bucket)
    body = secrets.token_bytes(2**20)
    s3.put_object(Bucket=bucket, Key="dags/ä b.py", Body=body)
    assert s3.get_object(Bucket=bucket, Key="dags/ä b.py")["Body"].read() == body
    s3.put_object(Bucket=bucket, Key="plain", Body=b"text")
    assert ask(service, "GET", f"/{bucket}/plain") == (200, b"text")
    host = {"Host": f"{bucket}.localhost:{service.described.address.port}"}
    assert ask(service, "GET", "/plain", host) == (200, b"text")


@pytest.mark.parametrize("name", ["airflow", "iam", "sts"])
def test_what_aerodrome_answers_itself_is_refused(service, name):
    scope = f"AWS4-HMAC-SHA256 Credential=test/20261123/us-east-1/{name}/aws4_request, SignedHeaders=host, Signature=0"
    status, text = ask(service, "POST", "/", {"Authorization": scope})
    assert status == 403
    assert b"own endpoint" in text


def test_no_code_of_a_user_runs_in_it(service):
    s3, glue, bucket = service.client("s3"), service.client("glue"), f"bucket-{secrets.token_hex(4)}"
    s3.create_bucket(Bucket=bucket)
    trace = service.folder / f"trace-{bucket}"
    s3.put_object(Bucket=bucket, Key="job.py", Body=f"open({str(trace)!r}, 'w')".encode())
    role = "arn:aws:iam::000000000000:role/x"
    command = {"Name": "pythonshell", "ScriptLocation": f"s3://{bucket}/job.py", "PythonVersion": "3.9"}
    glue.create_job(Name=bucket, Role=role, Command=command)
    run = glue.start_job_run(JobName=bucket)["JobRunId"]
    deadline = time.monotonic() + 30
    while (found := glue.get_job_run(JobName=bucket, RunId=run)["JobRun"])["JobRunState"] != "FAILED":
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert "starts no processes" in found["ErrorMessage"]
    assert not trace.exists()
    with pytest.raises(ClientError):
        service.client("lambda").create_function(
            FunctionName="f", Runtime="python3.12", Role=role, Handler="code.handler", Code={"ZipFile": code_script()}
        )


def test_objects_their_versions_and_settings_survive_a_kill(own_service):
    s3 = own_service.client("s3")
    s3.create_bucket(Bucket="bucket-1")
    launch.reassert(s3, ["bucket-1"])
    first = s3.put_object(Bucket="bucket-1", Key="dags/a.py", Body=b"one")["VersionId"]
    s3.put_object(Bucket="bucket-1", Key="dags/a.py", Body=b"two")
    own_service.kill()
    own_service.start()
    launch.reassert(s3, ["bucket-1", "bucket-2"])
    assert s3.get_object(Bucket="bucket-1", Key="dags/a.py")["Body"].read() == b"two"
    assert s3.get_object(Bucket="bucket-1", Key="dags/a.py", VersionId=first)["Body"].read() == b"one"
    for bucket in ("bucket-1", "bucket-2"):
        assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"
        blocks = s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
        assert blocks == launch.BLOCK_PUBLIC_ACCESS


def test_other_state_survives_a_kill_once_it_is_checkpointed(own_service):
    own_service.client("glue").create_database(DatabaseInput={"Name": "movies"})
    file = own_service.folder / "state" / "glue.json"
    deadline = time.monotonic() + 30
    while not (file.exists() and "movies" in file.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    own_service.kill()
    own_service.start()
    assert own_service.client("glue").get_database(Name="movies")["Database"]["Name"] == "movies"


def test_everything_survives_an_orderly_stop(own_service):
    own_service.client("sqs").create_queue(QueueName="kept")
    own_service.client("s3").create_bucket(Bucket="empty-bucket")
    daemon.stop(own_service.process)
    assert not launch.answers(own_service.described)
    own_service.start()
    assert "kept" in own_service.client("sqs").list_queues()["QueueUrls"][0]
    own_service.client("s3").head_bucket(Bucket="empty-bucket")


def test_a_taken_port_is_told_in_the_log(service, own_service):
    taken = launch.describe(
        own_service.folder / "second",
        address=service.described.address,
        region="us-east-1",
        account_id="0" * 12,
        domain="pages.localhost",
    )
    (own_service.folder / "second").mkdir()
    process = daemon.Daemon(
        name="AWS emulator",
        argv=taken.argv,
        env=taken.env,
        cwd=taken.cwd,
        log=taken.cwd / "log",
        pid_file=taken.cwd / "pid",
    )

    def start() -> None:
        daemon.start(process)
        daemon.wait_until(process, lambda: launch.answers(taken))

    with pytest.raises(Exception, match="ended right after its start") as caught:
        start()
    assert any("already in use" in line for line in caught.value.tail)
