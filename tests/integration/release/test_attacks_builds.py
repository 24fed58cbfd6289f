"""Requirements that attack: wheels and source packages, under the real uv; the builder is nobody and wins nothing."""

import base64
import contextlib
import functools
import http.server
import io
import os
import stat
import sys
import tarfile
import tempfile
import threading
import zipfile
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from aerodrome import trees
from aerodrome.release import airflow_home, install, installed_packages, overlay, requirements, sealing
from aerodrome.release.failures import ReleaseError
from aerodrome.services import accounts
from aerodrome.unix_users import UnixUser

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root may become somebody else")
SHOWN = pytest.mark.skipif(not airflow_home.can_be_shown(), reason="needs a kernel that lets root mount")

BUILDER = UnixUser(61311, 61311)
BUILDER_IDS = (BUILDER.uid, BUILDER.gid)
VERSION = "0.0.1"
PYTHONS = (Path(sys.base_prefix) / "bin",)

BACKEND = """
import os, sys, zipfile
parent = open("/proc/%d/cmdline" % os.getppid()).read().split("\\0")
site = next((each.partition("=")[2] for each in parent if each.startswith("--target=")), None)
won = []
def attempt(name, what):
    try:
        what()
    except Exception:
        return
    won.append(name)
def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    exec(ATTACK, globals())
    name, info = "attacker-1.0-py3-none-any.whl", "attacker-1.0.dist-info"
    with zipfile.ZipFile(os.path.join(wheel_directory, name), "w") as wheel:
        wheel.writestr("attacker.py", "won = %r\\nuid = %d\\n" % (won, os.getuid()))
        wheel.writestr(info + "/METADATA", "Metadata-Version: 2.1\\nName: attacker\\nVersion: 1.0\\n")
        wheel.writestr(info + "/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr(info + "/RECORD", "attacker.py,,\\n" + info + "/METADATA,,\\n" + info + "/WHEEL,,\\n")
    return name
"""


def sdist(folder, attack):
    """A source package whose own build backend attacks."""
    with tarfile.open(folder / "attacker-1.0.tar.gz", "w:gz") as archive:
        for file, text in {
            "PKG-INFO": "Metadata-Version: 2.1\nName: attacker\nVersion: 1.0\n",
            "pyproject.toml": '[project]\nname = "attacker"\nversion = "1.0"\n'
            '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n',
            "backend.py": f"ATTACK = {attack!r}\n{BACKEND}",
        }.items():
            info = tarfile.TarInfo(f"attacker-1.0/{file}")
            info.size = len(text.encode())
            archive.addfile(info, io.BytesIO(text.encode()))


