"""What a requirements.txt may say, and the sentence with the line for what it may not."""

import codecs
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aerodrome.release import confined_requirements, requirements, requirements_text
from aerodrome.release.failures import ReleaseError

DIGEST = "a" * 64


def read(text, files=None, **options):
    data = text if isinstance(text, bytes) else text.encode()
    known = files or {}
    return requirements.read(data, version="3.3.1", python="3.12", files=known.get, **options)


def test_what_is_said_of_1_10_12_holds_for_the_version_that_answers_to_it():
    url = "https://raw.githubusercontent.com/apache/airflow/constraints-1.10.12/constraints-3.7.txt"
    text = f"--constraint {url}\napache-airflow[celery]==1.10.12\n"
    found = requirements.read(text.encode(), version="1.10.15", python="3.7", files={}.get)
    assert [requirement.text for requirement in found.requested] == ["apache-airflow[celery]==1.10.15"]
    assert found.notes == (
        "requirements.txt, line 1: the constraints are those of Airflow 1.10.15, which answers to 1.10.12",
    )
    assert refused("apache-airflow==1.10.12").code == "REQUIREMENTS_CONFLICT"


def refused(text, files=None, **options):
    with pytest.raises(ReleaseError) as caught:
        read(text, files, **options)
    return caught.value


def names(text, files=None, **options):
    return [requirement.name for requirement in read(text, files, **options).requested]


@pytest.mark.parametrize(
    "encoded",
    [
        "café-client\n".encode(),
        codecs.BOM_UTF8 + "café-client\n".encode(),
        "\ufeffcafé-client\n".encode("utf-16-le"),
        "\ufeffcafé-client\n".encode("utf-16-be"),
        "\ufeffcafé-client\n".encode("utf-32-le"),
        "# -*- coding: latin-1 -*-\r\ncafé-client\r\n".encode("latin-1"),
    ],
)
def test_every_encoding_that_can_be_told_is_read(encoded):
    assert [line.text for line in requirements_text.lines(encoded, "r.txt")] == ["café-client"]


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (b"cowsay\n# caf\xe9\nhumanize\n", 2),
        ("cowsay\nhumanize\n".encode("utf-16-le"), 1),
        (b"\xff\xfea\x00\n\x00\x00", 2),
    ],
)
def test_bytes_that_are_no_text_are_refused_with_their_line(data, line):
    error = refused(data)
    assert error.code == "REQUIREMENTS_INVALID"
    assert error.line == line
    assert "save the file as UTF-8" in str(error)


@given(st.binary(max_size=200))
def test_no_bytes_break_the_reading(data):
    try:
        read(data)
    except ReleaseError as error:
        assert error.file == "requirements.txt"  # noqa: PT017 - both ends are right


KIB = 1024


@pytest.mark.parametrize(
    "data",
    [
        b"cow" + b" " * (KIB * KIB - 4) + b"x",
        b"cow; " + b"(" * (60 * KIB),
        b"cow[" + b"b," * (30 * KIB),
        b"cow" + b"==1," * (15 * KIB),
        b"cow" + (b" --hash" + b" " * KIB) * 60,
        b"cow @ https://" + b"u:" * (30 * KIB) + b"@",
        b"cow==1" + b"a1" * (30 * KIB),
        b"cow==1\n" * (140 * KIB),
        b" #\n" * (340 * KIB),
        b"cow\\\n" * (200 * KIB),
    ],
    ids=lambda data: data[:12].decode(),
)
def test_no_file_keeps_the_control_plane_busy(data):
    before = time.process_time()
    try:
        read(data.decode())
    except ReleaseError as error:
        assert error.code == "REQUIREMENTS_INVALID"  # noqa: PT017 - both ends are right
    assert time.process_time() - before < 20


def test_comments_and_continuations_keep_the_first_line_number():
    text = "# top\n\ncowsay  # a cow\nhumanize \\\n  >=4 \\\n# a comment ends it\npackage-with#hash @ https://x.test/a#egg=b\n"
    with pytest.raises(ReleaseError) as caught:
        read(text)
    assert caught.value.line == 7
    assert [(line.number, line.text) for line in requirements_text.lines(text[:70].encode(), "r")][:2] == [
        (3, "cowsay"),
        (4, "humanize   >=4"),
    ]


def test_a_requirement_is_normalised_and_keeps_its_hashes():
    found = read(
        f"Flask_Thing[b,a]>=1,<2 ; python_version>'3.8' --hash=sha256:{DIGEST} --hash sha256:{DIGEST}"
    ).requested[0]
    assert (found.name, found.line, found.hashes) == ("flask-thing", 1, (f"sha256:{DIGEST}",) * 2)
    assert found.text == 'Flask_Thing[a,b]<2,>=1; python_version > "3.8"'


