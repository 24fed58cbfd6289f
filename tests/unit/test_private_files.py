"""A private file is there whole or not at all, and a name that a stranger has taken leads nowhere."""

import os
import stat

import pytest

from aerodrome import private_files
from aerodrome.unix_users import UnixUser


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("content", ["text ü", "text ü".encode()])
@pytest.mark.parametrize("durable", [False, True])
def test_a_file_is_its_owners_alone(tmp_path, content, durable):
    path = tmp_path / "secret"
    private_files.write(path, content, durable=durable)
    assert (path.read_text(), mode(path)) == ("text ü", 0o600)
    assert list(tmp_path.iterdir()) == [path]


def test_no_umask_widens_or_narrows_the_mode(tmp_path):
    before = os.umask(0o777)
    try:
        private_files.write(tmp_path / "shown", "", mode=0o644)
    finally:
        os.umask(before)
    assert mode(tmp_path / "shown") == 0o644


def test_a_link_in_its_place_is_replaced_and_not_followed(tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("theirs")
    path = tmp_path / "secret"
    path.symlink_to(elsewhere)
    private_files.write(path, "ours")
    assert (path.is_symlink(), path.read_text(), elsewhere.read_text()) == (False, "ours", "theirs")


def test_what_cannot_take_its_place_leaves_nothing(tmp_path):
    (tmp_path / "taken").mkdir()
    with pytest.raises(IsADirectoryError):
        private_files.write(tmp_path / "taken", "text")
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


def test_a_disk_that_is_full_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "secret"
    private_files.write(path, "old")

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        private_files.write(path, "new", durable=True)
    assert (path.read_text(), list(tmp_path.iterdir())) == ("old", [path])


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_file_may_be_anothers(tmp_path):
    private_files.write(tmp_path / "theirs", "text", owner=UnixUser(31_234, 31_235))
    found = (tmp_path / "theirs").stat()
    assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (31_234, 31_235, 0o600)


def test_what_is_created_is_never_replaced(tmp_path):
    path = tmp_path / "key"
    private_files.create(path, b"first")
    with pytest.raises(FileExistsError):
        private_files.create(path, b"second")
    assert (path.read_bytes(), mode(path), list(tmp_path.iterdir())) == (b"first", 0o600, [path])
