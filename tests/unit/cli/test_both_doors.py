"""`aerodrome check` and an update build the same release from the same folder, and refuse it with the same sentence."""

from io import BytesIO
from types import SimpleNamespace

import pytest
from botocore.exceptions import ClientError

from aerodrome import errors
from aerodrome.backends.local import fetching
from aerodrome.cli import checking
from aerodrome.release import locks, requirements, sources
from aerodrome.release.failures import ReleaseError
from aerodrome.release.sources import Sources

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
        checked = checking.gather(folder, version="3.3.1", options=options)
        bare = Sources(surroundings=checked.sources.surroundings)
        fetched = fetching.fetch(Bucket(folder), SPEC, bare, tmp_path, lambda: None)
        given = dict(option.split("=", 1) for option in options)
        return (checked.sources, checked.options), (fetched, given)

    return of


def understood(wanted, options):
    try:
        return requirements.read(
            wanted.requirements, version="3.3.1", python="3.12",
            files=lambda path: sources.file(wanted, path), variables=sources.variables(options),
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
    assert sources.content_of(checked[0], lock, checked[1]) == sources.content_of(updated[0], lock, updated[1])
    assert understood(*checked) == understood(*updated)
    assert "sesame" not in repr(understood(*checked))


@pytest.mark.parametrize(
    ("option", "words"),
    [("core.multi_team=True", "cannot be set"), ("nothing", "takes section.key=value"), ("key=1", "has no section")],
)
def test_a_check_refuses_the_options_that_an_environment_is_refused(doors, option, words):
    with pytest.raises(errors.CallerError, match=words):
        doors("cowsay\n", option)
