"""The whole process against a real S3 and STS: what the bucket holds appears on disk, and a bad day deletes nothing."""

from __future__ import annotations

import json
import socket
import stat
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from aerodrome.model import announcements
from waiting import wait_for

PAGE = 1000


def put(s3, bucket, **objects) -> None:
    for key, text in objects.items():
        s3.put_object(Bucket=bucket, Key=f"dags/{key}.py", Body=text.encode())


def put_many(s3, bucket, keys) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda key: s3.put_object(Bucket=bucket, Key=key, Body=key.encode()), keys))


def test_what_is_announced_is_there_before_the_next_listing_is_due(s3, bucket, sidecar, tmp_path):
    path = announcements.socket(tmp_path / "announced", bucket, "01234567")
    sidecar.config |= {"interval": 3600, "announced_at": str(path)}
    sidecar.start()
    put(s3, bucket, one="1")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as door:
        wait_for("the sidecar listens", path.exists)
        door.sendto(announcements.message("another-bucket", "dags/one.py"), str(path))
        door.sendto(announcements.message(bucket, "elsewhere/one.py"), str(path))
        door.sendto(announcements.message(bucket, "dags/one.py"), str(path))
        wait_for("the file", lambda: sidecar.files == {"one.py": "1"})
        s3.delete_object(Bucket=bucket, Key="dags/one.py")
        door.sendto(announcements.message(bucket, "dags/one.py"), str(path))
        wait_for("the file is gone", lambda: sidecar.files == {})
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    sidecar.stop()
    assert not path.exists()


def test_files_appear_change_and_disappear(s3, bucket, sidecar):
    put(s3, bucket, one="1", two="2")
    s3.put_object(Bucket=bucket, Key="dags/pkg/data file+ü%.csv", Body=b"a,b")
    s3.put_object(Bucket=bucket, Key="dags/.airflowignore", Body=b"x")
    s3.put_object(Bucket=bucket, Key="elsewhere/three.py", Body=b"3")
    sidecar.start()
    assert sidecar.files == {"one.py": "1", "two.py": "2", "pkg/data file+ü%.csv": "a,b", ".airflowignore": "x"}

    put(s3, bucket, one="changed", four="4")
    s3.delete_object(Bucket=bucket, Key="dags/two.py")
    s3.delete_object(Bucket=bucket, Key="dags/pkg/data file+ü%.csv")
    wait_for(
        "the change is there", lambda: sidecar.files == {"one.py": "changed", "four.py": "4", ".airflowignore": "x"}
    )
    wait_for("the empty folder is gone", lambda: not (sidecar.dags / "pkg").exists())


def test_modes_let_units_read_and_only_us_write(s3, bucket, sidecar):
    s3.put_object(Bucket=bucket, Key="dags/pkg/one.py", Body=b"1")
    sidecar.start()
    modes = {
        path: stat.S_IMODE(path.stat().st_mode)
        for path in (
            sidecar.dags / "pkg" / "one.py",
            sidecar.dags / "pkg",
            Path(sidecar.config["status_file"]),
            sidecar.dags.parent / ".dags.manifest.json",
            sidecar.dags.parent / ".dags.staging",
        )
    }
    assert list(modes.values()) == [0o644, 0o755, 0o600, 0o600, 0o700]


def test_what_is_damaged_on_disk_is_repaired(s3, bucket, sidecar):
    put(s3, bucket, one="1", two="2")
    sidecar.start()
    (sidecar.dags / "one.py").write_text("tampered")
    (sidecar.dags / "two.py").unlink()
    (sidecar.dags / "stray.py").write_text("stray")
    (sidecar.dags / "link").symlink_to("/etc")
    wait_for("the tree is whole again", lambda: sidecar.files == {"one.py": "1", "two.py": "2"})
    wait_for("the link is gone", lambda: not (sidecar.dags / "link").is_symlink())


def test_a_restart_fetches_nothing_again(s3, bucket, door, sidecar):
    put(s3, bucket, one="1", two="2")
    sidecar.start()
    assert sidecar.stop() == 0
    door.seen.clear()
    sidecar.notified = b""
    sidecar.start()
    assert sidecar.files == {"one.py": "1", "two.py": "2"}
    assert not [path for path in door.seen if "/dags/" in path]


def test_a_page_that_fails_deletes_nothing(s3, bucket, door, sidecar):
    keys = [f"dags/{number:04}.py" for number in range(PAGE + 100)]
    put_many(s3, bucket, keys)
    sidecar.start()
    whole = sidecar.files
    assert len(whole) == len(keys)
    for fault in (500, 404, "cut"):
        door.fault = lambda path, fault=fault: fault if "continuation-token" in path else None
        before = len([path for path in door.seen if "continuation-token" in path])
        s3.delete_object(Bucket=bucket, Key=keys.pop())
        wait_for(
            "the failing page has been asked for twice",
            lambda before=before: len([path for path in door.seen if "continuation-token" in path]) > before + 1,
        )
        wait_for("it says that the bucket is away", lambda: sidecar.status["away_since"])
        assert sidecar.files == whole
        door.fault = lambda _path: None
        wait_for("the deletion arrives when the listing is whole again", lambda: len(sidecar.files) == len(keys))
        wait_for("it says that the bucket is back", lambda: sidecar.status["away_since"] is None)
        whole = sidecar.files