def wheel(folder, name, *, needs=(), files=None, modes=None):
    """A wheel of one module, and of other entries with the given modes."""
    info = f"{name}-1.0.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n" + "".join(f"Requires-Dist: {n}\n" for n in needs)
    content = {
        f"{name}.py": "answer = 42\n",
        **(files or {}),
        f"{info}/METADATA": metadata,
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    path = folder / f"{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for file, text in content.items():
            entry = zipfile.ZipInfo(file)
            entry.external_attr = (modes or {}).get(file, 0o100644) << 16
            archive.writestr(entry, text)
        archive.writestr(f"{info}/RECORD", "".join(f"{file},,\n" for file in content) + f"{info}/RECORD,,\n")
    path.chmod(0o644)
    return path


@pytest.fixture
def place(short_folder):
    """A data folder as a control plane of root's has it: others pass through and list nothing."""
    folder = Path(tempfile.mkdtemp(dir=short_folder))
    folder.chmod(0o711)
    for name, mode in (("links", 0o755), ("scratch", 0o711), ("release", 0o755), ("neighbour", 0o755), ("open", 0o777)):
        (folder / name).mkdir()
        (folder / name).chmod(mode)
    (folder / "neighbour" / "file").write_text("of another release")
    (folder / "secret").write_text("sesame")
    (folder / "secret").chmod(0o600)
    yield folder
    trees.remove(folder)


@pytest.fixture
def spec(place, lock, environ):
    """The spec of an overlay of nothing."""
    accounts.open_way_to(Path(sys.base_prefix) / "bin" / "python")
    made = install.install(VERSION, place / "versions", environ=environ, folders=PYTHONS)
    (place / "release" / "plugins").mkdir()
    return overlay.OverlaySpec(
        requirements=requirements.Requirements(), installation=made, base=installed_packages.look(made), lock=lock,
        plugins=place / "release" / "plugins", scratch=place / "scratch", user=BUILDER,
        environ={**environ, "HOME": str(place), "UV_FIND_LINKS": str(place / "links")},
    )  # fmt: skip


@pytest.fixture
def build(spec, place):
    """Install requirements as `building` does; returns the folder of packages."""

    def built(text, **fields):
        wanted = requirements.read(text.encode(), version=VERSION, python="3", files=lambda _: None)
        asked = replace(spec, requirements=wanted, **fields)
        site = place / "release" / "site"
        try:
            overlay.install(asked, overlay.resolve(asked), site)
        except BaseException as error:
            error.add_note("\n".join(getattr(error, "tail", ())))
            trees.remove(site)
            raise
        return site

    return built


def said(site, name="attacker"):
    found = {}
    exec((site / f"{name}.py").read_text(), found)  # noqa: S102 - it is what the attack tells of itself
    return found


REACHING = """
attempt("read the data folder", lambda: open(PLACE + "/secret").read())
attempt("list the data folder", lambda: os.listdir(PLACE))
attempt("list /root", lambda: os.listdir("/root"))
attempt("read a neighbour's environment", lambda: open("/proc/%d/environ" % CONTROL).read())
attempt("change another release", lambda: open(PLACE + "/neighbour/file", "a"))
attempt("add to another release", lambda: open(PLACE + "/neighbour/new", "w"))
attempt("add to its own release", lambda: open(PLACE + "/release/new", "w"))
attempt("write where everybody may", lambda: open(PLACE + "/open/new", "w"))
attempt("become root", lambda: os.setuid(0))
attempt("see a password of the control plane's", lambda: [os.environ["AERODROME_SECRET"]])
"""


@SHOWN
def test_a_source_package_reads_and_writes_nothing_but_its_own(build, place):
    sdist(place / "links", f"PLACE, CONTROL = {str(place)!r}, {os.getpid()}\n{REACHING}")
    site = build("attacker\n")
    assert said(site)["won"] == []
    assert said(site)["uid"] == BUILDER.uid
    assert not (place / "open" / "new").exists()


def test_a_link_that_leads_out_is_refused(build, place):
    sdist(place / "links", "if site: os.symlink('/etc/shadow', site + '/out')")
    with pytest.raises(ReleaseError, match="leads out"):
        build("attacker\n")


def _deep(site):
    with contextlib.chdir(site):
        for _ in range(2500):
            Path("d").mkdir()
            os.chdir("d")


@pytest.mark.parametrize(
    ("plant", "words"),
    [
        (lambda site: (site / "out").symlink_to("../secret"), "leads out"),
        (lambda site: (site / "out").symlink_to("/proc/self/environ"), "leads out"),
        (lambda site: os.mkfifo(site / "pipe"), "neither file nor folder"),
        (lambda site: os.mknod(site / "disk", 0o660 | stat.S_IFBLK, os.makedev(8, 0)), "neither file nor folder"),
        (lambda site: os.link(site / "file", site / "second"), "another name"),
        (_deep, "too deep"),
    ],
)
def test_what_is_no_plain_file_of_the_release_is_refused(place, plant, words):
    site = place / "site"
    site.mkdir()
    (site / "file").touch()
    plant(site)
    for path in (site, *site.iterdir()):
        os.chown(path, *BUILDER_IDS, follow_symlinks=False)
    with pytest.raises(ReleaseError, match=words):
        sealing.seal(site)


def test_bits_and_owners_are_ours_in_the_end(build, place):
    plant = (
        "if site:\n open(site + '/program', 'w').close(); os.chmod(site + '/program', 0o6777)\n os.mkdir(site + '/f')"
    )
    sdist(place / "links", plant + "; os.chmod(site + '/f', 0o7777)")
    site = build("attacker\n")
    found = [site, *site.rglob("*")]
    assert {path.stat().st_uid for path in found} == {0}
    assert {stat.S_IMODE(path.stat().st_mode) for path in found} == {0o755, 0o644}
    assert (site / "program").exists()


SWAPPING = """
import subprocess
if site:
    swap = "import os\\nwhile True:\\n try:\\n  os.rename(S + '/f', S + '/g'); os.symlink('/etc', S + '/f')\\n"
    swap += "  os.unlink(S + '/f'); os.rename(S + '/g', S + '/f')\\n except OSError: pass\\n"
    os.mkdir(site + "/f")
    for _ in range(3):
        subprocess.Popen([sys.executable, "-c", "S = %r\\n" % site + swap], start_new_session=True,
                         stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
"""


def test_nobody_is_left_who_swaps_folders_while_root_seals(build, place):
    sdist(place / "links", SWAPPING)
    before = stat.S_IMODE(Path("/etc").stat().st_mode)
    try:
        site = build("attacker\n")
    except ReleaseError as error:  # the last swap left its link
        assert "leads out" in str(error)  # noqa: PT017 - either end is right
    else:
        assert {path.stat().st_uid for path in site.rglob("*")} == {0}
    assert [each for each in psutil.process_iter() if each.uids().real == BUILDER.uid] == []
    assert stat.S_IMODE(Path("/etc").stat().st_mode) == before


@pytest.mark.parametrize(
    "entry",
    ["../outside.py", "../../open/outside.py", "attacker-1.0.data/data/../../../outside.py",
     "attacker-1.0.data/scripts/../../../../outside.py"],
)  # fmt: skip
def test_a_wheel_whose_files_lead_out_writes_nothing_there(build, place, entry):
    wheel(place / "links", "attacker", files={entry: "won = True\n"})
    try:
        site = build("attacker\n")
    except ReleaseError:
        site = None
    assert [path for path in place.rglob("outside.py") if site is None or not path.is_relative_to(site)] == []


def test_links_and_bits_of_a_wheel_are_not_kept(build, place):
    wheel(
        place / "links", "attacker",
        files={"out": "/etc/shadow", "program": "#!/bin/sh\n"}, modes={"out": 0o120777, "program": 0o106777},
    )  # fmt: skip
    try:
        site = build("attacker\n")
    except ReleaseError:
        return
    assert not any(path.is_symlink() for path in site.rglob("*"))
    assert {stat.S_IMODE(path.stat().st_mode) for path in site.rglob("*")} <= {0o755, 0o644}


class Served(http.server.SimpleHTTPRequestHandler):
    """A package index that remembers what it was asked, and with whose password."""

    asked: list[tuple[str, str | None]]

    def do_GET(self):
        self.asked.append((self.path, self.headers.get("Authorization")))
        super().do_GET()

    def end_headers(self):
        self.send_header("Cache-Control", "max-age=600")  # as the real index says
        super().end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def index(place):
    """An index with the package `cow`; what it was asked."""
    folder = place / "index" / "simple" / "cow"
    folder.mkdir(parents=True)
    wheel(folder, "cow")
    handler = type("Handler", (Served,), {"asked": []})
    serving = functools.partial(handler, directory=str(place / "index"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), serving) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/simple", handler.asked
        server.shutdown()
        thread.join()


def indexed(spec, url, **more):
    kept = {name: value for name, value in spec.environ.items() if name != "UV_NO_INDEX"}
    return {**kept, "UV_DEFAULT_INDEX": url, **more}


def test_an_index_leads_nobody_to_a_wheel_that_only_root_may_read(build, spec, place, index):
    private = wheel(place, "private")
    private.chmod(0o600)
    page = place / "index" / "simple" / "private" / "index.html"
    page.parent.mkdir()
    page.write_text(f'<a href="{private.as_uri()}">{private.name}</a>')
    with pytest.raises(ReleaseError):
        build("private\n", environ=indexed(spec, index[0]))


def downloads(asked):
    return [path for path, _ in asked if path.endswith(".whl")]


@SHOWN
def test_a_cache_is_its_environments_alone(build, spec, place, index):
    url, asked = index
    counts = []
    for cache in ("one", "one", "two"):
        trees.remove(place / "release" / "site")
        site = build("cow\n", environ=indexed(spec, url), cache=place / cache)
        assert (site / "cow.py").exists()
        counts.append(len(downloads(asked)))
    first = counts[0]
    assert counts == [first, first, 2 * first]
    assert stat.S_IMODE((place / "one").stat().st_mode) == 0o700
    assert {path.lstat().st_uid for path in (place / "one" / str(BUILDER.uid)).rglob("*")} == {BUILDER.uid}
    # Another builder does not trust what this one left.
    trees.remove(place / "release" / "site")
    build("cow\n", environ=indexed(spec, url), cache=place / "one", user=UnixUser(61312, 61312))
    assert [each.name for each in (place / "one").iterdir()] == ["61312"]


POISONING = """
for top in (CACHE, PLACE + "/scratch/cache", PLACE + "/scratch/fetch"):
    attempt("list " + top, lambda: os.listdir(top)[0])
    for name in ("", "/61311", "/61311/archive-v0", "/61311/wheels-v5"):
        attempt("write to " + top + name, lambda: open(top + name + "/poison", "w"))
"""


@SHOWN
def test_a_package_s_program_reaches_neither_the_cache_nor_the_machine_s_passwords(build, spec, place, index):
    url, asked = index
    host = url.partition("://")[2].partition(":")[0]
    (place / ".netrc").write_text(f"machine {host} login owner password sesame\n")
    (place / ".netrc").chmod(0o600)
    cache = place / "cache"
    look = (
        "for parent, _, names in os.walk(PLACE + '/scratch'):\n for name in names:\n"
        "  attempt('password in ' + name, lambda: open(parent + '/' + name).read().index('sesame'))\n"
        "attempt('password in variables', lambda: str(os.environ).index('sesame'))\n"
    )
    sdist(place / "links", f"PLACE, CACHE = {str(place)!r}, {str(cache)!r}\n{POISONING}{look}")
    site = build("cow\nattacker\n", environ=indexed(spec, url), cache=cache)
    assert said(site)["won"] == []
    # The machine's owner gave the password for this: it was sent where no package's program ran.
    assert "Basic " + base64.b64encode(b"owner:sesame").decode() in {sent for _, sent in asked}
    assert not list(cache.rglob("poison"))


LOOKING = """
import contextlib, itertools
WANTED = b"emases"[::-1]  # which its own file does not have
pid = os.getpid()
while pid > 1:
    for file in ("environ", "cmdline", "mem", "maps", *("fd/%d" % number for number in range(64))):
        def look(path="/proc/%d/%s" % (pid, file)):
            opened = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
            if not path.endswith("mem"):
                os.read(opened, 100000).index(WANTED)
        if pid != os.getpid() or file != "mem":
            attempt("%s of %d above" % (file, os.getpid() - pid), look)
    text = open("/proc/%d/stat" % pid).read()
    pid = int(text[text.rindex(")") + 2:].split()[1])
for number in range(3, 64):
    with contextlib.suppress(OSError):
        os.set_blocking(number, False)
    attempt("what descriptor %d gives" % number, lambda: os.read(number, 100000).index(WANTED))
for parent, _, names in itertools.chain(os.walk(PLACE + "/scratch"), os.walk(os.environ["HOME"])):
    for name in names:
        attempt("file " + name, lambda: open(os.path.join(parent, name), "rb").read().index(WANTED))
attempt("settings", lambda: open(os.environ["UV_CONFIG_FILE"]).read().index(WANTED.decode()))
attempt("program", lambda: open(os.environ["UV"], "rb"))
"""
"""Looks for a password wherever a package's program might."""


def told_by_files(url, place):
    (place / "uv.toml").write_text(f'[[index]]\nname = "p"\nurl = "{url}"\ndefault = true\n')
    (place / "uv.toml").chmod(0o600)
    return {"UV_CONFIG_FILE": str(place / "uv.toml")}, ""


def told_by_variables(url, _):
    return {"UV_DEFAULT_INDEX": url, "HTTPS_PROXY": "http://me:sesame@127.0.0.1:9"}, ""


def told_by_named_variables(url, _):
    bare = url.replace("owner:sesame@", "")
    named = {"UV_INDEX_P_USERNAME": "owner", "UV_INDEX_P_PASSWORD": "sesame"}
    return {"UV_INDEX": f"p={bare}", "UV_DEFAULT_INDEX": f"{bare}-none", **named}, ""


def told_by_requirements(url, _):
    return {}, f"--index-url {url}\n"


def told_by_more_requirements(url, _):
    return {"UV_DEFAULT_INDEX": url.replace("owner:sesame@", "") + "-none"}, f"--extra-index-url {url}\n"


def told_by_an_address(url, _):
    bare = url.replace("owner:sesame@", "")
    return {"UV_DEFAULT_INDEX": f"{bare}-none"}, f"cow @ {url}/cow/cow-1.0-py3-none-any.whl\n"


@SHOWN
@pytest.mark.parametrize(
    "telling",
    [
        told_by_files,
        told_by_variables,
        told_by_named_variables,
        told_by_requirements,
        told_by_more_requirements,
        told_by_an_address,
    ],
)
def test_a_package_that_is_built_sees_no_password_with_which_others_are_fetched(build, spec, place, index, telling):
    url, asked = index
    given, lines = telling(url.replace("://", "://owner:sesame@"), place)
    sdist(place / "links", f"PLACE = {str(place)!r}\n{LOOKING}")
    environ = {name: value for name, value in indexed(spec, url).items() if not name.startswith(("UV_", "PIP_"))}
    cow = "" if "cow" in lines else "cow\n"
    site = build(f"{lines}{cow}attacker\n", environ=environ | {"UV_FIND_LINKS": str(place / "links"), **given})
    assert said(site)["won"] == []
    assert (site / "cow.py").read_text() == "answer = 42\n"
    assert "Basic " + base64.b64encode(b"owner:sesame").decode() in {sent for _, sent in asked}


COUNTING = """
count = os.environ["HOME"] + "/count"
open(count, "a").write("x")
won = [len(open(count).read())]
"""


def test_a_package_is_built_once_for_both_runs_of_uv(build, place):
    sdist(place / "links", COUNTING)
    assert said(build("attacker\n"))["won"] == [1]


@pytest.mark.parametrize(
    ("act", "limit", "value", "words"),
    [
        ("sleep 300", "LIMIT", 2.0, "within"),
        ('head -c 64M /dev/zero > "$HOME/large"; sleep 300', "MOST_WRITTEN", 32 << 20, "fill the disk"),
        ("exit 1", "LIMIT", 60.0, "uv failed"),
    ],
)
def test_however_uv_ends_its_last_lines_hold_no_password(build, place, monkeypatch, act, limit, value, words):
    program = place / "open" / "uv"
    program.write_text(f"#!/bin/bash\necho https://me:sesame@mine.test/ and sesame >&2\n{act}\n")
    program.chmod(0o755)
    monkeypatch.setattr(overlay.uv, "find_uv_bin", lambda: str(program))
    monkeypatch.setattr(overlay, limit, value)
    with pytest.raises(ReleaseError, match=words) as caught:
        build("--extra-index-url https://me:sesame@mine.test/simple\ncowsay\n")
    assert caught.value.tail == ("https://***@mine.test/ and ***",)