@pytest.mark.parametrize(
    "line",
    [
        "--global-option=x", "--process-dependency-links", "--config-settings a=b", "-x", "--no-index=no", "--no-deps",
        "--target /tmp", "--require-hashes=no",
    ],
)  # fmt: skip
def test_other_options_are_refused_with_their_line(line):
    error = refused(f"cowsay\n{line}\n")
    assert (error.code, error.line) == ("REQUIREMENTS_INVALID", 2)
    assert "not allowed" in str(error)


@pytest.mark.parametrize(
    "line",
    [
        "cowsay --global-option=x", "cowsay --hash=md5:abc", "cowsay==", "==1", "cowsay cow", "./cow.whl", "/etc/x.whl",
        "file:///etc/cow-1.0-py3-none-any.whl", "cow @ file:///etc/cow-1.0-py3-none-any.whl", "https://x.test/cow.zip",
        "cow @ ../x.whl", "cow @ file:///usr/local/airflow/plugins/../../x.whl",
        "cow @ file:///usr/local/airflow/plugins/%2e%2e/%2E%2E/x.whl",
        "/usr/local/airflow/plugins/%2e%2e/x-1-py3-none-any.whl",
        "git+ssh://x.test/cow", "cow @ ftp://x/y",
        "cowsay\\x", "cow @ https://x.test/${token}",
    ],
)  # fmt: skip
def test_what_is_no_requirement_or_leads_elsewhere_is_refused(line):
    error = refused(f"\n{line}\n")
    assert (error.code, error.line) == ("REQUIREMENTS_INVALID", 2)


def test_wheels_among_the_plugins_may_be_named_as_on_mwaa():
    path = "/usr/local/airflow/plugins/cow-1.0-py3-none-any.whl"
    assert [each.text for each in read(f"{path}\ncow @ file://{path}").requested] == [f"cow @ file://{path}"] * 2
    assert all(requirement.direct for requirement in read(path).requested)


def test_links_and_indexes_are_known_and_credentials_are_shown_to_nobody():
    found = read(
        "--find-links /usr/local/airflow/plugins\n--no-index\n--pre\n"
        "-i https://me:secret@x.test/simple\n--extra-index-url=https://y.test/simple\ncow @ https://me:secret@x.test/c.whl\n"
    )
    assert [line.text for line in found.find_links] == ["/usr/local/airflow/plugins"]
    assert (found.no_index, found.prereleases) == (True, True)
    assert found.index is not None
    assert found.index.number == 4
    assert "secret" not in repr(found)
    assert "secret" not in found.requested[0].shown
    assert "secret" not in str(refused("https://me:secret@x.test/cow.zip"))
    for place in (
        "/etc",
        "file:///etc",
        "/usr/local/airflow/plugins/../x",
        "/usr/local/airflow/pluginsx",
        "ftp://x.test",
    ):
        assert refused(f"--find-links {place}").line == 1
    assert read("-f https://x.test/links").find_links[0].text == "https://x.test/links"
    assert read("-f /usr/local/airflow/plugins/wheels/").find_links[0].text == "/usr/local/airflow/plugins/wheels"
    assert refused("-i /etc/passwd").line == 1


def test_included_files_are_read_beside_the_file_that_includes_them():
    files = {"more/a.txt": b"-r b.txt\nhumanize", "more/b.txt": b"cowsay", "c.txt": b"six==1"}
    found = read("-r more/a.txt\n-cc.txt", files)
    assert [(requirement.name, requirement.file, requirement.line) for requirement in found.requested] == [
        ("cowsay", "more/b.txt", 1),
        ("humanize", "more/a.txt", 2),
    ]
    assert [requirement.name for requirement in found.constraints] == ["six"]


@pytest.mark.parametrize("path", ["gone.txt", "../other.txt", "a/../../b.txt", "/etc/passwd", ""])
def test_a_missing_file_is_named_with_the_line(path):
    error = refused(f"cowsay\n-r {path}\n")
    assert (error.code, error.line) == ("REQUIREMENTS_INVALID", 2)


def test_files_that_include_each_other_end():
    files = {"a.txt": b"-r b.txt", "b.txt": b"-r a.txt"}
    assert "again and again" in str(refused("-r a.txt", files))


