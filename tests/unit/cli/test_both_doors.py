"""`aerodrome check` and an update build the same release from the same folder, and refuse it with the same sentence."""

from io import BytesIO
from pathlib import Path
from types import SimpleNamespace

import pytest
from botocore.exceptions import ClientError

from aerodrome import errors
from aerodrome.airflow import option_variables
from aerodrome.backends.releases import fetching
from aerodrome.cli import check_run
from aerodrome.cli.dev.folder import Folder
from aerodrome.release import confined_requirements, locks, requirements, user_files
from aerodrome.release.failures import ReleaseError
from aerodrome.release.user_files import UserFiles

SPEC = SimpleNamespace(
    source_bucket_arn="arn:aws:s3:::b", dag_s3_path="dags", execution_role_arn="arn:aws:iam::1:role/r",
    requirements_s3_path="requirements.txt", requirements_s3_object_version=None,
    startup_script_s3_path="startup.sh", startup_script_s3_object_version=None,
    plugins_s3_path=None, plugins_s3_object_version=None,
)  # fmt: skip


class Bucket:
    """S3, as far as a fetch asks it, on a folder."""

    def __init__(self, folder):
        self._folder = folder

    def get_object(self, *, Key, **_):  # noqa: N803 - boto3's name
        try:
            return {"Body": BytesIO((self._folder / Key).read_bytes())}
        except OSError:
            raise ClientError({"Error": {"Code": "NoSuchKey", "Message": ""}}, "GetObject") from None


@pytest.fixture
def doors(tmp_path):
    """What both doors make of a folder with these requirements: sources and options."""

    def of(text, *options):
        folder = tmp_path / "project"
        (folder / "dags").mkdir(parents=True)
        (folder / "requirements.txt").write_text(text)
        (folder / "more.txt").write_text("cowsay\n")
        (folder / "startup.sh").write_text("export TOKEN=sesame\n")
        (folder / "dags" / "c.txt").write_text("cowsay<7\n")
        checked = check_run.gather(folder, version="3.3.1", options=options)
        bare = UserFiles(variables=checked.sources.variables)
        fetched = fetching.fetch(Bucket(folder), SPEC, bare, tmp_path, lambda: None)
        given = dict(option.split("=", 1) for option in options)
        return (checked.sources, checked.options), (fetched, given)

    return of


def understood(wanted, options):
    try:
        return requirements.read(
            wanted.requirements, version="3.3.1", python="3.12",
            files=lambda path: user_files.file(wanted, path), variables=option_variables.of(options),
        )  # fmt: skip
    except ReleaseError as error:
        return str(error)


@pytest.mark.parametrize(
    "text",
    [
        "cowsay\n--prefer-binary\n",
        "-c /usr/local/airflow/dags/c.txt\ncowsay\n",
        "-i https://${AIRFLOW__PIP__TOKEN}@x.test/simple\ncowsay\n",
        "-r more.txt\n",
        "-c /usr/local/airflow/dags/none.txt\n",
        "--target /etc\n",
    ],
)
def test_the_same_folder_is_the_same_release_by_both_doors(doors, text):
    checked, updated = doors(text, "pip.token=sesame")
    lock = locks.of("3.3.1")

    def inputs(wanted, options):
        return user_files.inputs_of(wanted, lock, options, lambda files, _: confined_requirements.included_by(files))

    assert inputs(*checked) == inputs(*updated)
    assert understood(*checked) == understood(*updated)
    assert "sesame" not in repr(understood(*checked))


@pytest.mark.parametrize(
    ("option", "words"),
    [("core.multi_team=True", "cannot be set"), ("nothing", "takes section.key=value"), ("key=1", "has no section")],
)
def test_a_check_refuses_the_options_that_an_environment_is_refused(doors, option, words):
    with pytest.raises(errors.CallerError, match=words):
        doors("cowsay\n", option)


def test_a_check_tries_the_files_that_dev_would_bring(tmp_path):
    project = tmp_path / "project"
    for name in (
        "dags/sales.py", "dags/sql/load.sql", "dags/.sales.py.swp", "dags/__pycache__/sales.pyc", "dags/.git/config",
        "dags/mine/pyvenv.cfg", "dags/mine/lib/y.py", "dags/.airflowignore", "include/shop.py", "include/shop.pyc",
    ):  # fmt: skip
        file = project / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(name)
    wanted = check_run.gather(project)
    target = check_run.brought(wanted.dags, wanted.include, tmp_path / "dags")
    dev = Folder(project, lambda _: None)
    next(dev.rounds(0.05))
    found = {path.relative_to(target).as_posix() for path in target.rglob("*") if path.is_file()}
    assert found == set(dev.dags()) == {"sales.py", "sql/load.sql", ".airflowignore", "include/shop.py"}


def test_dags_that_are_named_stand_alone(tmp_path):
    for name in ("dags/sales.py", "include/shop.py", "other/stock.py"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text("")
    assert check_run.gather(tmp_path).include == tmp_path / "include"
    assert check_run.gather(tmp_path, dags=Path("other")).include is None