def test_an_object_that_is_cut_off_never_reaches_its_path(s3, bucket, door, sidecar):
    put(s3, bucket, one="first version", zwei="2")
    sidecar.start()
    door.fault = lambda path: "cut" if "/dags/one.py" in path else None
    put(s3, bucket, one="second version", zwei="changed")
    wait_for("the other object comes nevertheless", lambda: sidecar.files["zwei.py"] == "changed")
    assert sidecar.files["one.py"] == "first version"
    door.fault = lambda _path: None
    wait_for("it comes when it comes whole", lambda: sidecar.files["one.py"] == "second version")


def test_an_object_that_is_closed_to_the_role_is_reported_and_stops_nothing(s3, bucket, door, sidecar):
    put(s3, bucket, closed="1", open="2")
    door.fault = lambda path: 403 if "/dags/closed.py" in path else None
    sidecar.start()
    assert sidecar.files == {"open.py": "2"}
    assert list(sidecar.status["refused"]) == ["dags/closed.py"]
    assert sidecar.status["away_since"] is None


def test_a_reader_never_sees_a_torn_file(s3, bucket, sidecar):
    letters = "abcdefghij"
    size = 300_000
    put(s3, bucket, big=letters[0] * size)
    sidecar.start()
    seen: set[tuple[int, str]] = set()
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            text = (sidecar.dags / "big.py").read_text()
            seen.add((len(text), "".join(sorted(set(text)))))

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for letter in letters[1:]:
            put(s3, bucket, big=letter * size)
            wait_for(f"the reader sees {letter}", lambda letter=letter: (size, letter) in seen)
    finally:
        stop.set()
        reader.join()
    assert seen == {(size, letter) for letter in letters}


def test_the_environment_comes_up_while_the_bucket_is_away(s3, bucket, door, sidecar):
    put(s3, bucket, one="1")
    door.fault = lambda _path: 503
    sidecar.start()
    assert b"STATUS=the bucket is away" in sidecar.notified
    assert sidecar.status["away_since"]
    assert "503" in sidecar.status["error"]
    door.fault = lambda _path: None
    wait_for("it catches up", lambda: sidecar.files == {"one.py": "1"})
    wait_for("it says so", lambda: sidecar.status["away_since"] is None and sidecar.status["error"] is None)


def test_the_last_tree_stays_while_the_endpoint_is_down(own_ministack, client_of, sidecar):
    sidecar.config |= {"aws_endpoint_url": own_ministack.url, "bucket": "blue-bucket"}
    s3 = client_of("s3", own_ministack.url)
    s3.create_bucket(Bucket="blue-bucket")
    put(s3, "blue-bucket", one="1", two="2")
    sidecar.start()
    own_ministack.stop()
    wait_for("the sidecar says that the endpoint is away", lambda: sidecar.status["away_since"])
    assert sidecar.files == {"one.py": "1", "two.py": "2"}

    own_ministack.start()  # its objects are lost: at first there is no bucket, which is no reason to delete either
    wait_for("the sidecar says that the bucket is missing", lambda: "NoSuchBucket" in sidecar.status["error"])
    assert sidecar.files == {"one.py": "1", "two.py": "2"}

    s3.create_bucket(Bucket="blue-bucket")
    put(s3, "blue-bucket", three="3")
    wait_for("it catches up", lambda: sidecar.files == {"three.py": "3"})
    wait_for("it says so", lambda: sidecar.status["away_since"] is None)
    s3.close()


def test_refused_keys_are_in_the_status_and_the_rest_is_on_disk(s3, bucket, sidecar):
    put(s3, bucket, one="1")
    for key in ("dags/a//b.py", "dags/back\\slash.py", "dags/__pycache__/one.cpython-312.pyc"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"x")
    s3.put_object(Bucket=bucket, Key="dags/folder/", Body=b"")
    sidecar.start()
    assert sidecar.files == {"one.py": "1"}
    assert len(sidecar.status["refused"]) == sidecar.status["refused_count"] == 3


def test_no_secret_is_in_logs_status_or_manifest(s3, bucket, door, sidecar):
    put(s3, bucket, one="1")
    sidecar.config["source_credentials"] = {"access_key_id": "test", "secret_access_key": "a-very-secret-key"}
    sidecar.start()
    door.fault = lambda _path: 500
    wait_for("something has gone wrong", lambda: sidecar.status["away_since"])
    sidecar.stop()
    written = [sidecar.log, Path(sidecar.config["status_file"]), sidecar.dags.parent / ".dags.manifest.json"]
    text = "".join(path.read_text() for path in written)
    assert "a-very-secret-key" not in text
    assert sidecar.token not in text
    assert json.loads(sidecar.log.read_text().splitlines()[0])["environment"] == "blue"