@pytest.mark.parametrize(
    "url",
    [
        "https://raw.githubusercontent.com/apache/airflow/constraints-3.3.1/constraints-3.12.txt",
        "https://raw.githubusercontent.com/apache/airflow/constraints-3.3.1/constraints-no-providers-3.12.txt",
        "https://github.com/apache/airflow/raw/constraints-3.3.1/constraints-3.12.txt",
    ],
)
def test_official_constraints_of_our_version_are_our_own_lock(url):
    found = read(f'--constraint "{url}"\ncowsay')
    assert (found.constraints, found.notes) == ((), ())


def test_official_constraints_for_another_python_are_noted():
    url = "https://raw.githubusercontent.com/apache/airflow/constraints-3.3.1/constraints-3.11.txt"
    assert "for Python 3.12" in read(f"-c {url}").notes[0]


@pytest.mark.parametrize(
    ("version", "word"), [("2.11.0", "constraints of Airflow 2.11.0"), ("9.9.9", "9.9.9"), ("main", "Airflow main")]
)
def test_constraints_of_another_version_are_refused_by_version_and_line(version, word):
    error = refused(f"\n-c https://raw.githubusercontent.com/apache/airflow/constraints-{version}/constraints-3.12.txt")
    assert word in str(error)
    assert "3.3.1" in str(error)
    assert error.line == 2


def test_constraints_elsewhere_on_the_web_are_refused():
    assert "put the file among the DAGs" in str(refused("-c https://x.test/constraints.txt"))


@pytest.mark.parametrize(
    "line", ["apache-airflow==3.3.1", "apache-airflow[amazon]>=2", "Apache_Airflow", "apache.airflow~=3.3"]
)
def test_airflow_itself_may_be_named_if_it_is_ours(line):
    assert names(line) == ["apache-airflow"]


@pytest.mark.parametrize("line", ["apache-airflow==3.2.1", "apache_airflow<3", "apache-airflow @ https://x.test/a.whl"])
def test_another_airflow_is_a_conflict(line):
    error = refused(f"cowsay\n{line}")
    assert (error.code, error.line, error.package) == ("REQUIREMENTS_CONFLICT", 2, "apache-airflow")


def test_variables_are_those_of_the_startup_script():
    found = read("-i https://${USER_1}:${TOKEN}@x.test/simple", variables={"USER_1": "me", "TOKEN": "t"})
    assert found.index is not None
    assert found.index.text == "https://me:t@x.test/simple"
    assert "neither exported by the startup script nor" in str(refused("cow @ https://${TOKEN}@x.test/c.whl"))


@pytest.mark.parametrize("value", ["x\n--index-url https://evil.test", "${UV_INDEX_A_PASSWORD}", "a\\"])
def test_a_variable_cannot_bring_lines_or_variables_of_its_own(value):
    assert refused("cow @ https://x.test/${A}.whl", variables={"A": value}).line == 1


URL = "https://raw.githubusercontent.com/apache/airflow/constraints-3.3.1/constraints-3.12.txt"


@pytest.mark.parametrize(
    ("text", "constrained"),
    [
        ("cowsay", True),
        (f"--constraint {URL}\ncowsay", True),
        (f"-c {URL}\n-c own.txt\ncowsay", True),
        ("-c own.txt\ncowsay", False),
        ("--constraint=/dev/null\ncowsay", False),
        ("-c empty.txt\ncowsay", False),
        ("# --constraint later.txt\ncowsay", False),
        ("-r more.txt\ncowsay", True),  # MWAA looks into requirements.txt alone
    ],
)
def test_constraints_of_ones_own_lift_those_of_airflow_as_on_mwaa(text, constrained):
    found = read(text, {"own.txt": b"six==1.0\n", "empty.txt": b"# none\n", "more.txt": b"-c own.txt\nhumanize\n"})
    assert found.constrained is constrained
    assert bool(found.notes) is not constrained
    assert "cowsay" in [requirement.name for requirement in found.requested]


def test_options_that_change_nothing_are_passed_over_with_a_note():
    found = read("--prefer-binary\n-U\n--upgrade\n--no-cache-dir\n--progress-bar off\ncowsay\n")
    assert [requirement.name for requirement in found.requested] == ["cowsay"]
    assert found.notes[0] == "requirements.txt, line 1: --prefer-binary has no effect here"
    assert len(found.notes) == 5


