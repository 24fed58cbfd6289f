"""Packages made on the spot, and releases built of them on the installed Airflow versions."""

import http.server
import os
import tarfile
import tempfile
import threading
import zipfile
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest

from aerodrome.release import building, install, locks
from aerodrome.release.building import BuildContext
from aerodrome.release.user_files import UserFiles
from aerodrome.unix_users import UnixUser

BUILDER = UnixUser(61234, 61234) if os.geteuid() == 0 else None

BACKEND = """
import os, zipfile
def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    if {broken!r}:
        raise SystemExit("this package cannot be built here")
    name = "{name}-1.0-py3-none-any.whl"
    info = "{name}-1.0.dist-info"
    with zipfile.ZipFile(os.path.join(wheel_directory, name), "w") as wheel:
        wheel.writestr("{name}.py", "built_by = %d" % os.getuid())
        wheel.writestr(info + "/METADATA", "Metadata-Version: 2.1\\nName: {name}\\nVersion: 1.0\\n")
        wheel.writestr(info + "/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr(info + "/RECORD", "{name}.py,,\\n" + info + "/METADATA,,\\n" + info + "/WHEEL,,\\n")
    return name
"""


def wheel(folder, name, *, version="1.0", files=None, needs=(), python=None):
    """A wheel of one module, or of the given files."""
    info = f"{name}-{version}.dist-info"
    metadata = [f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}"]
    metadata += [f"Requires-Dist: {need}" for need in needs] + ([f"Requires-Python: {python}"] if python else [])
    content = {
        **(files or {f"{name}.py": "answer = 42\n"}),
        f"{info}/METADATA": "\n".join(metadata) + "\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for file, text in content.items():
            archive.writestr(file, text)
        archive.writestr(f"{info}/RECORD", "".join(f"{file},,\n" for file in content) + f"{info}/RECORD,,\n")
    return path


def sdist(folder, name, *, broken=False):
    """A source distribution that brings its own build backend, so that no index is needed."""
    with tarfile.open(folder / f"{name}-1.0.tar.gz", "w:gz") as archive:
        for file, text in {
            "PKG-INFO": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
            "pyproject.toml": f'[project]\nname = "{name}"\nversion = "1.0"\n'
            '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n',
            "backend.py": BACKEND.format(name=name, broken=broken),
        }.items():
            info = tarfile.TarInfo(f"{name}-1.0/{file}")
            info.size = len(text.encode())
            archive.addfile(info, BytesIO(text.encode()))


@pytest.fixture(scope="session")
def links(short_folder):
    """A folder of wheels and sources: what the package index is to these tests."""
    # Not one of pytest's own, which it closes to other users whenever another run starts.
    folder = short_folder / "links"
    folder.mkdir(mode=0o755)
    wheel(folder, "cow")
    wheel(folder, "herd", needs=["cow", "requests"])
    wheel(folder, "oldfashioned", needs=["requests<2.20"])
    wheel(folder, "futuristic", python=">=3.99")
    wheel(folder, "unimportable", files={"unimportable/__init__.py": "import no_such_library\n"})
    wheel(folder, "enum34", files={"enum/__init__.py": "raise RuntimeError('hidden')\n", "enum34.py": ""})
    wheel(folder, "shadowing", files={"shadowing.py": "", "requests/__init__.py": "raise RuntimeError('hidden')\n"})
    wheel(folder, "apache_airflow_providers_moo", files={"airflow/providers/moo/__init__.py": "sound = 'moo'\n"})
    for version in ("999.0", *(lock.pins["asana"] for lock in locks.LOCKS.values() if "asana" in lock.pins)):
        wheel(folder, "asana", version=version)
    wheel(folder, "pycurl", version="999.0")
    sdist(folder, "homemade")
    sdist(folder, "unbuildable", broken=True)
    return folder


@pytest.fixture(scope="session")
def server():
    """A package index that knows nothing."""

    class Nothing(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_error(404)

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Nothing) as listening:
        thread = threading.Thread(target=listening.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{listening.server_port}"
        listening.shutdown()
        thread.join()


@pytest.fixture(params=["3.3.1", "2.11.2"])
def airflow(request, versions):
    """A version of each line, installed unless an earlier test did."""
    return install.install(request.param, versions, environ=os.environ)


@pytest.fixture
def place(short_folder):
    """An empty folder that every user may enter."""
    folder = Path(tempfile.mkdtemp(dir=short_folder))
    folder.chmod(0o755)
    return folder


@pytest.fixture
def context(airflow, links, server, place):
    """A context whose index is empty, as root with a user of its own."""
    environ = {
        "PATH": os.defpath,
        "HOME": str(place),
        "PIP_CONFIG_FILE": os.devnull,
        "UV_CACHE_DIR": str(place / "cache"),
        "UV_DEFAULT_INDEX": f"{server}/empty",
        "UV_FIND_LINKS": str(links),
        "UV_HTTP_RETRIES": "0",
        "AERODROME_SECRET": "must not be seen",
    }
    return BuildContext(installation=airflow, releases=place / "releases", environ=environ, user=BUILDER)


@pytest.fixture
def build(context):
    """Build a release of what is given."""

    def made(requirements=None, *, environ=None, **fields):
        changed = replace(context, environ={**context.environ, **(environ or {})})
        return building.build(UserFiles(requirements=requirements and requirements.encode(), **fields), changed)

    return made
