"""Archives that somebody else made: unpacked whole, or refused whole."""

import os
import stat
import struct
import zipfile

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aerodrome.release import plugins
from aerodrome.release.failures import ReleaseError


@pytest.fixture
def archive(tmp_path):
    def make(entries, compression=zipfile.ZIP_DEFLATED):
        path = tmp_path / "plugins.zip"
        with zipfile.ZipFile(path, "w", compression) as file:
            for name, data in entries:
                file.writestr(name, data)
        return path

    return make


def unpack(source, target):
    """As the process of its own does it."""
    target.mkdir(exist_ok=True)
    return plugins.unpack((os.open(source, os.O_RDONLY), str(target)))


def special(name, mode):
    info = zipfile.ZipInfo(name)
    info.external_attr = mode << 16
    return info


def refused(source, tmp_path):
    with pytest.raises(ReleaseError) as caught:
        unpack(source, tmp_path / "out")
    assert caught.value.code == "PLUGINS_ARCHIVE_INVALID"
    assert str(caught.value).startswith("plugins.zip ")
    return str(caught.value)


def test_files_and_folders_are_unpacked_and_junk_is_not(archive, tmp_path):
    source = archive(
        [("a.py", "x = 1"), ("pkg/", ""), ("pkg/b.py", "y = 2"), ("__MACOSX/._a.py", "?"), (".DS_Store", "?")]
    )
    assert unpack(source, tmp_path / "out") == 2
    found = sorted(path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*"))
    assert found == ["a.py", "pkg", "pkg/b.py"]
    assert (tmp_path / "out" / "pkg" / "b.py").read_text() == "y = 2"


def test_programs_stay_programs_and_the_top_folder_may_be_named(archive, tmp_path):
    source = archive([("./", ""), (special("bin/tool.sh", stat.S_IFREG | 0o4755), "echo"), ("./bin/data", "")])
    assert unpack(source, tmp_path / "out") == 2
    assert stat.S_IMODE((tmp_path / "out/bin/tool.sh").stat().st_mode) == 0o755
    assert not (tmp_path / "out/bin/data").stat().st_mode & stat.S_IXUSR


def test_programs_of_a_folder_stay_programs(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in/tool.sh").write_text("echo")
    (tmp_path / "in/tool.sh").chmod(0o755)
    plugins.bring(tmp_path / "in", tmp_path / "out", None)
    assert (tmp_path / "out/tool.sh").stat().st_mode & stat.S_IXUSR


def test_an_empty_archive_means_no_plugins(archive, tmp_path):
    assert unpack(archive([]), tmp_path / "out") == 0


@pytest.mark.parametrize(
    "name", ["../evil.py", "a/../../evil.py", "/etc/evil.py", "..\\evil.py", "C:/evil.py", "a/..", "."]
)
def test_an_entry_that_leaves_the_folder_is_refused(archive, tmp_path, name):
    assert "leads out" in refused(archive([("good.py", ""), (name, "x")]), tmp_path)
    assert not (tmp_path / "evil.py").exists()


@pytest.mark.parametrize(
    ("mode", "what"),
    [(stat.S_IFLNK | 0o777, "a link"), (stat.S_IFCHR | 0o666, "a device"), (stat.S_IFIFO | 0o666, "a device")],
)
def test_links_and_devices_are_refused(archive, tmp_path, mode, what):
    assert what in refused(archive([(special("x", mode), "/etc/passwd")]), tmp_path)


@pytest.mark.parametrize("zip64", [False, True])
def test_a_directory_that_is_too_large_is_refused_before_it_is_read(tmp_path, monkeypatch, zip64):
    source = tmp_path / "plugins.zip"
    many = 2**16 if zip64 else 2000  # a longer list needs the wider record
    with zipfile.ZipFile(source, "w") as file:
        for number in range(many):
            file.writestr(str(number), "")
    if zip64:  # the narrower record need not say the truth then
        whole = bytearray(source.read_bytes())
        whole[-10:-6] = bytes(4)
        source.write_bytes(whole)
    monkeypatch.setattr(plugins, "LARGEST_DIRECTORY", 2**16)
    monkeypatch.setattr(zipfile, "ZipFile", None)
    assert "has a directory of more than" in refused(source, tmp_path)


def test_half_a_gigabyte_of_zeros_is_refused_before_it_is_unpacked(tmp_path):
    source = tmp_path / "plugins.zip"
    with zipfile.ZipFile(source, "w", zipfile.ZIP_DEFLATED) as file, file.open("zeros.py", "w") as entry:
        for _ in range(500):
            entry.write(bytes(2**20))
    assert "times its size" in refused(source, tmp_path)
    assert list((tmp_path / "out").iterdir()) == []


def test_more_than_a_gigabyte_is_refused_by_what_the_archive_claims(archive, tmp_path, monkeypatch):
    monkeypatch.setattr(plugins, "LARGEST", 10)
    assert "MiB are allowed" in refused(archive([("a.py", "x" * 11)]), tmp_path)


def test_a_size_that_is_a_lie_does_not_unpack_further(archive, tmp_path):
    source = archive([("a.py", "x" * 100_000)])
    data = source.read_bytes().replace(struct.pack("<I", 100_000), struct.pack("<I", 10))
    source.write_bytes(data)
    refused(source, tmp_path)
    assert sum(path.stat().st_size for path in (tmp_path / "out").rglob("*")) <= 10


def test_too_many_entries_are_refused(archive, tmp_path, monkeypatch):
    monkeypatch.setattr(plugins, "MOST", 2)
    assert "3 entries" in refused(archive([("a", ""), ("b", ""), ("c", "")]), tmp_path)


def test_an_encrypted_entry_is_refused(archive, tmp_path):
    source = archive([("a.py", "x")])
    data = bytearray(source.read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1
    source.write_bytes(data)
    assert "encrypted" in refused(source, tmp_path)


def test_an_entry_that_is_file_and_folder_is_refused(archive, tmp_path):
    assert "both file and folder" in refused(archive([("a", "x"), ("a/b", "y")]), tmp_path)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_entries_of_one_name_are_refused(archive, tmp_path):
    assert "two entries" in refused(archive([("a.py", "x"), ("a.py", "y")]), tmp_path)


@given(data=st.binary(max_size=300))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_no_archive_is_refused(tmp_path, data):
    source = tmp_path / "plugins.zip"
    source.write_bytes(data)
    assert "no zip archive" in refused(source, tmp_path)


@given(cut=st.integers(1, 200), flip=st.integers(0, 200))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_damaged_archive_is_refused_or_unpacked_whole(archive, tmp_path, cut, flip):
    data = bytearray(archive([("a.py", "x" * 50), ("b.py", "y" * 50)]).read_bytes())
    data[flip % len(data)] ^= 0xFF
    source = tmp_path / "plugins.zip"
    source.write_bytes(data if cut > 100 else data[:-cut])
    target = tmp_path / f"out-{cut}-{flip}"
    try:
        unpack(source, target)
    except ReleaseError as error:
        assert error.code == "PLUGINS_ARCHIVE_INVALID"  # noqa: PT017 - both ends are right
    finally:
        plugins.shutil.rmtree(target, ignore_errors=True)


def test_a_folder_is_copied_without_links_and_caches(tmp_path):
    source = tmp_path / "plugins"
    (source / "__pycache__").mkdir(parents=True)
    (source / "__pycache__" / "a.pyc").write_text("")
    (source / "a.py").write_text("x = 1")
    (source / "link.py").symlink_to("/etc/passwd")
    assert plugins.bring(source, tmp_path / "out", None) == 1
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.py"]