def test_options_that_matter_are_kept():
    found = read("--trusted-host pip.x.test:8080\n--only-binary a,b\n--no-binary :all:\n--require-hashes\n")
    assert found.trusted_hosts == ("pip.x.test:8080",)
    assert (found.only_binary, found.no_binary, found.require_hashes) == (("a", "b"), (":all:",), True)
    assert refused("--trusted-host 'x --index-url y'").line == 1
    assert refused("--only-binary 'a b'").line == 1


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("-e git+https://x.test/a.git@v1#egg=cow", "cow @ git+https://x.test/a.git@v1"),
        ("--editable=git+https://x.test/a#egg=cow&subdirectory=b", "cow @ git+https://x.test/a#subdirectory=b"),
        ("-e cow @ git+https://x.test/a", "cow @ git+https://x.test/a"),
        ("git+https://x.test/a#egg=cow", "cow @ git+https://x.test/a"),
    ],
)
def test_a_repository_is_installed_as_any_other_package(line, text):
    found = read(line)
    assert [requirement.text for requirement in found.requested] == [text]
    assert bool(found.notes) is line.startswith("-")


@pytest.mark.parametrize("line", ["-e .", "-e /usr/local/airflow/plugins/cow", "-e git+ssh://x.test/a#egg=b",
                                  "-e git+https://x.test/a", "git+https://x.test/a"])  # fmt: skip
def test_an_editable_one_elsewhere_is_refused(line):
    error = refused(f"cowsay\n{line}")
    assert (error.code, error.line) == ("REQUIREMENTS_INVALID", 2)


def test_what_the_startup_script_told_pip_is_obeyed_and_shown_to_nobody():
    variables = {
        "PIP_INDEX_URL": "https://me:hunter2@x.test/simple",
        "PIP_EXTRA_INDEX_URL": "https://y.test/simple https://z.test/simple",
        "PIP_FIND_LINKS": "/usr/local/airflow/plugins",
        "PIP_NO_INDEX": "false",
        "PIP_TRUSTED_HOST": "x.test",
        "PIP_CONSTRAINT": "own.txt",
        "PIP_NO_CACHE_DIR": "1",
        "PIP_TARGET": "/etc",
    }
    found = read("cowsay", {"own.txt": b"six==1.0\n"}, variables=variables)
    assert found.index is not None
    assert found.index.text == "https://me:hunter2@x.test/simple"
    assert [line.text for line in found.extra_indexes] == ["https://y.test/simple", "https://z.test/simple"]
    assert (found.no_index, found.trusted_hosts, len(found.find_links)) == (False, ("x.test",), 1)
    assert [requirement.text for requirement in found.constraints] == ["six==1.0"]
    assert found.constrained  # MWAA looks into requirements.txt alone
    assert found.notes == ("startup.sh exports what has no effect on the requirements here: PIP_TARGET",)
    assert "hunter2" not in repr(found)
    assert found.hide("GET https://me:hunter2@x.test/simple") == "GET https://***@x.test/simple"
    assert read("-i https://w.test/simple", variables=variables | {"PIP_CONSTRAINT": ""}).index.text == (
        "https://w.test/simple"
    )
    error = refused("cowsay", variables={"PIP_INDEX_URL": "/etc/hunter2"})
    assert (error.file, str(error).startswith("PIP_INDEX_URL of startup.sh: ")) == ("PIP_INDEX_URL of startup.sh", True)


@given(
    st.text("abcDEF123:/@%?=&.-_", min_size=4, max_size=30), st.sampled_from(["-i {}", "-f {}", "cow @ {}", "-e {}"])
)
def test_the_value_of_a_variable_is_in_no_message(secret, line):
    try:
        found = read(line.format("https://x.test/${TOKEN}"), variables={"TOKEN": secret})
    except ReleaseError as error:
        assert secret not in str(error)  # noqa: PT017 - both ends are right
    else:
        assert secret not in repr(found)
        assert secret not in found.hide(f"error: https://x.test/{secret} is away")


@given(
    before=st.sampled_from(["", "cow\n", "cow # -\r", "a \\\n", "\u00a0", "\t", "\ufeff"]),
    option=st.sampled_from(["-r", "-c", "--requirement", "--requirement=", "--constraints ", "--constraint="]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32"]),
)
def test_bytes_that_are_not_looked_into_include_nothing(before, option, encoding):
    data = f"{before}{option}/a.txt".encode(encoding)
    if confined_requirements.included_by({"": data}):
        assert confined_requirements._MAY_INCLUDE.search(data)


def test_names_of_packages_are_not_looked_into():
    data = b"apache-airflow-providers-redis\napache-airflow-providers-common-sql==1.0-r1\n"
    assert not confined_requirements._MAY_INCLUDE.search(data)
