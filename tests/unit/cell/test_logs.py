from __future__ import annotations

import json
import os

import pytest

from aerodrome.cell import logs


@pytest.fixture
def path(tmp_path) -> str:
    return str(tmp_path / "unit.log")


def append(path: str, text: str) -> None:
    handle = logs.open_append(path)
    os.write(handle, text.encode())
    os.close(handle)


def read(path: str) -> str:
    with open(path, encoding="utf-8") as file:  # noqa: PTH123 - the room speaks of paths as text
        return file.read()


def test_a_log_is_appended_to_with_mode_0640(path) -> None:
    append(path, "one\n")
    append(path, "two\n")

    assert read(path) == "one\ntwo\n"
    assert os.stat(path).st_mode & 0o777 == 0o640  # noqa: PTH116 - as above


def test_a_writer_goes_on_at_the_start_of_a_rotated_log(path) -> None:
    writer = logs.open_append(path)
    os.write(writer, b"old\n" * 3)

    assert logs.rotate(path, limit=10)
    os.write(writer, b"new\n")
    os.close(writer)

    assert read(path) == "new\n"
    assert read(path + ".1").endswith("old\nold\n")


def test_a_small_or_absent_log_is_not_rotated(path) -> None:
    assert not logs.rotate(path)
    append(path, "little\n")
    assert not logs.rotate(path)
    assert read(path) == "little\n"


def test_three_copies_are_kept(path, tmp_path) -> None:
    for number in range(6):
        append(path, f"{number}" * 20)
        assert logs.rotate(path, limit=10)

    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["unit.log", "unit.log.1", "unit.log.2", "unit.log.3"]
    assert [read(f"{path}.{number}")[0] for number in (1, 2, 3)] == ["5", "4", "3"]


def test_a_copy_holds_the_end_of_a_log_that_grew_fast(path) -> None:
    append(path, "a" * 100 + "z" * 10)

    logs.rotate(path, limit=10)

    assert read(path + ".1") == "100 bytes of this log were not kept: it grew too fast\n" + "z" * 10
    append(path, "b" * 20)
    logs.rotate(path, limit=10)
    assert read(path + ".1") == "b" * 20


@pytest.mark.parametrize("make", ["symlink", "fifo", "hardlink"])
def test_what_is_no_plain_file_of_ours_is_never_opened(path, tmp_path, make) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    if make == "symlink":
        os.symlink(victim, path)  # noqa: PTH211 - as above
    elif make == "hardlink":
        os.link(victim, path)
    else:
        os.mkfifo(path)

    with pytest.raises(OSError, match=r".+"):
        logs.open_append(path)
    with pytest.raises(OSError, match=r".+"):
        logs.tail(path, 5)

    assert victim.read_text() == "precious"


def test_a_link_in_place_of_a_copy_is_replaced_not_followed(path, tmp_path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    os.symlink(victim, path + ".1")  # noqa: PTH211 - as above
    append(path, "x" * 20)

    logs.rotate(path, limit=10)

    assert victim.read_text() == "precious"


def test_tail_gives_the_last_lines(path) -> None:
    append(path, "".join(f"line {number}\n" for number in range(50)))

    assert logs.tail(path, 2) == ["line 48", "line 49"]
    assert logs.tail(path, 0) == []


def test_tail_of_an_absent_log_is_empty(path) -> None:
    assert logs.tail(path, 5) == []


def test_tail_is_bounded_and_takes_any_bytes(path) -> None:
    append(path, "x" * 200_000 + "\nlast\n")
    handle = logs.open_append(path)
    os.write(handle, b"\xff\xfe\n")
    os.close(handle)

    lines = logs.tail(path, 10_000)

    assert lines[-2:] == ["last", "\ufffd\ufffd"]
    assert sum(len(line) for line in lines) <= logs.TAIL_BYTES


def test_a_line_of_our_own_is_one_json_object(capfd) -> None:
    logs.say("unit started", unit="redis", text="two\nlines")

    line = json.loads(capfd.readouterr().err)
    assert (line["event"], line["unit"], line["text"]) == ("unit started", "redis", "two\nlines")
